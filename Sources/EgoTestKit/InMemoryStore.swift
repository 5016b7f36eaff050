public import EgoCore
import Synchronization

/// A store in memory, for tests: keeps every law but durability.
public final class InMemoryStore: Store {
    struct State {
        var entities = EntityTable()
        var journal = Journal()
        var projections: [String: ProjectionRecord] = [:]
        var offsets: [String: [Int: [Shard: CommittedOffset]]] = [:]
        var deadLetters: [DeadLetter] = []
        var readModel: [String: Int] = [:]
        var keys: [String: (key: StoredKey, isDestroyed: Bool)] = [:]
        var leases: [String: (lease: Lease, isHeld: Bool)] = [:]
        var jobs: [String: Job] = [:]
        var audit: [AuditRecord] = []
        /// The erased entities in the order of erasure.
        var erasures: [PersistenceID] = []
        var holds: [PersistenceID: LegalHold] = [:]
        var isClosed = false
        /// Whether somebody waits for an append.
        var isAwaited = false

        /// The event at a place of the journal, from 0; nil when it was deleted.
        func event(at index: Int) -> PersistedEvent? { journal.event(at: index, of: entities) }

        /// The events of an entity that were not deleted.
        func events(of entity: Entity) -> [PersistedEvent] { entity.journal.compactMap { event(at: $0) } }

        /// Whether somebody waited for the append that was just made, and has to be woken.
        mutating func endWait() -> Bool {
            defer { isAwaited = false }
            return isAwaited
        }
    }

    public let concurrentCommits = 1
    let state = Mutex(State())
    private let appended = AppendSignal()
    private let storeMetadata: StoreMetadata

    /// An empty store.
    public init(shardCount: UInt32 = 16) {
        self.storeMetadata = StoreMetadata(
            storeID: "memory", schemaVersion: 1, shardCount: max(1, shardCount), origin: .ego)
    }

    public func close() async {
        state.withLock { $0.isClosed = true }
    }

    public func metadata() async throws(StoreError) -> StoreMetadata { storeMetadata }

    func locked<Value>(_ body: (inout State) throws(StoreError) -> Value) throws(StoreError) -> Value {
        let result: Result<Value, StoreError> = state.withLock { state in
            if state.isClosed { return .failure(StoreError(.closed, "the store is closed")) }
            do throws(StoreError) { return .success(try body(&state)) } catch { return .failure(error) }
        }
        return try result.get()
    }

    func entity(making id: PersistenceID, kind: String?, _ state: inout State) -> Entity {
        state.entities[id] ?? newEntity(id, kind: kind)
    }

    private func newEntity(_ id: PersistenceID, kind: String?) -> Entity {
        Entity(kind: kind, shard: Shard(of: id, count: storeMetadata.shardCount))
    }
}

extension InMemoryStore: EventStore {
    public func append(_ group: [AppendRequest]) async throws(StoreError) -> [AppendOutcome] {
        let (outcomes, wakes) = try locked { state in
            var failed: Set<PersistenceID> = []
            var outcomes: [AppendOutcome] = []
            outcomes.reserveCapacity(group.count)
            for request in group {
                let isPoisoned = !failed.isEmpty && failed.contains(request.persistenceID)
                let outcome = append(request, isPoisoned: isPoisoned, &state)
                if case .appended = outcome {} else { failed.insert(request.persistenceID) }
                outcomes.append(outcome)
            }
            return (outcomes, state.endWait())
        }
        if wakes { appended.give() }
        return outcomes
    }

    private func append(_ request: AppendRequest, isPoisoned: Bool, _ state: inout State) -> AppendOutcome {
        let place = place(of: request.persistenceID, kind: request.kind, &state)
        return Self.append(
            request.events, of: place, after: request.expectedVersion, request.metadata, isPoisoned: isPoisoned,
            to: &state.entities[at: place], &state.journal)
    }

    /// The place of an entity, which is made when there is none.
    func place(of id: PersistenceID, kind: String?, _ state: inout State) -> EntityPlace {
        state.entities.place(of: id) { newEntity(id, kind: kind) }
    }

