import EgoCore
import Synchronization

/// Collects the writes of all entities and commits them together.
///
/// While one group commits, the next collects, so batching needs no timer and a lone caller waits for nobody. A caller
/// that finds the committer idle commits its own group; what collects meanwhile is committed by a task that ends when
/// nothing is left.
final class GroupCommitter<Request: Sendable, Outcome: Sendable>: Sendable {
    typealias Waiter = CommitQueue<Request>.Waiter

    private struct State {
        var queue: CommitQueue<Request>
        var isWindowOver = false
        var isGathering: CheckedContinuation<Void, Never>?
        var idleWaiters: [CheckedContinuation<Void, Never>] = []
    }

    private let state: Mutex<State>
    private let batching: Batching
    private let time: any TimeSource
    private let write: @Sendable ([Request]) async throws(StoreError) -> [Outcome]
    private let verdict: @Sendable (Outcome, PersistenceID) -> Ticket.Verdict

    /// - Parameters:
    ///   - concurrentGroups: how many groups the store commits beside each other.
    ///   - write: commits a group; the outcomes are in its order.
    ///   - verdict: what an outcome means for the command.
    init(
        batching: Batching, concurrentGroups: Int, time: any TimeSource,
        write: @escaping @Sendable ([Request]) async throws(StoreError) -> [Outcome],
        verdict: @escaping @Sendable (Outcome, PersistenceID) -> Ticket.Verdict
    ) {
        // Who waits for a number of commands wants them in one group.
        let most = batching.batchThreshold > 1 ? 1 : concurrentGroups
        self.state = Mutex(State(queue: CommitQueue(concurrentGroups: most)))
        self.batching = batching
        self.time = time
        self.write = write
        self.verdict = verdict
    }

    /// Adds a write. Called with the entity's lock held, so that an entity's writes stay in order.
    ///
    /// - Returns: whether the caller has to call ``lead()`` once it has let go of the lock.
    func enqueue(_ request: Request, _ waiter: Waiter) -> Bool {
        let (leads, gathered) = state.withLock { state -> (Bool, CheckedContinuation<Void, Never>?) in
            if state.queue.add(request, waiter) { return (true, nil) }
            guard state.queue.count >= batching.batchThreshold else { return (false, nil) }
            defer { state.isGathering = nil }
            return (false, state.isGathering)
        }
        gathered?.resume()
        return leads
    }

    /// Commits the first group; a task takes over when more has collected by then.
    ///
    /// Off the caller's actor: the group has others' commands in it.
    @concurrent func lead() async {
        await commitGroup()
        if finishOrGoOn() { return }
        Task { await drain() }
    }

    /// Returns when nothing waits and nothing is being committed.
    func becomeIdle() async {
        await withCheckedContinuation { continuation in
            let isIdle = state.withLock { state in
                if !state.queue.isIdle { state.idleWaiters.append(continuation) }
                return state.queue.isIdle
            }
            if isIdle { continuation.resume() }
        }
    }

    private func drain() async {
        repeat {
            let count = await commitGroup()
            // Whoever was answered may have a next command. They run first, so that those travel together: else the one
            // that is fastest is committed alone, and all others wait for that.
            if count > 1 { await Task.yield() }
        } while !finishOrGoOn()
    }

    /// Whether no other group has begun in the place of the last one.
    private func finishOrGoOn() -> Bool {
        let (isOver, idleWaiters) = state.withLock { state -> (Bool, [CheckedContinuation<Void, Never>]) in
            if state.queue.goOn() { return (false, []) }
            guard state.queue.isIdle else { return (true, []) }
            defer { state.idleWaiters = [] }
            return (true, state.idleWaiters)
        }
        for waiter in idleWaiters { waiter.resume() }
        return isOver
    }

    /// - Returns: how many writes the group had.
    @discardableResult
    private func commitGroup() async -> Int {
        if batching.batchThreshold > 1 { await gather() }
        let taken = state.withLock { $0.queue.take(atMost: batching.maximumCommands) }
        var group = taken
        // Those of lineages that go nowhere any more.
        for waiter in group.take(where: { $0.lineage.isBroken }).waiters { waiter.ticket.resolve(.rerun) }
        let answers: [Answer]
        if group.isEmpty {
            answers = []
        } else {
            do throws(StoreError) {
                let outcomes = try await write(group.requests)
                answers = settle(group.waiters) { index, owner in verdict(outcomes[index], owner.id) }
            } catch {
                answers = settle(group.waiters) { _, owner in .failed(EgoError(error, owner.id)) }
            }
        }
        state.withLock { $0.queue.release(taken) }
        await Self.give(answers)
        return group.count
    }

    private typealias Answer = (ticket: Ticket, verdict: Ticket.Verdict)

    /// Tells the entities what became of their writes.
    ///
    /// - Returns: what to answer then: whoever runs a command again finds its entity waiting to be loaded.
    private func settle(_ group: [Waiter], verdict: (Int, EntityCell) -> Ticket.Verdict) -> [Answer] {
        var answers: [Answer] = []
        answers.reserveCapacity(group.count)
        var withdrawn: [Ticket] = []
        for (index, waiter) in group.enumerated() {
            let verdict = verdict(index, waiter.owner)
            answers.append((waiter.ticket, verdict))
            if case .committed = verdict {
                waiter.owner.didCommit(waiter.ticket, of: waiter.lineage)
            } else {
                withdrawn += waiter.owner.abandon(waiter.lineage)
            }
        }
        return withdrawn.isEmpty ? answers : answers + withdrawn.map { ($0, .rerun) }
    }

    private static func give(_ answers: [Answer]) async {
        if answers.count < fewAnswers { return give(answers[...]) }
        // Two threads then are awake for what the answered do next. One alone would wake the other for each of them,
        // which is done by the time of the next answer, and asleep again.
        async let rest: Void = give(answers[(answers.count / 2)...])
        give(answers[..<(answers.count / 2)])
        await rest
    }

    private static var fewAnswers: Int { 16 }

    private static func give(_ answers: ArraySlice<Answer>) {
        for (ticket, verdict) in answers { ticket.resolve(verdict) }
    }

    /// Waits until enough commands are there, or the window is over.
    private func gather() async {
        state.withLock { $0.isWindowOver = false }
        let timer = Task { [time, batching] in
            do { try await time.sleep(for: batching.flushWindow) } catch { return }  // the threshold was reached
            let gathering = state.withLock { state in
                state.isWindowOver = true
                defer { state.isGathering = nil }
                return state.isGathering
            }
            gathering?.resume()
        }
        await withCheckedContinuation { continuation in
            let isOver = state.withLock { state in
                if state.isWindowOver || state.queue.count >= batching.batchThreshold { return true }
                state.isGathering = continuation
                return false
            }
            if isOver { continuation.resume() }
        }
        timer.cancel()
    }
}
