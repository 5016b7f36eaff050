public import EgoCore
public import Logging
public import SwiftProtobuf
import Synchronization

/// Runs a domain's entities and projections on a store.
///
/// ```swift
/// let engine = Engine(store: store, domain: bank)
/// let account = engine.entity(AccountBehavior(), try PersistenceID("acc-1"))
/// let reply = try await account.send(.credit(.with { $0.balance = 75 }))
/// await engine.shutdown()
/// ```
public final class Engine: Sendable {
    /// The domain whose entities run here.
    public let domain: Domain
    private let hosts: [String: EntityHost]
    private let registry: EntityRegistry
    private let context: EngineContext
    private let committers: EntityCommitters
    private let sweeper: Task<Void, Never>?
    let store: any Store
    let projections = ProjectionHost()
    var time: any TimeSource { context.time }
    var log: Logger { context.log }

    /// Starts an engine; on an `EncryptedStore` it reads and writes encrypted records. The store stays the caller's to close, after ``shutdown()``.
    public init(
        store: any Store, domain: Domain, configuration: EngineConfiguration = EngineConfiguration(),
        time: any TimeSource = SystemTime(), log: Logger = Logger(label: "ego")
    ) {
        let domain = EncryptedStore.inside(store).map { domain.decrypting(with: $0.encryptor) } ?? domain
        self.domain = domain
        self.store = store
        let registry = EntityRegistry(maximumActive: configuration.passivation.maximumActive)
        let context = EngineContext(
            configuration: configuration, time: time, log: log,
            snapshots: SnapshotWriter(store: store, retention: configuration.retention, time: time, log: log),
            erasures: ErasureWatch(store: store, registry: registry))
        let committers = EntityCommitters(store: store, batching: configuration.batching, time: time)
        let factory = HostFactory(
            store: store, reader: domain.reader, registry: registry, context: context, committers: committers)
        self.hosts = Dictionary(
            domain.kinds.map { ($0.name, factory.host(of: $0)) }, uniquingKeysWith: { first, _ in first })
        self.registry = registry
        self.context = context
        self.committers = committers
        self.sweeper = configuration.passivation.idleTime.map { idleTime in
            Task {
                // An entity leaves after one to one and a quarter times the idle time.
                while !Task.isCancelled {
                    do { try await time.sleep(for: idleTime / 4) } catch { return }
                    let round = context.clock.add(1, ordering: .relaxed).newValue
                    if round >= 4 { registry.passivate(unusedSince: round - 4) }
                }
            }
        }
    }

    deinit {
        sweeper?.cancel()
    }

    /// An entity of an event-sourced behavior that the domain has.
    ///
    /// - Throws: ``EgoError/Code/wrongKind`` when the domain has no such behavior of that kind.
    public func entity<B: EventSourcedBehavior>(
        _ behavior: B, _ id: PersistenceID
    ) throws(EgoError) -> EntityReference<B.Command, B.State, B.Event> {
        try reference(behavior, id)
    }

    /// An entity of an event-sourced behavior whose handlers await.
    ///
    /// - Throws: ``EgoError/Code/wrongKind`` when the domain has no such behavior of that kind.
    public func entity<B: AsyncEventSourcedBehavior>(
        _ behavior: B, _ id: PersistenceID
    ) throws(EgoError) -> EntityReference<B.Command, B.State, B.Event> {
        try reference(behavior, id)
    }

    /// An entity of a durable-state behavior.
    ///
    /// - Throws: ``EgoError/Code/wrongKind`` when the domain has no such behavior of that kind.
    public func entity<B: DurableStateBehavior>(
        _ behavior: B, _ id: PersistenceID
    ) throws(EgoError) -> EntityReference<B.Command, B.State, Never> {
        try reference(behavior, id)
    }

    /// An entity of a durable-state behavior whose handlers await.
    ///
    /// - Throws: ``EgoError/Code/wrongKind`` when the domain has no such behavior of that kind.
    public func entity<B: AsyncDurableStateBehavior>(
        _ behavior: B, _ id: PersistenceID
    ) throws(EgoError) -> EntityReference<B.Command, B.State, Never> {
        try reference(behavior, id)
    }

