public import EgoCore
import Synchronization

/// A clock that stands still until a test moves it.
public final class ManualClock: TimeSource {
    private struct State {
        var now: Timestamp
        var sleepers: [UInt64: Sleeper] = [:]
        var nextSleeper: UInt64 = 0
    }

    private struct Sleeper {
        var until: Timestamp
        var continuation: CheckedContinuation<Bool, Never>
    }

    private let state: Mutex<State>

    /// A clock that shows 2026-01-01T00:00:00Z, or another moment.
    public init(now: Timestamp = Timestamp(unixNanoseconds: 1_767_225_600_000_000_000)) {
        self.state = Mutex(State(now: now))
    }

    public func now() -> Timestamp { state.withLock { $0.now } }

    /// Moves the clock and wakes whoever has slept long enough.
    public func advance(by duration: Duration) {
        let woken = state.withLock { state in
            state.now = state.now.advanced(by: duration)
            let due = state.sleepers.filter { $0.value.until <= state.now }
            for key in due.keys { state.sleepers[key] = nil }
            return due.values.map(\.continuation)
        }
        for continuation in woken { continuation.resume(returning: true) }
    }

    /// How many tasks sleep on this clock.
    public var sleepers: Int { state.withLock { $0.sleepers.count } }

    public func sleep(for duration: Duration) async throws {
        let key = state.withLock { state in
            state.nextSleeper += 1
            return state.nextSleeper
        }
        let isOver = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isDue = state.withLock { state -> Bool in
                    let until = state.now.advanced(by: duration)
                    if until <= state.now || Task.isCancelled { return true }
                    state.sleepers[key] = Sleeper(until: until, continuation: continuation)
                    return false
                }
                if isDue { continuation.resume(returning: !Task.isCancelled) }
            }
        } onCancel: {
            let sleeper = state.withLock { $0.sleepers.removeValue(forKey: key) }
            sleeper?.continuation.resume(returning: false)
        }
        if !isOver { throw CancellationError() }
    }
}
