import EgoCore

/// Runs a durable-state behavior on a state store.
struct DurableStateProgram<Behavior: EntityBehavior>: EntityProgram {
    let behavior: Behavior
    let store: any StateStore & EventStore
    let reader: EventReader
    let time: any TimeSource

    var kind: String { behavior.kind }
    var isEventSourced: Bool { false }

    func initialState(for id: PersistenceID) -> any AnyEntityState { EntityState(behavior.initialState(for: id)) }

    func recover(_ id: PersistenceID) async throws(EgoError) -> Versioned {
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
        guard let stored else { return Versioned(state: initialState(for: id), version: .zero) }
        do throws(PayloadError) {
            let state = try Behavior.State(decoding: reader.clear(stored))
            return Versioned(state: EntityState(state), version: stored.version)
        } catch {
            throw EgoError(FoldError.undecodable(sequenceNumber: stored.version, cause: error), id)
        }
    }

    func record(_ metadata: EventMetadata, at version: SequenceNumber, of id: PersistenceID) -> EntityWrite {
        .save(
            StateWrite(
                persistenceID: id, kind: kind, expectedVersion: version, timestamp: time.now(), payload: nil,
                metadata: metadata))
    }

    func answer(_ record: CommandRecord, of id: PersistenceID) async throws(EgoError) -> CellReply {
        let current = try await recover(id)
        guard current.version == record.after else {
            throw EgoError(
                .alreadyApplied,
                "command \(record.commandID) was carried out before and gave version "
                    + "\(record.after); the state is at version \(current.version) now",
                persistenceID: id)
        }
        return CellReply(current: current, isRepeated: true)
    }

    func command(_ commandID: CommandID, of id: PersistenceID) async throws(StoreError) -> CommandRecord? {
        try await store.command(commandID, of: id)
    }
}
