import EgoCore

/// What a group of requests comes to, given what is known of its entities. Decides only; see ``PostgresStore/append(_:)``.
struct AppendPlan: Sendable {
    /// What the database has of one entity.
    struct Knowledge: Sendable {
        var last: UInt64
        var isErased: Bool
        var commands: [CommandID: CommandRecord] = [:]
    }

    /// What becomes of one request.
    enum Decision: Sendable {
        /// Its events get the numbers after `before`.
        case write(before: SequenceNumber)
        case outcome(AppendOutcome)
    }

    /// One decision for each request, in their order.
    private(set) var decisions: [Decision] = []
    /// The entities that are written to, and the last number that each has to have, in the order of their IDs: groups
    /// that share entities then take their rows in the same order.
    private(set) var entities: [(id: PersistenceID, expected: SequenceNumber, kind: String?)] = []

    private struct Progress {
        var last: SequenceNumber
        var isBroken = false
        var commands: [CommandID: CommandRecord]
        var isErased: Bool
        var first: SequenceNumber?
        var kind: String?
    }

    /// Decides.
    ///
    /// - Parameter knowledge: what was read of all entities of the group; nil takes what the requests expect for granted,
    ///   which the write itself then checks.
    /// - Returns: nil when the group cannot be decided without knowledge.
    init?(_ group: [AppendRequest], knowledge: [PersistenceID: Knowledge]?) {
        var progress: [PersistenceID: Progress] = [:]
        for request in group {
            let id = request.persistenceID
            if progress[id] == nil {
                if let known = knowledge?[id] {
                    progress[id] = Progress(
                        last: SequenceNumber(known.last), commands: known.commands, isErased: known.isErased)
                } else if knowledge != nil {
                    progress[id] = Progress(last: .zero, commands: [:], isErased: false)
                } else if let expected = request.expectedVersion.last {
                    progress[id] = Progress(last: expected, commands: [:], isErased: false)
                } else {
                    return nil
                }
            }
            decisions.append(
                Self.decide(request, &progress[id, default: Progress(last: .zero, commands: [:], isErased: false)]))
        }
        entities = progress.compactMap { id, progress in
            progress.first.map { (id, $0, progress.kind) }
        }.sorted { $0.id.rawValue < $1.id.rawValue }
    }

    private static func decide(_ request: AppendRequest, _ progress: inout Progress) -> Decision {
        func refuse(_ outcome: AppendOutcome) -> Decision {
            progress.isBroken = true
            return .outcome(outcome)
        }
        if progress.isErased { return refuse(.erased) }
        let commandID = request.metadata.commandID
        if let commandID, let record = progress.commands[commandID] { return refuse(.duplicate(record)) }
        if progress.isBroken { return refuse(.conflict(actual: progress.last)) }
        if let expected = request.expectedVersion.last, expected != progress.last {
            return refuse(.conflict(actual: progress.last))
        }
        let before = progress.last
        progress.last = before.advanced(by: request.events.count)
        if progress.first == nil { progress.first = before }
        progress.kind = progress.kind ?? request.kind
        if let commandID {
            progress.commands[commandID] = CommandRecord(commandID: commandID, before: before, after: progress.last)
        }
        return .write(before: before)
    }
}
