public import EgoCore
public import SwiftProtobuf

/// The answer to a command; given when its effect is durable.
public struct Reply<State: Sendable, Event: Sendable>: Sendable {
    /// The entity.
    public var persistenceID: PersistenceID
    /// The state after the command.
    public var state: State
    /// The entity's last sequence number, or its version, after the command.
    public var sequenceNumber: SequenceNumber
    /// The events of the command, in order; empty when it changed nothing, and for a durable state.
    public var events: [Event]
    /// Whether this is the answer to an earlier command of the same command ID.
    public var isRepeated: Bool

    @inlinable
    init(
        persistenceID: PersistenceID, state: State, sequenceNumber: SequenceNumber, events: [Event], isRepeated: Bool
    ) {
        self.persistenceID = persistenceID
        self.state = state
        self.sequenceNumber = sequenceNumber
        self.events = events
        self.isRepeated = isRepeated
    }
}

/// A reply whose types are known only at run time.
public struct ErasedReply: Sendable {
    /// The entity.
    public var persistenceID: PersistenceID
    /// The state after the command.
    public var state: any Message
    /// The entity's last sequence number, or its version, after the command.
    public var sequenceNumber: SequenceNumber
    /// The events of the command, in order.
    public var events: [any Message]
    /// Whether this is the answer to an earlier command of the same command ID.
    public var isRepeated: Bool

    init(_ reply: CellReply, _ id: PersistenceID) {
        self.persistenceID = id
        self.state = reply.current.state.message
        self.sequenceNumber = reply.current.version
        self.events = reply.events?.messages ?? []
        self.isRepeated = reply.isRepeated
    }
}

/// What goes along with a command.
public struct CommandOptions: Sendable {
    /// What the entity's last sequence number or version has to be; ``ExpectedVersion/any`` runs the command on
    /// whatever is there.
    public var expectedVersion: ExpectedVersion
    /// Stored with the events. With a command ID, sending the command again has no second effect.
    public var metadata: EventMetadata

    /// Options with the given parts.
    public init(expectedVersion: ExpectedVersion = .any, metadata: EventMetadata = .none) {
        self.expectedVersion = expectedVersion
        self.metadata = metadata
    }

    /// Options of a command with an ID.
    public init(commandID: CommandID) {
        self.init(metadata: EventMetadata(commandID: commandID))
    }
}
