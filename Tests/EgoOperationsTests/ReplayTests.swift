import BankDomain
import EgoCore
import EgoOperations
import EgoTestKit
import Foundation
import SwiftProtobuf
import Synchronization
import Testing

@Suite("Replay")
struct ReplayTests {
    private let store = InMemoryStore()
    private let id = PersistenceID(stored: "a")
    private let start = Timestamp(unixNanoseconds: 1_000_000_000_000)

    private var replay: Replay { Replay(store: store, domain: .bank, page: PageLimit(rows: 3)) }

    /// An account opened with 100 and then credited with 1, 2, 3 and so on, an event a second.
    private func fill(_ count: Int) async throws {
        var events = [
            AccountBehavior.Event.created(
                .with {
                    $0.accountID = "a"
                    $0.accountBalance = 100
                })
        ]
        for number in 1..<max(1, count) {
            events.append(
                .credited(
                    .with {
                        $0.accountID = "a"
                        $0.accountBalance = Double(number)
                    }))
        }
        let new = try events.enumerated().map { index, event in
            NewEvent(timestamp: start.advanced(by: .seconds(index)), payload: try event.serializedAny())
        }
        _ = try await store.append([AppendRequest(persistenceID: id, expectedVersion: .noStream, events: new)])
    }

    private func snapshot(_ number: SequenceNumber, _ balance: Double) throws -> StoredSnapshot {
        let state = Samplepb_Account.with {
            $0.accountID = "a"
            $0.accountBalance = balance
        }
        return StoredSnapshot(
            persistenceID: id, sequenceNumber: number, timestamp: start,
            payload: try AnyPayload(packing: state).serialized())
    }

    private func balance(_ entity: ReplayedEntity) -> Double? { (entity.state as? Samplepb_Account)?.accountBalance }

    @Test("gives the state at the end, at a number and at a time")
    func states() async throws {
        try await fill(10)
        let last = try await replay.entity(id)
        #expect(balance(last) == 145 && last.sequenceNumber == 10 && last.eventCount == 10 && last.kind == "account")
        #expect(last.snapshotSequenceNumber == nil)
        #expect(balance(try await replay.entity(id, to: .sequenceNumber(3))) == 103)
        #expect(balance(try await replay.entity(id, to: .time(start.advanced(by: .milliseconds(3_500))))) == 106)
        #expect(balance(try await replay.entity(id, to: .time(start.advanced(by: .seconds(100))))) == 145)
        for end in [Replay.End.sequenceNumber(11), .time(start.advanced(by: .seconds(-1)))] {
            let error = await #expect(throws: OperationError.self) { try await replay.entity(id, to: end) }
            #expect(error?.code == .notFound)
        }
    }

