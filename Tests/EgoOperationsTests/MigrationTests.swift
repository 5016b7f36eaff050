import BankDomain
import EgoCore
import EgoOperations
import EgoTestKit
import Foundation
import SwiftProtobuf
import Testing

@Suite("Inline state of eGo v3 becomes snapshots")
struct MigrationTests {
    private let store = InMemoryStore()

    private func account(_ balance: Double, _ name: String) throws -> AnyPayload {
        try AnyPayload(
            packing: Samplepb_Account.with {
                $0.accountID = name
                $0.accountBalance = balance
            })
    }

    /// An entity whose events credit 1 each; `inline` gives the inline state of an event as it is stored.
    private func entity(
        _ name: String, events: Int = 5, inline: (Int) throws -> [UInt8]? = { _ in nil }
    ) async throws {
        var new: [NewEvent] = []
        for number in 1...events {
            let payload: any Message =
                number == 1
                ? Samplepb_AccountCreated.with { $0.accountID = name }
                : Samplepb_AccountCredited.with {
                    $0.accountID = name
                    $0.accountBalance = 1
                }
            let fields = try inline(number).map { PersistedEvent.unknownFields(serializedInlineState: $0) } ?? []
            new.append(
                NewEvent(
                    timestamp: Timestamp(unixNanoseconds: Int64(number)),
                    payload: try AnyPayload(packing: payload).serialized(), unknownFields: fields))
        }
        _ = try await store.append([
            AppendRequest(
                persistenceID: try PersistenceID(name), kind: "account", expectedVersion: .noStream, events: new)
        ])
    }

    private func whole(_ name: String) -> (Int) throws -> [UInt8]? {
        { try account(Double($0 - 1), name).serialized() }
    }

    private func migrate(
        _ options: InlineStateMigration.Options = .init(), domain: Domain = .bank, on other: (any Store)? = nil
    ) async throws -> InlineStateMigration.Summary {
        let work = InlineStateMigration(
            store: other ?? store, domain: domain, by: operatorForTests, time: SystemTime(), page: PageLimit(rows: 3))
        return try await work.run(options, command: "migrate")
    }

    private func snapshot(_ name: String) async throws -> SequenceNumber? {
        try await store.latestSnapshot(of: try PersistenceID(name), through: .max)?.sequenceNumber
    }

    @Test("the newest that decodes, and the corrupt one is named")
    func awkward() async throws {
        try await entity("whole", inline: whole("whole"))
        try await entity("empty") { $0 == 5 ? [] : try whole("empty")($0) }
        try await entity("corrupt") { $0 == 5 ? [0xff, 0xff] : try whole("corrupt")($0) }
        try await entity("foreign") { _ in [10, 3, 97, 47, 98] }
        try await entity("none")
        try await entity("all-corrupt") { _ in [0xff] }
        let summary = try await migrate()
        #expect(summary.entities == 6 && summary.written == 4 && summary.withoutInlineState == 1)
        #expect(summary.failed.map(\.id) == ["all-corrupt", "corrupt"])
        #expect(summary.failed.map(\.sequenceNumber) == [5, 5])
        #expect(try await snapshot("whole") == 5)
        #expect(try await snapshot("empty") == 4)
        #expect(try await snapshot("corrupt") == 4)
        #expect(try await snapshot("none") == nil)
        #expect(try await snapshot("all-corrupt") == nil)
        let again = try await migrate()
        #expect(again.written == 0 && again.kept == 4 && again.failures == 2)
    }

    @Test("not over a snapshot that is as new")
    func kept() async throws {
        try await entity("a", inline: whole("a"))
        let newer = StoredSnapshot(
            persistenceID: try PersistenceID("a"), sequenceNumber: 5, timestamp: Timestamp(unixNanoseconds: 77),
            payload: try account(4, "a").serialized())
        try await store.save(newer)
        let summary = try await migrate(.init(verifies: true))
        #expect(summary.written == 0 && summary.kept == 1 && summary.verified == 1)
        #expect(try await store.latestSnapshot(of: try PersistenceID("a"), through: .max) == newer)
    }

    @Test("a state that is not what the events give is not written when it is verified, and never dropped")
    func mismatch() async throws {
        try await entity("right", inline: whole("right"))
        try await entity("wrong") { _ in try account(1_000, "wrong").serialized() }
        let summary = try await migrate(.init(drops: true, jobs: 4))
        #expect(summary.written == 1 && summary.verified == 1 && summary.dropped == 5)
        #expect(summary.failed.map(\.code) == ["mismatch"])
        #expect(try await snapshot("wrong") == nil)
        for (name, count) in [("right", 0), ("wrong", 5)] {
            let events = try await store.events(
                of: try PersistenceID(name), from: 1, through: .max, limit: .standard)
            #expect(events.count { !$0.unknownFields.isEmpty } == count)
        }
        #expect(try await migrate().withoutInlineState == 1)
    }

    @Test("without a domain nothing can be verified, and states are taken as they are")
    func noDomain() async throws {
        try await entity("a", inline: whole("a"))
        let verified = try await migrate(.init(verifies: true), domain: .none)
        #expect(verified.failed.map(\.code) == ["not_folded"])
        #expect(try await migrate(domain: .none).kept == 1)
    }

    @Test("encrypted, where entities are")
    func encrypted() async throws {
        try await entity("a", inline: whole("a"))
        let encryptor = AESEncryptor(keys: KeyRing(store: store, master: .random()))
        let summary = try await migrate(on: EncryptedStore(store, encryptor: encryptor, scope: .all))
        #expect(summary.written == 1 && summary.encrypted == 1)
        let snapshot = try #require(try await store.latestSnapshot(of: try PersistenceID("a"), through: .max))
        #expect(snapshot.isEncrypted)
        let clear = try EventReader(decryptor: encryptor).clear(snapshot)
        #expect(clear == (try account(4, "a")))
    }
}
