import BankDomain
import Ego
import EgoCore
import EgoTestKit
import Synchronization
import Testing

@Suite("A projection's pages")
struct ProjectionPageTests {
    @Test("end wherever they do, also within a command's events", arguments: Place.allCases, [1, 7, 500, 600, 5_000])
    func oneCommand(_ place: Place, _ pageSize: Int) async throws {
        let folder = try StoreFolder()
        let store = try await place.newStore(folder)
        let count = pageSize == 1 ? 60 : 600
        let outcome = try await store.append(
            [
                AppendRequest(
                    persistenceID: id("a"), expectedVersion: .noStream,
                    events: (0..<count).map { _ in try newEvent() })
            ])
        guard case .appended? = outcome.first else { throw Late() }
        let pages = Mutex<[Int]>([])
        let end = try await runner(
            .readModel(SeenModel()), store, ProjectionOptions(pageSize: pageSize),
            progress: { size in pages.withLock { $0.append(size) } }
        ).runUntilCaughtUp()
        #expect(end == .caughtUp)
        #expect(try await seen(in: store) == (1...count).map { Seen("a", $0) })
        var expected = Array(repeating: min(pageSize, count), count: count / min(pageSize, count))
        if count % min(pageSize, count) > 0 { expected.append(count % min(pageSize, count)) }
        #expect(pages.withLock { $0 } == expected)
        #expect(try await Set(store.places()) == [Int64(count)])
    }

