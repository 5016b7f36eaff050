public import Ego
public import EgoCore
public import SwiftProtobuf

/// A behavior's test in its domain's words: given a history, when a command comes, then this happens.
///
/// ```swift
/// try await Scenario(AccountBehavior())
///     .givenEvents(.created(opened))
///     .when(.debit(.with { $0.balance = 900 }))
///     .thenError(Rejection("insufficient funds"))
/// ```
///
/// It runs the behavior in an engine, on a store in memory. When the arrangement itself fails, ``when(_:)`` throws:
/// that is never taken for the command's outcome.
public struct Scenario<Command: MessageUnion, State: Message, Event: Sendable>: Sendable {
    private enum Given: Sendable {
        case state(State, SequenceNumber)
        case event(any Message)
    }

    private let kind: EntityKind
    private let adapters: [any EventAdapter]
    private let id: PersistenceID
    private let reference: @Sendable (Engine, PersistenceID) throws(EgoError) -> EntityReference<Command, State, Event>
    private var given: [Given] = []

    /// A scenario of an event-sourced behavior; its history is empty.
    public init<B: EventSourcedBehavior>(_ behavior: B, adapters: [any EventAdapter] = [])
    where B.Command == Command, B.State == State, B.Event == Event {
        self.init(.eventSourced(behavior), adapters) { (engine, id) throws(EgoError) in
            try engine.entity(behavior, id)
        }
    }

    /// A scenario of an event-sourced behavior whose handlers await.
    public init<B: AsyncEventSourcedBehavior>(_ behavior: B, adapters: [any EventAdapter] = [])
    where B.Command == Command, B.State == State, B.Event == Event {
        self.init(.eventSourced(behavior), adapters) { (engine, id) throws(EgoError) in
            try engine.entity(behavior, id)
        }
    }

    /// A scenario of a durable-state behavior.
    public init<B: DurableStateBehavior>(_ behavior: B)
    where B.Command == Command, B.State == State, Event == Never {
        self.init(.durableState(behavior), []) { (engine, id) throws(EgoError) in try engine.entity(behavior, id) }
    }

    /// A scenario of a durable-state behavior whose handlers await.
    public init<B: AsyncDurableStateBehavior>(_ behavior: B)
    where B.Command == Command, B.State == State, Event == Never {
        self.init(.durableState(behavior), []) { (engine, id) throws(EgoError) in try engine.entity(behavior, id) }
    }

    private init(
        _ kind: EntityKind, _ adapters: [any EventAdapter],
        _ reference:
            @escaping @Sendable (Engine, PersistenceID) throws(EgoError) -> EntityReference<
                Command, State, Event
            >
    ) {
        self.kind = kind
        self.adapters = adapters
        self.id = PersistenceID(stored: "scenario")
        self.reference = reference
    }

    /// The entity has this state, at this sequence number or version (at least 1).
    public func given(state: State, at version: SequenceNumber = 1) -> Self {
        var scenario = self
        scenario.given = [.state(state, max(version, 1))]
        return scenario
    }

    /// These events happened, in this order, after what was given before.
    public func givenEvents(_ events: Event...) -> Self where Event: MessageUnion {
        givenMessages(events.map(\.message))
    }

    /// These messages were stored as events, whatever they are: events of an old schema, for adapters.
    public func givenMessages(_ messages: [any Message]) -> Self {
        var scenario = self
        scenario.given += messages.map(Given.event)
        return scenario
    }

    /// Sends a command.
    ///
    /// - Throws: ``ScenarioFailure`` when what was given cannot be arranged.
    public func when(_ command: Command) async throws -> ScenarioOutcome<State, Event> {
        let store = InMemoryStore()
        let engine: Engine
        let entity: EntityReference<Command, State, Event>
        do {
            try await arrange(store)
            let domain = Domain(name: "scenario", kinds: [kind], adapters: adapters)
            engine = Engine(store: store, domain: domain, configuration: EngineConfiguration(supervision: .stop))
            entity = try reference(engine, id)
            _ = try await entity.state()
        } catch {
            throw ScenarioFailure("the scenario cannot be arranged: \(error)")
        }
        let result: Result<Reply<State, Event>, EgoError>
        do { result = .success(try await entity.send(command)) } catch { result = .failure(error) }
        var state: State?
        do { state = try await entity.state() } catch {
            // A command that fails may stop its entity; then there is no state to compare.
            if case .success = result { throw ScenarioFailure("the state after the command cannot be read: \(error)") }
        }
        await engine.shutdown()
        return ScenarioOutcome(result: result, state: state)
    }

