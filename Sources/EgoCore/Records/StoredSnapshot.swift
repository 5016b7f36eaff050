/// An entity's state at a sequence number, as bytes.
public struct StoredSnapshot: Sendable, Hashable {
    /// The entity.
    public var persistenceID: PersistenceID
    /// The last event that the state includes.
    public var sequenceNumber: SequenceNumber
    /// When the snapshot was taken.
    public var timestamp: Timestamp
    /// What the payload is; see ``PersistedEvent/manifest``.
    public var manifest: String
    /// The state: a serialized `google.protobuf.Any`, whose value is ciphertext when ``isEncrypted``.
    public var payload: [UInt8]
    /// The key that the payload is encrypted with; empty when it is not.
    public var encryptionKeyID: String
    /// Whether the payload's value is ciphertext.
    public var isEncrypted: Bool
    /// Whether the payload is not the one that was written; see ``PersistedEvent/isDamaged``.
    public var isDamaged: Bool

    /// A snapshot with the given parts.
    public init(
        persistenceID: PersistenceID, sequenceNumber: SequenceNumber, timestamp: Timestamp,
        manifest: String = PersistedEvent.anyManifest, payload: [UInt8], encryptionKeyID: String = "",
        isEncrypted: Bool = false, isDamaged: Bool = false
    ) {
        self.persistenceID = persistenceID
        self.sequenceNumber = sequenceNumber
        self.timestamp = timestamp
        self.manifest = manifest
        self.payload = payload
        self.encryptionKeyID = encryptionKeyID
        self.isEncrypted = isEncrypted
        self.isDamaged = isDamaged
    }
}

/// The latest state of a durable-state entity, as bytes.
public struct StoredState: Sendable, Hashable {
    /// The entity.
    public var persistenceID: PersistenceID
    /// The version: one more with every change. A row of eGo for Go that never took a command has version 0.
    public var version: SequenceNumber
    /// When the state was written.
    public var timestamp: Timestamp
    /// The slice that the entity belongs to.
    public var shard: Shard
    /// What the payload is; see ``PersistedEvent/manifest``.
    public var manifest: String
    /// The state: a serialized `google.protobuf.Any`, whose value is ciphertext when ``isEncrypted``.
    public var payload: [UInt8]
    /// The key that the payload is encrypted with; empty when it is not.
    public var encryptionKeyID: String
    /// Whether the payload's value is ciphertext.
    public var isEncrypted: Bool
    /// Whether the payload is not the one that was written; see ``PersistedEvent/isDamaged``.
    public var isDamaged: Bool
    /// What travels beside the state.
    public var metadata: EventMetadata

    /// A state with the given parts.
    public init(
        persistenceID: PersistenceID, version: SequenceNumber, timestamp: Timestamp, shard: Shard,
        manifest: String = PersistedEvent.anyManifest, payload: [UInt8], encryptionKeyID: String = "",
        isEncrypted: Bool = false, isDamaged: Bool = false, metadata: EventMetadata = .none
    ) {
        self.persistenceID = persistenceID
        self.version = version
        self.timestamp = timestamp
        self.shard = shard
        self.manifest = manifest
        self.payload = payload
        self.encryptionKeyID = encryptionKeyID
        self.isEncrypted = isEncrypted
        self.isDamaged = isDamaged
        self.metadata = metadata
    }
}
