/// One change that an operation makes to a store; several are committed together, so that an operation's effect, its
/// checkpoint and its audit record are all there or all absent.
public enum OperatorChange: Sendable {
    /// Deletes the entity's events up to and including a number, and raises its floor to it (law 6).
    /// A number past the last event counts as the last event's.
    case deleteEvents(of: PersistenceID, through: SequenceNumber)
    /// Deletes events as ``deleteEvents(of:through:)`` does, but none of an entity under a legal hold, and none that a
    /// projection which committed an offset of the entity's shard has not passed.
    case retireEvents(of: PersistenceID, through: SequenceNumber)
    /// Deletes snapshots as ``deleteSnapshots(of:through:)`` does, but none of an entity under a legal hold, and never the
    /// newest one of an entity whose events were deleted: it stands for them.
    case retireSnapshots(of: PersistenceID, through: SequenceNumber)
    /// Deletes the entity's snapshots up to and including a number.
    case deleteSnapshots(of: PersistenceID, through: SequenceNumber)
    /// Saves a snapshot, replacing one at the same number.
    case saveSnapshot(StoredSnapshot)
    /// Adds events with their own numbers, timestamps and metadata, as an import does; positions are the store's to give.
    /// Each has to follow its entity's last event. The first event of an entity may have any number: what came before it
    /// counts as deleted (law 6). Events of an erased entity are left out.
    ///
    /// When one does not follow, the whole commit fails with ``StoreError/Code/conflict``. Command IDs in the metadata are
    /// remembered (law 7).
    case addEvents([PersistedEvent])
    /// Records the entity's kind, unless it has one.
    case recordKind(String, of: PersistenceID)
    /// Records of an entity without events that those up to and including a number were deleted (law 6). Nothing happens
    /// to one that has events, or was erased.
    case raiseFloor(of: PersistenceID, to: SequenceNumber)
    /// Saves a durable state with its own version, unless the entity has one, or was erased.
    case addState(StoredState)
    /// Deletes all dead letters of an entity, and its remembered command IDs.
    case eraseTraces(of: PersistenceID)
    /// Removes eGo v3's inline state from the entity's events up to and including a number.
    case dropInlineState(of: PersistenceID, from: SequenceNumber, through: SequenceNumber)
    /// Deletes the entity's durable state.
    case deleteState(of: PersistenceID)
    /// Marks an entity as erased: no append, snapshot or state of it is accepted any more, and its remembered command
    /// IDs are deleted.
    case placeTombstone(Tombstone)
    /// Adds a job, or replaces the one of the same ID.
    case saveJob(Job)
    /// Appends to the audit log.
    case audit(AuditEntry)
    /// Adds a legal hold, or replaces the entity's.
    case placeHold(LegalHold)
    /// Removes the entity's legal hold.
    case releaseHold(of: PersistenceID)
    /// Sets offsets of a projection, and adds its dead letters.
    case advance(ProjectionAdvance)
    /// Saves a projection's record. The commit fails with ``StoreError/Code/conflict`` when the stored revision is not the
    /// record's; the saved one is greater by 1. A record that is new has revision 0.
    case saveProjection(ProjectionRecord)
    /// Forgets offsets and dead letters of one version of a projection's read model.
    case forgetVersion(Int, ofProjection: String)
    /// Forgets a projection: its record, its offsets and its dead letters.
    case forgetProjection(String)
    /// Deletes a dead letter.
    case deleteDeadLetter(of: String, version: Int, at: Offset)
    /// Takes the right to go on from whoever holds a lease: what it does under it from now on is refused, until it takes
    /// the lease again, which it may do at once. Nothing happens to a lease that nobody ever had.
    case breakLease(String)
    /// Gives the next events that other software wrote before the database was adopted their place in the journal, at
    /// most so many. None where all have theirs.
    case orderOlderEvents(limit: Int)
}

/// The right to change something, for a while.
public struct Lease: Sendable, Hashable {
    /// What is guarded.
    public var name: String
    /// Who holds it.
    public var owner: String
    /// Grows each time the lease changes hands; tells a late holder from the current one.
    public var generation: UInt64
    /// When the owner took it.
    public var acquiredAt: Timestamp
    /// When others may take it over.
    public var expiresAt: Timestamp

    /// A lease with the given parts.
    public init(name: String, owner: String, generation: UInt64, acquiredAt: Timestamp, expiresAt: Timestamp) {
        self.name = name
        self.owner = owner
        self.generation = generation
        self.acquiredAt = acquiredAt
        self.expiresAt = expiresAt
    }
}

/// Durable, resumable operator work.
public struct Job: Sendable, Hashable {
    /// Names the job; unique in the store.
    public var id: String
    /// The operation.
    public var kind: String
    /// Where it stands.
    public var state: State
    /// The operation's arguments, as JSON.
    public var arguments: String
    /// How far it came, as JSON; the operation's own format.
    public var checkpoint: String
    /// When it was started.
    public var createdAt: Timestamp
    /// When its checkpoint was last written.
    public var updatedAt: Timestamp

    /// Where a job stands.
    public enum State: String, Sendable {
        case running, interrupted, failed, done, discarded

        /// Whether the job can go on.
        public var isUnfinished: Bool { self != .done && self != .discarded }
    }

    /// A job with the given parts.
    public init(
        id: String, kind: String, state: State, arguments: String, checkpoint: String, createdAt: Timestamp,
        updatedAt: Timestamp
    ) {
        self.id = id
        self.kind = kind
        self.state = state
        self.arguments = arguments
        self.checkpoint = checkpoint
        self.createdAt = createdAt
        self.updatedAt = updatedAt
    }
}

/// Marks an erased entity; keeps its last sequence number, so that the number is never given again.
public struct Tombstone: Sendable, Hashable {
    /// The entity.
    public var persistenceID: PersistenceID
    /// The entity's last sequence number when it was erased.
    public var sequenceNumber: SequenceNumber
    /// When it was erased.
    public var erasedAt: Timestamp

    /// A tombstone with the given parts.
    public init(persistenceID: PersistenceID, sequenceNumber: SequenceNumber, erasedAt: Timestamp) {
        self.persistenceID = persistenceID
        self.sequenceNumber = sequenceNumber
        self.erasedAt = erasedAt
    }
}

/// Keeps an entity's records from being deleted by retention.
public struct LegalHold: Sendable, Hashable {
    /// The entity.
    public var persistenceID: PersistenceID
    /// Why.
    public var reason: String
    /// Since when.
    public var placedAt: Timestamp

    /// A hold with the given parts.
    public init(persistenceID: PersistenceID, reason: String, placedAt: Timestamp) {
        self.persistenceID = persistenceID
        self.reason = reason
        self.placedAt = placedAt
    }
}
