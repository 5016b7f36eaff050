/// States of event-sourced entities at sequence numbers.
public protocol SnapshotStore: Sendable {
    /// Saves a snapshot; one that is there at the same sequence number is replaced. Nothing is saved for an erased
    /// entity.
    func save(_ snapshot: StoredSnapshot) async throws(StoreError)

    /// The newest snapshot at or before `last`; nil when there is none.
    func latestSnapshot(
        of id: PersistenceID, through last: SequenceNumber
    ) async throws(StoreError) -> StoredSnapshot?

    /// The entity's snapshots from `first` on, ascending by sequence number, at most one page.
    func snapshots(
        of id: PersistenceID, from first: SequenceNumber, limit: PageLimit
    ) async throws(StoreError) -> [StoredSnapshot]
}

/// Latest states of durable-state entities.
///
/// The new version is exactly one more than the expected one, decided by the database in the write itself: of two
/// writers with the same expectation one gets a conflict, and neither overwrites the other.
public protocol StateStore: Sendable {
    /// Saves a group of states in one transaction; the outcomes are in the order of the writes. A write that conflicts
    /// fails alone, and later writes of the same entity in the group then conflict too.
    ///
    /// - Throws: as ``EventStore/append(_:)``.
    func save(_ group: [StateWrite]) async throws(StoreError) -> [StateOutcome]

    /// The entity's latest state; nil when it never had one, or was erased.
    func state(of id: PersistenceID) async throws(StoreError) -> StoredState?
}

/// One new version of one durable state.
public struct StateWrite: Sendable {
    /// The entity.
    public var persistenceID: PersistenceID
    /// The entity's kind, recorded with its first version.
    public var kind: String?
    /// The version that the new one replaces; 0 when there is none. The new version is this plus 1.
    public var expectedVersion: SequenceNumber
    /// When the state was made.
    public var timestamp: Timestamp
    /// The state: a serialized `google.protobuf.Any`. Nil records that a command had no effect; it needs a command ID.
    public var payload: [UInt8]?
    /// See ``StoredState/encryptionKeyID``.
    public var encryptionKeyID: String
    /// See ``StoredState/isEncrypted``.
    public var isEncrypted: Bool
    /// Stored with the state; see ``AppendRequest/metadata``.
    public var metadata: EventMetadata

    /// A write with the given parts.
    public init(
        persistenceID: PersistenceID, kind: String? = nil, expectedVersion: SequenceNumber, timestamp: Timestamp,
        payload: [UInt8]?, encryptionKeyID: String = "", isEncrypted: Bool = false, metadata: EventMetadata = .none
    ) {
        self.persistenceID = persistenceID
        self.kind = kind
        self.expectedVersion = expectedVersion
        self.timestamp = timestamp
        self.payload = payload
        self.encryptionKeyID = encryptionKeyID
        self.isEncrypted = isEncrypted
        self.metadata = metadata
    }
}

/// What became of one write of a group.
public enum StateOutcome: Sendable, Hashable {
    /// Durable, with this version.
    case saved(version: SequenceNumber)
    /// Nothing was written: the version is `actual`, or an earlier write of the entity in the group failed.
    case conflict(actual: SequenceNumber)
    /// Nothing was written: the command was carried out before.
    case duplicate(CommandRecord)
    /// Nothing was written: the entity was erased.
    case erased
}
