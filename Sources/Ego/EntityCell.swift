import EgoCore
import Logging
import Synchronization

/// One active entity: its committed state, the state that its commands under way lead to, and those commands.
///
/// No task, actor or queue of its own: callers run the handler themselves, one at a time under the lock.
final class EntityCell: Sendable {
    enum Phase {
        /// The state is not known; the next command loads it.
        case cold
        /// Somebody is loading it.
        case loading(Ticket)
        case active
        indirect case stopped(EgoError)
        /// The entity has left memory; whoever still refers to it asks the registry again.
        case passivated
    }

    struct Pending {
        let ticket: Ticket
        let commandID: CommandID?
        let after: Versioned
    }

    struct Core {
        var phase = Phase.cold
        var committed: Versioned
        var pending: [Pending] = []
        /// How many of `pending`, from its start, are committed already.
        var settled = 0
        /// Where a store that writes at once keeps the entity.
        var place: EntityPlace?
        var lineage = Lineage()
        /// Calls that are between their commands' arrival and reply.
        var calls = 0
        var failures: [Timestamp] = []

        init(committed: Versioned) { self.committed = committed }

        var hasPending: Bool { settled < pending.count }

        /// The state after all commands under way.
        var latest: Versioned { hasPending ? pending[pending.count - 1].after : committed }
    }

    // In the order in which a command comes by: of many entities none is in the cache.
    let host: EntityHost
    let use = EntityUse()
    let core: Mutex<Core>
    let id: PersistenceID
    private let gate = Gate()
    private let committing = Atomic<Bool>(false)
    private let start: Versioned
    var context: EngineContext { host.context }

    /// Whether a group that is being committed has writes of it; read and written under the lock of its ``CommitQueue``.
    var isCommitting: Bool {
        get { committing.load(ordering: .relaxed) }
        set { committing.store(newValue, ordering: .relaxed) }
    }

    init(_ id: PersistenceID, host: EntityHost) {
        self.id = id
        self.host = host
        start = Versioned(state: host.program.initialState(for: id), version: .zero)
        self.core = Mutex(Core(committed: start))
    }

    // MARK: Commands
    //
    // What is answered from memory, a refusal too, is not said of an entity that was erased meanwhile. A commit needs no
    // such look: it has failed then.

    /// Runs a command; nil when the entity has left memory meanwhile, and the caller has to ask the registry again.
    func send(_ decision: EntityDecision, _ options: CommandOptions) async throws(EgoError) -> CellReply? {
        guard enter() else { return nil }
        defer { core.withLock { $0.calls -= 1 } }
        guard case .awaiting = decision else { return try await run(decision, options, nil) }
        let pass = GatePass(gate)
        defer { pass.leave() }
        return try await run(decision, options, pass)
    }

    /// What a command would do to the committed state; nothing is written.
    func preview(_ decision: EntityDecision, _ options: CommandOptions) async throws(EgoError) -> CellReply? {
        guard enter() else { return nil }
        defer { core.withLock { $0.calls -= 1 } }
        let current = try await load()
        try await context.erasures.check(id)
        if let commandID = options.metadata.commandID, let reply = try await earlierReply(commandID) { return reply }
        if let expected = options.expectedVersion.last, expected != current.version {
            throw conflict(expected, current.version)
        }
        do {
            let outcome: EntityDecision.Outcome?
            switch decision {
            case .immediate(let decide): outcome = try decide(current.state)
            case .awaiting(let decide):
                await gate.enter()
                defer { gate.leave() }
                outcome = try await decide(current.state)
            }
            guard let outcome else { return CellReply(current: current) }
            return CellReply(current: current.after(outcome.change), events: outcome.events)
        } catch {
            throw EgoError(thrownByBehavior: error, id)
        }
    }

    /// The committed state; nil when the entity has left memory meanwhile.
    func read() async throws(EgoError) -> Versioned? {
        guard enter() else { return nil }
        defer { core.withLock { $0.calls -= 1 } }
        let state = try await load()
        try await context.erasures.check(id)
        return state
    }

