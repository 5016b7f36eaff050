import EgoCore
import SwiftProtobuf

/// One kind of behavior on its store; event-sourced and durable-state entities differ in nothing else.
protocol EntityProgram<State, Event>: Sendable {
    associatedtype Command: MessageUnion
    associatedtype State: Message
    /// What an event is; `Never` for a durable state.
    associatedtype Event: Sendable
    /// What a handler returns.
    associatedtype Effects: Sendable

    var kind: String { get }
    var handler: Handler<Command, State, Effects> { get }

    /// Reads the entity from the store.
    func recover(_ id: PersistenceID) async throws(EgoError) -> (state: State, version: SequenceNumber)

    /// What the effects of a command lead to; nil when they change nothing.
    ///
    /// - Throws: an error of SwiftProtobuf when a message cannot be encoded.
    func transition(
        _ effects: Effects, from state: State, _ version: SequenceNumber, of id: PersistenceID,
        metadata: EventMetadata
    ) throws -> Transition?

    /// A write that only records that a command had no effect.
    func record(_ metadata: EventMetadata, at version: SequenceNumber, of id: PersistenceID) -> EntityWrite

    /// What an earlier command gave.
    func answer(_ record: CommandRecord, of id: PersistenceID) async throws(EgoError) -> Reply<State, Event>

    /// Looks for an earlier command of the same ID.
    func command(_ commandID: CommandID, of id: PersistenceID) async throws(StoreError) -> CommandRecord?
}

/// A behavior's `handle`, at once or awaiting.
enum Handler<Command: Sendable, State: Sendable, Effects: Sendable>: Sendable {
    case immediate(@Sendable (Command, State) throws -> Effects)
    case awaiting(@Sendable (Command, State) async throws -> Effects)
}

/// A state, of whatever type, and what it includes.
///
/// Entities in memory do not know the types of their messages: code that is the same for all of them is compiled once,
/// and need not ask at run time what it works on. Types are known again in ``KindHost``.
struct Versioned: Sendable {
    var state: any Message
    var version: SequenceNumber
}

/// What a command leads to. Handed on several times, and never changed: an object, which is not copied each time.
final class Transition: Sendable {
    let after: Versioned
    let events: CellEvents
    let write: EntityWrite

    init(after: Versioned, events: CellEvents, write: EntityWrite) {
        (self.after, self.events, self.write) = (after, events, write)
    }
}

/// Events of one command, of whatever type.
class CellEvents: @unchecked Sendable {}

/// Events of one command.
///
/// `@unchecked Sendable`, as a subclass of a class that is not final has to say: it holds nothing that changes.
final class TypedEvents<Event: Sendable>: CellEvents, @unchecked Sendable {
    let all: [Event]

    init(_ all: [Event]) { self.all = all }
}

/// What is written for one command.
indirect enum EntityWrite: Sendable {
    case append(AppendRequest)
    case save(StateWrite)
}

/// Where the writes of entities go.
struct EntityCommitters: Sendable {
    let events: GroupCommitter<AppendRequest, AppendOutcome>
    let states: GroupCommitter<StateWrite, StateOutcome>

    init(store: any Store, batching: Batching, time: any TimeSource) {
        events = GroupCommitter(
            batching: batching, time: time,
            write: { (group) async throws(StoreError) in try await store.append(group) },
            verdict: { outcome, id in
                switch outcome {
                case .appended: .committed
                case .conflict: .rerun
                case .duplicate(let record): .duplicate(record)
                case .erased: .failed(.erased(id))
                }
            })
        states = GroupCommitter(
            batching: batching, time: time,
            write: { (group) async throws(StoreError) in try await store.save(group) },
            verdict: { outcome, id in
                switch outcome {
                case .saved: .committed
                case .conflict: .rerun
                case .duplicate(let record): .duplicate(record)
                case .erased: .failed(.erased(id))
                }
            })
    }

    /// Adds a write; see ``GroupCommitter/enqueue(_:)``.
    func enqueue(_ write: EntityWrite, _ lineage: Lineage, _ owner: EntityCell, _ ticket: Ticket) -> Bool {
        switch write {
        case .append(let request):
            events.enqueue(.init(request: request, lineage: lineage, owner: owner, ticket: ticket))
        case .save(let request):
            states.enqueue(.init(request: request, lineage: lineage, owner: owner, ticket: ticket))
        }
    }

    /// Commits the group that a write belongs to; see ``GroupCommitter/lead()``.
    func lead(isAppend: Bool) async {
        if isAppend { await events.lead() } else { await states.lead() }
    }
}

/// What the cells of one kind need to know of their program, without its types.
final class CellProgram: Sendable {
    let kind: String
    /// Whether entities have events, and so snapshots.
    let isEventSourced: Bool
    let committers: EntityCommitters
    /// Reads the entity from the store.
    let recover: @Sendable (PersistenceID) async throws(EgoError) -> Versioned
    /// What an earlier command gave.
    let answer: @Sendable (CommandRecord, PersistenceID) async throws(EgoError) -> CellReply
    /// Looks for an earlier command of the same ID.
    let command: @Sendable (CommandID, PersistenceID) async throws(StoreError) -> CommandRecord?
    /// A write that only records that a command had no effect.
    let record: @Sendable (EventMetadata, SequenceNumber, PersistenceID) -> EntityWrite

    init<Program: EntityProgram>(_ program: Program, _ committers: EntityCommitters) {
        kind = program.kind
        isEventSourced = Program.Event.self != Never.self
        self.committers = committers
        recover = { (id) async throws(EgoError) in
            let (state, version) = try await program.recover(id)
            return Versioned(state: state, version: version)
        }
        answer = { (record, id) async throws(EgoError) in
            let reply = try await program.answer(record, of: id)
            return CellReply(
                current: Versioned(state: reply.state, version: reply.sequenceNumber),
                events: TypedEvents(reply.events), isRepeated: true)
        }
        command = { (commandID, id) async throws(StoreError) in try await program.command(commandID, of: id) }
        record = { program.record($0, at: $1, of: $2) }
    }
}

/// The answer of a cell.
struct CellReply: Sendable {
    var current: Versioned
    /// The events of the command; nil for none.
    var events: CellEvents?
    var isRepeated = false
}

/// How a cell finds out what a command does to a state: at once, under its lock, or awaiting.
enum Decision: Sendable {
    case immediate(@Sendable (Versioned) throws -> Transition?)
    case awaiting(@Sendable (Versioned) async throws -> Transition?)
}
