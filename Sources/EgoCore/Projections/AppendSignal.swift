import Synchronization

/// Wakes those who wait for an append, in one process.
package final class AppendSignal: Sendable {
    private struct State {
        /// Grows with each signal.
        var count: UInt64 = 0
        var waiters: [Int: CheckedContinuation<Void, Never>] = [:]
        var next = 0
    }

    private let state = Mutex(State())

    /// A signal that nobody has given yet.
    package init() {}

    /// How often it was given. Whoever looks before it looks for what it waits for misses nothing.
    package var count: UInt64 { state.withLock { $0.count } }

    /// Whether somebody waits.
    package var hasWaiters: Bool { state.withLock { !$0.waiters.isEmpty } }

    /// Wakes all who wait.
    package func give() {
        let waiters = state.withLock { state in
            state.count += 1
            defer { state.waiters = [:] }
            return state.waiters
        }
        for waiter in waiters.values { waiter.resume() }
    }

    /// Returns when it was given more than `count` times, after `timeout`, or when the task is cancelled.
    package func wait(after count: UInt64, timeout: Duration) async {
        let id = state.withLock { state in
            state.next += 1
            return state.next
        }
        let alarm = Mutex<Task<Void, Never>?>(nil)
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isGiven = state.withLock { state in
                    if state.count != count { return true }
                    state.waiters[id] = continuation
                    return false
                }
                if isGiven {
                    continuation.resume()
                    return
                }
                let task = Task { [self] in
                    // Cut short by the signal.
                    try? await Task.sleep(for: timeout)
                    wake(id)
                }
                alarm.withLock { $0 = task }
                if Task.isCancelled { wake(id) }
            }
        } onCancel: {
            wake(id)
        }
        alarm.withLock { $0 }?.cancel()
    }

    private func wake(_ id: Int) {
        state.withLock { $0.waiters.removeValue(forKey: id) }?.resume()
    }
}