    /// What to do after a command was decided, or could not be.
    private enum Step {
        case reply(CellReply)
        case fail(EgoError)
        /// Wait for the command's own commit, then answer.
        case commit(Ticket, leads: Bool, CellReply)
        /// Nothing to write: answer once the commit of an earlier command proves the state that this was decided on.
        case answerAfter(Ticket, Result<CellReply, EgoError>)
        /// Load the entity, then decide.
        case load
        /// Wait for another command's commit, then decide.
        case decideAfter(Ticket)
    }

    /// How the decision of an awaiting handler begins.
    private enum Begin {
        case step(Step)
        case decide(Versioned, Lineage)
    }

    /// How a load goes on.
    private enum LoadStep {
        case known(Versioned)
        case wait(Ticket)
        case fail(EgoError)
        case read
    }

    private func run(
        _ decision: EntityDecision, _ options: CommandOptions, _ pass: GatePass?
    ) async throws(EgoError) -> CellReply {
        var conflicts = 0
        var hasReloaded = false
        while true {
            if let commandID = options.metadata.commandID, let reply = try await earlierReply(commandID) {
                return reply
            }
            let ticket: Ticket
            let answer: Result<CellReply, EgoError>?
            var isOwn = false
            let next: Step
            switch decision {
            case .immediate(let decide): next = step(decide, options)
            case .awaiting(let decide):
                await pass?.enter()
                next = await step(decide, options, pass)
            }
            switch next {
            case .reply(let reply):
                try await context.erasures.check(id)
                return reply
            case .fail(let error):
                if error.code == .rejected { try await context.erasures.check(id) }
                if error.code == .bug { didFail(error) }
                if error.code == .conflict, !hasReloaded, forgetState() {
                    // Another process may have written what the sender expects.
                    hasReloaded = true
                    continue
                }
                throw error
            case .load:
                _ = try await load()
                continue
            case .decideAfter(let other): (ticket, answer) = (other, nil)
            case .answerAfter(let other, let result): (ticket, answer) = (other, result)
            case .commit(let own, let leads, let reply):
                (ticket, answer, isOwn) = (own, .success(reply), true)
                if leads { await host.committers.lead(isAppend: host.program.isEventSourced) }
            }
            switch await ticket.verdict() {
            case .committed:
                if case .failure(let error)? = answer, error.code == .bug { didFail(error) }
                if let answer { return try answer.get() }
            case .rerun:
                guard isOwn else { continue }
                conflicts += 1
                if conflicts > context.configuration.conflictRetries {
                    throw EgoError(
                        .conflict, "other writers won \(conflicts) times in a row", persistenceID: id)
                }
            case .duplicate(let record):
                if isOwn { return try await host.program.answer(record, of: id) }
            case .failed(let error):
                if isOwn { throw error }
            }
        }
    }

    /// The answer to an earlier command of the same ID.
    private func earlierReply(_ commandID: CommandID) async throws(EgoError) -> CellReply? {
        let underWay = core.withLock { core in
            core.pending[core.settled...].first { $0.commandID == commandID }?.ticket
        }
        if let underWay { _ = await underWay.verdict() }
        let record: CommandRecord?
        do { record = try await host.program.command(commandID, of: id) } catch { throw EgoError(error, id) }
        guard let record else { return nil }
        return try await host.program.answer(record, of: id)
    }

    private func step(
        _ decide: (any AnyEntityState) throws -> EntityDecision.Outcome?, _ options: CommandOptions
    ) -> Step {
        core.withLock { core in
            if let step = precondition(&core, options) { return step }
            do {
                return enqueue(try decide(core.latest.state), options, &core)
            } catch {
                return refusal(error, &core)
            }
        }
    }

    private func step(
        _ decide: (any AnyEntityState) async throws -> EntityDecision.Outcome?, _ options: CommandOptions,
        _ pass: GatePass?
    ) async -> Step {
        let begin: Begin = core.withLock { core in
            if let step = precondition(&core, options) { return .step(step) }
            return .decide(core.latest, core.lineage)
        }
        guard case .decide(let current, let lineage) = begin else {
            guard case .step(let step) = begin else { return .load }
            return step
        }
        let result: Result<EntityDecision.Outcome?, any Error>
        do { result = .success(try await decide(current.state)) } catch { result = .failure(error) }
        let step: Step = core.withLock { core in
            // The gate kept other commands out, but a failed commit may have taken the state away.
            if core.lineage !== lineage || lineage.isBroken { return .load }
            do {
                return enqueue(try result.get(), options, &core)
            } catch {
                return refusal(error, &core)
            }
        }
        // The next command may be decided while this one commits. One that has to run again comes back in line.
        if case .commit = step { pass?.leave() }
        return step
    }

