import BankDomain
import Ego
import EgoCore
import EgoSQLite
import EgoTestKit
import Synchronization
import Testing

@Suite("A projection whose store goes wrong")
struct ProjectionFaultTests {
    private static let poison = 5
    private static let count = 8

    private func fill(_ store: any Store) async throws -> [PersistedEvent] {
        try await store.add(
            (0..<Self.count).map {
                (["a", "b", "c"][$0 % 3], $0 == Self.poison ? newEvent([0xff]) : try newEvent())
            })
        return try await store.whole()
    }

    private func options(_ parallelism: Int) -> ProjectionOptions {
        ProjectionOptions(
            pageSize: 3, recovery: .retryAndSkip(retries: 1, backoff: Backoff(delay: .zero)), parallelism: parallelism)
    }

    /// Whether everything was processed, in order within each shard, though perhaps more than once.
    private func isComplete(_ result: [Seen], _ journal: [PersistedEvent]) -> Bool {
        var wanted = journal
        wanted.remove(at: Self.poison)
        let shards = Dictionary(uniqueKeysWithValues: journal.map { (Seen($0), $0.shard) })
        return Set(wanted.map(\.shard)).allSatisfy { shard in
            var known: Set<Seen> = []
            let first = result.filter { shards[$0] == shard && known.insert($0).inserted }
            return first == wanted.filter { $0.shard == shard }.map { Seen($0) }
        }
    }

    @Test(
        "at the n-th call, each in turn: each event is in the table exactly once",
        arguments: [FaultyStore.Fault.fails, .halfCompletes], [1, 2])
    func everyCall(_ fault: FaultyStore.Fault, _ parallelism: Int) async throws {
        let folder = try StoreFolder()
        var number = 1
        while true {
            let store = try await folder.newStore("\(number)")
            let journal = try await fill(store)
            let faulty = FaultyStore(store)
            faulty.plan(fault, at: number)
            // What the first run comes to is left open; what counts is what the second one finds.
            _ = try? await runner(.readModel(SeenModel()), faulty, options(parallelism), time: HurriedTime())
                .runUntilCaughtUp()
            let calls = faulty.calls.count
            let end = try await runner(.readModel(SeenModel()), store, options(parallelism)).runUntilCaughtUp()
            #expect(end == .caughtUp)
            let result = try await seen(in: store)
            let context = "\(fault) at call \(number): \(result)"
            #expect(isComplete(result, journal) && result.count == Self.count - 1, "\(context)")
            #expect(try await store.letters().map(\.offset) == [journal[Self.poison].offset], "\(context)")
            #expect(try await store.letters().map(\.attempts) == [2], "\(context)")
            #expect(try await Set(store.places()) == [Int64(Self.count)], "\(context)")
            await store.close()
            if calls < number { break }
            number += 1
        }
        #expect(number > 15)
    }

    @Test(
        "at the n-th call, each in turn: nothing is skipped elsewhere, and shards keep their order",
        arguments: [FaultyStore.Fault.fails, .halfCompletes], [1, 2])
    func everyCallElsewhere(_ fault: FaultyStore.Fault, _ parallelism: Int) async throws {
        var number = 1
        while true {
            let store = InMemoryStore()
            let journal = try await fill(store)
            let faulty = FaultyStore(store)
            let recorder = Recorder()
            faulty.plan(fault, at: number)
            _ = try? await runner(.external(recorder), faulty, options(parallelism), time: HurriedTime())
                .runUntilCaughtUp()
            let calls = faulty.calls.count
            let end = try await runner(.external(recorder), store, options(parallelism)).runUntilCaughtUp()
            #expect(end == .caughtUp)
            #expect(isComplete(recorder.seen, journal), "\(fault) at call \(number): \(recorder.seen)")
            #expect(try await store.letters().map(\.offset) == [journal[Self.poison].offset])
            if calls < number { break }
            number += 1
        }
        #expect(number > 9)
    }

    @Test("and is killed at any event goes on where it stopped, exactly once", arguments: [1, 2])
    func cancelled(_ parallelism: Int) async throws {
        let folder = try StoreFolder()
        for number in 0..<Self.count {
            let store = try await folder.newStore("\(number)")
            let journal = try await fill(store)
            let task = Mutex<Task<ProjectionRunner.End, any Error>?>(nil)
            var model = SeenModel()
            model.before = { event in
                if event.offset == journal[number].offset { task.withLock { $0 }?.cancel() }
            }
            let gate = Gatekeeper()
            let first = runner(.readModel(model), store, options(parallelism), owner: "first")
            let started = Task {
                await gate.pass()
                return try await first.runUntilCaughtUp()
            }
            task.withLock { $0 = started }
            gate.open()
            let end = try await started.value
            // An event that cannot be read does not come to the handler, and the last page may have been committed.
            #expect(end == .cancelled || number == Self.poison || number >= 6, "stopped at \(number)")
            #expect(first.status == .stopped)
            #expect(try await store.leases() == [])
            let second = runner(.readModel(SeenModel()), store, options(parallelism), owner: "second")
            #expect(try await second.runUntilCaughtUp() == .caughtUp)
            let result = try await seen(in: store)
            #expect(isComplete(result, journal) && result.count == Self.count - 1, "stopped at \(number): \(result)")
            #expect(try await store.letters().map(\.offset) == [journal[Self.poison].offset])
            await store.close()
        }
    }

