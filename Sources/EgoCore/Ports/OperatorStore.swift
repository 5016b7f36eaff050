/// What operators need of a store beside its records: lists, counts, transactional changes, leases, jobs, audit.
public protocol OperatorStore: Sendable {
    /// What the store is.
    func metadata() async throws(StoreError) -> StoreMetadata

    /// Entities with events, a durable state or a snapshot, and erased ones, ascending by persistence ID, one page.
    func entities(_ query: EntityQuery) async throws(StoreError) -> [EntitySummary]

    /// Counts over the whole store.
    func statistics() async throws(StoreError) -> StoreStatistics

    /// Makes changes in one transaction, all or none, in their order, and then those of a read model in the same database
    /// (law 5).
    ///
    /// - Parameters:
    ///   - lease: when given, the changes are made only while this lease is still held, and nobody takes it over before
    ///     they are committed.
    ///   - work: runs inside the transaction, on the store's own executor; what it throws undoes everything. Nil when no
    ///     read model changes.
    /// - Returns: how many rows each change inserted or deleted, in the order of the changes.
    /// - Throws: ``StoreError/Code/fenced`` when the lease was lost; ``StoreError/Code/invalid`` with the cause that `work`
    ///   threw, unless that was a store's error about circumstances (``StoreError/isCircumstance``), which is thrown as it
    ///   is. Nothing was changed then.
    func commit(
        _ changes: [OperatorChange], under lease: Lease?, with work: ReadModelWork?
    ) async throws(StoreError) -> [Int]

    /// Lets queries of read models see one state of the database; changes nothing.
    ///
    /// - Parameter work: runs on the store's own executor.
    /// - Throws: as ``commit(_:under:with:)`` does for its work.
    func inspect(_ work: @escaping ReadModelWork) async throws(StoreError)

    /// Takes a lease, or takes one over that ran out.
    ///
    /// - Throws: ``StoreError/Code/leaseHeld`` when another owner holds it; the message names the owner and since when.
    func acquireLease(
        _ name: String, owner: String, for duration: Duration, now: Timestamp
    ) async throws(StoreError) -> Lease

    /// Prolongs a lease.
    ///
    /// - Throws: ``StoreError/Code/fenced`` when it was taken over.
    func renew(_ lease: Lease, for duration: Duration, now: Timestamp) async throws(StoreError) -> Lease

    /// Gives a lease back. Nothing happens when it was taken over.
    func release(_ lease: Lease) async throws(StoreError)

    /// The leases that were not released, ascending by name.
    func leases() async throws(StoreError) -> [Lease]

    /// The job of an ID; nil when there is none.
    func job(_ id: String) async throws(StoreError) -> Job?

    /// All jobs, newest first.
    func jobs() async throws(StoreError) -> [Job]

    /// The audit log after record `number`, ascending, at most `limit` records.
    func audit(after number: UInt64, limit: Int) async throws(StoreError) -> [AuditRecord]

    /// The entity's tombstone; nil when it was not erased.
    func tombstone(of id: PersistenceID) async throws(StoreError) -> Tombstone?

    /// How many dead letters of an entity's events there are, of all versions of all projections.
    func deadLetterCount(of id: PersistenceID) async throws(StoreError) -> Int

    /// Erasures after one by its number, ascending, at most `limit`. Whoever reads on from the last number misses none.
    func erasures(after number: UInt64, limit: Int) async throws(StoreError) -> [Erasure]

    /// Legal holds, ascending by persistence ID.
    func holds() async throws(StoreError) -> [LegalHold]

    /// What is wrong with the storage itself, below the level of records; empty when nothing is.
    ///
    /// - Parameter isThorough: whether every page of it is read, which takes as long as reading the whole store.
    func flaws(isThorough: Bool) async throws(StoreError) -> [StorageFlaw]

    /// The newest event of an entity that carries eGo v3's inline state, up to and including `last`; nil when none does.
    func newestInlineState(
        of id: PersistenceID, through last: SequenceNumber
    ) async throws(StoreError) -> PersistedEvent?