    /// What has to be true before a command is decided; nil when it is.
    private func precondition(_ core: inout Core, _ options: CommandOptions) -> Step? {
        switch core.phase {
        case .active: break
        case .cold, .loading, .passivated: return .load
        case .stopped(let error): return .fail(error)
        }
        if let commandID = options.metadata.commandID,
            let same = core.pending[core.settled...].first(where: { $0.commandID == commandID })
        {
            return .decideAfter(same.ticket)
        }
        guard let expected = options.expectedVersion.last, expected != core.latest.version else { return nil }
        let error = conflict(expected, core.latest.version)
        if let last = core.pending.last, core.hasPending { return .answerAfter(last.ticket, .failure(error)) }
        return .fail(error)
    }

    private func conflict(_ expected: SequenceNumber, _ found: SequenceNumber) -> EgoError {
        EgoError(.conflict, "it is at \(found), not at \(expected)", persistenceID: id)
    }

    private func enqueue(
        _ outcome: EntityDecision.Outcome?, _ options: CommandOptions, _ core: inout Core
    ) -> Step {
        let before = core.latest
        let after = outcome.map { before.after($0.change) } ?? before
        let write: EntityWrite
        if let outcome {
            write = EntityWrite(outcome.change, of: id, kind: host.kind, at: before.version, options.metadata)
        } else if options.metadata.commandID != nil {
            write = host.program.record(options.metadata, at: before.version, of: id)
        } else {
            // Nothing to write; but the state that the answer shows has to be committed first.
            let reply = CellReply(current: after)
            guard core.hasPending, let last = core.pending.last else { return .reply(reply) }
            return .answerAfter(last.ticket, .success(reply))
        }
        let pending = Pending(ticket: Ticket(), commandID: options.metadata.commandID, after: after)
        core.pending.append(pending)
        let leads = host.committers.enqueue(write, core.lineage, self, pending.ticket)
        return .commit(pending.ticket, leads: leads, CellReply(current: after, events: outcome?.events))
    }

    /// A refusal holds when the state that it was decided on is committed.
    private func refusal(_ error: any Error, _ core: inout Core) -> Step {
        let error = EgoError(thrownByBehavior: error, id)
        guard core.hasPending, let last = core.pending.last else { return .fail(error) }
        return .answerAfter(last.ticket, .failure(error))
    }

    // MARK: Loading

    /// The committed state, read from the store when it is not known.
    private func load() async throws(EgoError) -> Versioned {
        while true {
            let own = Ticket()
            let next: LoadStep = core.withLock { core in
                switch core.phase {
                case .active: return .known(core.committed)
                case .loading(let other): return .wait(other)
                case .stopped(let error): return .fail(error)
                case .cold, .passivated:
                    core.phase = .loading(own)
                    return .read
                }
            }
            switch next {
            case .known(let state): return state
            case .fail(let error): throw error
            case .wait(let other):
                guard case .failed(let error) = await other.verdict() else { continue }
                // Whoever was loading was cancelled; that is not this caller's affair.
                let wasCancelled = (error.cause as? StoreError)?.code == .cancelled
                if !wasCancelled || Task.isCancelled { throw error }
            case .read:
                do throws(EgoError) {
                    let state = try await host.program.recover(id)
                    core.withLock { core in
                        // The entity may have been stopped meanwhile.
                        guard case .loading(let current) = core.phase, current === own else { return }
                        core.phase = .active
                        core.committed = state
                        core.pending = []
                        core.settled = 0
                        core.lineage = Lineage()
                    }
                    own.resolve(.committed)
                } catch {
                    core.withLock { core in
                        if case .loading(let current) = core.phase, current === own { core.phase = .cold }
                    }
                    if error.code == .undecodable { didFail(error) }
                    own.resolve(.failed(error))
                    throw error
                }
            }
        }
    }

