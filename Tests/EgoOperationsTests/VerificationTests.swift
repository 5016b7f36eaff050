import BankDomain
import ChildProcess
import EgoCore
import EgoOperations
import EgoSQLite
import EgoTestKit
import Foundation
import Testing

@Suite("Verification")
struct VerificationTests {
    private let folder: Folder

    init() throws { folder = try Folder() }

    /// Changes a store's file behind its back, after a snapshot of acc-1 at 10 was made.
    private func findings(
        _ sql: String, domain: Domain = .bank, ids: [PersistenceID] = []
    ) async throws -> [Verification.Finding] {
        let name = "\(UUID().uuidString).db"
        let store = try await folder.bank(name)
        _ = try await Snapshots(store: store, domain: .bank, time: SystemTime(), by: operatorForTests)
            .create(PersistenceID("acc-1"), at: 10, kind: nil, isDryRun: false)
        await store.close()
        try sqlite(name, sql)
        let changed = try await SQLiteStore(path: folder.path(name))
        var found: [Verification.Finding] = []
        let run = Verification(store: changed, domain: domain, ids: ids, page: PageLimit(rows: 7))
        while let page = try await run.nextPage() { found += page }
        await changed.close()
        return found
    }

    private func sqlite(_ name: String, _ sql: String) throws {
        let process = ChildProcess()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = [
            "python3", "-c",
            "import sqlite3,sys; d=sqlite3.connect(sys.argv[1]); d.executescript(sys.argv[2]); d.commit()",
            folder.path(name), sql,
        ]
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
    }

    private static let first = "entity = (SELECT id FROM ego_entities WHERE persistence_id = 'acc-1')"

    @Test("finds nothing in a store that is whole, and counts what it looked at")
    func whole() async throws {
        #expect(try await findings("SELECT 1") == [])
        let store = try await folder.bank("whole.db")
        let run = Verification(store: store, domain: .bank)
        #expect(try await run.nextPage() == nil)
        let checked = await run.checked
        #expect(checked.entities == 3 && checked.events == 60)
    }

    @Test("finds what is wrong, names it, and says what to do", arguments: 0..<15)
    func finds(_ index: Int) async throws {
        let cases: [(sql: String, kind: Verification.Finding.Kind, id: String?, number: UInt64?)] = [
            ("DELETE FROM ego_events WHERE \(Self.first) AND sequence_number = 4", .sequenceGap, "acc-1", 5),
            (
                "DELETE FROM ego_events WHERE \(Self.first) AND sequence_number BETWEEN 1 AND 3", .sequenceGap, "acc-1",
                4
            ),
            (
                "UPDATE ego_events SET position = 100000 WHERE \(Self.first) AND sequence_number = 2", .positionOrder,
                "acc-1", 3
            ),
            (
                "UPDATE ego_events SET payload = x'ff' WHERE \(Self.first) AND sequence_number = 7",
                .undecodablePayload, "acc-1", 7
            ),
            (
                "UPDATE ego_events SET checksum = NULL, payload = x'0a0d782f7361 6d706c6570622e5858' WHERE \(Self.first) AND sequence_number = 7"
                    .replacing(" 6d", with: "6d"), .unknownType, "acc-1", 7
            ),
            // The last byte is one of a number: what it has become decodes as well.
            (
                "UPDATE ego_events SET payload = substr(payload, 1, length(payload) - 1) || x'41' WHERE \(Self.first) AND sequence_number = 7",
                .undecodablePayload, "acc-1", 7
            ),
            (
                "DELETE FROM ego_events WHERE \(Self.first) AND sequence_number <= 10; UPDATE ego_entities SET floor = 0",
                .sequenceGap, "acc-1", 11
            ),
            ("UPDATE ego_snapshots SET sequence_number = 99 WHERE \(Self.first)", .snapshotAhead, "acc-1", 99),
            ("UPDATE ego_snapshots SET sequence_number = 9 WHERE \(Self.first)", .snapshotMismatch, "acc-1", 9),
            ("UPDATE ego_snapshots SET payload = x'ff' WHERE \(Self.first)", .snapshotMismatch, "acc-1", 10),
            (
                "INSERT INTO ego_projections VALUES ('view', 'running', 1, NULL, NULL, 1, x''); INSERT INTO ego_offsets VALUES ('view', 1, 3, 4000, 1, NULL)",
                .offsetAheadOfHead, "view", nil
            ),
            ("UPDATE ego_audit SET reason = 'none'", .auditChain, nil, 1),
            (
                "DROP TABLE ego_holds; CREATE TABLE ego_holds (persistence_id TEXT PRIMARY KEY, reason TEXT, placed_at INTEGER)",
                .storage, nil, nil
            ),
            (
                "DROP INDEX ego_events_stream; CREATE INDEX other ON ego_events (entity, sequence_number)", .storage,
                nil, nil
            ),
            (
                "INSERT INTO ego_entities (persistence_id, shard) VALUES ('lonely', 1); INSERT INTO ego_snapshots SELECT last_insert_rowid(), 3, timestamp, manifest, flags, NULL, payload, checksum FROM ego_snapshots",
                .orphanSnapshot, "lonely", 3
            ),
        ]
        let wanted = cases[index]
        let found = try await findings(wanted.sql)
        let match = found.first { $0.kind == wanted.kind }
        #expect(match != nil, "\(found)")
        #expect(match?.id == wanted.id && match?.sequenceNumber == wanted.number, "\(found)")
        #expect(match?.remedy.isEmpty == false && match?.message.isEmpty == false)
    }

