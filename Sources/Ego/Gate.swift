import Synchronization

/// Lets one task in at a time, in the order of arrival. A Swift actor would not do: it lets others in at each `await`.
final class Gate: Sendable {
    private struct State {
        var isTaken = false
        var waiters: [CheckedContinuation<Void, Never>] = []
        var firstWaiter = 0
    }

    private let state = Mutex(State())

    /// Returns when the caller is in; it has to ``leave()``.
    func enter() async {
        await withCheckedContinuation { continuation in
            let isFree = state.withLock { state in
                if state.isTaken {
                    state.waiters.append(continuation)
                    return false
                }
                state.isTaken = true
                return true
            }
            if isFree { continuation.resume() }
        }
    }

    /// Lets the next one in.
    func leave() {
        let next = state.withLock { state -> CheckedContinuation<Void, Never>? in
            guard state.firstWaiter < state.waiters.count else {
                state.waiters = []
                state.firstWaiter = 0
                state.isTaken = false
                return nil
            }
            defer { state.firstWaiter += 1 }
            return state.waiters[state.firstWaiter]
        }
        next?.resume()
    }
}
