public import SwiftProtobuf

/// What a command makes of an entity's state, ready to be written.
public struct EntityChange: Sendable {
    /// What is written.
    public enum Content: Sendable {
        /// Events to be appended; at least one.
        case events([NewEvent])
        /// The next version of a durable state: a serialized `google.protobuf.Any`, and when it was made.
        case state([UInt8], Timestamp)
    }

    /// The state afterwards.
    public let after: any AnyEntityState
    /// What is written.
    public let content: Content

    /// A change with the given parts.
    @inlinable
    public init(after: any AnyEntityState, content: Content) {
        (self.after, self.content) = (after, content)
    }

    /// The sequence number or version after the change of an entity that is at `version`.
    @inlinable
    package func version(after version: SequenceNumber) -> SequenceNumber {
        switch content {
        case .events(let events): version.advanced(by: events.count)
        case .state: version.next
        }
    }
}

/// What the commands of a kind of entity do, in code that was compiled where the types of its messages are known: generic
/// code elsewhere would ask at run time what it works on, for each copy of a message.
///
/// An ``EntityKind`` makes it, in the module that has the behavior.
public final class EntityCode<Command: MessageUnion, State: Message, Event: Sendable>: AnyEntityCode {
    /// Decides a command at once. The events, which are of the given time, are put where the caller wants them; nil when
    /// nothing changes.
    ///
    /// It is handed the code that it belongs to, and holds nothing: a closure that held the behavior would be counted by
    /// all callers of an engine at once.
    ///
    /// Throws what the behavior throws, or an error of SwiftProtobuf when a message cannot be encoded.
    public typealias Immediate =
        @Sendable (EntityCode, Command, any AnyEntityState, Timestamp, inout [Event]) throws -> EntityChange?
    /// The same of a behavior that awaits.
    public typealias Awaiting =
        @Sendable (Command, any AnyEntityState, any TimeSource) async throws -> (EntityChange, [Event])?

    /// How a command is decided.
    public enum Handler: Sendable {
        case immediate(Immediate)
        case awaiting(Awaiting)
    }

    /// How a command is decided.
    public let handler: Handler
    /// The behavior, as ``KeptBehavior``.
    @usableFromInline let kept: any AnyObject & Sendable
    /// The behavior's type.
    public let behavior: ObjectIdentifier

    @usableFromInline
    init<Behavior: EntityBehavior>(_ handler: Handler, _ behavior: Behavior) {
        self.handler = handler
        kept = KeptBehavior(behavior)
        self.behavior = ObjectIdentifier(Behavior.self)
    }

    /// Whether commands are decided at once.
    @inlinable public var isImmediate: Bool {
        if case .immediate = handler { true } else { false }
    }

    /// Decides a command at once, where this is possible; see ``Immediate``.
    @inlinable
    public func decide(
        _ command: Command, _ state: any AnyEntityState, _ now: Timestamp, _ events: inout [Event]
    ) throws -> EntityChange? {
        guard case .immediate(let decide) = handler else { return nil }
        return try decide(self, command, state, now, &events)
    }

    package func decision(on command: Command, _ time: any TimeSource) -> EntityDecision {
        switch handler {
        case .immediate(let decide):
            .immediate { state in
                var events: [Event] = []
                guard let change = try decide(self, command, state, time.now(), &events) else { return nil }
                return (change, EntityEvents(events))
            }
        case .awaiting(let decide):
            .awaiting { state in
                guard let (change, events) = try await decide(command, state, time) else { return nil }
                return (change, EntityEvents(events))
            }
        }
    }

    public func decision(on message: any Message, _ time: any TimeSource) -> EntityDecision? {
        Command.members.wrap(message).map { decision(on: $0, time) }
    }

    /// The events of a command of this kind.
    package func events(_ events: (any AnyEntityEvents)?) -> [Event] {
        events.map { unsafeDowncast($0 as AnyObject, to: EntityEvents<Event>.self).all } ?? []
    }
}

/// ``EntityCode`` of whatever types.
public protocol AnyEntityCode: AnyObject, Sendable {
    /// The behavior's type.
    var behavior: ObjectIdentifier { get }

