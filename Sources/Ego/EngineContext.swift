import EgoCore
import Logging
import Synchronization

/// What all cells of an engine share.
final class EngineContext: Sendable {
    let configuration: EngineConfiguration
    let time: any TimeSource
    let log: Logger
    let snapshots: SnapshotWriter
    let erasures: ErasureWatch
    let calls = CallCounter()
    /// Counts the rounds of passivation; an entity's last use is one of them.
    let clock = Atomic<UInt64>(0)
    /// The round of passivation.
    var round: UInt64 { clock.load(ordering: .relaxed) }

    init(
        configuration: EngineConfiguration, time: any TimeSource, log: Logger, snapshots: SnapshotWriter,
        erasures: ErasureWatch
    ) {
        self.configuration = configuration
        self.time = time
        self.log = log
        self.snapshots = snapshots
        self.erasures = erasures
    }
}

/// The calls that are under way, and whether more are taken.
final class CallCounter: Sendable {
    private let count = Atomic<Int>(0)
    private let closed = Atomic<Bool>(false)
    private let waiters = Mutex<[CheckedContinuation<Void, Never>]>([])

    /// Whether no more calls are taken.
    var isClosed: Bool { closed.load(ordering: .sequentiallyConsistent) }

    /// Begins a call; false when none is taken any more.
    func begin() -> Bool {
        count.add(1, ordering: .sequentiallyConsistent)
        if !closed.load(ordering: .sequentiallyConsistent) { return true }
        end()
        return false
    }

    func end() {
        let left = count.subtract(1, ordering: .sequentiallyConsistent).newValue
        if left == 0, closed.load(ordering: .sequentiallyConsistent) { wake() }
    }

    /// Takes no more calls, and returns when those under way have ended.
    func close() async {
        closed.store(true, ordering: .sequentiallyConsistent)
        await withCheckedContinuation { continuation in
            waiters.withLock { $0.append(continuation) }
            if count.load(ordering: .sequentiallyConsistent) == 0 { wake() }
        }
    }

    private func wake() {
        let woken = waiters.withLock { waiters in
            defer { waiters = [] }
            return waiters
        }
        for waiter in woken { waiter.resume() }
    }
}

/// When an entity was last used. A part of its cell: each object of its own would be one more place to look at.
struct EntityUse: ~Copyable, Sendable {
    private let lastRound = Atomic<UInt64>(0)
    private let isRecent = Atomic<Bool>(true)

    func touch(in round: UInt64) {
        if lastRound.load(ordering: .relaxed) != round { lastRound.store(round, ordering: .relaxed) }
        if !isRecent.load(ordering: .relaxed) { isRecent.store(true, ordering: .relaxed) }
    }

    var round: UInt64 { lastRound.load(ordering: .relaxed) }

    /// Whether it was used since the last time that this was asked.
    func takeRecent() -> Bool { isRecent.exchange(false, ordering: .relaxed) }
}
