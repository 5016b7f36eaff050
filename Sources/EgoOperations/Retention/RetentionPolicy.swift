public import EgoCore

/// Which old events and snapshots may go. What is not named does not matter; of several conditions all have to hold.
public struct RetentionPolicy: Sendable, Hashable, Codable {
    /// Entities of this kind.
    public var kind: String?
    /// Entities whose ID starts so.
    public var prefix: String?
    /// The newest events of each entity that stay.
    public var keepEvents: UInt64?
    /// Events written at this moment or later stay, in nanoseconds since the Unix epoch.
    public var olderThan: Int64?
    /// The newest snapshots of each entity that stay; at least 1.
    public var keepSnapshots: Int?
    /// Only entities whose last event is of one of these types, by full name; all events of such a one may go.
    public var closedBy: [String]

    /// A policy with the given parts.
    public init(
        kind: String? = nil, prefix: String? = nil, keepEvents: UInt64? = nil, olderThan: Timestamp? = nil,
        keepSnapshots: Int? = nil, closedBy: [String] = []
    ) {
        self.kind = kind
        self.prefix = prefix
        self.keepEvents = keepEvents
        self.olderThan = olderThan?.unixNanoseconds
        self.keepSnapshots = keepSnapshots.map { max(1, $0) }
        self.closedBy = closedBy
    }

    enum CodingKeys: String, CodingKey {
        case kind, prefix
        case keepEvents = "keep_events"
        case olderThan = "older_than"
        case keepSnapshots = "keep_snapshots"
        case closedBy = "closed_by"
    }

    /// Whether it says anything of events.
    var isAboutEvents: Bool { keepEvents != nil || olderThan != nil || !closedBy.isEmpty }

    /// Whether it is about an entity.
    func covers(_ entity: EntitySummary) -> Bool {
        if entity.isErased || entity.isDurableState { return false }
        if let kind, entity.kind != kind { return false }
        if let prefix, !entity.persistenceID.rawValue.utf8.starts(with: prefix.utf8) { return false }
        return true
    }
}

/// What keeps retention from deleting more.
public enum RetentionGuard: String, Sendable, Hashable, Codable, CaseIterable {
    /// The entity is under a legal hold.
    case legalHold = "legal_hold"
    /// No snapshot stands for the events.
    case noSnapshot = "no_snapshot"
    /// The snapshot that would stand for them does not decode, or is not what the events give.
    case unprovenSnapshot = "unproven_snapshot"
    /// A projection or a publisher has not passed them.
    case projection

    static let heldDetail = "it is under a legal hold"
}

/// What retention does to one entity.
struct RetentionDecision: Sendable {
    /// Events up to and including this one go; not above the floor when none does.
    var events: SequenceNumber
    /// Snapshots up to and including this one go; 0 when none does.
    var snapshots = SequenceNumber.zero
    var eventCount = 0
    var snapshotCount = 0
    var bytes = 0
    var guards: [(guard: RetentionGuard, detail: String)] = []

    var isNothing: Bool { eventCount == 0 && snapshotCount == 0 }
}