    // MARK: Supervision

    /// Counts a failure that is the entity's own, and stops the entity when there were too many.
    func didFail(_ error: EgoError) {
        let now = context.time.now()
        let stopped = core.withLock { core -> Bool in
            if case .stopped = core.phase { return false }
            var limit = 0
            if case .restart(let most, let window) = context.configuration.supervision {
                limit = most
                core.failures.removeAll { now.duration(since: $0) > window }
            }
            core.failures.append(now)
            if core.failures.count > limit {
                core.phase = .stopped(
                    EgoError(
                        .stopped, "it was stopped after \(core.failures.count) failures, the last: \(error)",
                        persistenceID: id, cause: error))
                return true
            }
            // Commands under way are being committed on a state that is right; they are not taken back.
            if case .active = core.phase, !core.hasPending { core.phase = .cold }
            return false
        }
        if stopped {
            context.log.error("entity stopped", metadata: ["persistence_id": "\(id)", "error": "\(error)"])
        }
    }

    /// Lets a stopped entity take commands again.
    func restart() {
        core.withLock { core in
            guard case .stopped = core.phase else { return }
            core.failures = []
            // With commands under way the state in memory is the one that they build on.
            core.phase = core.hasPending ? .active : .cold
        }
    }

    /// Takes the state of an entity that was erased out of memory.
    func erase() {
        core.withLock { core in
            // Commands under way find out when they are committed.
            guard case .active = core.phase, !core.hasPending else { return }
            core.phase = .cold
            core.committed = start
        }
    }

    /// Lets the next command load the state anew, unless others are under way; whether it will.
    private func forgetState() -> Bool {
        core.withLock { core in
            guard case .active = core.phase, !core.hasPending else { return false }
            core.phase = .cold
            return true
        }
    }

    // MARK: Commits

    /// The write is durable: what it led to is the committed state now.
    func didCommit(_ ticket: Ticket, of lineage: Lineage) {
        core.withLock { core in
            guard core.lineage === lineage, core.hasPending else { return }
            let before = core.committed.version
            core.committed = core.pending[core.settled].after
            core.settled += 1
            if core.settled == core.pending.count {
                core.pending.removeAll(keepingCapacity: true)
                core.settled = 0
            } else if core.settled >= 1_024, core.settled * 2 > core.pending.count {
                core.pending.removeFirst(core.settled)
                core.settled = 0
            }
            saveSnapshot(since: before, core.committed)
        }
    }

    /// Plans a snapshot when a commit has passed a multiple of the interval.
    func saveSnapshot(since before: SequenceNumber, _ committed: Versioned) {
        let interval = host.snapshotInterval
        guard interval > 0 else { return }
        // One division, not two: it takes longer than all the rest here.
        let events = committed.version.rawValue - before.rawValue
        if before.rawValue % interval + events < interval { return }
        context.snapshots.save(committed.state.message, at: committed.version, of: id)
    }

    /// A write of the lineage was not applied: forget the state that was built on it.
    ///
    /// - Returns: the tickets of all writes of the lineage that were not committed.
    func abandon(_ lineage: Lineage) -> [Ticket] {
        lineage.breakOff()
        return core.withLock { core in
            guard core.lineage === lineage else { return [] }
            let tickets = core.pending[core.settled...].map(\.ticket)
            core.pending = []
            core.settled = 0
            core.lineage = Lineage()
            if case .active = core.phase { core.phase = .cold }
            return tickets
        }
    }

    // MARK: Passivation

    /// Returns when nobody is writing at once any more who began before.
    func settle() { core.withLock { _ in } }

    private func enter() -> Bool {
        use.touch(in: context.round)
        return core.withLock { core in
            if case .passivated = core.phase { return false }
            core.calls += 1
            return true
        }
    }

    /// Leaves memory, unless a command is under way or it was stopped; whether it did.
    func passivate() -> Bool {
        core.withLock { core in
            guard core.calls == 0, !core.hasPending else { return false }
            switch core.phase {
            case .active, .cold:
                core.phase = .passivated
                core.committed = start
                return true
            case .passivated: return true
            case .loading, .stopped: return false
            }
        }
    }
}
