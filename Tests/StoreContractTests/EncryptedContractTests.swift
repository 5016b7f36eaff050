import EgoCore
import EgoTestKit
import Testing

@Suite("An encrypted store keeps every law")
struct EncryptedContractTests {
    /// Not what compares whole records, whose key and payload are others when they are encrypted, and may be no
    /// `google.protobuf.Any`.
    private static let encryptable = StoreContract.laws.filter { law in
        ![
            "a record comes back as it was given", "added events are there together or not at all, as they were",
        ].contains(law.name)
    }

    @Test("in memory, all entities encrypted", arguments: encryptable)
    func inMemory(_ law: StoreLaw) async throws {
        try await law.check(EncryptedFixture(InMemoryFixture(), scope: .all))
    }

    @Test("in memory, no entity encrypted", arguments: StoreContract.laws)
    func inMemoryExisting(_ law: StoreLaw) async throws {
        try await law.check(EncryptedFixture(InMemoryFixture(), scope: .existing))
    }

    @Test("on SQLite, all entities encrypted", arguments: encryptable)
    func onSQLite(_ law: StoreLaw) async throws {
        try await law.check(EncryptedFixture(SQLiteFixture(), scope: .all))
    }

    @Test("on SQLite, no entity encrypted", arguments: StoreContract.laws)
    func onSQLiteExisting(_ law: StoreLaw) async throws {
        try await law.check(EncryptedFixture(SQLiteFixture(), scope: .existing))
    }
}

@Suite("What an encrypted store writes")
struct EncryptedWritesTests {
    private let base = InMemoryStore()
    private let store: EncryptedStore
    private let id = PersistenceID(stored: "a")

    init() {
        store = EncryptedStore(
            base, encryptor: AESEncryptor(keys: KeyRing(store: base, master: .random())), scope: .kinds(["secret"]))
    }

    private func event(_ number: Int) -> NewEvent {
        NewEvent(
            timestamp: Timestamp(unixNanoseconds: Int64(number)),
            payload: AnyPayload(typeURL: "t/x.Y", value: [UInt8](repeating: UInt8(number), count: 9)).serialized())
    }

    private func append(_ name: String, kind: String?, _ version: ExpectedVersion = .any) async throws {
        let outcomes = try await store.append([
            AppendRequest(
                persistenceID: PersistenceID(stored: name), kind: kind, expectedVersion: version, events: [event(1)])
        ])
        guard case .appended = outcomes[0] else { throw Unexpected(outcomes: outcomes) }
    }

    private struct Unexpected: Error { let outcomes: [AppendOutcome] }

    private func isEncrypted(_ name: String) async throws -> [Bool] {
        try await base.events(of: PersistenceID(stored: name), from: 1, through: .max, limit: .standard)
            .map(\.isEncrypted)
    }

    @Test("is encrypted for the kinds that are named, also when the writer does not say the kind again")
    func kinds() async throws {
        try await append("a", kind: "secret")
        try await append("a", kind: nil)
        try await append("b", kind: "open")
        try await append("b", kind: nil)
        try await append("c", kind: nil)
        #expect(try await isEncrypted("a") == [true, true])
        #expect(try await isEncrypted("b") == [false, false])
        #expect(try await isEncrypted("c") == [false])
        #expect(try await base.keys(after: nil, limit: 9).map(\.key.persistenceID) == [id])
    }

    @Test("is encrypted for an entity that has a key, whatever the scope says")
    func existing() async throws {
        try await append("a", kind: "secret")
        try await store.save(
            StoredSnapshot(
                persistenceID: id, sequenceNumber: 1, timestamp: event(1).timestamp, payload: event(1).payload))
        _ = try await store.commit(
            [
                .saveSnapshot(
                    StoredSnapshot(
                        persistenceID: id, sequenceNumber: 2, timestamp: event(1).timestamp,
                        payload: event(2).payload))
            ], under: nil)
        let snapshots = try await base.snapshots(of: id, from: 1, limit: .standard)
        #expect(snapshots.map(\.isEncrypted) == [true, true])
    }

    @Test("events and states that an operation adds are encrypted like snapshots, where the entity has a key")
    func added() async throws {
        try await append("a", kind: "secret")
        let first = try #require(try await base.events(of: id, from: 1, through: 1, limit: .standard).first)
        var second = first
        (second.sequenceNumber, second.payload, second.encryptionKeyID, second.isEncrypted) = (
            2, event(2).payload, "", false
        )
        _ = try await store.commit([.addEvents([second])], under: nil)
        let added = try await base.events(of: id, from: 2, through: 2, limit: .standard)
        #expect(added.map(\.isEncrypted) == [true], "an imported event of an encrypted entity is in the clear")
    }

    @Test("appends that expect nothing do not conflict with each other")
    func any() async throws {
        try await append("a", kind: "secret")
        let outcomes = try await store.append(
            (0..<2).map { _ in AppendRequest(persistenceID: id, expectedVersion: .any, events: [event(3)]) })
        for outcome in outcomes {
            guard case .appended = outcome else {
                Issue.record("\(outcomes)")
                return
            }
        }
        let lost = try await withThrowingTaskGroup(of: Bool.self) { group in
            for number in 0..<200 {
                let event = event(number % 250)
                group.addTask { [store, id] in
                    let outcomes = try await store.append([
                        AppendRequest(persistenceID: id, expectedVersion: .any, events: [event])
                    ])
                    if case .appended = outcomes[0] { return false }
                    return true
                }
            }
            return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(lost == 0, "appends without an expectation ended in a conflict")
    }
}
