public import SwiftProtobuf

/// What event-sourced and durable-state behaviors have in common.
///
/// A behavior is a value without mutable state of its own: all that changes is in the entity's state.
public protocol EntityBehavior: Sendable {
    /// The commands that the entity takes.
    associatedtype Command: MessageUnion
    /// The entity's state: one protobuf message.
    associatedtype State: Message

    /// The kind of entity, recorded with it; unique within a domain.
    var kind: String { get }

    /// The state of an entity before its first command.
    func initialState(for id: PersistenceID) -> State
}

/// An entity whose state is the fold of its events.
public protocol EventFolding: EntityBehavior {
    /// The events that the entity's history is made of.
    associatedtype Event: MessageUnion

    /// The state after an event. Pure: same state and event, same result.
    func apply(_ event: Event, to state: inout State)

    /// Applies records in their order, each of which has to follow the one before.
    ///
    /// Not for behaviors to implement. It is a requirement so that its code is compiled with the behavior, for the types
    /// of its messages: generic code elsewhere would ask for them at run time, for each record.
    ///
    /// - Parameter number: the last record that `state` includes. Both are those of the last record that was applied also
    ///   when the next one is refused.
    /// - Throws: ``FoldError/gap(expected:found:)`` or ``FoldError/undecodable(sequenceNumber:cause:)``.
    func fold(
        _ records: [PersistedEvent], _ reader: EventReader, to state: inout State, at number: inout SequenceNumber
    ) throws(FoldError)
}

extension EventFolding {
    @inlinable
    public func fold(
        _ records: [PersistedEvent], _ reader: EventReader, to state: inout State, at number: inout SequenceNumber
    ) throws(FoldError) {
        for record in records {
            guard record.sequenceNumber == number.next else {
                throw .gap(expected: number.next, found: record.sequenceNumber)
            }
            let event: Event
            do throws(PayloadError) {
                event = try reader.event(record, as: Event.self)
            } catch {
                throw .undecodable(sequenceNumber: record.sequenceNumber, cause: error)
            }
            apply(event, to: &state)
            number = record.sequenceNumber
        }
    }
}

/// An event-sourced entity whose commands are decided at once.
///
/// `handle` may run more than once for one command, after a conflict with another process; its events are stored at
/// most once.
public protocol EventSourcedBehavior: EventFolding {
    /// The events that a command makes of a state; empty when it changes nothing.
    ///
    /// Pure: no I/O, no clock, no randomness.
    ///
    /// - Throws: ``Rejection`` when the domain says no. Any other error is taken for a bug in the behavior.
    func handle(_ command: Command, _ state: State) throws -> [Event]
}

/// An event-sourced entity whose commands need something that takes time, such as a lookup elsewhere.
///
/// One command of an entity is handled at a time, in the order of arrival.
public protocol AsyncEventSourcedBehavior: EventFolding {
    /// See ``EventSourcedBehavior/handle(_:_:)``.
    func handle(_ command: Command, _ state: State) async throws -> [Event]
}

/// An entity that keeps its latest state only.
public protocol DurableStateBehavior: EntityBehavior {
    /// The state after a command; nil when the command changes nothing.
    ///
    /// - Throws: ``Rejection`` when the domain says no. Any other error is taken for a bug in the behavior.
    func handle(_ command: Command, _ state: State) throws -> State?
}

/// A durable-state entity whose commands need something that takes time.
public protocol AsyncDurableStateBehavior: EntityBehavior {
    /// See ``DurableStateBehavior/handle(_:_:)``.
    func handle(_ command: Command, _ state: State) async throws -> State?
}

/// The domain's "no" to a command.
public struct Rejection: Error, Sendable, Hashable, CustomStringConvertible {
    /// Why, in a sentence for the sender.
    public let reason: String

    /// A rejection with its reason.
    public init(_ reason: String) {
        self.reason = reason
    }

    public var description: String { reason }
}

/// Turns events of an old schema into events of the current one, each time they are read. What is stored stays.
public protocol EventAdapter: Sendable {
    /// The event in the newer schema; the same event when this adapter has nothing to do with it.
    func adapt(_ event: AnyPayload, at sequenceNumber: SequenceNumber) throws -> AnyPayload
}
