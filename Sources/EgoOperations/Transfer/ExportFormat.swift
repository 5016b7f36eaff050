import EgoCore

/// The form of an exported journal.
public enum ExportFormat: String, Sendable, Codable, CaseIterable {
    /// A header, a JSON object a line, and a trailer with counts and a checksum. Exact: payloads are there byte for byte,
    /// and beside them as JSON where their type is known.
    case jsonl
    /// `egopb.Event` messages, each after its length as a varint: what eGo for Go reads. Events only; kinds, metadata,
    /// snapshots and durable states are not in it.
    case protobuf
}

/// What of a store to export.
public struct ExportSelection: Sendable, Hashable, Codable {
    /// These entities; empty for all.
    public var ids: [String] = []
    /// Entities that were recorded with this kind.
    public var kind: String?
    /// Entities of this shard.
    public var shard: UInt64?
    /// Events written at this moment or later, in nanoseconds since the Unix epoch.
    public var since: Int64?
    /// Events written before this moment.
    public var until: Int64?
    /// Events after this place in the journal, as text.
    public var after: String?
    /// Whether snapshots, durable states and what is recorded of entities are left out.
    public var isEventsOnly: Bool {
        get { eventsOnly ?? false }
        set { eventsOnly = newValue ? true : nil }
    }

    private var eventsOnly: Bool?

    /// Everything.
    public init() {}

    enum CodingKeys: String, CodingKey {
        case ids, kind, shard, since, until, after
        case eventsOnly = "events_only"
    }

    /// Whether no event is left out for what it is.
    var isOfAllEvents: Bool { kind == nil && shard == nil && since == nil && until == nil }

    /// Whether entities are exported whole, so that what is recorded of them belongs to it.
    var hasEntities: Bool { !isEventsOnly && since == nil && until == nil && after == nil }
}

/// The first line of an export.
struct ExportHeader: Codable, Sendable, Hashable {
    var type = "header"
    var format = Self.currentFormat
    var storeID: String
    var origin: String
    var shardCount: UInt32
    var selection: ExportSelection

    static let currentFormat = "ego.export/1"

    enum CodingKeys: String, CodingKey {
        case type, format, origin, selection
        case storeID = "store_id"
        case shardCount = "shard_count"
    }
}

/// The last line of an export.
struct ExportTrailer: Codable, Sendable, Hashable {
    var type = "end"
    var events: Int
    var entities: Int
    var snapshots: Int
    var states: Int
    /// The head of the store; no event after it is included.
    var head: String
    /// SHA-256 of every byte before this line, in hexadecimal.
    var sha256: String
}

/// What is recorded of an entity beside its events.
struct ExportedEntity: Sendable, Hashable {
    var id: PersistenceID
    var kind: String?
    /// The last event that is included, or the durable state's version.
    var sequenceNumber: SequenceNumber
    /// Events up to this one were deleted on purpose.
    var floor: SequenceNumber
    var erasedAt: Timestamp?
}

/// A record of an export.
enum ExportRecord: Sendable, Hashable {
    case event(PersistedEvent)
    case entity(ExportedEntity)
    case snapshot(StoredSnapshot)
    case state(StoredState)
}

/// Why a line or message of an export cannot be used; whoever reads it knows the place.
struct ExportProblem: Error {
    var message: String

    init(_ message: String) { self.message = message }

    /// The problem with its place.
    func error(_ format: ExportFormat, at place: Int) -> OperationError {
        let what = format == .jsonl ? "line" : "message"
        return OperationError(.data, "\(what) \(place): \(message)", hint: "nothing was imported")
    }
}
