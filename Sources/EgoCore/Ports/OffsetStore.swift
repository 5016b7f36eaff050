/// How far projections have come, by shard.
public protocol OffsetStore: Sendable {
    /// The committed offsets of a projection; empty when it never committed one.
    func offsets(of projection: String) async throws(StoreError) -> [CommittedOffset]

    /// The names of all projections that ever committed an offset, ascending.
    func projections() async throws(StoreError) -> [String]

    /// Commits an offset and the read model's changes in one transaction (law 5): both are there afterwards, or none.
    ///
    /// A commit of an older generation than the stored one is refused, so that a runner that lost its lease cannot
    /// move an offset that somebody else owns or has reset.
    ///
    /// - Parameter work: runs inside the transaction, on the store's own executor; what it throws undoes everything.
    ///   Nil when the read model lives elsewhere.
    /// - Throws: ``StoreError/Code/fenced`` when the generation is older than the stored one; whatever `work` threw is
    ///   the error's cause.
    func commit(_ commit: OffsetCommit, with work: ReadModelWork?) async throws(StoreError)

    /// Forgets a projection that will not run again, with its generation. A projection that is to start over is reset by
    /// committing ``Offset/start`` under a new generation instead, so that a late runner stays fenced off. Nothing
    /// happens when there are no offsets.
    func forgetOffsets(of projection: String) async throws(StoreError)

    /// How far projections that eGo for Go runs on the same database have come, ascending by name and shard; empty where
    /// there is none.
    func timestampOffsets() async throws(StoreError) -> [TimestampOffset]
}

/// Changes of a read model, made inside a store's transaction.
///
/// The store passes its own transaction; a handler that is written for SQLite casts it to `SQLiteTransaction`.
public typealias ReadModelWork = @Sendable (any ReadModelTransaction) throws -> Void

/// A transaction of the database that holds both the offsets and the read model.
public protocol ReadModelTransaction {}

/// How far a projection has come in one shard.
public struct CommittedOffset: Sendable, Hashable {
    /// The shard.
    public var shard: Shard
    /// Everything up to and including this place was processed.
    public var offset: Offset
    /// The owner's generation at the time of the commit.
    public var generation: UInt64
    /// When it was committed.
    public var timestamp: Timestamp

    /// An offset with the given parts.
    public init(shard: Shard, offset: Offset, generation: UInt64, timestamp: Timestamp) {
        self.shard = shard
        self.offset = offset
        self.generation = generation
        self.timestamp = timestamp
    }
}

/// A new offset of a projection in one shard.
public struct OffsetCommit: Sendable, Hashable {
    /// The projection.
    public var projection: String
    /// The new offset.
    public var committed: CommittedOffset

    /// A commit with the given parts.
    public init(projection: String, committed: CommittedOffset) {
        self.projection = projection
        self.committed = committed
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
