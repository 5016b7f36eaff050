/// What an appender knows of an entity's last sequence number or version.
public enum ExpectedVersion: Sendable, Hashable {
    /// Nothing: append after whatever is there.
    case any
    /// The entity has no event yet.
    case noStream
    /// The entity's last event has exactly this number; 0 is the same as ``noStream``.
    case exact(SequenceNumber)

    /// The number that the next event follows, where it is known.
    public var last: SequenceNumber? {
        switch self {
        case .any: nil
        case .noStream: .zero
        case .exact(let number): number
        }
    }
}

/// An event that is about to be appended; its sequence number and position are the store's to give.
public struct NewEvent: Sendable, Hashable {
    /// See ``PersistedEvent/timestamp``.
    public var timestamp: Timestamp
    /// See ``PersistedEvent/manifest``.
    public var manifest: String
    /// See ``PersistedEvent/payload``.
    public var payload: [UInt8]
    /// See ``PersistedEvent/encryptionKeyID``.
    public var encryptionKeyID: String
    /// See ``PersistedEvent/isEncrypted``.
    public var isEncrypted: Bool
    /// See ``PersistedEvent/unknownFields``.
    public var unknownFields: [UInt8]

    /// An event with the given parts.
    public init(
        timestamp: Timestamp, manifest: String = PersistedEvent.anyManifest, payload: [UInt8],
        encryptionKeyID: String = "", isEncrypted: Bool = false, unknownFields: [UInt8] = []
    ) {
        self.timestamp = timestamp
        self.manifest = manifest
        self.payload = payload
        self.encryptionKeyID = encryptionKeyID
        self.isEncrypted = isEncrypted
        self.unknownFields = unknownFields
    }
}

/// The events of one command of one entity, to be appended together or not at all.
public struct AppendRequest: Sendable {
    /// The entity.
    public var persistenceID: PersistenceID
    /// The entity's kind, recorded with its first event; nil where the writer knows none.
    public var kind: String?
    /// What the entity's last sequence number has to be.
    public var expectedVersion: ExpectedVersion
    /// The events in order. Empty together with a command ID records that the command had no effect.
    public var events: [NewEvent]
    /// Stored with each of the events. Its command ID makes a second append of the same command a duplicate.
    public var metadata: EventMetadata

    /// A request with the given parts.
    public init(
        persistenceID: PersistenceID, kind: String? = nil, expectedVersion: ExpectedVersion, events: [NewEvent],
        metadata: EventMetadata = .none
    ) {
        self.persistenceID = persistenceID
        self.kind = kind
        self.expectedVersion = expectedVersion
        self.events = events
        self.metadata = metadata
    }
}

/// What became of one request of a group.
public enum AppendOutcome: Sendable, Hashable {
    /// Durable; `last` is the entity's last sequence number, `offset` that of the last event.
    case appended(last: SequenceNumber, offset: Offset)
    /// Nothing was appended: the entity's last sequence number is `actual`, or an earlier request of the same entity
    /// in the same group failed.
    case conflict(actual: SequenceNumber)
    /// Nothing was appended: the command was carried out before.
    case duplicate(CommandRecord)
    /// Nothing was appended: the entity was erased.
    case erased
}

/// A command that was carried out: which events it made.
public struct CommandRecord: Sendable, Hashable {
    /// The command.
    public var commandID: CommandID
    /// The entity's last sequence number or version before the command.
    public var before: SequenceNumber
    /// The entity's last sequence number or version after it; equal to ``before`` when the command had no effect.
    public var after: SequenceNumber

    /// A record with the given parts.
    public init(commandID: CommandID, before: SequenceNumber, after: SequenceNumber) {
        self.commandID = commandID
        self.before = before
        self.after = after
    }
}
