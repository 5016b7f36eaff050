import EgoCore

/// All entities of one kind in an engine, without the types of their messages.
final class EntityHost: Sendable {
    let kind: String
    let program: any EntityProgram
    let code: any AnyEntityCode
    let committers: EntityCommitters
    /// The store, where it writes at once.
    let immediateStore: (any ImmediateStore)?
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

    /// The entity, when it is in memory as one of this kind.
    func activeEntity(_ id: PersistenceID) -> EntityCell? {
        registry.activeEntity(id).flatMap { $0.host === self ? $0 : nil }
    }
}
