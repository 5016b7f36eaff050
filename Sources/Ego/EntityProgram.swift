import EgoCore
import SwiftProtobuf

/// What an entity's cell needs to know of its behavior and its store; event-sourced and durable-state entities differ
/// in nothing else.
protocol EntityProgram<Outcome>: Sendable {
    associatedtype Command: MessageUnion
    associatedtype State: Message
    /// What an event is; `Never` for a durable state.
    associatedtype Event: Sendable
    /// What a handler returns.
    associatedtype Effects: Sendable
    /// What is written.
    associatedtype Request: Sendable
    /// The store's answer to it.
    associatedtype Outcome: Sendable

    var kind: String { get }
    var handler: Handler<Command, State, Effects> { get }
    var committer: GroupCommitter<Request, Outcome> { get }

    /// Reads the entity from the store.
    func recover(_ id: PersistenceID) async throws(EgoError) -> Versioned<State>

    /// What the effects of a command lead to; nil when they change nothing.
    ///
    /// - Throws: an error of SwiftProtobuf when a message cannot be encoded.
    func transition(
        _ effects: Effects, from current: Versioned<State>, of id: PersistenceID, metadata: EventMetadata
    ) throws -> Transition<State, Event, Request>?

    /// A write that only records that a command had no effect.
    func record(_ commandID: EventMetadata, at version: SequenceNumber, of id: PersistenceID) -> Request

    /// What an earlier command gave.
    func answer(_ record: CommandRecord, of id: PersistenceID) async throws(EgoError) -> Reply<State, Event>

    /// What the store's answer means.
    func verdict(for outcome: Outcome, of id: PersistenceID) -> Ticket.Verdict

    /// Looks for an earlier command of the same ID.
    func command(_ commandID: CommandID, of id: PersistenceID) async throws(StoreError) -> CommandRecord?
}

/// A behavior's `handle`, at once or awaiting.
enum Handler<Command: Sendable, State: Sendable, Effects: Sendable>: Sendable {
    case immediate(@Sendable (Command, State) throws -> Effects)
    case awaiting(@Sendable (Command, State) async throws -> Effects)
}

/// A state and what it includes.
struct Versioned<State: Sendable>: Sendable {
    var state: State
    var version: SequenceNumber
}

/// What a command leads to.
struct Transition<State: Sendable, Event: Sendable, Request: Sendable>: Sendable {
    var after: Versioned<State>
    var events: [Event]
    var request: Request
}