    @Test("without a domain, payloads are looked at as far as they can be")
    func noDomain() async throws {
        #expect(try await findings("SELECT 1", domain: .none) == [])
        let found = try await findings(
            "UPDATE ego_events SET payload = x'ff' WHERE \(Self.first) AND sequence_number = 7", domain: .none)
        #expect(found.map(\.kind) == [.undecodablePayload])
    }

    @Test("a bit that was flipped is found without a domain too, in events, snapshots and durable states")
    func flipped() async throws {
        let flip = "payload = substr(payload, 1, length(payload) - 1) || x'41'"
        let event = try await findings(
            "UPDATE ego_events SET \(flip) WHERE \(Self.first) AND sequence_number = 7", domain: .none)
        #expect(event.map(\.kind) == [.undecodablePayload] && event.first?.sequenceNumber == 7)
        let snapshot = try await findings("UPDATE ego_snapshots SET \(flip) WHERE \(Self.first)", domain: .none)
        #expect(snapshot.map(\.kind) == [.snapshotMismatch] && snapshot.first?.sequenceNumber == 10)
        let state = try await findings(
            """
            INSERT INTO ego_entities (persistence_id, shard) VALUES ('wallet', 1);
            INSERT INTO ego_states (entity, version, timestamp, manifest, payload, checksum)
                SELECT last_insert_rowid(), 3, timestamp, manifest, payload, 1 FROM ego_events LIMIT 1
            """, domain: .none)
        #expect(state.contains { $0.kind == .undecodablePayload && $0.id == "wallet" })
    }

    @Test("of named entities only these are looked at")
    func named() async throws {
        let broken = "DELETE FROM ego_events WHERE \(Self.first) AND sequence_number = 4"
        #expect(try await findings(broken, ids: [PersistenceID("acc-2")]) == [])
        #expect(try await findings(broken, ids: [PersistenceID("acc-1")]).map(\.kind).contains(.sequenceGap))
        await #expect(throws: OperationError.self) {
            _ = try await findings(broken, ids: [PersistenceID("nobody")])
        }
    }

    @Test("what is left of an erased entity is found, and one entity does not end the check of the others")
    func leftovers() async throws {
        let store = try await folder.bank("left.db")
        let (gone, odd) = (try PersistenceID("acc-2"), try PersistenceID("acc-1"))
        _ = try await Snapshots(store: store, domain: .bank, time: SystemTime(), by: operatorForTests)
            .create(odd, at: 10, kind: nil, isDryRun: false)
        // A state among the events: the domain knows the type, the behavior does not take it.
        let state = AnyPayload(typeURL: AnyPayload.typeURLPrefix + "samplepb.Account", value: []).serialized()
        _ = try await store.append([
            AppendRequest(
                persistenceID: odd, expectedVersion: .any,
                events: [NewEvent(timestamp: Timestamp(unixNanoseconds: 1), payload: state)])
        ])
        _ = try await store.commit(
            [
                .placeTombstone(
                    Tombstone(persistenceID: gone, sequenceNumber: 22, erasedAt: Timestamp(unixNanoseconds: 1)))
            ], under: nil)
        var found: [Verification.Finding] = []
        let run = Verification(store: store, domain: .bank)
        while let page = try await run.nextPage() { found += page }
        #expect(Set(found.map(\.kind)) == [.erasureIncomplete, .undecodablePayload], "\(found)")
        #expect(await run.checked.entities == 3)
    }

    @Test("a store that was trimmed, or has erased entities, is whole")
    func trimmed() async throws {
        let store = try await folder.bank("trimmed.db")
        let (id, gone) = (try PersistenceID("acc-1"), try PersistenceID("acc-2"))
        _ = try await Snapshots(store: store, domain: .bank, time: SystemTime(), by: operatorForTests)
            .create(id, at: 10, kind: nil, isDryRun: false)
        _ = try await store.commit(
            [
                .deleteEvents(of: id, through: 10), .deleteEvents(of: gone, through: .max),
                .placeTombstone(
                    Tombstone(persistenceID: gone, sequenceNumber: 22, erasedAt: Timestamp(unixNanoseconds: 1))),
            ], under: nil)
        #expect(try await Verification(store: store, domain: .bank).nextPage() == nil)
    }

    @Test("the snapshot that stands for deleted events is not deleted by hand")
    func needed() async throws {
        let store = try await folder.bank("needed.db")
        let id = try PersistenceID("acc-1")
        let snapshots = Snapshots(store: store, domain: .bank, time: SystemTime(), by: operatorForTests)
        for number in [5, 10, 15] {
            _ = try await snapshots.create(id, at: SequenceNumber(UInt64(number)), kind: nil, isDryRun: false)
        }
        _ = try await store.commit([.deleteEvents(of: id, through: 8)], under: nil)
        let deletion = Snapshots.Deletion(ids: [id])
        let all = try await snapshots.planDeletion(deletion)
        // That at 15 stands for all events up to 8; the older ones are not needed.
        #expect(all.plan.counts["snapshots"] == 2 && all.plan.guards.map(\.name) == ["trimmed"])
        #expect(try await snapshots.delete(deletion, as: all, command: "") == 2)
        #expect(try await Replay(store: store, domain: .bank).entity(id).sequenceNumber == 33)
        let rest = try await snapshots.planDeletion(.init(ids: [id]))
        #expect(rest.plan.counts["snapshots"] == 0 && rest.plan.guards.count == 1)
        // Nor does the store itself give it away.
        #expect(try await store.commit([.retireSnapshots(of: id, through: .max)], under: nil) == [0])
        // A plan that was made before does not hold any more.
        await #expect(throws: OperationError.self) {
            _ = try await snapshots.delete(deletion, as: all, command: "")
        }
        #expect(throws: OperationError.self) { try all.plan.check(against: rest.plan) }
    }
}