    /// Sends a command whose type is known only at run time.
    public func send(
        _ command: any Message, to id: PersistenceID, kind: EntityKind, options: CommandOptions = CommandOptions()
    ) async throws(EgoError) -> ErasedReply {
        let handle = try handle(id, kind)
        return ErasedReply(try await handle.send(handle.decision(on: command), options), id)
    }

    /// What a command would do now; nothing is written.
    public func preview(
        _ command: any Message, to id: PersistenceID, kind: EntityKind, options: CommandOptions = CommandOptions()
    ) async throws(EgoError) -> ErasedReply {
        let handle = try handle(id, kind)
        return ErasedReply(try await handle.preview(handle.decision(on: command), options), id)
    }

    /// The committed state of an entity whose type is known only at run time.
    public func state(of id: PersistenceID, kind: EntityKind) async throws(EgoError) -> ErasedReply {
        ErasedReply(CellReply(current: try await handle(id, kind).read()), id)
    }

    /// Lets an entity that was stopped after failures take commands again. Nothing happens when it was not.
    public func restart(_ id: PersistenceID) {
        registry.activeEntity(id)?.restart()
    }

    /// How many entities are in memory.
    public var activeEntities: Int { registry.count }

    /// Takes no more commands, and returns when those under way are answered, planned snapshots are saved, and projections
    /// have stopped.
    public func shutdown() async {
        sweeper?.cancel()
        await projections.stop()
        await context.calls.close()
        registry.settle()
        await committers.events.becomeIdle()
        await committers.states.becomeIdle()
        await context.snapshots.becomeIdle()
    }

    private func reference<B: EntityBehavior, Event: Sendable>(
        _ behavior: B, _ id: PersistenceID
    ) throws(EgoError) -> EntityReference<B.Command, B.State, Event> {
        let host = try host(behavior.kind, id)
        if host.code.behavior == ObjectIdentifier(B.self),
            let code = host.code as? EntityCode<B.Command, B.State, Event>
        {
            return EntityReference(id, host, code, self)
        }
        throw EgoError(
            .wrongKind, "kind \(host.kind) of domain \(domain.name) has another behavior", persistenceID: id)
    }

    private func handle(
        _ id: PersistenceID, _ kind: EntityKind
    ) throws(EgoError) -> EntityHandle<any AnyEntityCode> {
        let host = try host(kind.name, id)
        return EntityHandle(id, host, host.code, self)
    }

    private func host(_ kind: String, _ id: PersistenceID) throws(EgoError) -> EntityHost {
        do { _ = try domain.kind(named: kind) } catch {
            throw EgoError(.wrongKind, "\(error)", persistenceID: id, cause: error)
        }
        if let host = hosts[kind] { return host }
        throw EgoError(.wrongKind, "domain \(domain.name) has no kind \(kind)", persistenceID: id)
    }
}

/// Makes the hosts of a domain's kinds.
private struct HostFactory {
    let store: any Store
    let reader: EventReader
    let registry: EntityRegistry
    let context: EngineContext
    let committers: EntityCommitters

    func host(of kind: EntityKind) -> EntityHost {
        EntityHost(
            program(kind.behavior), kind.code, store: store, committers, registry: registry, context: context)
    }

    private func program(_ behavior: EntityKind.Behavior) -> any EntityProgram {
        switch behavior {
        case .eventSourced(let behavior): folding(behavior)
        case .asyncEventSourced(let behavior): folding(behavior)
        case .durableState(let behavior): keeping(behavior)
        case .asyncDurableState(let behavior): keeping(behavior)
        }
    }

    private func folding<B: EventFolding>(_ behavior: B) -> any EntityProgram {
        EventSourcedProgram(behavior: behavior, store: store, reader: reader)
    }

    private func keeping<B: EntityBehavior>(_ behavior: B) -> any EntityProgram {
        DurableStateProgram(behavior: behavior, store: store, reader: reader, time: context.time)
    }
}
