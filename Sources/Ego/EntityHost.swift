import EgoCore
import SwiftProtobuf

/// All entities of one kind in an engine, without the types of their messages.
final class EntityHost: Sendable {
    let kind: String
    let program: any EntityProgram
    let code: any AnyEntityCode
    let committers: EntityCommitters
    /// The store, where it writes at once.
    let immediateStore: (any ImmediateStore)?
    let context: EngineContext
    private let registry: EntityRegistry

    init(
        _ program: any EntityProgram, _ code: any AnyEntityCode, store: any Store, _ committers: EntityCommitters,
        registry: EntityRegistry, context: EngineContext
    ) {
        kind = program.kind
        (self.program, self.code, self.committers, self.registry) = (program, code, committers, registry)
        self.context = context
        // Who asked for groups is to have them.
        immediateStore = context.configuration.batching.batchThreshold > 1 ? nil : store as? any ImmediateStore
    }

    /// Calls `body` with the entity in memory, again when that has left memory before it could begin.
    func withEntity<Value>(
        _ id: PersistenceID, _ found: (EntityCell) -> Void = { _ in },
        _ body: (EntityCell) async throws(EgoError) -> Value?
    ) async throws(EgoError) -> Value {
        guard context.calls.begin() else { throw EgoError(.closed, "the engine was shut down") }
        defer { context.calls.end() }
        while true {
            let cell = registry.entity(id, kind: kind) { EntityCell(id, host: self) }
            guard cell.host === self else {
                throw EgoError(.wrongKind, "it is active as kind \(cell.host.kind), not \(kind)", persistenceID: id)
            }
            found(cell)
            if let value = try await body(cell) { return value }
        }
    }

    /// The entity, when it is in memory as one of this kind.
    func activeEntity(_ id: PersistenceID) -> EntityCell? {
        registry.activeEntity(id).flatMap { $0.host === self ? $0 : nil }
    }

    /// Sends a message whose type is known only at run time.
    func send(
        _ message: any Message, to id: PersistenceID, _ options: CommandOptions
    ) async throws(EgoError) -> ErasedReply {
        let decision = try decision(on: message, id)
        return ErasedReply(
            try await withEntity(id) { (cell) async throws(EgoError) in try await cell.send(decision, options) }, id)
    }

    /// What such a message would do now; nothing is written.
    func preview(
        _ message: any Message, of id: PersistenceID, _ options: CommandOptions
    ) async throws(EgoError) -> ErasedReply {
        let decision = try decision(on: message, id)
        return ErasedReply(
            try await withEntity(id) { (cell) async throws(EgoError) in try await cell.preview(decision, options) }, id)
    }

    /// The committed state.
    func state(of id: PersistenceID) async throws(EgoError) -> Versioned {
        try await withEntity(id) { (cell) async throws(EgoError) in try await cell.read() }
    }

    private func decision(on message: any Message, _ id: PersistenceID) throws(EgoError) -> EntityDecision {
        if let decision = code.decision(on: message, context.time) { return decision }
        throw EgoError(
            .unknownCommand, "it takes no command \(type(of: message).protoMessageName)", persistenceID: id)
    }
}
