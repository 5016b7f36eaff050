import EgoCore

/// Runs a durable-state behavior on a state store.
struct DurableStateProgram<Behavior: EntityBehavior>: EntityProgram {
    typealias Command = Behavior.Command
    typealias State = Behavior.State
    typealias Event = Never
    typealias Effects = Behavior.State?

    let behavior: Behavior
    let handler: Handler<Command, State, Effects>
    let store: any StateStore & EventStore
    let reader: EventReader
    let time: any TimeSource

    var kind: String { behavior.kind }

    func recover(_ id: PersistenceID) async throws(EgoError) -> (state: State, version: SequenceNumber) {
        let info: StreamInfo?
        let stored: StoredState?
        do throws(StoreError) {
            info = try await store.stream(of: id)
            stored = try await store.state(of: id)
        } catch {
            throw EgoError(error, id)
        }
        if info?.isErased == true { throw .erased(id) }
        try EgoError.check(kind, of: id, recorded: info?.kind)
        guard let stored else { return (behavior.initialState(for: id), .zero) }
        do throws(PayloadError) {
            return (try State(decoding: reader.clear(stored)), stored.version)
        } catch {
            throw EgoError(FoldError.undecodable(sequenceNumber: stored.version, cause: error), id)
        }
    }

    func transition(
        _ effects: State?, from _: State, _ version: SequenceNumber, of id: PersistenceID, metadata: EventMetadata
    ) throws -> Transition? {
        guard let state = effects else { return nil }
        return Transition(
            after: Versioned(state: state, version: version.next), events: TypedEvents([Never]()),
            write: .save(
                StateWrite(
                    persistenceID: id, kind: kind, expectedVersion: version, timestamp: time.now(),
                    payload: try AnyPayload(packing: state).serialized(), metadata: metadata)))
    }

    func record(_ metadata: EventMetadata, at version: SequenceNumber, of id: PersistenceID) -> EntityWrite {
        .save(
            StateWrite(
                persistenceID: id, kind: kind, expectedVersion: version, timestamp: time.now(), payload: nil,
                metadata: metadata))
    }

    func answer(_ record: CommandRecord, of id: PersistenceID) async throws(EgoError) -> Reply<State, Never> {
        let current = try await recover(id)
        guard current.version == record.after else {
            throw EgoError(
                .alreadyApplied,
                "command \(record.commandID) was carried out before and gave version "
                    + "\(record.after); the state is at version \(current.version) now",
                persistenceID: id)
        }
        return Reply(
            persistenceID: id, state: current.state, sequenceNumber: record.after, events: [], isRepeated: true)
    }

    func command(_ commandID: CommandID, of id: PersistenceID) async throws(StoreError) -> CommandRecord? {
        try await store.command(commandID, of: id)
    }
}
