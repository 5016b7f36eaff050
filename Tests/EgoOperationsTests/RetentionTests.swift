import BankDomain
import Ego
import EgoCore
import EgoOperations
import EgoTestKit
import Foundation
import SwiftProtobuf
import Synchronization
import Testing

/// Runs something once, before the first commit that deletes.
private final class DisturbedStore: ForwardingStore {
    let base: any Store
    private let disturbance: @Sendable (any Store) async throws(StoreError) -> Void
    private let isDone = Mutex(false)

    init(_ base: any Store, _ disturbance: @escaping @Sendable (any Store) async throws(StoreError) -> Void) {
        (self.base, self.disturbance) = (base, disturbance)
    }

    private func isFirst() -> Bool {
        isDone.withLock { isDone in
            defer { isDone = true }
            return !isDone
        }
    }

    func forward<Value: Sendable>(
        _ call: StoreCall, _ body: () async throws(StoreError) -> Value
    ) async throws(StoreError) -> Value { try await body() }

    func commit(
        _ changes: [OperatorChange], under lease: Lease?, with work: ReadModelWork?
    ) async throws(StoreError) -> [Int] {
        let deletes = changes.contains { change in
            switch change {
            case .retireEvents, .retireSnapshots: true
            default: false
            }
        }
        if deletes, isFirst() {
            try await disturbance(base)
        }
        return try await base.commit(changes, under: lease, with: work)
    }
}

@Suite("Retention deletes what nothing needs")
struct RetentionTests {
    private let store = InMemoryStore()
    private let time = ManualClock()

    /// An account with so many events, a second apart from the first of the year on.
    private func account(_ name: String, events: Int, snapshots: [Int] = []) async throws {
        let id = try PersistenceID(name)
        let start = Timestamp(unixNanoseconds: 1_767_225_600_000_000_000)
        var state = Samplepb_Account.with { $0.accountID = name }
        var new: [NewEvent] = []
        for number in 1...events {
            let timestamp = start.advanced(by: .seconds(number))
            let payload: any Message =
                number == 1
                ? Samplepb_AccountCreated.with { $0.accountID = name }
                : Samplepb_AccountCredited.with {
                    $0.accountID = name
                    $0.accountBalance = 1
                }
            new.append(NewEvent(timestamp: timestamp, payload: try AnyPayload(packing: payload).serialized()))
            if number > 1 { state.accountBalance += 1 }
            if snapshots.contains(number) {
                try await store.save(
                    StoredSnapshot(
                        persistenceID: id, sequenceNumber: SequenceNumber(UInt64(number)), timestamp: timestamp,
                        payload: try AnyPayload(packing: state).serialized()))
            }
        }
        _ = try await store.append([
            AppendRequest(persistenceID: id, kind: "account", expectedVersion: .noStream, events: new)
        ])
    }

    private func retention(_ domain: Domain = .bank) -> JournalRetention {
        JournalRetention(
            store: store, domain: domain, by: operatorForTests, time: time, page: PageLimit(rows: 7))
    }

    private func run(
        _ policy: RetentionPolicy, _ domain: Domain = .bank
    ) async throws -> JournalRetention.Summary {
        let work = retention(domain)
        let (plan, summary) = try await work.plan([policy])
        let done = try await work.run([policy], archive: nil, as: plan, command: "retain")
        #expect((done.events, done.snapshots, done.bytes) == (summary.events, summary.snapshots, summary.bytes))
        #expect(done.entities == summary.entities && done.guards.map(\.guard) == summary.guards.map(\.guard))
        return done
    }

    private func floor(_ name: String) async throws -> SequenceNumber? {
        try await store.stream(of: try PersistenceID(name))?.floor
    }

    @Test("and counts the same with an archive")
    func archive() async throws {
        for name in ["a", "b", "c"] { try await account(name, events: 50, snapshots: [20, 50]) }
        try await account("d", events: 5, snapshots: [2, 5])
        let folder = try Folder()
        let policy = RetentionPolicy(keepEvents: 10, keepSnapshots: 1)
        let (plan, summary) = try await retention().plan([policy])
        #expect(summary.entities == 4 && summary.events == 120 && summary.snapshots == 4)
        let done = try await retention().run(
            [policy], archive: folder.path("old.jsonl"), as: plan, command: "retain")
        #expect(done.entities == 4 && done.events == 120 && done.snapshots == 4 && done.bytes == summary.bytes)
        #expect(done.archive?.events == 120)
    }

