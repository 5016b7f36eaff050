import Synchronization

/// Wakes those who wait for an append, in one process.
package final class AppendSignal: Sendable {
    private struct State {
        var waiters: [Int: CheckedContinuation<Void, Never>] = [:]
        var next = 0
    }

    /// Grows with each signal.
    private let given = Atomic<UInt64>(0)
    /// Whether there are waiters. Nobody waits most of the time, and then a signal costs no lock.
    private let isAwaited = Atomic<Bool>(false)
    private let state = Mutex(State())

    /// A signal that nobody has given yet.
    package init() {}

    /// How often it was given. Whoever looks before it looks for what it waits for misses nothing.
    package var count: UInt64 { given.load(ordering: .sequentiallyConsistent) }

    /// Whether somebody waits.
    package var hasWaiters: Bool { state.withLock { !$0.waiters.isEmpty } }

    /// Wakes all who wait.
    package func give() {
        // Counted before it looks for waiters, as those say that they wait before they look at the count: of a signal and
        // a waiter that meet, one sees the other.
        given.add(1, ordering: .sequentiallyConsistent)
        guard isAwaited.load(ordering: .sequentiallyConsistent) else { return }
        let waiters = state.withLock { state in
            isAwaited.store(false, ordering: .sequentiallyConsistent)
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
                    isAwaited.store(true, ordering: .sequentiallyConsistent)
                    if given.load(ordering: .sequentiallyConsistent) != count { return true }
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
