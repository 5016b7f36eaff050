import BankDomain
import Dispatch
import Ego
import EgoCore
import EgoSQLite
import EgoTestKit
import Synchronization
import Testing

@Suite("Of several runners of one projection")
struct ProjectionLeaseTests {
    @Test("one works and the other stands by, until the first one ends", arguments: Place.allCases)
    func standby(_ place: Place) async throws {
        let folder = try StoreFolder()
        let store = try await place.newStore(folder)
        try await store.add(5, of: ["a", "b"])
        let model = Projection.Handler.readModel(SeenModel())
        let first = runner(model, store, owner: "first", leaseTime: .seconds(30))
        let second = runner(model, store, owner: "second", leaseTime: .seconds(30))
        let task = Task { try await first.run() }
        try await within { first.status == .caughtUp }
        try await running(second) {
            try await within { second.status == .standby }
            try await store.add(5, of: ["a", "b"])
            try await within { try await seen(in: store).count == 10 }
            #expect(second.status == .standby)
            task.cancel()
            try await task.value
            #expect(first.status == .stopped)
            try await store.add(5, of: ["a", "b"])
            // Long before the lease of the first one would have run out.
            try await within(.seconds(5) * slowness) { second.status == .caughtUp }
            try await within { try await seen(in: store).count == 15 }
            #expect(try await store.leases().map(\.owner) == ["second"])
        }
        #expect(try await store.leases() == [])
    }

    @Test("one takes over from another that vanished, when its lease has run out and not before")
    func vanished() async throws {
        let store = InMemoryStore()
        try await store.add(5, of: ["a"])
        let lease = try await store.acquireLease(
            ProjectionRecord.lease(of: "p"), owner: "vanished", for: .seconds(600), now: SystemTime().now())
        let next = runner(.readModel(SeenModel()), store, leaseTime: .seconds(1))
        try await running(next) {
            try await within { next.status == .standby }
            #expect(try await seen(in: store) == [])
            // The last sign of life, once the other stands by: however long that took.
            let started = ContinuousClock.now
            _ = try await store.renew(lease, for: .seconds(2) * stretch, now: SystemTime().now())
            try await within { next.status == .caughtUp }
            let time = ContinuousClock.now - started
            #expect(time > .milliseconds(1_990) * stretch && time < .seconds(4) * slowness, "\(time)")
        }
        #expect(try await seen(in: store).count == 5)
    }

    @Test("one that works for longer than its lease keeps it")
    func longWork() async throws {
        let store = InMemoryStore()
        try await store.add(2, of: ["a"])
        let gate = Gatekeeper()
        let recorder = Recorder(before: { _ in await gate.pass() })
        let busy = runner(.external(recorder), store, owner: "busy", leaseTime: .seconds(1) * stretch)
        let other = Recorder()
        let waiting = runner(.external(other), store, owner: "waiting", leaseTime: .seconds(1) * stretch)
        try await running(busy) {
            // Whatever fails, nobody waits at the gate for ever.
            defer { gate.open() }
            try await within { gate.waiting == 1 }
            try await running(waiting) {
                try await within { waiting.status == .standby }
                let first = try #require(try await store.leases().first)
                // Three times its lease, as its own renewals show.
                try await within {
                    try await store.leases().first.map { $0.expiresAt.duration(since: first.expiresAt) } ?? .zero
                        > .seconds(2) * stretch
                }
                #expect(try await store.leases().first?.generation == first.generation)
                #expect(waiting.status == .standby && other.seen == [])
                gate.open()
                try await within { busy.status == .caughtUp }
            }
        }
        #expect(recorder.seen.count == 2)
    }

