/// The journal.
///
/// An implementor passes every law of `StoreContract` in EgoTestKit; the laws that this port must keep:
///
/// 1. An append is decided by a unique key in the database. The requests of a group commit together, each is whole or
///    absent, and one that conflicts fails alone; later requests of the same entity in the group then conflict too.
/// 2. Offsets follow commit order: whoever reads on from ``JournalPage/next`` never misses a record, with any number of
///    writers in any number of processes.
/// 3. What was acknowledged is durable and survives `kill -9` at any instant.
/// 4. Reads are paged by key, bounded in rows and bytes.
/// 6. Deleting keeps a floor per entity.
/// 7. The command ID is stored with its events, and a second append of the same command is a duplicate.
public protocol EventStore: Sendable {
    /// Appends a group of requests in one transaction; the outcomes are in the order of the requests.
    ///
    /// - Throws: when the transaction as a whole failed. Nothing was appended, unless the error is
    ///   ``StoreError/Code/unavailable`` or ``StoreError/Code/io``: then the outcome is unknown, and a retry with the
    ///   same command IDs tells.
    func append(_ group: [AppendRequest]) async throws(StoreError) -> [AppendOutcome]

    /// What the store knows of an entity's events; nil when it never had one.
    func stream(of id: PersistenceID) async throws(StoreError) -> StreamInfo?

    /// What the state of an event-sourced entity is made from, as it was at one moment: one read where three, one after
    /// the other, would see three moments. Nil when the store never had an event of it.
    ///
    /// - Parameters:
    ///   - last: what is after this number is left out.
    ///   - limit: bounds the events.
    func history(
        of id: PersistenceID, through last: SequenceNumber, limit: PageLimit
    ) async throws(StoreError) -> EntityHistory?

    /// The entity's events from `first` to `last`, both included, ascending, at most one page of them.
    ///
    /// Empty means that there is none in that range.
    func events(
        of id: PersistenceID, from first: SequenceNumber, through last: SequenceNumber, limit: PageLimit
    ) async throws(StoreError) -> [PersistedEvent]

    /// A page of the journal in order of commit, starting after `offset`; of one shard, or of all.
    func journal(after offset: Offset, shard: Shard?, limit: PageLimit) async throws(StoreError) -> JournalPage

    /// The offset of the last record that a reader may see; ``Offset/start`` for an empty journal.
    func head() async throws(StoreError) -> Offset

    /// Returns once there is something to read after `offset`, whoever appended it, or after `timeout`.
    ///
    /// For readers that have reached the head. Nothing else is promised: who polls misses nothing either.
    func awaitAppend(after offset: Offset, timeout: Duration) async throws(StoreError)

    /// Returns once everything that was committed before this call can be read, at the latest after `timeout`.
    ///
    /// Where readers stop before the oldest transaction that is still running, that takes until it has ended.
    func settle(timeout: Duration) async throws(StoreError)

    /// The last place of the journal before the first event that was written at or after `moment`; the head when there is
    /// none. Events are looked at in order of commit; their timestamps are their writers'.
    func offset(before moment: Timestamp) async throws(StoreError) -> Offset

    /// How much of the journal lies after the given offsets, for each of their shards, ascending.
    ///
    /// What it costs grows with the shards and with the events that came since the last call, not with the journal.
    func backlog(after offsets: [Shard: Offset]) async throws(StoreError) -> [ShardBacklog]

    /// What became of an earlier command of the entity, or of its durable state; nil when it was never carried out.
    func command(_ commandID: CommandID, of id: PersistenceID) async throws(StoreError) -> CommandRecord?
}

/// What a store knows of one entity's events.
public struct StreamInfo: Sendable, Hashable {
    /// The last event's number, also when that event was trimmed or erased since.
    public var last: SequenceNumber
    /// Events up to and including this number were deleted on purpose; 0 when none was.
    public var floor: SequenceNumber
    /// The entity's kind, where its writer recorded one.
    public var kind: String?
    /// Whether the entity was erased.
    public var isErased: Bool

    /// Knowledge with the given parts.
    public init(last: SequenceNumber, floor: SequenceNumber, kind: String?, isErased: Bool) {
        self.last = last
        self.floor = floor
        self.kind = kind
        self.isErased = isErased
    }
}

/// What the state of an event-sourced entity is made from.
public struct EntityHistory: Sendable {
    /// What the store knows of its events.
    public var stream: StreamInfo
    /// The newest snapshot that is wanted and not ahead of the entity's last event; nil for none, and of an entity that was
    /// erased.
    public var snapshot: StoredSnapshot?
    /// The first page of the events after the snapshot, or of all; none of an entity that was erased.
    public var events: [PersistedEvent]

    /// A history with the given parts.
    public init(stream: StreamInfo, snapshot: StoredSnapshot? = nil, events: [PersistedEvent] = []) {
        self.stream = stream
        self.snapshot = snapshot
        self.events = events
    }
}

/// How much of one shard's journal a reader has before it.
public struct ShardBacklog: Sendable, Hashable {
    /// The shard.
    public var shard: Shard
    /// How many events there are after the reader's offset.
    public var events: Int
    /// The place of the shard's last event; nil when it has none.
    public var head: Offset?
    /// When that event was written.
    public var headTimestamp: Timestamp?

    /// A backlog with the given parts.
    public init(shard: Shard, events: Int, head: Offset?, headTimestamp: Timestamp?) {
        self.shard = shard
        self.events = events
        self.head = head
        self.headTimestamp = headTimestamp
    }
}

/// A page of the journal.
public struct JournalPage: Sendable {
    /// The records, in order of commit.
    public var events: [PersistedEvent]
    /// Where to read on. Past records of other shards too.
    public var next: Offset
    /// Whether there was nothing more to read when the page was read.
    public var reachedHead: Bool

    /// A page with the given parts.
    public init(events: [PersistedEvent], next: Offset, reachedHead: Bool) {
        self.events = events
        self.next = next
        self.reachedHead = reachedHead
    }
}