    /// Removes from the database's files what deleted records have left there: whatever is not reached any more, but can
    /// be read by somebody who has the files.
    ///
    /// It takes as long as reading the files, and where something is found as long as writing them.
    ///
    /// - Parameter search: what must not be left.
    /// - Throws: ``StoreError/Code/busy`` when others keep what is old from being overwritten.
    func purge(_ search: ResidueSearch) async throws(StoreError) -> PurgeReport

    /// Looks for what ``purge(_:)`` removes, and changes nothing.
    func residue(_ search: ResidueSearch) async throws(StoreError) -> PurgeReport

    /// What is dangerous in the store or about its server, though nothing is broken; empty when nothing is.
    ///
    /// - Parameters:
    ///   - now: this process's time, to compare the server's with.
    ///   - isThorough: whether records are looked at too, which takes as long as reading the whole store.
    func hazards(now: Timestamp, isThorough: Bool) async throws(StoreError) -> [StoreHazard]
}

extension OperatorStore {
    /// Makes changes in one transaction; see ``commit(_:under:with:)``.
    public func commit(_ changes: [OperatorChange], under lease: Lease?) async throws(StoreError) -> [Int] {
        try await commit(changes, under: lease, with: nil)
    }
}

/// Something in a store, or about its server, that does harm sooner or later.
public struct StoreHazard: Sendable, Hashable {
    /// What it is, for programs: `both_kinds_of_state`, `sequence_gap`, `timestamps_backwards`, `timestamp_ties`,
    /// `timestamp_units`, `offset_units`, `offset_ahead_of_head`, `shard_mismatch`, `missing_index`, `not_adopted`,
    /// `long_transaction`, `not_durable`, `clock_skew` or `foreign_order`.
    public var code: String
    /// What it is, in a sentence, with the first of what it is about.
    public var message: String
    /// What to do about it.
    public var remedy: String
    /// Whether it has to be dealt with; what is not a problem is good to know.
    public var isProblem: Bool

    /// A hazard with the given parts.
    public init(code: String, message: String, remedy: String, isProblem: Bool) {
        self.code = code
        self.message = message
        self.remedy = remedy
        self.isProblem = isProblem
    }

    /// Entities that have both events and a durable state.
    package static func bothKindsOfState(count: Int, first: PersistenceID) -> StoreHazard {
        StoreHazard(
            code: "both_kinds_of_state",
            message: "\(count) entities have both events and a durable state, as \(first)",
            remedy: "decide which one is true, and delete the other", isProblem: true)
    }

    /// Entities that miss events.
    package static func sequenceGap(count: Int, first: PersistenceID) -> StoreHazard {
        StoreHazard(
            code: "sequence_gap", message: "\(count) entities miss events that nobody trimmed, as \(first)",
            remedy: "ego verify names them; restore the missing events from a backup", isProblem: true)
    }
}

/// Something wrong with a store's tables, indexes or files.
public struct StorageFlaw: Sendable, Hashable {
    /// What it is about, as the name of a table.
    public var subject: String
    /// What is wrong, in a sentence.
    public var message: String
    /// What to do about it.
    public var remedy: String

    /// A flaw with the given parts.
    public init(subject: String, message: String, remedy: String) {
        self.subject = subject
        self.message = message
        self.remedy = remedy
    }
}

/// What a store is.
public struct StoreMetadata: Sendable, Hashable {
    /// Tells this store from every other; made when the store was.
    public var storeID: String
    /// The version of the schema.
    public var schemaVersion: Int
    /// How many shards the store's entities are spread over; fixed.
    public var shardCount: UInt32
    /// Who made the database.
    public var origin: Origin

    /// Who made a database.
    public enum Origin: String, Sendable {
        case ego
        case egoGoV3 = "ego-go-v3"
        case egoGoV4 = "ego-go-v4"
    }

    /// Metadata with the given parts.
    public init(storeID: String, schemaVersion: Int, shardCount: UInt32, origin: Origin) {
        self.storeID = storeID
        self.schemaVersion = schemaVersion
        self.shardCount = shardCount
        self.origin = origin
    }
}

