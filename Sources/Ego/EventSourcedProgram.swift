import EgoCore

/// Runs an event-sourced behavior on an event store.
struct EventSourcedProgram<Behavior: EventFolding>: EntityProgram {
    let behavior: Behavior
    let store: any EventStore & SnapshotStore
    let reader: EventReader

    var kind: String { behavior.kind }
    var isEventSourced: Bool { true }

    func initialState(for id: PersistenceID) -> any AnyEntityState { EntityState(behavior.initialState(for: id)) }

    func recover(_ id: PersistenceID) async throws(EgoError) -> Versioned {
        let fold = try await StreamReader(store: store, reader: reader).fold(
            behavior, of: id, through: .max, kind: kind)
        return Versioned(state: EntityState(fold.state), version: fold.sequenceNumber)
    }

    func record(_ metadata: EventMetadata, at version: SequenceNumber, of id: PersistenceID) -> EntityWrite {
        .append(
            AppendRequest(
                persistenceID: id, kind: kind, expectedVersion: .exact(version), events: [], metadata: metadata))
    }

    func answer(_ record: CommandRecord, of id: PersistenceID) async throws(EgoError) -> CellReply {
        var events: [Behavior.Event] = []
        let streams = StreamReader(store: store, reader: reader)
        var fold: StreamFold<Behavior>
        do {
            fold = try await streams.fold(behavior, of: id, through: record.before)
            try await checkStillThere(record, of: id)
            try await streams.forEach(
                of: id, from: record.before.next, through: record.after
            ) { (event) throws(FoldError) in
                events.append(try fold.apply(event))
            }
        } catch {
            guard case FoldError.trimmed? = error.cause as? FoldError else { throw error }
            throw EgoError(
                .alreadyApplied,
                "command \(record.commandID) was carried out before; its events up to "
                    + "\(record.after) were deleted since",
                persistenceID: id, cause: error)
        }
        return CellReply(
            current: Versioned(state: EntityState(fold.state), version: record.after), events: EntityEvents(events),
            isRepeated: true)
    }

    private func checkStillThere(_ record: CommandRecord, of id: PersistenceID) async throws(EgoError) {
        let floor: SequenceNumber
        do { floor = try await store.stream(of: id)?.floor ?? .zero } catch { throw EgoError(error, id) }
        if record.after > record.before, floor > record.before {
            throw EgoError(FoldError.trimmed(through: floor), id)
        }
    }

    func command(_ commandID: CommandID, of id: PersistenceID) async throws(StoreError) -> CommandRecord? {
        try await store.command(commandID, of: id)
    }
}