    private func arrange(_ store: InMemoryStore) async throws {
        let time = ManualClock().now()
        for step in given {
            switch step {
            case .state(let state, let version) where kind.isDurableState:
                let payload = try AnyPayload.serialized(packing: state)
                for expected in 0..<version.rawValue {
                    _ = try await store.save([
                        StateWrite(
                            persistenceID: id, kind: kind.name, expectedVersion: SequenceNumber(expected),
                            timestamp: time, payload: payload)
                    ])
                }
            case .state(let state, let version):
                // A history whose events were deleted after a snapshot.
                let event = NewEvent(timestamp: time, payload: [])
                let history = [NewEvent](repeating: event, count: Int(version.rawValue))
                _ = try await store.append([
                    AppendRequest(persistenceID: id, kind: kind.name, expectedVersion: .noStream, events: history)
                ])
                let snapshot = StoredSnapshot(
                    persistenceID: id, sequenceNumber: version, timestamp: time,
                    payload: try AnyPayload.serialized(packing: state))
                _ = try await store.commit(
                    [.saveSnapshot(snapshot), .deleteEvents(of: id, through: version)], under: nil)
            case .event(let message):
                let event = NewEvent(timestamp: time, payload: try AnyPayload.serialized(packing: message))
                _ = try await store.append([
                    AppendRequest(persistenceID: id, kind: kind.name, expectedVersion: .any, events: [event])
                ])
            }
        }
    }
}

/// What came of a scenario's command. Each check throws ``ScenarioFailure`` when it does not hold.
public struct ScenarioOutcome<State: Message, Event: Sendable>: Sendable {
    /// The reply, or why there is none.
    public let result: Result<Reply<State, Event>, EgoError>
    /// The committed state afterwards; nil when the command's failure stopped the entity.
    public let state: State?

    /// The command made exactly these events, in this order.
    @discardableResult
    public func thenEvents(_ events: Event...) throws -> Self where Event: MessageUnion {
        let found = try reply().events.map(\.message)
        let wanted = events.map(\.message)
        guard found.count == wanted.count, zip(found, wanted).allSatisfy({ $0.isEqualTo(message: $1) }) else {
            throw ScenarioFailure("the events are \(Self.text(found)), not \(Self.text(wanted))")
        }
        return self
    }

    /// The command was taken and changed nothing.
    @discardableResult
    public func thenNoEvents() throws -> Self where Event: MessageUnion {
        try thenEvents()
    }

    /// The entity has this state, committed and in the reply.
    @discardableResult
    public func thenState(_ wanted: State) throws -> Self {
        for found in [try reply().state, state].compactMap(\.self) where !found.isEqualTo(message: wanted) {
            throw ScenarioFailure("the state is \(Self.text([found])), not \(Self.text([wanted]))")
        }
        return self
    }

    /// The entity has this sequence number or version.
    @discardableResult
    public func thenVersion(_ wanted: SequenceNumber) throws -> Self {
        let found = try reply().sequenceNumber
        if found != wanted { throw ScenarioFailure("the version is \(found), not \(wanted)") }
        return self
    }

    /// The domain refused the command with this error.
    @discardableResult
    public func thenError<Failure: Error & Equatable>(_ wanted: Failure) throws -> Self {
        let found = try error()
        if found.cause as? Failure != wanted {
            throw ScenarioFailure("the command failed with \(found), not with \(wanted)")
        }
        return self
    }

    /// The command failed with an error of this kind.
    @discardableResult
    public func thenError(_ wanted: EgoError.Code) throws -> Self {
        let found = try error()
        if found.code != wanted { throw ScenarioFailure("the command failed with \(found), not as \(wanted)") }
        return self
    }

    private func reply() throws -> Reply<State, Event> {
        switch result {
        case .success(let reply): return reply
        case .failure(let error): throw ScenarioFailure("the command failed: \(error)")
        }
    }

    private func error() throws -> EgoError {
        switch result {
        case .success(let reply):
            throw ScenarioFailure("the command did not fail; the state is \(Self.text([reply.state]))")
        case .failure(let error): return error
        }
    }

    private static func text(_ messages: [any Message]) -> String {
        "[" + messages.map { "\(type(of: $0).protoMessageName) {\($0.textFormatString())}" }.joined(separator: ", ")
            + "]"
    }
}

/// A scenario did not go as its author says.
public struct ScenarioFailure: Error, Sendable, CustomStringConvertible {
    public let description: String

    init(_ description: String) { self.description = description }
}
