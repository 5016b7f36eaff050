public import EgoCore
public import SwiftProtobuf

/// One entity of an engine. Cheap to make and to keep: it does not hold the entity in memory.
public struct EntityReference<Command: MessageUnion, State: Message, Event: Sendable>: Sendable {
    /// The entity.
    public let id: PersistenceID
    private let host: any EntityHost<Command, State, Event>
    /// Keeps the engine, and with it the sweeper, alive.
    private let engine: Engine

    init(_ id: PersistenceID, host: any EntityHost<Command, State, Event>, engine: Engine) {
        self.id = id
        self.host = host
        self.engine = engine
    }

    /// Sends a command; returns when its events are durable.
    ///
    /// - Throws: ``EgoError``; its code tells what to do.
    @discardableResult
    public func send(
        _ command: Command, _ options: CommandOptions = CommandOptions()
    ) async throws(EgoError) -> Reply<State, Event> {
        return try await host.send(command, to: id, options)
    }

    /// What a command would do now; nothing is written.
    public func preview(
        _ command: Command, _ options: CommandOptions = CommandOptions()
    ) async throws(EgoError) -> Reply<State, Event> {
        return try await host.preview(command, of: id, options)
    }

    /// The committed state, as this engine knows it.
    public func state() async throws(EgoError) -> State {
        return try await host.state(of: id).state
    }

    /// The committed sequence number or version, as this engine knows it.
    public func sequenceNumber() async throws(EgoError) -> SequenceNumber {
        return try await host.state(of: id).version
    }
}
