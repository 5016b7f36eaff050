import BankDomain
import Ego
import EgoCore
import EgoOperations
import EgoSQLite
import EgoTestKit
import Foundation
import Testing

@Suite("Lag")
struct LagTests {
    private let time = ManualClock()

    /// A projection that counts, in memory.
    private struct Counting: ReadModel {
        let tables: [ReadModelTable] = []
        var poison: UInt64?

        func handle(_ event: ProjectedEvent, in model: ReadModelWriter) throws {
            if event.sequenceNumber.rawValue == poison { throw Poison() }
        }
    }
    private struct Poison: Error {}

    private func bank(_ events: Int = 60) async throws -> InMemoryStore {
        let store = InMemoryStore()
        _ = try await SampleFill(store: store, sample: BankSample()).run(
            SampleParameters(entities: 3, events: events, isLegacy: false, seed: 7))
        return store
    }

    private func run(_ model: Counting, on store: any Store) async throws {
        _ = try await ProjectionRunner(Projection("p", model), store: store, reader: EventReader(), owner: "a")
            .runUntilCaughtUp()
    }

    private func lag(_ store: any Store, declared: [String] = ["p"]) async throws -> ProjectionLag {
        try #require(try await Lag(of: store, declared: declared, time: time).measure(["p"]).first)
    }

    @Test("tells what never ran, runs, is paused, stopped and failed apart")
    func states() async throws {
        let store = try await bank()
        let never = try await lag(store)
        #expect(never.state == .neverRun && never.eventsBehind == 60 && never.lag == nil && never.lastAdvanced == nil)
        #expect(never.shards.count == 16 && never.shards.allSatisfy { $0.state == .neverRun && $0.lag == nil })
        try await run(Counting(), on: store)
        let stopped = try await lag(store)
        #expect(stopped.state == .stopped && stopped.eventsBehind == 0 && stopped.lag == .zero)
        let lease = try await store.acquireLease("projection/p", owner: "b", for: .seconds(60), now: time.now())
        #expect(try await lag(store).state == .running)
        let control = ProjectionControl(store: store, by: operatorForTests, time: time)
        _ = try await control.pause("p")
        #expect(try await lag(store).state == .paused)
        _ = try await control.resume("p")
        try await store.release(lease)
        _ = try await control.reset("p", as: control.planReset("p", to: .start))
        try await run(Counting(poison: 7), on: store)
        let failed = try await lag(store)
        #expect(failed.state == .failed && failed.failure?.sequenceNumber == 7 && failed.eventsBehind > 0)
    }

    @Test("is the time between the last processed event and the newest, by shard")
    func timeBetween() async throws {
        let store = try await bank()
        try await run(Counting(), on: store)
        let before = try await store.journal(after: .start, shard: nil, limit: .standard).events
        let last = try #require(before.last)
        let payload = last.payload
        _ = try await store.append([
            AppendRequest(
                persistenceID: last.persistenceID, expectedVersion: .any,
                events: [NewEvent(timestamp: last.timestamp.advanced(by: .seconds(90)), payload: payload)])
        ])
        let behind = try await lag(store)
        let shard = try #require(behind.shards.first { $0.shard == last.shard })
        let passed = before.last { $0.shard == last.shard }
        #expect(behind.eventsBehind == 1 && shard.eventsBehind == 1)
        #expect(shard.lag == last.timestamp.advanced(by: .seconds(90)).duration(since: try #require(passed).timestamp))
        #expect(behind.lag == shard.lag)
        #expect(behind.shards.filter { $0.shard != last.shard }.allSatisfy { $0.lag == .zero })
        // After a reset nobody knows which event was processed last.
        let control = ProjectionControl(store: store, by: operatorForTests, time: time)
        _ = try await control.reset("p", as: control.planReset("p", to: .start))
        #expect(try await lag(store).lag == nil)
    }

    @Test("of a projection past the journal's end is called so")
    func ahead() async throws {
        let store = try await bank()
        let ahead = CommittedOffset(
            shard: Shard(1), offset: Offset(position: Position(1_000)), committedAt: time.now())
        _ = try await store.commit(
            [
                .saveProjection(ProjectionRecord(name: "p")),
                .advance(ProjectionAdvance(projection: "p", version: 1, offsets: [ahead])),
            ], under: nil)
        let found = try await lag(store)
        #expect(found.state == .aheadOfHead && found.shards[1].state == .aheadOfHead)
        #expect(found.shards[0].state == .neverRun)
    }

    @Test("of eGo for Go comes from timestamps, whose unit has to be one")
    func egoGo() {
        func offset(_ shard: UInt64, _ stored: Int64?, _ head: Int64?, _ behind: Int) -> TimestampOffset {
            TimestampOffset(
                projection: "p", shard: Shard(shard), stored: stored, committedAt: nil, eventsBehind: behind,
                storedHead: head)
        }
        let nanoseconds: Int64 = 1_795_404_606_221_912_740
        let lag = ProjectionLag(
            ofEgoGo: "p",
            [
                offset(0, nanoseconds - 5, nanoseconds, 3), offset(1, nil, nanoseconds, 4),
                offset(2, nanoseconds / 1_000_000, nanoseconds, 9), offset(3, nanoseconds, nanoseconds, 0),
            ])
        #expect(lag.shards.map(\.state) == [.unknown, .neverRun, .unknown, .unknown])
        #expect(lag.shards.map(\.lag) == [.nanoseconds(5), nil, nil, .zero])
        #expect(lag.state == .unknown && lag.eventsBehind == 16)
        #expect(ProjectionLag(ofEgoGo: "p", [offset(0, nanoseconds + 1, nanoseconds, 0)]).state == .aheadOfHead)
        #expect(ProjectionLag(ofEgoGo: "p", [offset(0, nil, nanoseconds, 1)]).state == .neverRun)
    }

    @Test("gives a rate and an ETA with two looks")
    func rate() async throws {
        let store = try await bank()
        let first = try await lag(store)
        try await run(Counting(), on: store)
        let second = try await lag(store)
        let rate = try #require(DrainRate(from: first, to: second, after: .seconds(2)))
        #expect(rate.eventsPerSecond == 30 && rate.eta == .zero)
        #expect(DrainRate(from: second, to: first, after: .seconds(2))?.eta == nil)
        #expect(DrainRate(from: first, to: first, after: .zero) == nil)
    }

    @Test("of a projection that nobody knows is an error")
    func unknown() async throws {
        let store = try await bank()
        await #expect(throws: OperationError.self) { try await Lag(of: store, time: time).measure(["q"]) }
        #expect(try await Lag(of: store, time: time).measure().isEmpty)
    }
}