/// Which entities to list.
public struct EntityQuery: Sendable, Hashable {
    /// Entities whose ID starts with this text.
    public var prefix: String?
    /// Entities that were recorded with one of these kinds; nil for all.
    public var kind: String?
    /// Entities of this shard.
    public var shard: Shard?
    /// Only entities after this one.
    public var after: PersistenceID?
    /// The most entities to return; at least 1.
    public var limit: Int
    /// Whether to count the events of each, which takes the longer the more there are.
    public var countsEvents: Bool

    /// A query with the given parts.
    public init(
        prefix: String? = nil, kind: String? = nil, shard: Shard? = nil, after: PersistenceID? = nil,
        limit: Int = 100, countsEvents: Bool = false
    ) {
        self.prefix = prefix
        self.kind = kind
        self.shard = shard
        self.after = after
        self.limit = max(1, limit)
        self.countsEvents = countsEvents
    }
}

/// What a store knows of one entity.
public struct EntitySummary: Sendable, Hashable {
    /// The entity.
    public var persistenceID: PersistenceID
    /// The kind that its writer recorded.
    public var kind: String?
    /// The last event's number, or the durable state's version.
    public var sequenceNumber: SequenceNumber
    /// Events up to and including this number were deleted on purpose; 0 when none was.
    public var floor: SequenceNumber
    /// How many events are stored; less than ``sequenceNumber`` after a trim. Nil where the query does not count them.
    public var eventCount: Int?
    /// The place of the last stored event in the journal; nil when there is none.
    public var lastOffset: Offset?
    /// Whether a snapshot of it is stored.
    public var hasSnapshots: Bool
    /// Whether the entity has a durable state instead of events.
    public var isDurableState: Bool
    /// The entity's shard.
    public var shard: Shard
    /// When the first stored event was written; nil when there is none, or where the query does not count events.
    public var firstTimestamp: Timestamp?
    /// When the last stored event or the state was written; nil when there is none.
    public var lastTimestamp: Timestamp?
    /// Whether an event of it is encrypted.
    public var isEncrypted: Bool
    /// When it was erased; nil when it was not.
    public var erasedAt: Timestamp?

    /// Whether it was erased.
    public var isErased: Bool { erasedAt != nil }

    /// A summary with the given parts.
    public init(
        persistenceID: PersistenceID, kind: String?, sequenceNumber: SequenceNumber, floor: SequenceNumber,
        eventCount: Int?, lastOffset: Offset?, hasSnapshots: Bool, isDurableState: Bool, shard: Shard,
        firstTimestamp: Timestamp?, lastTimestamp: Timestamp?, isEncrypted: Bool, erasedAt: Timestamp?
    ) {
        self.persistenceID = persistenceID
        self.kind = kind
        self.sequenceNumber = sequenceNumber
        self.floor = floor
        self.eventCount = eventCount
        self.lastOffset = lastOffset
        self.hasSnapshots = hasSnapshots
        self.isDurableState = isDurableState
        self.shard = shard
        self.firstTimestamp = firstTimestamp
        self.lastTimestamp = lastTimestamp
        self.isEncrypted = isEncrypted
        self.erasedAt = erasedAt
    }
}

/// Counts over a whole store.
public struct StoreStatistics: Sendable, Hashable {
    /// Entities with events or a durable state, erased ones included.
    public var entities: Int
    /// Stored events.
    public var events: Int
    /// Stored snapshots.
    public var snapshots: Int
    /// Stored durable states.
    public var durableStates: Int
    /// The last record's offset.
    public var head: Offset
    /// What the store takes on disk or in memory, in bytes; nil when unknown.
    public var bytes: Int?

    /// Counts with the given parts.
    public init(entities: Int, events: Int, snapshots: Int, durableStates: Int, head: Offset, bytes: Int?) {
        self.entities = entities
        self.events = events
        self.snapshots = snapshots
        self.durableStates = durableStates
        self.head = head
        self.bytes = bytes
    }
}
