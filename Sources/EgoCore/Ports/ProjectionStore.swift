/// What a store knows of projections: how far they have come, what they are to do, and what they could not process.
///
/// Everything is changed through ``OperatorStore/commit(_:under:with:)``, so that an offset, the read model, dead letters
/// and a job's checkpoint are all there or all absent (law 5).
public protocol ProjectionStore: Sendable {
    /// All projections that were ever run or operated on, ascending by name.
    func projections() async throws(StoreError) -> [ProjectionRecord]

    /// The record of a projection; nil when it was never run or operated on.
    func projection(_ name: String) async throws(StoreError) -> ProjectionRecord?

    /// The committed offsets of one version of a projection's read model, ascending by shard; empty when it never
    /// committed one.
    func offsets(of projection: String, version: Int) async throws(StoreError) -> [CommittedOffset]

    /// Events that a projection could not process, ascending by projection and offset, at most `limit`.
    func deadLetters(_ query: DeadLetterQuery) async throws(StoreError) -> [DeadLetter]

    /// How far projections that eGo for Go runs on the same database have come, ascending by name and shard; empty where
    /// there is none.
    func timestampOffsets() async throws(StoreError) -> [TimestampOffset]
}

/// What is stored about a projection beside its offsets.
public struct ProjectionRecord: Sendable, Hashable {
    /// The projection.
    public var name: String
    /// What it is to do.
    public var mode: Mode
    /// Why it stopped; nil when it did not.
    public var failure: ProjectionFailure?
    /// Which version of the read model is in use; 1 is the first, each rebuild makes another.
    public var activeVersion: Int
    /// The version that a rebuild is making.
    public var shadowVersion: Int?
    /// The version that was in use before the last rebuild.
    public var previousVersion: Int?
    /// The tables of each version of the read model that are in the store's own database; none when it lives elsewhere.
    public var tables: [Int: [ReadModelTable]]
    /// The job of the rebuild that is making ``shadowVersion``, or for which the projection waits.
    public var rebuildJob: String?
    /// Grows with each change of the record; a change that was made from an older one is refused.
    public var revision: UInt64

    /// What a projection is to do.
    public enum Mode: String, Sendable {
        /// Process events.
        case running
        /// Wait until somebody resumes it.
        case paused
        /// Wait until a rebuild, which does its work meanwhile, has ended.
        case rebuilding
    }

    /// The record of a projection of which nothing is known yet.
    public init(name: String) {
        self.name = name
        self.mode = .running
        self.activeVersion = 1
        self.tables = [:]
        self.revision = 0
    }

    /// The name of the lease of whoever runs the projection.
    public static func lease(of projection: String) -> String { "projection/\(projection)" }

    /// A version that is not in use.
    public var nextVersion: Int { max(activeVersion, shadowVersion ?? 0, previousVersion ?? 0) + 1 }
}

/// The event that stopped a projection.
public struct ProjectionFailure: Sendable, Hashable {
    /// The error's text.
    public var message: String
    /// The event's entity.
    public var persistenceID: PersistenceID
    /// The event's number within its entity.
    public var sequenceNumber: SequenceNumber
    /// The event's place in the journal.
    public var offset: Offset
    /// The event's shard.
    public var shard: Shard
    /// How often it was tried.
    public var attempts: Int
    /// When it was given up.
    public var failedAt: Timestamp

    /// A failure with the given parts.
    public init(
        message: String, persistenceID: PersistenceID, sequenceNumber: SequenceNumber, offset: Offset, shard: Shard,
        attempts: Int, failedAt: Timestamp
    ) {
        self.message = message
        self.persistenceID = persistenceID
        self.sequenceNumber = sequenceNumber
        self.offset = offset
        self.shard = shard
        self.attempts = attempts
        self.failedAt = failedAt
    }
}

/// How far a projection has come in one shard.
public struct CommittedOffset: Sendable, Hashable {
    /// The shard.
    public var shard: Shard
    /// Everything up to and including this place was processed.
    public var offset: Offset
    /// When it was committed.
    public var committedAt: Timestamp
    /// When the last event that was processed was written; nil when none of this shard was.
    public var eventTimestamp: Timestamp?

    /// An offset with the given parts.
    public init(shard: Shard, offset: Offset, committedAt: Timestamp, eventTimestamp: Timestamp? = nil) {
        self.shard = shard
        self.offset = offset
        self.committedAt = committedAt
        self.eventTimestamp = eventTimestamp
    }
}

/// New offsets of one version of a projection's read model, and what it could not process on the way.
public struct ProjectionAdvance: Sendable, Hashable {
    /// The projection.
    public var projection: String
    /// The version of its read model.
    public var version: Int
    /// The new offsets; shards that are not named stay where they are.
    public var offsets: [CommittedOffset]
    /// Events that were passed without being processed; one that is known already is replaced.
    public var deadLetters: [DeadLetter]