    @Test(
        "and is killed while an event is handled does not count that as a failure",
        arguments: [RecoveryPolicy.Outcome.skip, .fail])
    func interrupted(_ outcome: RecoveryPolicy.Outcome) async throws {
        let store = InMemoryStore()
        try await store.add(3, of: ["a"])
        let options = ProjectionOptions(recovery: RecoveryPolicy(outcome))
        let isIn = Atomic(false)
        let slow = Recorder(before: { event in
            if event.sequenceNumber != 3 { return }
            isIn.store(true, ordering: .relaxed)
            // Ends with the task.
            try await Task.sleep(for: .seconds(600))
        })
        let task = Task { try await runner(.external(slow), store, options).runUntilCaughtUp() }
        try await within { isIn.load(ordering: .relaxed) }
        task.cancel()
        #expect(try await task.value == .cancelled)
        #expect(try await store.isClean())
        let recorder = Recorder()
        #expect(try await runner(.external(recorder), store, options).runUntilCaughtUp() == .caughtUp)
        #expect(Array(recorder.seen.map(\.sequence).suffix(2)) == [2, 3])
    }

    @Test("for a while waits, and goes on without skipping or repeating", arguments: Place.allCases, 1...16)
    func outage(_ place: Place, _ first: Int) async throws {
        let folder = try StoreFolder()
        let store = try await place.newStore(folder)
        let journal = try await fill(store)
        let broken = BrokenForAWhile(store, from: first, calls: 50)
        let end = try await runner(.readModel(SeenModel()), broken, options(1), time: HurriedTime(factor: 2_000))
            .runUntilCaughtUp()
        #expect(end == .caughtUp)
        let result = try await seen(in: store)
        #expect(isComplete(result, journal) && result.count == Self.count - 1, "\(result)")
        #expect(try await store.letters().map(\.offset) == [journal[Self.poison].offset])
        #expect(broken.refused == 50)
    }

    @Test("says that it waits, and why")
    func waiting() async throws {
        let store = InMemoryStore()
        try await store.add(4, of: ["a"])
        let broken = BrokenForAWhile(store, from: 4, calls: .max)
        let recorder = Recorder()
        let waiting = runner(.external(recorder), broken, ProjectionOptions(pageSize: 1), time: HurriedTime())
        try await running(waiting) {
            try await within { waiting.status == .waiting("nobody is there") }
            broken.mend()
            try await within { waiting.status == .caughtUp }
        }
        #expect(Set(recorder.seen.map(\.sequence)) == [1, 2, 3, 4])
        #expect(waiting.status == .stopped)
    }
}

/// Lets nobody pass before it is opened.
final class Gatekeeper: Sendable {
    private let state = Mutex((isOpen: false, waiters: [CheckedContinuation<Void, Never>]()))

    var waiting: Int { state.withLock { $0.waiters.count } }

    func open() {
        let waiters = state.withLock { state in
            state.isOpen = true
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    func pass() async {
        await withCheckedContinuation { continuation in
            let isOpen = state.withLock { state in
                if !state.isOpen { state.waiters.append(continuation) }
                return state.isOpen
            }
            if isOpen { continuation.resume() }
        }
    }
}

/// A store that cannot be reached for some calls.
final class BrokenForAWhile: ForwardingStore {
    let base: any Store
    private let state: Mutex<(before: Int, calls: Int, refused: Int)>

    init(_ base: any Store, from first: Int, calls: Int) {
        self.base = base
        self.state = Mutex((first - 1, calls, 0))
    }

    var refused: Int { state.withLock { $0.refused } }

    func mend() { state.withLock { $0.calls = 0 } }

    func forward<Value: Sendable>(
        _ call: StoreCall, _ body: () async throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        let isBroken = state.withLock { state in
            if state.before > 0 {
                state.before -= 1
                return false
            }
            if state.calls == 0 { return false }
            state.calls -= 1
            state.refused += 1
            return true
        }
        if isBroken { throw StoreError(.unavailable, "nobody is there") }
        return try await body()
    }
}
