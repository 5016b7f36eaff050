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
    private(set) var entities: [Entity] = []
    /// For each request that is written, the index of its entity in ``entities``.
    private(set) var owners: [Int] = []

    /// An entity that is written to.
    struct Entity: Sendable {
        let id: PersistenceID
        let expected: SequenceNumber
        let kind: String?
    }

    private struct Progress {
        let id: PersistenceID
        var last: SequenceNumber
        var isBroken = false
        var commands: [CommandID: CommandRecord]
        var isErased: Bool
        var first: SequenceNumber?
        var kind: String?

        /// Before the first request of an entity; nil where nothing says what it is at.
        init?(of request: AppendRequest, _ knowledge: [PersistenceID: Knowledge]?) {
            id = request.persistenceID
            if let knowledge {
                let known = knowledge[id]
                last = SequenceNumber(known?.last ?? 0)
                commands = known?.commands ?? [:]
                isErased = known?.isErased ?? false
            } else if let expected = request.expectedVersion.last {
                (last, commands, isErased) = (expected, [:], false)
            } else {
                return nil
            }
        }
    }

    /// Decides.
    ///
    /// - Parameter knowledge: what was read of all entities of the group; nil takes what the requests expect for granted,
    ///   which the write itself then checks.
    /// - Returns: nil when the group cannot be decided without knowledge.
    init?(_ group: [AppendRequest], knowledge: [PersistenceID: Knowledge]?) {
        var places: [PersistenceID: Int] = [:]
        var progress: [Progress] = []
        places.reserveCapacity(group.count)
        progress.reserveCapacity(group.count)
        decisions.reserveCapacity(group.count)
        owners.reserveCapacity(group.count)
        for request in group {
            let id = request.persistenceID
            let place: Int
            if let known = places[id] {
                place = known
            } else {
                guard let first = Progress(of: request, knowledge) else { return nil }
                place = progress.count
                places[id] = place
                progress.append(first)
            }
            decisions.append(Self.decide(request, &progress[place]))
            owners.append(place)
        }
        let written = progress.indices.filter { progress[$0].first != nil }.sorted {
            progress[$0].id.rawValue < progress[$1].id.rawValue
        }
        var ranks = [Int](repeating: 0, count: progress.count)
        for (rank, place) in written.enumerated() {
            ranks[place] = rank
            let progress = progress[place]
            entities.append(Entity(id: progress.id, expected: progress.first ?? .zero, kind: progress.kind))
        }
        for index in owners.indices { owners[index] = ranks[owners[index]] }
    }

    /// Whether the plan is one event of one entity.
    func isLone(_ group: [AppendRequest]) -> Bool {
        group.count == 1 && entities.count == 1 && group[0].events.count == 1
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
