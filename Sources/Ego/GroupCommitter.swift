import EgoCore
import Synchronization

/// Collects the writes of all entities and commits them together.
///
/// While one group commits, the next collects, so batching needs no timer and a lone caller waits for nobody. A caller
/// that finds the committer idle commits its own group; what collects meanwhile is committed by a task that ends when
/// nothing is left.
final class GroupCommitter<Request: Sendable, Outcome: Sendable>: Sendable {
    /// Who waits for a write.
    struct Waiter: Sendable {
        let lineage: Lineage
        let owner: EntityCell
        let ticket: Ticket
    }

    /// Writes, and who waits for each of them: apart, so that the store is handed the writes as they are.
    private struct Group: Sendable {
        var requests: [Request] = []
        var waiters: [Waiter] = []

        var count: Int { requests.count }
        var isEmpty: Bool { requests.isEmpty }

        mutating func append(_ request: Request, _ waiter: Waiter) {
            requests.append(request)
            waiters.append(waiter)
        }

        /// Takes out the first `most`, or all when there are no more.
        mutating func take(atMost most: Int) -> Group {
            var taken = Group()
            if count <= most {
                swap(&self, &taken)
            } else {
                taken = Group(requests: Array(requests.prefix(most)), waiters: Array(waiters.prefix(most)))
                requests.removeFirst(most)
                waiters.removeFirst(most)
            }
            return taken
        }

        /// Takes out those of lineages that go nowhere any more.
        mutating func takeBroken() -> [Waiter] {
            guard waiters.contains(where: \.lineage.isBroken) else { return [] }
            var (rest, broken) = (Group(), [Waiter]())
            for (request, waiter) in zip(requests, waiters) {
                if waiter.lineage.isBroken { broken.append(waiter) } else { rest.append(request, waiter) }
            }
            self = rest
            return broken
        }
    }

    private struct State {
        var queue = Group()
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
    func enqueue(_ request: Request, _ waiter: Waiter) -> Bool {
        let (leads, gathered) = state.withLock { state -> (Bool, CheckedContinuation<Void, Never>?) in
            state.queue.append(request, waiter)
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
            let outcomes = try await write(group.requests)
            await settle(group.waiters) { index, owner in verdict(outcomes[index], owner.id) }
        } catch {
            await settle(group.waiters) { _, owner in .failed(EgoError(error, owner.id)) }
        }
        return group.count
    }

    private func takeGroup() -> Group {
        var taken = state.withLock { $0.queue.take(atMost: batching.maximumCommands) }
        for waiter in taken.takeBroken() { waiter.ticket.resolve(.rerun) }
        return taken
    }

    private func settle(_ group: [Waiter], verdict: (Int, EntityCell) -> Ticket.Verdict) async {
        var answers: [(ticket: Ticket, verdict: Ticket.Verdict)] = []
        answers.reserveCapacity(group.count)
        var withdrawn: [Ticket] = []
        // First every entity learns what became of its writes, then the callers do: whoever runs a command again finds
        // the entity waiting to be loaded.
        for (index, waiter) in group.enumerated() {
            let verdict = verdict(index, waiter.owner)
            answers.append((waiter.ticket, verdict))
            if case .committed = verdict {
                waiter.owner.didCommit(waiter.ticket, of: waiter.lineage)
            } else {
                withdrawn += waiter.owner.abandon(waiter.lineage)
            }
        }
        let all = withdrawn.isEmpty ? answers : answers + withdrawn.map { ($0, .rerun) }
        if all.count < Self.fewAnswers {
            Self.give(all[...])
        } else {
            // Two threads then are awake for what the answered do next. One alone would wake the other for each of them,
            // which is done by the time of the next answer, and asleep again.
            async let rest: Void = Self.give(all[(all.count / 2)...])
            Self.give(all[..<(all.count / 2)])
            await rest
        }
    }

    private static var fewAnswers: Int { 16 }

    private static func give(_ answers: ArraySlice<(ticket: Ticket, verdict: Ticket.Verdict)>) {
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
