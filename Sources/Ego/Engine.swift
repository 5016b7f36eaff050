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
    private let hosts: [String: any EntityHost]
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
        EntityReference(
            id, host: try host(behavior.kind, KindHost<EventSourcedProgram<B>>.self, id), engine: self)
    }

    /// An entity of an event-sourced behavior whose handlers await.
    ///
    /// - Throws: ``EgoError/Code/wrongKind`` when the domain has no such behavior of that kind.
    public func entity<B: AsyncEventSourcedBehavior>(
        _ behavior: B, _ id: PersistenceID
    ) throws(EgoError) -> EntityReference<B.Command, B.State, B.Event> {
        EntityReference(
            id, host: try host(behavior.kind, KindHost<EventSourcedProgram<B>>.self, id), engine: self)
    }

    /// An entity of a durable-state behavior.
    ///
    /// - Throws: ``EgoError/Code/wrongKind`` when the domain has no such behavior of that kind.
    public func entity<B: DurableStateBehavior>(
        _ behavior: B, _ id: PersistenceID
    ) throws(EgoError) -> EntityReference<B.Command, B.State, Never> {
        EntityReference(
            id, host: try host(behavior.kind, KindHost<DurableStateProgram<B>>.self, id), engine: self)
    }

    /// An entity of a durable-state behavior whose handlers await.
    ///
    /// - Throws: ``EgoError/Code/wrongKind`` when the domain has no such behavior of that kind.
    public func entity<B: AsyncDurableStateBehavior>(
        _ behavior: B, _ id: PersistenceID
    ) throws(EgoError) -> EntityReference<B.Command, B.State, Never> {
        EntityReference(
            id, host: try host(behavior.kind, KindHost<DurableStateProgram<B>>.self, id), engine: self)
    }

    /// Sends a command whose type is known only at run time.
    public func send(
        _ command: any Message, to id: PersistenceID, kind: EntityKind, options: CommandOptions = CommandOptions()
    ) async throws(EgoError) -> ErasedReply {
        return try await host(kind.name, id).sendErased(command, to: id, options)
    }

    /// What a command would do now; nothing is written.
    public func preview(
        _ command: any Message, to id: PersistenceID, kind: EntityKind, options: CommandOptions = CommandOptions()
    ) async throws(EgoError) -> ErasedReply {
        return try await host(kind.name, id).previewErased(command, of: id, options)
    }

    /// The committed state of an entity whose type is known only at run time.
    public func state(of id: PersistenceID, kind: EntityKind) async throws(EgoError) -> ErasedReply {
        return try await host(kind.name, id).stateErased(of: id)
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
        await committers.events.becomeIdle()
        await committers.states.becomeIdle()
        await context.snapshots.becomeIdle()
    }

    private func host(_ kind: String, _ id: PersistenceID) throws(EgoError) -> any EntityHost {
        do { _ = try domain.kind(named: kind) } catch {
            throw EgoError(.wrongKind, "\(error)", persistenceID: id, cause: error)
        }
        if let host = hosts[kind] { return host }
        throw EgoError(.wrongKind, "domain \(domain.name) has no kind \(kind)", persistenceID: id)
    }

    private func host<Host>(_ kind: String, _ type: Host.Type, _ id: PersistenceID) throws(EgoError) -> Host {
        if let host = try host(kind, id) as? Host { return host }
        throw EgoError(
            .wrongKind, "kind \(kind) of domain \(domain.name) has another behavior", persistenceID: id)
    }
}

/// Makes the hosts of a domain's kinds.
private struct HostFactory {
    let store: any Store
    let reader: EventReader
    let registry: EntityRegistry
    let context: EngineContext
    let committers: EntityCommitters

    func host(of kind: EntityKind) -> any EntityHost {
        switch kind.behavior {
        case .eventSourced(let behavior): eventSourced(behavior)
        case .asyncEventSourced(let behavior): eventSourced(behavior)
        case .durableState(let behavior): durableState(behavior)
        case .asyncDurableState(let behavior): durableState(behavior)
        }
    }

    private func eventSourced<B: EventSourcedBehavior>(_ behavior: B) -> any EntityHost {
        eventSourced(behavior, .immediate { try behavior.handle($0, $1) })
    }

    private func eventSourced<B: AsyncEventSourcedBehavior>(_ behavior: B) -> any EntityHost {
        eventSourced(behavior, .awaiting { try await behavior.handle($0, $1) })
    }

    private func eventSourced<B: EventFolding>(
        _ behavior: B, _ handler: Handler<B.Command, B.State, [B.Event]>
    ) -> any EntityHost {
        let program = EventSourcedProgram(
            behavior: behavior, handler: handler, store: store, reader: reader, time: context.time)
        return KindHost(
            program, committers, initialState: behavior.initialState, registry: registry, context: context)
    }

    private func durableState<B: DurableStateBehavior>(_ behavior: B) -> any EntityHost {
        durableState(behavior, .immediate { try behavior.handle($0, $1) })
    }

    private func durableState<B: AsyncDurableStateBehavior>(_ behavior: B) -> any EntityHost {
        durableState(behavior, .awaiting { try await behavior.handle($0, $1) })
    }

    private func durableState<B: EntityBehavior>(
        _ behavior: B, _ handler: Handler<B.Command, B.State, B.State?>
    ) -> any EntityHost {
        let program = DurableStateProgram(
            behavior: behavior, handler: handler, store: store, reader: reader, time: context.time)
        return KindHost(
            program, committers, initialState: behavior.initialState, registry: registry, context: context)
    }
}
