import EgoTestKit
import Testing

@Suite("Every store keeps every law")
struct StoreContractTests {
    @Test("in memory", arguments: StoreContract.laws)
    func inMemory(_ law: StoreLaw) async throws {
        try await law.check(InMemoryFixture())
    }

    @Test("in memory, written to at once", arguments: StoreContract.laws)
    func immediate(_ law: StoreLaw) async throws {
        try await law.check(ImmediateFixture())
    }

    @Test("on SQLite", arguments: StoreContract.laws)
    func onSQLite(_ law: StoreLaw) async throws {
        try await law.check(SQLiteFixture())
    }
}

/// One after the other: reopening a store takes the server down.
@Suite("Every store keeps every law on PostgreSQL", .serialized)
struct PostgresContractTests {
    @Test("on PostgreSQL", arguments: StoreContract.laws)
    func onPostgreSQL(_ law: StoreLaw) async throws {
        try await law.check(PostgresFixture())
    }
}

@Suite("A store that breaks a law is noticed")
struct BrokenStoreTests {
    @Test("by a check of that law", arguments: BrokenStore.Fault.allCases)
    func isNoticed(_ fault: BrokenStore.Fault) async throws {
        var violations = 0
        for law in StoreContract.laws where law.number == fault.law {
            do {
                try await law.check(InMemoryFixture(fault: fault))
            } catch is LawViolation {
                violations += 1
            }
        }
        #expect(violations > 0, "no check of law \(fault.law) fails on a store that \(fault.rawValue)")
    }

    @Test("every law has a store that breaks it")
    func everyLaw() {
        #expect(Set(BrokenStore.Fault.allCases.map(\.law)) == Set(1...7))
    }
}
