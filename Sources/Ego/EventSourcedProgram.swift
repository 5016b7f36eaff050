import EgoCore

/// Runs an event-sourced behavior on an event store.
struct EventSourcedProgram<Behavior: EventFolding>: EntityProgram {
    typealias Command = Behavior.Command
    typealias State = Behavior.State
    typealias Event = Behavior.Event
    typealias Effects = [Behavior.Event]

    let behavior: Behavior
    let handler: Handler<Command, State, Effects>
    let store: any EventStore & SnapshotStore
    let reader: EventReader
    let time: any TimeSource

    var kind: String { behavior.kind }

    func recover(_ id: PersistenceID) async throws(EgoError) -> (state: State, version: SequenceNumber) {
        let fold = try await StreamReader(store: store, reader: reader).fold(
            behavior, of: id, through: .max, kind: kind)
        return (fold.state, fold.sequenceNumber)
    }

    func transition(
        _ effects: [Event], from state: State, _ version: SequenceNumber, of id: PersistenceID,
        metadata: EventMetadata
    ) throws -> Transition? {
        if effects.isEmpty { return nil }
        let now = time.now()
        var events: [NewEvent] = []
        events.reserveCapacity(effects.count)
        var state = state
        for event in effects {
            events.append(NewEvent(timestamp: now, payload: try event.serializedAny()))
            behavior.apply(event, to: &state)
        }
        return Transition(
            after: Versioned(state: state, version: version.advanced(by: effects.count)),
            events: TypedEvents(effects),
            write: .append(
                AppendRequest(
                    persistenceID: id, kind: kind, expectedVersion: .exact(version), events: events,
                    metadata: metadata)))
    }

    func record(_ metadata: EventMetadata, at version: SequenceNumber, of id: PersistenceID) -> EntityWrite {
        .append(
            AppendRequest(
                persistenceID: id, kind: kind, expectedVersion: .exact(version), events: [], metadata: metadata))
    }

    func answer(_ record: CommandRecord, of id: PersistenceID) async throws(EgoError) -> Reply<State, Event> {
        var events: [Event] = []
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
        return Reply(
            persistenceID: id, state: fold.state, sequenceNumber: record.after, events: events, isRepeated: true)
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
