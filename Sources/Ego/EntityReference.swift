public import EgoCore
public import SwiftProtobuf

/// One entity of an engine. Cheap to make and to keep: it does not hold the entity's state in memory.
public struct EntityReference<Command: MessageUnion, State: Message, Event: Sendable>: Sendable {
    /// All that it has: whoever sends to many entities copies references all the time.
    @usableFromInline let handle: EntityHandle<EntityCode<Command, State, Event>>

    /// The entity.
    public var id: PersistenceID { handle.id }

    init(_ id: PersistenceID, _ host: EntityHost, _ code: EntityCode<Command, State, Event>, _ engine: Engine) {
        handle = EntityHandle(id, host, code, engine)
    }

    /// Sends a command; returns when its events are durable.
    ///
    /// - Throws: ``EgoError``; its code tells what to do.
    @discardableResult
    @inlinable
    public func send(
        _ command: Command, _ options: CommandOptions = CommandOptions()
    ) async throws(EgoError) -> Reply<State, Event> {
        var events: [Event] = []
        switch sendNow(command, options, &events) {
        case .committed(let current):
            // Who sends and sends would keep its thread for itself: nothing in here waits.
            if current.version.rawValue % 1_024 == 0 { await Task.yield() }
            return Reply(
                persistenceID: handle.id, state: EntityState<State>.known(current.state),
                sequenceNumber: current.version, events: events, isRepeated: false)
        case .unchanged(let current):
            try await handle.checkErasure()
            return Reply(
                persistenceID: handle.id, state: EntityState<State>.known(current.state),
                sequenceNumber: current.version, events: [], isRepeated: false)
        case .failed(let error):
            if error.code == .rejected { try await handle.checkErasure() }
            throw error
        case .later: return try await sendWaiting(command, options)
        }
    }

    @inlinable
    func sendNow(_ command: Command, _ options: CommandOptions, _ events: inout [Event]) -> SentCommand {
        guard handle.code.isImmediate else { return .later }
        return handle.sendNow(options) { (state, now) throws in
            try handle.code.decide(command, state, now, &events)
        }
    }

    @usableFromInline
    func sendWaiting(_ command: Command, _ options: CommandOptions) async throws(EgoError) -> Reply<State, Event> {
        typed(try await handle.send(handle.code.decision(on: command, handle.time), options))
    }

    /// What a command would do now; nothing is written.
    public func preview(
        _ command: Command, _ options: CommandOptions = CommandOptions()
    ) async throws(EgoError) -> Reply<State, Event> {
        typed(try await handle.preview(handle.code.decision(on: command, handle.time), options))
    }

    /// The committed state, as this engine knows it.
    public func state() async throws(EgoError) -> State {
        EntityState<State>.known(try await handle.read().state)
    }

    /// The committed sequence number or version, as this engine knows it.
    public func sequenceNumber() async throws(EgoError) -> SequenceNumber {
        try await handle.read().version
    }

    private func typed(_ reply: CellReply) -> Reply<State, Event> {
        Reply(
            persistenceID: handle.id, state: EntityState<State>.known(reply.current.state),
            sequenceNumber: reply.current.version, events: handle.code.events(reply.events),
            isRepeated: reply.isRepeated)
    }
}
