import EgoCore
import Synchronization

/// Collects the writes of all entities and commits them together.
///
/// While one group commits, the next collects, so batching needs no timer and a lone caller waits for nobody. A caller
/// that finds the committer idle commits its own group; what collects meanwhile is committed by a task that ends when
/// nothing is left.
final class GroupCommitter<Request: Sendable, Outcome: Sendable>: Sendable {
    /// A write that waits for its commit.
    struct Entry: Sendable {
        let request: Request
        let lineage: Lineage
        let owner: EntityCell
        let ticket: Ticket
    }

    private struct State {
        var queue: [Entry] = []
        var isBusy = false
        var isWindowOver = false
        var isGathering: CheckedContinuation<Void, Never>?
        var idleWaiters: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())
    private let batching: Batching
    private let time: any TimeSource
    private let write: @Sendable ([Request]) async throws(StoreError) -> [Outcome]
    private let verdict: @Sendable (Outcome, PersistenceID) -> Ticket.Verdict

    /// - Parameters:
    ///   - write: commits a group; the outcomes are in its order.
    ///   - verdict: what an outcome means for the command.
    init(
        batching: Batching, time: any TimeSource,
        write: @escaping @Sendable ([Request]) async throws(StoreError) -> [Outcome],
        verdict: @escaping @Sendable (Outcome, PersistenceID) -> Ticket.Verdict
    ) {
        self.batching = batching
        self.time = time
        self.write = write
        self.verdict = verdict
    }

    /// Adds a write. Called with the entity's lock held, so that an entity's writes stay in order.
    ///
    /// - Returns: whether the caller has to call ``lead()`` once it has let go of the lock.
    func enqueue(_ entry: Entry) -> Bool {
        let (leads, gathered) = state.withLock { state -> (Bool, CheckedContinuation<Void, Never>?) in
            state.queue.append(entry)
            if !state.isBusy {
                state.isBusy = true
                return (true, nil)
            }
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
                if state.isBusy { state.idleWaiters.append(continuation) }
                return !state.isBusy
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

    /// Whether nothing is left; the committer is idle then.
    private func finishOrGoOn() -> Bool {
        let waiters = state.withLock { state -> [CheckedContinuation<Void, Never>]? in
            guard state.queue.isEmpty else { return nil }
            state.isBusy = false
            defer { state.idleWaiters = [] }
            return state.idleWaiters
        }
        guard let waiters else { return false }
        for waiter in waiters { waiter.resume() }
        return true
    }

    /// - Returns: how many writes the group had.
    @discardableResult
    private func commitGroup() async -> Int {
        if batching.batchThreshold > 1 { await gather() }
        let group = takeGroup()
        if group.isEmpty { return 0 }
        do throws(StoreError) {
            let outcomes = try await write(group.map(\.request))
            settle(group) { index, owner in verdict(outcomes[index], owner.id) }
        } catch {
            settle(group) { _, owner in .failed(EgoError(error, owner.id)) }
        }
        return group.count
    }

    private func takeGroup() -> [Entry] {
        let taken = state.withLock { state in
            let taken: [Entry]
            if state.queue.count <= batching.maximumCommands {
                taken = state.queue
                state.queue = []
            } else {
                taken = Array(state.queue.prefix(batching.maximumCommands))
                state.queue.removeFirst(batching.maximumCommands)
            }
            return taken
        }
        return taken.filter { entry in
            if entry.lineage.isBroken { entry.ticket.resolve(.rerun) }
            return !entry.lineage.isBroken
        }
    }

    private func settle(_ group: [Entry], verdict: (Int, EntityCell) -> Ticket.Verdict) {
        var verdicts: [Ticket.Verdict] = []
        verdicts.reserveCapacity(group.count)
        var withdrawn: [Ticket] = []
        // First every entity learns what became of its writes, then the callers do: whoever runs a command again finds
        // the entity waiting to be loaded.
        for (index, entry) in group.enumerated() {
            let verdict = verdict(index, entry.owner)
            verdicts.append(verdict)
            if case .committed = verdict {
                entry.owner.didCommit(entry.ticket, of: entry.lineage)
            } else {
                withdrawn += entry.owner.abandon(entry.lineage)
            }
        }
        for (entry, verdict) in zip(group, verdicts) { entry.ticket.resolve(verdict) }
        for ticket in withdrawn { ticket.resolve(.rerun) }
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