    @Test("by count, by age, and by both")
    func conditions() async throws {
        for name in ["a", "b", "c"] { try await account(name, events: 50, snapshots: [50]) }
        let cutoff = Timestamp(unixNanoseconds: 1_767_225_600_000_000_000).advanced(by: .seconds(21))
        #expect(try await run(RetentionPolicy(prefix: "a", keepEvents: 10)).events == 40)
        #expect(try await floor("a") == 40)
        #expect(try await run(RetentionPolicy(prefix: "b", olderThan: cutoff)).events == 20)
        #expect(try await floor("b") == 20)
        #expect(try await run(RetentionPolicy(prefix: "c", keepEvents: 40, olderThan: cutoff)).events == 10)
        #expect(try await floor("c") == 10)
        #expect(try await run(RetentionPolicy(keepEvents: 45)).events == 0)
        let replay = Replay(store: store, domain: .bank)
        for name in ["a", "b", "c"] {
            let state = try await replay.entity(try PersistenceID(name)).state
            #expect((state as? Samplepb_Account)?.accountBalance == 49)
        }
    }

    @Test("never past the newest snapshot that is right")
    func snapshots() async throws {
        try await account("none", events: 20)
        try await account("old", events: 20, snapshots: [5])
        try await account("wrong", events: 20, snapshots: [5, 15])
        let wrong = try PersistenceID("wrong")
        try await store.save(
            StoredSnapshot(
                persistenceID: wrong, sequenceNumber: 15, timestamp: time.now(),
                payload: try AnyPayload(packing: Samplepb_Account.with { $0.accountBalance = 999 }).serialized()))
        try await account("broken", events: 20, snapshots: [5, 15])
        try await store.save(
            StoredSnapshot(
                persistenceID: try PersistenceID("broken"), sequenceNumber: 15, timestamp: time.now(), payload: [1]))
        let done = try await run(RetentionPolicy(keepEvents: 1, keepSnapshots: 1))
        #expect(try await floor("none") == 0)
        for name in ["old", "wrong", "broken"] { #expect(try await floor(name) == 5) }
        #expect(done.guards.map(\.guard) == [.noSnapshot, .unprovenSnapshot])
        #expect(done.guards.map(\.entities) == [1, 2])
        // The right one stays though it is not the newest.
        #expect(try await store.latestSnapshot(of: wrong, through: 5)?.sequenceNumber == 5)
        // Again, now that the snapshot at the floor stands for what is gone.
        #expect(try await run(RetentionPolicy(keepEvents: 1, keepSnapshots: 1)).events == 0)
    }

    @Test("nothing that a projection has not passed, or that a legal hold keeps")
    func guards() async throws {
        for name in ["a", "b"] { try await account(name, events: 30, snapshots: [30]) }
        let shard = try await store.entities(EntityQuery(prefix: "a"))[0].shard
        _ = try await store.commit(
            [
                .saveProjection(ProjectionRecord(name: "slow")),
                .advance(
                    ProjectionAdvance(
                        projection: "slow", version: 1,
                        offsets: [
                            CommittedOffset(
                                shard: shard, offset: Offset(position: Position(12)), committedAt: time.now())
                        ])),
            ], under: nil)
        let holds = LegalHolds(store: store, by: operatorForTests, time: time)
        #expect(try await holds.place(try PersistenceID("b")))
        #expect(try await !holds.place(try PersistenceID("b")))
        let done = try await run(RetentionPolicy(keepEvents: 1))
        #expect(done.events == 12)
        #expect(try await floor("a") == 12)
        #expect(try await floor("b") == 0)
        #expect(done.guards.map(\.guard) == [.legalHold, .projection])
        #expect(done.guards.last?.samples.first?.contains("slow") == true)
        #expect(try await holds.release(try PersistenceID("b")))
        let projection = try await run(RetentionPolicy(keepEvents: 1))
        #expect(projection.events == 0 && projection.guards.map(\.guard) == [.projection])
    }

    @Test("and counts and names what a hold keeps that was placed meanwhile", arguments: [false, true])
    func heldMeanwhile(hasArchive: Bool) async throws {
        for name in ["a", "b", "c"] { try await account(name, events: 1_200, snapshots: [20, 1_200]) }
        let policy = RetentionPolicy(keepEvents: 10, keepSnapshots: 1)
        let wanted = try await retention().plan([policy]).summary
        #expect((wanted.entities, wanted.events, wanted.snapshots) == (3, 3_570, 3))
        let now = time.now()
        let disturbed = DisturbedStore(store) { store throws(StoreError) in
            let held = LegalHold(persistenceID: PersistenceID(stored: "b"), reason: "a trial", placedAt: now)
            _ = try await store.commit([.placeHold(held)], under: nil, with: nil)
        }
        let folder = try Folder()
        let work = JournalRetention(store: disturbed, domain: .bank, by: operatorForTests, time: time)
        let done = try await work.run(
            [policy], archive: hasArchive ? folder.path("old.jsonl") : nil, as: nil, command: "retain")
        #expect((done.entities, done.events, done.snapshots) == (2, 2_380, 2))
        #expect(done.bytes == 2 * (wanted.bytes / 3))
        #expect(done.guards.map(\.guard) == [.legalHold])
        #expect(done.guards.first?.samples == ["b: it is under a legal hold"])
        for name in ["a", "b", "c"] { #expect(try await floor(name) == (name == "b" ? 0 : 1_190)) }
        #expect(try await store.snapshots(of: try PersistenceID("b"), from: 0, limit: .standard).count == 2)
    }

    @Test("and counts and names what a projection keeps that was reset meanwhile", arguments: [false, true])
    func resetMeanwhile(hasArchive: Bool) async throws {
        try await account("a", events: 50, snapshots: [50])
        let shard = try await store.entities(EntityQuery(prefix: "a"))[0].shard
        let now = time.now()
        let disturbed = DisturbedStore(store) { store throws(StoreError) in
            let offset = CommittedOffset(shard: shard, offset: Offset(position: Position(12)), committedAt: now)
            _ = try await store.commit(
                [
                    .saveProjection(ProjectionRecord(name: "slow")),
                    .advance(ProjectionAdvance(projection: "slow", version: 1, offsets: [offset])),
                ], under: nil, with: nil)
        }
        let folder = try Folder()
        let work = JournalRetention(store: disturbed, domain: .bank, by: operatorForTests, time: time)
        let done = try await work.run(
            [RetentionPolicy(keepEvents: 10)], archive: hasArchive ? folder.path("old.jsonl") : nil, as: nil,
            command: "retain")
        #expect((done.entities, done.events) == (1, 12))
        #expect(done.guards.map(\.guard) == [.projection])
        #expect(done.guards.first?.samples == ["a: somebody has not passed event 13"])
        #expect(try await floor("a") == 12)
    }

    @Test("all events of closed entities, and only of those")
    func closed() async throws {
        try await account("open", events: 30, snapshots: [30])
        try await account("closed", events: 30, snapshots: [31])
        let payload = try AnyPayload(
            packing: Samplepb_AccountDebited.with {
                $0.accountID = "closed"
                $0.accountBalance = 29
            })
        _ = try await store.append([
            AppendRequest(
                persistenceID: try PersistenceID("closed"), expectedVersion: .exact(30),
                events: [NewEvent(timestamp: time.now(), payload: payload.serialized())])
        ])
        try await store.save(
            StoredSnapshot(
                persistenceID: try PersistenceID("closed"), sequenceNumber: 31, timestamp: time.now(),
                payload: try AnyPayload(packing: Samplepb_Account.with { $0.accountID = "closed" }).serialized()))
        let done = try await run(RetentionPolicy(closedBy: ["samplepb.AccountDebited"]))
        #expect(done.events == 31 && done.entities == 1)
        #expect(try await floor("closed") == 31)
        #expect(try await floor("open") == 0)
    }

    @Test("without a domain, only what can be decoded")
    func noDomain() async throws {
        try await account("a", events: 20, snapshots: [20])
        let done = try await run(RetentionPolicy(keepEvents: 1), .none)
        #expect(done.events == 0 && done.guards.map(\.guard) == [.unprovenSnapshot])
        let work = JournalRetention(
            store: store, domain: .none, by: operatorForTests, time: time,
            decodes: { $0.typeName == "samplepb.Account" })
        #expect(try await work.plan([RetentionPolicy(keepEvents: 1)]).summary.events == 19)
    }

    @Test("not when the store has changed since the plan was made")
    func stale() async throws {
        try await account("a", events: 20, snapshots: [20])
        let policy = RetentionPolicy(keepEvents: 5)
        let plan = try await retention().plan([policy]).plan
        _ = try await store.commit([.retireEvents(of: try PersistenceID("a"), through: 3)], under: nil)
        let error = await #expect(throws: OperationError.self) {
            _ = try await retention().run([policy], archive: nil, as: plan, command: "retain")
        }
        #expect(error?.code == .refused)
        #expect(try await floor("a") == 3)
    }

    @Test("while an engine with its own retention writes")
    func engine() async throws {
        let configuration = EngineConfiguration(
            snapshotInterval: 10,
            retention: Retention(deleteEventsOnSnapshot: true, deleteSnapshotsOnSnapshot: true, eventsRetentionCount: 5)
        )
        let engine = Engine(store: store, domain: .bank, configuration: configuration)
        let account = try engine.entity(AccountBehavior(), try PersistenceID("live"))
        _ = try await account.send(.create(.with { $0.accountID = "live" }))
        let writer = Task {
            for _ in 0..<300 { _ = try await account.send(.credit(.with { $0.balance = 1 })) }
        }
        for _ in 0..<20 {
            let work = retention()
            do {
                let plan = try await work.plan([RetentionPolicy(keepEvents: 3, keepSnapshots: 1)]).plan
                _ = try await work.run(
                    [RetentionPolicy(keepEvents: 3, keepSnapshots: 1)], archive: nil, as: plan, command: "retain")
            } catch let error as OperationError where error.code == .refused {
                continue  // the plan was stale
            }
        }
        try await writer.value
        await engine.shutdown()
        let state = try await Replay(store: store, domain: .bank).entity(try PersistenceID("live")).state
        #expect((state as? Samplepb_Account)?.accountBalance == 300)
        let verification = Verification(store: store, domain: .bank)
        while let page = try await verification.nextPage() { #expect(page == []) }
    }
}
