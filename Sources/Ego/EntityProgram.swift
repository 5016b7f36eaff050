public import EgoCore

/// How entities of one kind are read from their store; event-sourced and durable-state entities differ in nothing else
/// but what they write.
protocol EntityProgram: Sendable {
    var kind: String { get }
    /// Whether entities have events, and so snapshots.
    var isEventSourced: Bool { get }

    /// The state of an entity before its first command.
    func initialState(for id: PersistenceID) -> any AnyEntityState

    /// Reads the entity from the store.
    func recover(_ id: PersistenceID) async throws(EgoError) -> Versioned

    /// What an earlier command gave.
    func answer(_ record: CommandRecord, of id: PersistenceID) async throws(EgoError) -> CellReply

    /// Looks for an earlier command of the same ID.
    func command(_ commandID: CommandID, of id: PersistenceID) async throws(StoreError) -> CommandRecord?

    /// A write that only records that a command had no effect.
    func record(_ metadata: EventMetadata, at version: SequenceNumber, of id: PersistenceID) -> EntityWrite
}

/// A state, of whatever type, and what it includes.
@usableFromInline
struct Versioned: Sendable {
    @usableFromInline var state: any AnyEntityState
    @usableFromInline var version: SequenceNumber

    init(state: any AnyEntityState, version: SequenceNumber) {
        (self.state, self.version) = (state, version)
    }

    /// The state after a change of it.
    func after(_ change: EntityChange) -> Versioned {
        Versioned(state: change.after, version: change.version(after: version))
    }
}

/// The answer of a cell.
struct CellReply: Sendable {
    var current: Versioned
    /// The events of the command; nil for none.
    var events: (any AnyEntityEvents)?
    var isRepeated = false
}

/// What is written for one command.
indirect enum EntityWrite: Sendable {
    case append(AppendRequest)
    case save(StateWrite)

    /// What a change of an entity that is at `version` is written as.
    init(
        _ change: EntityChange, of id: PersistenceID, kind: String, at version: SequenceNumber,
        _ metadata: EventMetadata
    ) {
        switch change.content {
        case .events(let events):
            self = .append(AppendRequest(events, of: id, kind: kind, at: version, metadata))
        case .state(let payload, let timestamp):
            self = .save(StateWrite(payload, timestamp, of: id, kind: kind, at: version, metadata))
        }
    }
}

extension AppendRequest {
    /// Appends events to an entity that is at `version`.
    init(
        _ events: [NewEvent], of id: PersistenceID, kind: String, at version: SequenceNumber, _ metadata: EventMetadata
    ) {
        self.init(
            persistenceID: id, kind: kind, expectedVersion: .exact(version), events: events, metadata: metadata)
    }
}

extension StateWrite {
    /// Replaces a state that is at `version`.
    init(
        _ payload: [UInt8], _ timestamp: Timestamp, of id: PersistenceID, kind: String, at version: SequenceNumber,
        _ metadata: EventMetadata
    ) {
        self.init(
            persistenceID: id, kind: kind, expectedVersion: version, timestamp: timestamp, payload: payload,
            metadata: metadata)
    }
}
