import EgoCore

/// Where the writes of entities go.
struct EntityCommitters: Sendable {
    let events: GroupCommitter<AppendRequest, AppendOutcome>
    let states: GroupCommitter<StateWrite, StateOutcome>

    init(store: any Store, batching: Batching, time: any TimeSource) {
        events = GroupCommitter(
            batching: batching, concurrentGroups: store.concurrentCommits, time: time,
            write: { (group) async throws(StoreError) in try await store.append(group) },
            verdict: { outcome, id in Ticket.Verdict(outcome, id) })
        states = GroupCommitter(
            batching: batching, concurrentGroups: store.concurrentCommits, time: time,
            write: { (group) async throws(StoreError) in try await store.save(group) },
            verdict: { outcome, id in Ticket.Verdict(outcome, id) })
    }

    /// Adds a write; see ``GroupCommitter/enqueue(_:)``.
    func enqueue(_ write: EntityWrite, _ lineage: Lineage, _ owner: EntityCell, _ ticket: Ticket) -> Bool {
        switch write {
        case .append(let request):
            events.enqueue(request, .init(lineage: lineage, owner: owner, ticket: ticket))
        case .save(let request):
            states.enqueue(request, .init(lineage: lineage, owner: owner, ticket: ticket))
        }
    }

    /// Commits the group that a write belongs to; see ``GroupCommitter/lead()``.
    func lead(isAppend: Bool) async {
        if isAppend { await events.lead() } else { await states.lead() }
    }
}

extension Ticket.Verdict {
    /// What an outcome means for the command.
    init(_ outcome: AppendOutcome, _ id: PersistenceID) {
        switch outcome {
        case .appended: self = .committed
        case .conflict: self = .rerun
        case .duplicate(let record): self = .duplicate(record)
        case .erased: self = .failed(.erased(id))
        }
    }

    /// What an outcome means for the command.
    init(_ outcome: StateOutcome, _ id: PersistenceID) {
        switch outcome {
        case .saved: self = .committed
        case .conflict: self = .rerun
        case .duplicate(let record): self = .duplicate(record)
        case .erased: self = .failed(.erased(id))
        }
    }
}
