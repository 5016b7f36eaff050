public import SwiftProtobuf

/// The state of an entity, of whatever type.
///
/// What is the same for all entities does not know the types of their messages: it is compiled once, and need not ask at
/// run time what it works on. Types are known again in ``EntityCode``.
public protocol AnyEntityState: AnyObject, Sendable {
    /// The state as a message.
    var message: any Message { get }
}

/// A state. It is never changed: a command makes a new one.
public final class EntityState<State: Message>: AnyEntityState {
    /// The state.
    public let value: State

    /// Wraps a state.
    @inlinable
    public init(_ value: State) { self.value = value }

    public var message: any Message { value }

    /// The state of this type that is known to be behind a state of whatever type.
    @inlinable
    public static func known(_ state: any AnyEntityState) -> State {
        unsafeDowncast(state as AnyObject, to: EntityState<State>.self).value
    }
}

/// Events of one command, of whatever type.
public protocol AnyEntityEvents: AnyObject, Sendable {
    /// The events as messages, in order; empty for a durable state, which has none.
    var messages: [any Message] { get }
}

/// Events of one command; never changed.
package final class EntityEvents<Event: Sendable>: AnyEntityEvents {
    let all: [Event]

    package init(_ all: [Event]) { self.all = all }

    package var messages: [any Message] { all.compactMap { ($0 as? any MessageUnion)?.message } }
}