    @Test("a late one cannot commit: nothing is twice in the read model", arguments: Place.allCases, 2...4)
    func late(_ place: Place, _ commit: Int) async throws {
        let folder = try StoreFolder()
        let store = try await place.newStore(folder)
        try await store.add(9, of: ["a", "b"])
        let all = try await store.whole().map { Seen($0) }
        let held = HeldCommit(store, at: commit)
        // Its clock stands still, as that of a process which sleeps: it does not renew its lease.
        let clock = ManualClock()
        let options = ProjectionOptions(pageSize: 3)
        let late = runner(
            .readModel(SeenModel.tolerant), held, options, owner: "late", leaseTime: .seconds(10), time: clock)
        let task = Task { try await late.run() }
        try await within { held.gate.waiting == 1 }
        #expect(try await seen(in: store).count == (commit - 2) * 3)
        let next = runner(
            .readModel(SeenModel.tolerant), store, options, owner: "next", leaseTime: .seconds(10),
            time: ManualClock(now: clock.now().advanced(by: .seconds(11))))
        try await running(next) {
            try await within { next.status == .caughtUp }
            #expect(try await seen(in: store) == all)
            held.gate.open()
            try await within { late.status == .standby }
            #expect(try await seen(in: store) == all)
            try await store.add(3, of: ["a"])
            try await within { try await seen(in: store).count == 12 }
        }
        task.cancel()
        try await task.value
        #expect(try await seen(in: store).count == 12)
        #expect(try await Set(store.places()) == [12])
        #expect(try await store.isClean())
    }

    @Test("a late one elsewhere does not set the offsets back")
    func lateElsewhere() async throws {
        let store = InMemoryStore()
        try await store.add(9, of: ["a"])
        let gate = Gatekeeper()
        let clock = ManualClock()
        let first = Recorder(before: { event in if event.sequenceNumber == 2 { await gate.pass() } })
        let options = ProjectionOptions(pageSize: 3)
        let late = runner(.external(first), store, options, owner: "late", time: clock)
        let task = Task { try await late.run() }
        try await within { gate.waiting == 1 }
        let second = Recorder()
        let next = runner(
            .external(second), store, options, owner: "next",
            time: ManualClock(now: clock.now().advanced(by: .seconds(11))))
        try await running(next) {
            try await within { next.status == .caughtUp }
            gate.open()
            try await within { late.status == .standby }
            #expect(try await Set(store.places()) == [9])
            try await store.add(1, of: ["a"])
            try await within { second.seen.count == 10 }
        }
        task.cancel()
        try await task.value
        #expect(second.seen.map(\.sequence) == Array(1...10))
        #expect(first.seen.count <= 3)
    }

    @Test("one that is held up inside its transaction commits it before another takes over, or not at all")
    func heldUpInside() async throws {
        let folder = try StoreFolder()
        let (store, other) = (try await folder.newStore(), try await folder.open())
        try await store.add(6, of: ["a", "b"])
        let clock = ManualClock()
        let isIn = Atomic(false)
        let goOn = DispatchSemaphore(value: 0)
        var model = SeenModel.tolerant
        model.before = { event in
            if event.sequenceNumber != 2 || isIn.exchange(true, ordering: .relaxed) { return }
            _ = goOn.wait(timeout: .now() + 20)
        }
        let options = ProjectionOptions(pageSize: 4)
        let late = runner(.readModel(model), store, options, owner: "late", time: clock)
        let task = Task { try await late.run() }
        try await within { isIn.load(ordering: .relaxed) }
        let watched = FaultyStore(other)
        let next = runner(
            .readModel(SeenModel.tolerant), watched, options, owner: "next",
            time: ManualClock(now: clock.now().advanced(by: .seconds(11))))
        try await running(next) {
            try await within { watched.calls.contains(.acquireLease) }
            #expect(!watched.calls.contains(.commitChanges))
            goOn.signal()
            try await within { next.status == .caughtUp || late.status == .caughtUp }
            try await within { try await seen(in: other).count == 6 }
        }
        task.cancel()
        try await task.value
        #expect(try await seen(in: other) == store.whole().map { Seen($0) })
        #expect(try await store.isClean())
    }
}

/// A store whose n-th commit is late.
private final class HeldCommit: ForwardingStore {
    let base: any Store
    let gate = Gatekeeper()
    private let left: Mutex<Int>

    init(_ base: any Store, at number: Int) {
        self.base = base
        self.left = Mutex(number)
    }

    func forward<Value: Sendable>(
        _ call: StoreCall, _ body: () async throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        if call == .commitChanges {
            let isHeld = left.withLock { left in
                left -= 1
                return left == 0
            }
            if isHeld { await gate.pass() }
        }
        return try await body()
    }
}