    /// How a command whose type is known only at run time is decided; nil when the behavior does not take it.
    func decision(on message: any Message, _ time: any TimeSource) -> EntityDecision?
}

/// How an entity finds out what a command does to a state: at once, under its lock, or awaiting. Nil changes nothing.
public enum EntityDecision: Sendable {
    /// The change, and the events that the reply shows.
    public typealias Outcome = (change: EntityChange, events: any AnyEntityEvents)

    case immediate(@Sendable (any AnyEntityState) throws -> Outcome?)
    case awaiting(@Sendable (any AnyEntityState) async throws -> Outcome?)
}

// MARK: Code of behaviors

extension EntityCode {
    /// The code of an event-sourced behavior.
    @inlinable
    convenience init<Behavior: EventSourcedBehavior>(_ behavior: Behavior)
    where Behavior.Command == Command, Behavior.State == State, Behavior.Event == Event {
        self.init(
            .immediate { code, command, state, now, events in
                let behavior = KeptBehavior<Behavior>.known(code.kept)
                let before = EntityState<State>.known(state)
                events = try behavior.handle(command, before)
                return try Self.change(behavior, before, events, now)
            }, behavior)
    }

    /// The code of an event-sourced behavior that awaits.
    @inlinable
    convenience init<Behavior: AsyncEventSourcedBehavior>(_ behavior: Behavior)
    where Behavior.Command == Command, Behavior.State == State, Behavior.Event == Event {
        self.init(
            .awaiting { command, state, time in
                let before = EntityState<State>.known(state)
                let events = try await behavior.handle(command, before)
                return try Self.change(behavior, before, events, time.now()).map { ($0, events) }
            }, behavior)
    }

    @inlinable
    static func change<Behavior: EventFolding>(
        _ behavior: Behavior, _ before: State, _ events: [Event], _ now: Timestamp
    ) throws -> EntityChange? where Behavior.State == State, Behavior.Event == Event {
        if events.isEmpty { return nil }
        var after = before
        var written: [NewEvent] = []
        written.reserveCapacity(events.count)
        for event in events {
            written.append(NewEvent(timestamp: now, payload: try event.serializedAny()))
            behavior.apply(event, to: &after)
        }
        return EntityChange(after: EntityState(after), content: .events(written))
    }
}

extension EntityCode where Event == Never {
    /// The code of a durable-state behavior.
    @inlinable
    convenience init<Behavior: DurableStateBehavior>(_ behavior: Behavior)
    where Behavior.Command == Command, Behavior.State == State {
        self.init(
            .immediate { code, command, state, now, _ in
                let behavior = KeptBehavior<Behavior>.known(code.kept)
                guard let after = try behavior.handle(command, EntityState<State>.known(state)) else { return nil }
                return try Self.change(after, now)
            }, behavior)
    }

    /// The code of a durable-state behavior that awaits.
    @inlinable
    convenience init<Behavior: AsyncDurableStateBehavior>(_ behavior: Behavior)
    where Behavior.Command == Command, Behavior.State == State {
        self.init(
            .awaiting { command, state, time in
                guard let after = try await behavior.handle(command, EntityState<State>.known(state)) else {
                    return nil
                }
                return (try Self.change(after, time.now()), [])
            }, behavior)
    }

    @inlinable
    static func change(_ after: State, _ now: Timestamp) throws -> EntityChange {
        EntityChange(after: EntityState(after), content: .state(try AnyPayload.serialized(packing: after), now))
    }
}

// MARK: Kept behaviors

/// A behavior where its type is not known.
@usableFromInline
final class KeptBehavior<Behavior: EntityBehavior>: Sendable {
    @usableFromInline let behavior: Behavior

    @usableFromInline
    init(_ behavior: Behavior) { self.behavior = behavior }

    /// The behavior of this type that is known to be kept.
    @inlinable
    static func known(_ kept: any AnyObject & Sendable) -> Behavior {
        unsafeDowncast(kept, to: KeptBehavior<Behavior>.self).behavior
    }
}
