public import EgoCore
import SwiftProtobuf
import Synchronization

/// What a reference holds: the way to its entity, which it remembers for as long as that is in memory, and the code of
/// the entity's kind, of a type that the reference knows.
@usableFromInline
final class EntityHandle<Code: Sendable>: Sendable {
    // In the order in which a command comes by: of many entities none is in the cache.

    /// The entity as it was last met. It may have left memory since; its state has then, too.
    private let cell = Mutex<EntityCell?>(nil)
    @usableFromInline let code: Code
    @usableFromInline let id: PersistenceID
    private let host: EntityHost
    /// Keeps the engine, and with it the sweeper, alive.
    private let engine: Engine

    init(_ id: PersistenceID, _ host: EntityHost, _ code: Code, _ engine: Engine) {
        (self.id, self.host, self.code, self.engine) = (id, host, code, engine)
    }

    var time: any TimeSource { host.context.time }

    /// Sends a command without waiting for anything, where that is possible.
    ///
    /// - Parameter decide: called at most once.
    @usableFromInline
    func sendNow(
        _ options: CommandOptions, _ decide: (any AnyEntityState, Timestamp) throws -> EntityChange?
    ) -> SentCommand {
        // Whoever comes meanwhile would wait for the entity itself. To keep this lock spares a count of its users.
        cell.withLock { cell in
            if cell == nil { cell = host.activeEntity(id) }
            return cell?.sendNow(options, decide) ?? .later
        }
    }

    /// Checks that an answer from memory may be given; see ``ErasureWatch``.
    @usableFromInline
    func checkErasure() async throws(EgoError) { try await host.context.erasures.check(id) }

    func send(_ decision: EntityDecision, _ options: CommandOptions) async throws(EgoError) -> CellReply {
        try host.begin()
        defer { host.end() }
        while true {
            if let reply = try await entity().send(decision, options) { return reply }
            forget()
        }
    }

    func preview(_ decision: EntityDecision, _ options: CommandOptions) async throws(EgoError) -> CellReply {
        try host.begin()
        defer { host.end() }
        while true {
            if let reply = try await entity().preview(decision, options) { return reply }
            forget()
        }
    }

    func read() async throws(EgoError) -> Versioned {
        try host.begin()
        defer { host.end() }
        while true {
            if let state = try await entity().read() { return state }
            forget()
        }
    }

    /// The entity, as it was met or else as the registry has it.
    private func entity() throws(EgoError) -> EntityCell {
        if let known = cell.withLock(\.self) { return known }
        let met = try host.entity(id)
        cell.withLock { $0 = met }
        return met
    }

    /// The entity has left memory.
    private func forget() { cell.withLock { $0 = nil } }
}

extension EntityHandle where Code == any AnyEntityCode {
    /// How a message whose type is known only at run time is decided.
    func decision(on message: any Message) throws(EgoError) -> EntityDecision {
        if let decision = code.decision(on: message, time) { return decision }
        throw EgoError(
            .unknownCommand, "it takes no command \(type(of: message).protoMessageName)", persistenceID: id)
    }
}

/// What became of a command that was sent without waiting.
@usableFromInline
enum SentCommand: Sendable {
    /// It is written; the entity is here now.
    case committed(Versioned)
    /// It changed nothing.
    case unchanged(Versioned)
    case failed(EgoError)
    /// It has to be sent in the way that may wait.
    case later
}
