import EgoCore

/// All entities of one kind in an engine, without the types of their messages.
final class EntityHost: Sendable {
    let kind: String
    let program: any EntityProgram
    let code: any AnyEntityCode
    let committers: EntityCommitters
    /// The store, where it writes at once.
    private let immediateStore: (any ImmediateStore)?
    let context: EngineContext
    /// After so many events a snapshot is saved; 0 for never.
    let snapshotInterval: UInt64
    private let registry: EntityRegistry

    init(
        _ program: any EntityProgram, _ code: any AnyEntityCode, store: any Store, _ committers: EntityCommitters,
        registry: EntityRegistry, context: EngineContext
    ) {
        kind = program.kind
        (self.program, self.code, self.committers, self.registry) = (program, code, committers, registry)
        self.context = context
        snapshotInterval = program.isEventSourced ? UInt64(context.configuration.snapshotInterval ?? 0) : 0
        // Who asked for groups is to have them.
        immediateStore = context.configuration.batching.batchThreshold > 1 ? nil : store as? any ImmediateStore
    }

    /// Begins a call, which has to be ended by ``end()``.
    func begin() throws(EgoError) {
        if !context.calls.begin() { throw EgoError(.closed, "the engine was shut down") }
    }

    func end() { context.calls.end() }

    /// The entity, made when it is not in memory. It may leave memory before its call has begun; then it is to be asked for
    /// again.
    func entity(_ id: PersistenceID) throws(EgoError) -> EntityCell {
        let cell = registry.entity(id, kind: kind) { EntityCell(id, host: self) }
        if cell.host === self { return cell }
        throw EgoError(.wrongKind, "it is active as kind \(cell.host.kind), not \(kind)", persistenceID: id)
    }

    /// Whether the store writes at once.
    var writesAtOnce: Bool { immediateStore != nil }

    // Never inlined: what an object holds is lent to its own function, but counted for the body of another one's.

    /// Wall-clock time.
    @inline(never)
    func now() -> Timestamp { context.time.now() }

    /// Writes a change of an entity that is at `version` to a store that writes at once.
    ///
    /// - Parameter place: where the store keeps the entity, once it is known.
    @inline(never)
    func writeNow(
        _ change: EntityChange, of id: PersistenceID, at version: SequenceNumber, _ metadata: EventMetadata,
        _ place: inout EntityPlace?
    ) throws(StoreError) -> Ticket.Verdict {
        switch change.content {
        case .events(let events):
            // Not unwrapped first: that would count it.
            let outcome = try immediateStore?.appendNow(
                events, of: id, kind: kind, after: .exact(version), metadata, at: &place)
            return outcome.map { Ticket.Verdict($0, id) } ?? .rerun
        case .state(let payload, let timestamp):
            guard let store = immediateStore else { return .rerun }
            let write = StateWrite(payload, timestamp, of: id, kind: kind, at: version, metadata)
            return Ticket.Verdict(try store.saveNow(write), id)
        }
    }

    /// The entity, when it is in memory as one of this kind.
    func activeEntity(_ id: PersistenceID) -> EntityCell? {
        registry.activeEntity(id).flatMap { $0.host === self ? $0 : nil }
    }
}
