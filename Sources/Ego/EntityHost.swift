import EgoCore
import SwiftProtobuf

/// All entities of one kind in an engine.
protocol EntityHost<Command, State, Event>: Sendable {
    associatedtype Command: MessageUnion
    associatedtype State: Message
    associatedtype Event: Sendable

    func send(
        _ command: Command, to id: PersistenceID, _ options: CommandOptions
    ) async throws(EgoError) -> Reply<State, Event>

    func preview(
        _ command: Command, of id: PersistenceID, _ options: CommandOptions
    ) async throws(EgoError) -> Reply<State, Event>

    func state(of id: PersistenceID) async throws(EgoError) -> Versioned<State>
}

/// The entities of one kind, whose program is `Program`.
final class KindHost<Program: EntityProgram>: EntityHost {
    typealias Command = Program.Command
    typealias State = Program.State
    typealias Event = Program.Event

    private let program: Program
    private let initialState: @Sendable (PersistenceID) -> State
    private let registry: EntityRegistry
    private let context: EngineContext

    init(
        _ program: Program, initialState: @escaping @Sendable (PersistenceID) -> State, registry: EntityRegistry,
        context: EngineContext
    ) {
        self.program = program
        self.initialState = initialState
        self.registry = registry
        self.context = context
    }

    func send(
        _ command: Command, to id: PersistenceID, _ options: CommandOptions
    ) async throws(EgoError) -> Reply<State, Event> {
        try begin()
        defer { context.calls.end() }
        while true {
            if let reply = try await cell(id).send(command, options) { return reply }
        }
    }

    func preview(
        _ command: Command, of id: PersistenceID, _ options: CommandOptions
    ) async throws(EgoError) -> Reply<State, Event> {
        try begin()
        defer { context.calls.end() }
        while true {
            if let reply = try await cell(id).preview(command, options) { return reply }
        }
    }

    func state(of id: PersistenceID) async throws(EgoError) -> Versioned<State> {
        try begin()
        defer { context.calls.end() }
        while true {
            if let state = try await cell(id).read() { return state }
        }
    }

    private func begin() throws(EgoError) {
        if !context.calls.begin() { throw EgoError(.closed, "the engine was shut down") }
    }

    private func cell(_ id: PersistenceID) throws(EgoError) -> EntityCell<Program> {
        let entity = registry.entity(id, kind: program.kind) {
            EntityCell(id, program: program, initialState: initialState(id), context: context)
        }
        if let cell = entity as? EntityCell<Program>, cell.kind == program.kind { return cell }
        throw EgoError(
            .wrongKind, "it is active as kind \(entity.kind), not \(program.kind)", persistenceID: id)
    }
}

extension EntityHost {
    /// Sends a message whose type is known only at run time.
    func sendErased(
        _ message: any Message, to id: PersistenceID, _ options: CommandOptions
    ) async throws(EgoError) -> ErasedReply {
        ErasedReply(try await send(command(message, id), to: id, options))
    }

    func previewErased(
        _ message: any Message, of id: PersistenceID, _ options: CommandOptions
    ) async throws(EgoError) -> ErasedReply {
        ErasedReply(try await preview(command(message, id), of: id, options))
    }

    func stateErased(of id: PersistenceID) async throws(EgoError) -> ErasedReply {
        let current = try await state(of: id)
        return ErasedReply(
            Reply<State, Event>(
                persistenceID: id, state: current.state, sequenceNumber: current.version, events: [],
                isRepeated: false))
    }

    private func command(_ message: any Message, _ id: PersistenceID) throws(EgoError) -> Command {
        if let command = Command.members.wrap(message) { return command }
        throw EgoError(
            .unknownCommand, "it takes no command \(type(of: message).protoMessageName)", persistenceID: id)
    }
}
