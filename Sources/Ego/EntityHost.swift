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

    func state(of id: PersistenceID) async throws(EgoError) -> (state: State, version: SequenceNumber)
}

/// The entities of one kind, whose program is `Program`.
final class KindHost<Program: EntityProgram>: EntityHost {
    typealias Command = Program.Command
    typealias State = Program.State
    typealias Event = Program.Event

    private let program: Program
    private let cellProgram: CellProgram
    private let initialState: @Sendable (PersistenceID) -> State
    private let registry: EntityRegistry
    private let context: EngineContext

    init(
        _ program: Program, _ committers: EntityCommitters,
        initialState: @escaping @Sendable (PersistenceID) -> State, registry: EntityRegistry, context: EngineContext
    ) {
        self.program = program
        self.cellProgram = CellProgram(program, committers)
        self.initialState = initialState
        self.registry = registry
        self.context = context
    }

    func send(
        _ command: Command, to id: PersistenceID, _ options: CommandOptions
    ) async throws(EgoError) -> Reply<State, Event> {
        try begin()
        defer { context.calls.end() }
        let decision = decision(on: command, of: id, options.metadata)
        while true {
            if let reply = try await cell(id).send(decision, options) { return typed(reply, id) }
        }
    }

    func preview(
        _ command: Command, of id: PersistenceID, _ options: CommandOptions
    ) async throws(EgoError) -> Reply<State, Event> {
        try begin()
        defer { context.calls.end() }
        let decision = decision(on: command, of: id, .none)
        while true {
            if let reply = try await cell(id).preview(decision, options) { return typed(reply, id) }
        }
    }

    func state(of id: PersistenceID) async throws(EgoError) -> (state: State, version: SequenceNumber) {
        try begin()
        defer { context.calls.end() }
        while true {
            if let current = try await cell(id).read() { return (Self.typed(current.state), current.version) }
        }
    }

    // MARK: From types to cells and back

    private func decision(on command: Command, of id: PersistenceID, _ metadata: EventMetadata) -> Decision {
        let program = program
        switch program.handler {
        case .immediate(let handle):
            return .immediate { current in
                let state = Self.typed(current.state)
                return try program.transition(
                    handle(command, state), from: state, current.version, of: id, metadata: metadata)
            }
        case .awaiting(let handle):
            return .awaiting { current in
                let state = Self.typed(current.state)
                return try program.transition(
                    await handle(command, state), from: state, current.version, of: id, metadata: metadata)
            }
        }
    }

    private func typed(_ reply: CellReply, _ id: PersistenceID) -> Reply<State, Event> {
        Reply(
            persistenceID: id, state: Self.typed(reply.current.state), sequenceNumber: reply.current.version,
            events: reply.events.map { unsafeDowncast($0, to: TypedEvents<Event>.self).all } ?? [],
            isRepeated: reply.isRepeated)
    }

    /// A cell of this host holds nothing but states and events of its program, which ``cell(_:)`` makes sure of.
    private static func typed<Value: Message>(_ state: Value) -> State {
        precondition(Value.self == State.self, "a cell of another kind")
        return unsafeBitCast(state, to: State.self)
    }

    private func begin() throws(EgoError) {
        if !context.calls.begin() { throw EgoError(.closed, "the engine was shut down") }
    }

    private func cell(_ id: PersistenceID) throws(EgoError) -> EntityCell {
        let cell = registry.entity(id, kind: cellProgram.kind) {
            EntityCell(id, program: cellProgram, initialState: initialState(id), context: context)
        }
        if cell.program === cellProgram { return cell }
        throw EgoError(
            .wrongKind, "it is active as kind \(cell.kind), not \(cellProgram.kind)", persistenceID: id)
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
