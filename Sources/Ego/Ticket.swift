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
        /// The first who waits: mostly there is no other one.
        var waiter: CheckedContinuation<Verdict, Never>?
        var others: [CheckedContinuation<Verdict, Never>] = []
    }

    private let state = Mutex(State())

    /// Gives the verdict; a later one is ignored.
    func resolve(_ verdict: Verdict) {
        let (waiter, others) = state.withLock { state in
            guard state.verdict == nil else {
                return (nil as CheckedContinuation<Verdict, Never>?, [CheckedContinuation<Verdict, Never>]())
            }
            state.verdict = verdict
            defer { (state.waiter, state.others) = (nil, []) }
            return (state.waiter, state.others)
        }
        waiter?.resume(returning: verdict)
        for waiter in others { waiter.resume(returning: verdict) }
    }

    /// The verdict, once it is there.
    func verdict() async -> Verdict {
        if let verdict = state.withLock({ $0.verdict }) { return verdict }
        return await withCheckedContinuation { continuation in
            let verdict = state.withLock { state in
                if state.verdict == nil {
                    if state.waiter == nil { state.waiter = continuation } else { state.others.append(continuation) }
                }
                return state.verdict
            }
            if let verdict { continuation.resume(returning: verdict) }
        }
    }
}