    /// An advance with the given parts.
    public init(projection: String, version: Int, offsets: [CommittedOffset], deadLetters: [DeadLetter] = []) {
        self.projection = projection
        self.version = version
        self.offsets = offsets
        self.deadLetters = deadLetters
    }
}

/// An event that a projection could not process, and passed.
public struct DeadLetter: Sendable, Hashable {
    /// The projection.
    public var projection: String
    /// The version of its read model.
    public var version: Int
    /// The event's place in the journal, which names it.
    public var offset: Offset
    /// The event's shard.
    public var shard: Shard
    /// The event's entity.
    public var persistenceID: PersistenceID
    /// The event's number within its entity.
    public var sequenceNumber: SequenceNumber
    /// The full name of the event's type; empty when its payload names none.
    public var type: String
    /// The text of the last error.
    public var error: String
    /// How often it was tried, retries by hand included.
    public var attempts: Int
    /// When it was given up.
    public var failedAt: Timestamp

    /// A dead letter with the given parts.
    public init(
        projection: String, version: Int, offset: Offset, shard: Shard, persistenceID: PersistenceID,
        sequenceNumber: SequenceNumber, type: String, error: String, attempts: Int, failedAt: Timestamp
    ) {
        self.projection = projection
        self.version = version
        self.offset = offset
        self.shard = shard
        self.persistenceID = persistenceID
        self.sequenceNumber = sequenceNumber
        self.type = type
        self.error = error
        self.attempts = attempts
        self.failedAt = failedAt
    }
}

extension DeadLetter {
    /// The dead letter of an event.
    package init(
        _ event: PersistedEvent, projection: String, version: Int, error: String, attempts: Int, failedAt: Timestamp
    ) {
        // A payload that cannot be read names no type.
        let type = (try? AnyPayload(serialized: event.payload))?.typeName ?? ""
        self.init(
            projection: projection, version: version, offset: event.offset, shard: event.shard,
            persistenceID: event.persistenceID, sequenceNumber: event.sequenceNumber, type: ErrorText.kept(type),
            error: ErrorText.kept(error),
            attempts: attempts, failedAt: failedAt)
    }
}

/// The text of an error as it is kept.
package enum ErrorText {
    /// Without what PostgreSQL takes for no text, and no longer than somebody reads.
    package static func kept(_ text: String) -> String {
        let clean = text.utf8.contains(0) ? text.replacing("\0", with: "\u{FFFD}") : text
        return clean.utf8.count <= 4_000 ? clean : String(clean.prefix(2_000)) + "..."
    }
}

/// Which dead letters to list.
public struct DeadLetterQuery: Sendable, Hashable {
    /// Those of this projection; nil for all.
    public var projection: String?
    /// Those of this version of its read model; nil for the versions in use.
    public var version: Int?
    /// Those after this place of this projection.
    public var after: (projection: String, offset: Offset)? {
        get { afterProjection.map { ($0, afterOffset) } }
        set { (afterProjection, afterOffset) = (newValue?.projection, newValue?.offset ?? .start) }
    }
    /// The most to return; at least 1.
    public var limit: Int
    private var afterProjection: String?
    private var afterOffset = Offset.start

    /// A query with the given parts.
    public init(
        projection: String? = nil, version: Int? = nil, after: (projection: String, offset: Offset)? = nil,
        limit: Int = 1_000
    ) {
        self.projection = projection
        self.version = version
        self.limit = max(1, limit)
        self.after = after
    }
}

/// How far a projection of eGo for Go has come in one shard. It counts in timestamps: an event is behind it when its
/// timestamp is not greater.
public struct TimestampOffset: Sendable, Hashable {
    /// The projection.
    public var projection: String
    /// The shard.
    public var shard: Shard
    /// The committed timestamp, in the unit of the events or, after a reset by eGo for Go, in milliseconds; nil when the
    /// projection has committed none of this shard.
    public var stored: Int64?
    /// When it was committed.
    public var committedAt: Timestamp?
    /// How many events of the shard have a greater timestamp.
    public var eventsBehind: Int
    /// The greatest timestamp of the shard's events, as it is stored; nil when there is no event.
    public var storedHead: Int64?

    /// An offset with the given parts.
    public init(
        projection: String, shard: Shard, stored: Int64?, committedAt: Timestamp?, eventsBehind: Int,
        storedHead: Int64?
    ) {
        self.projection = projection
        self.shard = shard
        self.stored = stored
        self.committedAt = committedAt
        self.eventsBehind = eventsBehind
        self.storedHead = storedHead
    }

    /// The committed moment.
    public var moment: Timestamp? { stored.map(Timestamp.init(stored:)) }

    /// The time of the shard's newest event.
    public var head: Timestamp? { storedHead.map(Timestamp.init(stored:)) }
}