    @Test("begins at the newest snapshot, and at one that covers what was deleted")
    func snapshots() async throws {
        try await fill(10)
        try await store.save(snapshot(4, 106))
        try await store.save(snapshot(8, 128))
        let last = try await replay.entity(id)
        #expect(balance(last) == 145 && last.snapshotSequenceNumber == 8 && last.eventCount == 10)
        _ = try await store.commit([.deleteEvents(of: id, through: 4)], under: nil)
        let trimmed = try await replay.entity(id)
        #expect(balance(trimmed) == 145 && trimmed.eventCount == 6)
        #expect(try await replay.verify(id) == [])
        let steps = Mutex<[UInt64]>([])
        _ = try await replay.entity(
            id, steps: StepConsumer(from: 1) { step in steps.withLock { $0.append(step.sequenceNumber.rawValue) } })
        #expect(steps.withLock { $0 } == Array(5...10))
        let error = await #expect(throws: OperationError.self) {
            try await replay.entity(id, to: .sequenceNumber(2))
        }
        #expect(error?.code == .data)
    }

    @Test("a trace has the state after each event")
    func trace() async throws {
        try await fill(7)
        try await store.save(snapshot(3, 103))
        let balances = Mutex<[Double]>([])
        _ = try await replay.entity(
            id, to: .sequenceNumber(6),
            steps: StepConsumer(from: 2) { step in
                balances.withLock { $0.append((step.state as? Samplepb_Account)?.accountBalance ?? -1) }
            })
        #expect(balances.withLock { $0 } == [101, 103, 106, 110, 115])
    }

    @Test("verification finds a wrong snapshot, one that cannot be read, and one ahead of the events")
    func verification() async throws {
        try await fill(10)
        for good in try [snapshot(2, 101), snapshot(9, 136)] { try await store.save(good) }
        #expect(try await replay.verify(id) == [])
        try await store.save(snapshot(5, 111))
        try await store.save(
            StoredSnapshot(persistenceID: id, sequenceNumber: 7, timestamp: start, payload: [1, 2, 3]))
        try await store.save(snapshot(12, 0))
        let found = try await replay.verify(id)
        #expect(found.map(\.sequenceNumber) == [5, 7, 12])
        #expect(found.map(\.message)[2] == "the snapshot is ahead of the last event, 10")
    }

    @Test("an event that cannot be read is an error that names it")
    func undecodable() async throws {
        try await fill(3)
        _ = try await store.append([
            AppendRequest(
                persistenceID: id, expectedVersion: .exact(3),
                events: [NewEvent(timestamp: start, payload: AnyPayload(typeURL: "t/x.Y", value: []).serialized())])
        ])
        await #expect { try await replay.entity(id) } throws: { "\($0)".contains("sequence number 4") }
        #expect(balance(try await replay.entity(id, to: .sequenceNumber(3))) == 103)
    }

    @Test("a durable state shows its latest version")
    func durableState() async throws {
        let state = Samplepb_Account.with { $0.accountBalance = 7 }
        _ = try await store.save([
            StateWrite(
                persistenceID: id, kind: "wallet", expectedVersion: 0, timestamp: start,
                payload: try AnyPayload(packing: state).serialized())
        ])
        let found = try await replay.entity(id)
        #expect(balance(found) == 7 && found.sequenceNumber == 1 && found.kind == "wallet" && found.eventCount == 0)
        await #expect(throws: OperationError.self) { try await replay.entity(id, to: .sequenceNumber(2)) }
    }

    @Test("differences are told field by field, also of nested messages and lists")
    func differences() throws {
        let before = try Google_Protobuf_Struct(
            jsonString: #"{"a": 1, "b": {"c": "x,}\"", "d": [1, {"e": 2}]}, "gone": true}"#)
        let after = try Google_Protobuf_Struct(
            jsonString: #"{"a": 1, "b": {"c": "y", "d": [1, {"e": 3}]}, "new": null}"#)
        let changes = try StateChange.between(before, after).sorted { $0.path < $1.path }
        #expect(changes.map(\.path) == ["b.c", "b.d", "gone", "new"])
        #expect(changes[0].before == #""x,}\"""# && changes[0].after == #""y""#)
        #expect(changes[2].before == "true" && changes[2].after == nil)
        #expect(changes[3].before == nil && changes[3].after == "null")
        #expect(try StateChange.between(before, before) == [])
    }
}

@Suite("Listing events")
struct ListingTests {
    @Test("pages, filters and tells where to go on")
    func listing() async throws {
        let store = InMemoryStore()
        let parameters = SampleParameters(entities: 4, events: 100, isLegacy: true, seed: 5)
        _ = try await SampleFill(store: store, sample: BankSample()).run(parameters)
        func list(_ query: EventQuery, page: Int = 7) async throws -> (events: [PersistedEvent], next: Offset?) {
            let listing = EventListing(store: store, query: query, page: PageLimit(rows: page))
            var events: [PersistedEvent] = []
            while let page = try await listing.nextPage() { events += page }
            return (events, await listing.next)
        }
        let all = try await list(EventQuery())
        #expect(all.events.count == 100 && all.next == nil)
        #expect(all.events.map(\.offset.position.rawValue) == Array(1...100))
        var joined: [PersistedEvent] = []
        var after = Offset.start
        while true {
            let part = try await list(EventQuery(after: after, limit: 9), page: 4)
            joined += part.events
            guard let next = part.next else { break }
            after = next
        }
        #expect(joined == all.events)
        let debits = try await list(EventQuery(type: "AccountDebited"))
        #expect(!debits.events.isEmpty && debits.events.count < 100)
        #expect(try await list(EventQuery(type: "samplepb.AccountDebited")).events == debits.events)
        #expect(try await list(EventQuery(type: "AccountDebited", limit: 2)).events == Array(debits.events.prefix(2)))
        let one = try await list(EventQuery(persistenceID: PersistenceID(stored: "acc-2"), limit: 3))
        #expect(one.events.map(\.sequenceNumber) == [1, 2, 3])
        let rest = try await list(
            EventQuery(persistenceID: PersistenceID(stored: "acc-2"), after: try #require(one.next)))
        #expect(rest.events.first?.sequenceNumber == 4)
        let middle = all.events[49].timestamp
        #expect(try await list(EventQuery(since: middle)).events.count == 51)
        #expect(try await list(EventQuery(until: middle)).events.count == 49)
        #expect(
            try await list(EventQuery(shard: all.events[0].shard)).events.allSatisfy { $0.shard == all.events[0].shard }
        )
        for event in all.events { #expect(try event.inlineState() != nil) }
    }
}

@Suite("The sample")
struct SampleTests {
    @Test(
        "is the same for a seed, whole, and of the numbers asked for",
        arguments: [(1, 1), (3, 3), (10, 10_000), (7, 5_001)])
    func numbers(_ entities: Int, _ events: Int) async throws {
        let parameters = SampleParameters(entities: entities, events: events, isLegacy: false, seed: 9)
        var statistics: [StoreStatistics] = []
        for _ in 0..<2 {
            let store = InMemoryStore()
            let fill = SampleFill(store: store, sample: BankSample())
            #expect(try await fill.run(parameters).written == events)
            let again = try await fill.run(parameters)
            #expect(again.written == 0 && again.kept == events)
            statistics.append(try await store.statistics())
            for entity in try await store.entities(EntityQuery(limit: 100)) {
                #expect(try await Replay(store: store, domain: .bank).verify(entity.persistenceID) == [])
            }
        }
        #expect(statistics[0] == statistics[1] && statistics[0].entities == entities && statistics[0].events == events)
    }

    @Test("is refused where an entity of that name has other events")
    func refused() async throws {
        let store = InMemoryStore()
        let fill = SampleFill(store: store, sample: BankSample())
        _ = try await fill.run(SampleParameters(entities: 2, events: 10, isLegacy: false, seed: 1))
        let before = try await store.statistics()
        let error = await #expect(throws: OperationError.self) {
            try await fill.run(SampleParameters(entities: 2, events: 10, isLegacy: false, seed: 2))
        }
        #expect(error?.code == .refused)
        #expect(try await store.statistics() == before)
    }
}