    @Test("keep the order within each shard", arguments: Place.allCases, [1, 4, 64])
    func shards(_ place: Place, _ parallelism: Int) async throws {
        let folder = try StoreFolder()
        let store = try await place.newStore(folder)
        var generator = SeededGenerator(seed: 7)
        try await store.add(
            (0..<400).map { _ in ("e\(Int.random(in: 0..<40, using: &generator))", try newEvent()) })
        let options = ProjectionOptions(pageSize: 32, parallelism: parallelism)
        let recorder = Recorder()
        #expect(try await runner(.readModel(SeenModel()), store, options).runUntilCaughtUp() == .caughtUp)
        let second = ProjectionRunner(
            Projection("q", recorder, options: options), store: store, reader: EventReader(), owner: "q", log: quiet())
        #expect(try await second.runUntilCaughtUp() == .caughtUp)
        let journal = try await store.whole()
        #expect(Set(journal.map(\.shard)).count > 8)
        let shards = Dictionary(uniqueKeysWithValues: journal.map { (Seen($0), $0.shard) })
        for result in [try await seen(in: store), recorder.seen] {
            #expect(result.count == 400)
            for shard in Set(journal.map(\.shard)) {
                #expect(
                    result.filter { shards[$0] == shard } == journal.filter { $0.shard == shard }.map { Seen($0) })
            }
            if parallelism == 1 { #expect(result == journal.map { Seen($0) }) }
        }
        for name in ["p", "q"] { #expect(try await Set(store.places(name)) == [400]) }
    }

    @Test("are handled in parallel lanes, never two events of one shard at once")
    func parallel() async throws {
        let store = InMemoryStore(shardCount: 4)
        let names = (0..<16).map { "e\($0)" }
        try await store.add(160, of: names)
        let inside = Mutex((shards: Set<Shard>(), most: 0, clashes: 0))
        let recorder = Recorder(before: { event in
            inside.withLock { inside in
                if !inside.shards.insert(event.shard).inserted { inside.clashes += 1 }
                inside.most = max(inside.most, inside.shards.count)
            }
            // The first ones wait for each other.
            let deadline = ContinuousClock.now + .seconds(30)
            while inside.withLock({ $0.most }) < 4, .now < deadline { try await Task.sleep(for: .milliseconds(1)) }
            inside.withLock { _ = $0.shards.remove(event.shard) }
        })
        let options = ProjectionOptions(pageSize: 40, parallelism: 4)
        #expect(try await runner(.external(recorder), store, options).runUntilCaughtUp() == .caughtUp)
        #expect(inside.withLock { $0.most } == 4 && inside.withLock { $0.clashes } == 0)
        #expect(recorder.seen.count == 160)
    }

    @Test(
        "of a lane that stops leave the other lanes' events where they are", arguments: Place.allCases, [false, true])
    func oneLaneStops(_ place: Place, _ isExternal: Bool) async throws {
        let folder = try StoreFolder()
        let store = try await place.newStore(folder)
        let names = (0..<24).map { "e\($0)" }
        try await store.add(96, of: names)
        let journal = try await store.whole()
        let trap = Trap()
        trap.set("\(Seen(journal[50]))")
        let recorder = Recorder(trap: trap)
        let handler: Projection.Handler = isExternal ? .external(recorder) : .readModel(SeenModel(trap: trap))
        let options = ProjectionOptions(pageSize: 30, parallelism: 4)
        guard case .failed(let failure) = try await runner(handler, store, options).runUntilCaughtUp() else {
            throw Late()
        }
        #expect(failure.offset == journal[50].offset)
        trap.clear()
        // With another number of lanes, and other pages.
        let other = ProjectionOptions(pageSize: 7, parallelism: 3)
        #expect(try await runner(handler, store, other).runUntilCaughtUp() == .caughtUp)
        let result = isExternal ? recorder.seen : try await seen(in: store)
        #expect(result.count == 96 && Set(result).count == 96)
        let shards = Dictionary(uniqueKeysWithValues: journal.map { (Seen($0), $0.shard) })
        for shard in Set(journal.map(\.shard)) {
            #expect(result.filter { shards[$0] == shard } == journal.filter { $0.shard == shard }.map { Seen($0) })
        }
    }
}

@Suite("Where a projection starts")
struct ProjectionStartTests {
    @Test(
        "is looked at once, and not again when it starts later", arguments: Place.allCases,
        [
            ProjectionStart.beginning, .end, .time(Timestamp(unixNanoseconds: 3_000_000_000)),
            .time(Timestamp(unixNanoseconds: 2_000_000_001)), .time(Timestamp(unixNanoseconds: 9_000_000_000)),
            .after(Offset(position: Position(4))), .after(.start),
        ])
    func start(_ place: Place, _ start: ProjectionStart) async throws {
        let folder = try StoreFolder()
        let store = try await place.newStore(folder)
        for second in 1...5 { try await store.add([("a", try newEvent(at: Int64(second)))]) }
        let first: [Int] =
            switch start {
            case .beginning, .after(.start): [1, 2, 3, 4, 5]
            case .end, .time(Timestamp(unixNanoseconds: 9_000_000_000)): []
            case .time: [3, 4, 5]
            case .after: [5]
            }
        let model = Projection.Handler.readModel(SeenModel())
        #expect(try await runner(model, store, ProjectionOptions(start: start)).runUntilCaughtUp() == .caughtUp)
        #expect(try await seen(in: store).map(\.sequence) == first)
        #expect(try await Set(store.places()) == [5])
        for second in 6...8 { try await store.add([("a", try newEvent(at: Int64(second)))]) }
        for later in [ProjectionStart.end, .beginning, start] {
            let options = ProjectionOptions(start: later)
            #expect(try await runner(model, store, options).runUntilCaughtUp() == .caughtUp)
            #expect(try await seen(in: store).map(\.sequence) == first + [6, 7, 8])
        }
    }

    @Test("at the end of an empty journal is before its first event", arguments: Place.allCases)
    func empty(_ place: Place) async throws {
        let folder = try StoreFolder()
        let store = try await place.newStore(folder)
        let model = Projection.Handler.readModel(SeenModel())
        #expect(try await runner(model, store, ProjectionOptions(start: .end)).runUntilCaughtUp() == .caughtUp)
        try await store.add(2, of: ["a"])
        #expect(try await runner(model, store, ProjectionOptions(start: .end)).runUntilCaughtUp() == .caughtUp)
        #expect(try await seen(in: store).map(\.sequence) == [1, 2])
    }
}