    private static func append(
        _ events: [NewEvent], of place: EntityPlace, after expected: ExpectedVersion, _ metadata: EventMetadata,
        isPoisoned: Bool, to entity: inout Entity, _ journal: inout Journal
    ) -> AppendOutcome {
        if entity.isErased { return .erased }
        let commandID = metadata.commandID
        if let commandID, let record = entity.commands[commandID] { return .duplicate(record) }
        let before = entity.last
        if isPoisoned { return .conflict(actual: before) }
        if let expected = expected.last, expected != before { return .conflict(actual: before) }
        for event in events {
            entity.last = entity.last.next
            entity.journal.append(journal.count)
            journal.append(event, of: place, entity.last, metadata)
        }
        if let commandID {
            entity.commands[commandID] = CommandRecord(commandID: commandID, before: before, after: entity.last)
        }
        return .appended(last: entity.last, offset: Offset(position: Position(Int64(journal.count))))
    }

    public func stream(of id: PersistenceID) async throws(StoreError) -> StreamInfo? {
        try locked { state in state.entities[id]?.stream }
    }

    public func history(
        of id: PersistenceID, through last: SequenceNumber, limit: PageLimit
    ) async throws(StoreError) -> EntityHistory? {
        try locked { state in
            guard let entity = state.entities[id] else { return nil }
            var history = EntityHistory(stream: entity.stream)
            if history.stream.isErased { return history }
            let last = min(last, history.stream.last)
            history.snapshot = entity.latestSnapshot(through: last)
            let first = history.snapshot?.sequenceNumber.next ?? 1
            history.events = state.journal.page(of: entity, in: state.entities, from: first, through: last, limit)
            return history
        }
    }

    public func events(
        of id: PersistenceID, from first: SequenceNumber, through last: SequenceNumber, limit: PageLimit
    ) async throws(StoreError) -> [PersistedEvent] {
        try locked { state in
            guard let entity = state.entities[id] else { return [] }
            return state.journal.page(of: entity, in: state.entities, from: first, through: last, limit)
        }
    }

    public func journal(
        after offset: Offset, shard: Shard?, limit: PageLimit
    ) async throws(StoreError) -> JournalPage {
        try locked { state in
            var found: [PersistedEvent] = []
            var bytes = 0
            var index = Int(clamping: max(0, offset.position.rawValue))
            while index < state.journal.count {
                let event = state.event(at: index)
                index += 1
                guard var event, shard == nil || event.shard == shard else { continue }
                event.isErased = state.entities[event.persistenceID]?.isErased ?? false
                found.append(event)
                bytes += event.payload.count
                if bytes >= limit.bytes || found.count == limit.rows { break }
            }
            let next = max(offset, Offset(position: Position(Int64(min(index, state.journal.count)))))
            return JournalPage(events: found, next: next, reachedHead: index >= state.journal.count)
        }
    }

    public func head() async throws(StoreError) -> Offset {
        try locked { state in Offset(position: Position(Int64(state.journal.count))) }
    }

    public func awaitAppend(after offset: Offset, timeout: Duration) async throws(StoreError) {
        let deadline = ContinuousClock.now + timeout
        while true {
            let count = appended.count
            let isThere = try locked { state in
                let isThere = Offset(position: Position(Int64(state.journal.count))) > offset
                if !isThere { state.isAwaited = true }
                return isThere
            }
            if isThere { return }
            let rest = deadline - .now
            if rest <= .zero { return }
            await appended.wait(after: count, timeout: rest)
            if Task.isCancelled { throw StoreError(.cancelled, "stopped while waiting for an append") }
        }
    }

    public func settle(timeout: Duration) async throws(StoreError) {
        _ = try await head()  // what is committed can be read
    }

    public func offset(before moment: Timestamp) async throws(StoreError) -> Offset {
        try locked { state in
            let index = (0..<state.journal.count).first { index in
                (state.event(at: index)?.timestamp).map { $0 >= moment } ?? false
            }
            return Offset(position: Position(Int64(index ?? state.journal.count)))
        }
    }

    public func backlog(after offsets: [Shard: Offset]) async throws(StoreError) -> [ShardBacklog] {
        try locked { state in
            var sum = BacklogSum(offsets.keys)
            for index in 0..<state.journal.count {
                guard let event = state.event(at: index), let offset = offsets[event.shard] else { continue }
                if event.offset > offset { sum.add(1, event.shard) }
                sum.note(event.offset, event.timestamp, event.shard)
            }
            return sum.backlogs
        }
    }

