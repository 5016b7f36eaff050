/// One kind of entity of a domain, with its behavior.
public struct EntityKind: Sendable {
    /// The behavior, by how it keeps state and whether it awaits.
    public enum Behavior: Sendable {
        case eventSourced(any EventSourcedBehavior)
        case asyncEventSourced(any AsyncEventSourcedBehavior)
        case durableState(any DurableStateBehavior)
        case asyncDurableState(any AsyncDurableStateBehavior)
    }

    /// The kind's name.
    public let name: String
    /// The behavior.
    public let behavior: Behavior
    /// The commands that it takes.
    public let commandTypes: [MessageType]
    /// The events of its history; empty for a durable state.
    public let eventTypes: [MessageType]
    /// Its state.
    public let stateType: MessageType
    /// What its commands do.
    public let code: any AnyEntityCode

    // In code of their callers, who know the behavior's types.

    /// A kind of event-sourced entity.
    @inlinable
    public static func eventSourced(_ behavior: some EventSourcedBehavior) -> EntityKind {
        EntityKind(folding: behavior, .eventSourced(behavior), EntityCode(behavior))
    }

    /// A kind of event-sourced entity whose handlers await.
    @inlinable
    public static func eventSourced(_ behavior: some AsyncEventSourcedBehavior) -> EntityKind {
        EntityKind(folding: behavior, .asyncEventSourced(behavior), EntityCode(behavior))
    }

    /// A kind of durable-state entity.
    @inlinable
    public static func durableState(_ behavior: some DurableStateBehavior) -> EntityKind {
        EntityKind(behavior, eventTypes: [], .durableState(behavior), EntityCode(behavior))
    }

    /// A kind of durable-state entity whose handlers await.
    @inlinable
    public static func durableState(_ behavior: some AsyncDurableStateBehavior) -> EntityKind {
        EntityKind(behavior, eventTypes: [], .asyncDurableState(behavior), EntityCode(behavior))
    }

    /// Whether the entity keeps its latest state only.
    public var isDurableState: Bool {
        switch behavior {
        case .eventSourced, .asyncEventSourced: false
        case .durableState, .asyncDurableState: true
        }
    }

    /// The behavior's part that folds events; nil for a durable state.
    public var folding: (any EventFolding)? {
        switch behavior {
        case .eventSourced(let behavior): behavior
        case .asyncEventSourced(let behavior): behavior
        case .durableState, .asyncDurableState: nil
        }
    }

    @usableFromInline
    init<B: EventFolding>(folding behavior: B, _ erased: Behavior, _ code: any AnyEntityCode) {
        self.init(behavior, eventTypes: B.Event.members.types, erased, code)
    }

    @usableFromInline
    init<B: EntityBehavior>(
        _ behavior: B, eventTypes: [MessageType], _ erased: Behavior, _ code: any AnyEntityCode
    ) {
        self.code = code
        self.name = behavior.kind
        self.behavior = erased
        self.commandTypes = B.Command.members.types
        self.eventTypes = eventTypes
        self.stateType = MessageType(B.State.self)
    }
}
