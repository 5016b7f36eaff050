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
            let next = state.waiters[state.firstWaiter]
            state.firstWaiter += 1
            if state.firstWaiter >= 1_024, state.firstWaiter * 2 > state.waiters.count {
                state.waiters.removeFirst(state.firstWaiter)
                state.firstWaiter = 0
            }
            return next
        }
        next?.resume()
    }
}

/// One command's pass through a gate: it may leave early, and come back in line.
final class GatePass: Sendable {
    private let gate: Gate
    private let isIn = Atomic<Bool>(false)

    init(_ gate: Gate) { self.gate = gate }

    func enter() async {
        if isIn.load(ordering: .acquiring) { return }
        await gate.enter()
        isIn.store(true, ordering: .releasing)
    }

    func leave() {
        if isIn.exchange(false, ordering: .acquiringAndReleasing) { gate.leave() }
    }
}