    public func command(
        _ commandID: CommandID, of id: PersistenceID
    ) async throws(StoreError) -> CommandRecord? {
        try locked { state in state.entities[id]?.commands[commandID] }
    }
}

extension InMemoryStore: SnapshotStore {
    public func save(_ snapshot: StoredSnapshot) async throws(StoreError) {
        try locked { state in _ = save(snapshot, &state) }
    }

    func save(_ snapshot: StoredSnapshot, _ state: inout State) -> Int {
        var entity = entity(making: snapshot.persistenceID, kind: nil, &state)
        defer { state.entities[snapshot.persistenceID] = entity }
        if entity.tombstone != nil { return 0 }
        entity.snapshots.removeAll { $0.sequenceNumber == snapshot.sequenceNumber }
        let index = entity.snapshots.firstIndex { $0.sequenceNumber > snapshot.sequenceNumber }
        entity.snapshots.insert(snapshot, at: index ?? entity.snapshots.endIndex)
        return 1
    }

    public func latestSnapshot(
        of id: PersistenceID, through last: SequenceNumber
    ) async throws(StoreError) -> StoredSnapshot? {
        try locked { state in state.entities[id]?.latestSnapshot(through: last) }
    }

    public func snapshots(
        of id: PersistenceID, from first: SequenceNumber, limit: PageLimit
    ) async throws(StoreError) -> [StoredSnapshot] {
        try locked { state in
            var found: [StoredSnapshot] = []
            var bytes = 0
            for snapshot in state.entities[id]?.snapshots ?? [] where snapshot.sequenceNumber >= first {
                found.append(snapshot)
                bytes += snapshot.payload.count
                if bytes >= limit.bytes || found.count == limit.rows { break }
            }
            return found
        }
    }
}

extension InMemoryStore: StateStore {
    public func save(_ group: [StateWrite]) async throws(StoreError) -> [StateOutcome] {
        try locked { state in
            var failed: Set<PersistenceID> = []
            return group.map { write in
                let outcome = save(write, isPoisoned: failed.contains(write.persistenceID), &state)
                if case .saved = outcome {} else { failed.insert(write.persistenceID) }
                return outcome
            }
        }
    }

    private func save(_ write: StateWrite, isPoisoned: Bool, _ state: inout State) -> StateOutcome {
        let id = write.persistenceID
        var entity = entity(making: id, kind: write.kind, &state)
        defer { state.entities[id] = entity }
        if entity.tombstone != nil { return .erased }
        let commandID = write.metadata.commandID
        if let commandID, let record = entity.commands[commandID] { return .duplicate(record) }
        let actual = entity.state?.version ?? .zero
        if isPoisoned || actual != write.expectedVersion { return .conflict(actual: actual) }
        var after = actual
        if let payload = write.payload {
            after = actual.next
            entity.state = StoredState(
                persistenceID: id, version: after, timestamp: write.timestamp, shard: entity.shard, payload: payload,
                encryptionKeyID: write.encryptionKeyID, isEncrypted: write.isEncrypted, metadata: write.metadata)
        }
        if let commandID {
            entity.commands[commandID] = CommandRecord(commandID: commandID, before: actual, after: after)
        }
        return .saved(version: after)
    }

    public func state(of id: PersistenceID) async throws(StoreError) -> StoredState? {
        try locked { state in state.entities[id]?.state }
    }
}

extension InMemoryStore: ImmediateStore {
    public func appendNow(
        _ events: [NewEvent], of id: PersistenceID, kind: String?, after expected: ExpectedVersion,
        _ metadata: EventMetadata, at place: inout EntityPlace?
    ) throws(StoreError) -> AppendOutcome {
        let (outcome, wakes) = try locked { state in
            let known = place ?? self.place(of: id, kind: kind, &state)
            place = known
            let outcome = Self.append(
                events, of: known, after: expected, metadata, isPoisoned: false, to: &state.entities[at: known],
                &state.journal)
            return (outcome, state.endWait())
        }
        if wakes { appended.give() }
        return outcome
    }

    public func saveNow(_ write: StateWrite) throws(StoreError) -> StateOutcome {
        try locked { state in save(write, isPoisoned: false, &state) }
    }
}
