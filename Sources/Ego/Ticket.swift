import EgoCore
import Synchronization

/// One command's place in a commit. Resolved once; any number of tasks may wait.
final class Ticket: Sendable {
    /// What became of the commit.
    enum Verdict: Sendable {
        /// It is durable.
        case committed
        /// It was not written, and may be decided again on the state that is in the store.
        case rerun
        /// The command was carried out before.
        case duplicate(CommandRecord)
        case failed(EgoError)
    }

    private struct State {
        var verdict: Verdict?
        var waiters: [CheckedContinuation<Verdict, Never>] = []
    }

    private let state = Mutex(State())

    /// Gives the verdict; a later one is ignored.
    func resolve(_ verdict: Verdict) {
        let waiters = state.withLock { state in
            guard state.verdict == nil else { return [CheckedContinuation<Verdict, Never>]() }
            state.verdict = verdict
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume(returning: verdict) }
    }

    /// The verdict, once it is there.
    func verdict() async -> Verdict {
        if let verdict = state.withLock({ $0.verdict }) { return verdict }
        return await withCheckedContinuation { continuation in
            let verdict = state.withLock { state in
                if state.verdict == nil { state.waiters.append(continuation) }
                return state.verdict
            }
            if let verdict { continuation.resume(returning: verdict) }
        }
    }
}
