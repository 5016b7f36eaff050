public import EgoCore
import Synchronization

/// A read model in an ``InMemoryStore``: named counters that change together with an offset.
public final class InMemoryTransaction: ReadModelTransaction {
    /// The counters; what is written here is kept when the transaction commits.
    public var counters: [String: Int]

    init(_ counters: [String: Int]) { self.counters = counters }

    public var dialect: SQLDialect { .none }

    public var isUsable: Bool { true }

    public func change(_ sql: String, _ values: [ReadModelValue]) throws(StoreError) -> Int { throw Self.noSQL }

    public func enqueue(_ sql: String, _ values: [ReadModelValue], step: Int) throws(StoreError) {
        _ = try change(sql, values)
    }

    public func flush() throws(StoreError) {}

    public var failure: (step: Int, error: StoreError)? { nil }

    public func query(_ sql: String, _ values: [ReadModelValue]) throws(StoreError) -> [[ReadModelValue]] {
        throw Self.noSQL
    }

    private static var noSQL: StoreError { StoreError(.invalid, "a store in memory has counters, no SQL") }
}

extension InMemoryStore: ProjectionStore {
    public func projections() async throws(StoreError) -> [ProjectionRecord] {
        try locked { state in state.projections.values.sorted { $0.name < $1.name } }
    }

    public func projection(_ name: String) async throws(StoreError) -> ProjectionRecord? {
        try locked { state in state.projections[name] }
    }

    public func offsets(of projection: String, version: Int) async throws(StoreError) -> [CommittedOffset] {
        try locked { state in
            (state.offsets[projection]?[version] ?? [:]).values.sorted { $0.shard < $1.shard }
        }
    }

    public func deadLetters(_ query: DeadLetterQuery) async throws(StoreError) -> [DeadLetter] {
        try locked { state in
            let found = state.deadLetters.filter { letter in
                let version = query.version ?? state.projections[letter.projection]?.activeVersion ?? 1
                if letter.version != version || query.projection ?? letter.projection != letter.projection {
                    return false
                }
                guard let after = query.after else { return true }
                return (letter.projection, letter.offset) > (after.projection, after.offset)
            }
            return Array(
                found.sorted { ($0.projection, $0.offset) < ($1.projection, $1.offset) }.prefix(query.limit))
        }
    }

    public func timestampOffsets() async throws(StoreError) -> [TimestampOffset] {
        try locked { _ in [] }
    }

    /// The value of a read model's counter.
    public func counter(_ name: String) -> Int { state.withLock { $0.readModel[name] ?? 0 } }
}

extension InMemoryStore: KeyStore {
    public func add(_ key: StoredKey) async throws(StoreError) {
        try locked { (state) throws(StoreError) in
            if state.keys[key.id] != nil { throw StoreError(.invalid, "key \(key.id) exists or existed") }
            state.keys[key.id] = (key, false)
        }
    }

    public func key(_ id: String) async throws(StoreError) -> KeyLookup? {
        try locked { state in state.keys[id].map { $0.isDestroyed ? .destroyed : .key($0.key) } }
    }

    public func keys(of id: PersistenceID) async throws(StoreError) -> [StoredKey] {
        try locked { state in
            state.keys.values.filter { !$0.isDestroyed && $0.key.persistenceID == id }.map(\.key)
                .sorted { ($0.createdAt, $0.id) < ($1.createdAt, $1.id) }
        }
    }

    public func hadKey(_ id: PersistenceID) async throws(StoreError) -> Bool {
        try locked { state in state.keys.values.contains { $0.key.persistenceID == id } }
    }

    public func keys(after id: String?, limit: Int) async throws(StoreError) -> [KeyListing] {
        try locked { state in
            state.keys.filter { id == nil || $0.key > id ?? "" }.sorted { $0.key < $1.key }.prefix(max(1, limit))
                .map { KeyListing(key: $0.value.key, isDestroyed: $0.value.isDestroyed) }
        }
    }

    public func rewrap(_ keys: [StoredKey]) async throws(StoreError) {
        try locked { (state) throws(StoreError) in
            for key in keys where state.keys[key.id]?.isDestroyed ?? true {
                throw StoreError(.notFound, "there is no key \(key.id), or it was destroyed")
            }
            for key in keys { state.keys[key.id]?.key.wrapped = key.wrapped }
        }
    }

    public func destroyKeys(of id: PersistenceID) async throws(StoreError) -> Int {
        try locked { state in
            let living = state.keys.filter { !$0.value.isDestroyed && $0.value.key.persistenceID == id }
            for (name, entry) in living {
                var key = entry.key
                key.wrapped = []
                state.keys[name] = (key, true)
            }
            return living.count
        }
    }
}

extension InMemoryStore: OperatorStore {
    public func entities(_ query: EntityQuery) async throws(StoreError) -> [EntitySummary] {
        try locked { state in
            state.entities.ids.sorted()
                .filter { id in
                    guard let entity = state.entities[id], entity.isListed else { return false }
                    if let after = query.after, id <= after { return false }
                    if let prefix = query.prefix, !id.rawValue.utf8.starts(with: prefix.utf8) { return false }
                    return (query.kind == nil || entity.kind == query.kind)
                        && (query.shard == nil || entity.shard == query.shard)
                }
                .prefix(query.limit)
                .compactMap { id in state.entities[id].map { Self.summary(of: id, $0, state, query.countsEvents) } }
        }
    }

    private static func summary(
        of id: PersistenceID, _ entity: Entity, _ state: State, _ countsEvents: Bool
    ) -> EntitySummary {
        let events = state.events(of: entity)
        let version = entity.state?.version ?? .zero
        let last = max(entity.last, entity.tombstone?.sequenceNumber ?? .zero)
        return EntitySummary(
            persistenceID: id, kind: entity.kind, sequenceNumber: last == .zero ? version : last,
            floor: entity.floor, eventCount: countsEvents ? events.count : nil, lastOffset: events.last?.offset,
            hasSnapshots: !entity.snapshots.isEmpty, isDurableState: entity.state != nil, shard: entity.shard,
            firstTimestamp: countsEvents ? events.first?.timestamp : nil,
            lastTimestamp: events.last?.timestamp ?? entity.state?.timestamp,
            isEncrypted: events.last?.isEncrypted ?? false, erasedAt: entity.tombstone?.erasedAt)
    }

    public func statistics() async throws(StoreError) -> StoreStatistics {
        try locked { state in
            StoreStatistics(
                entities: state.entities.all.filter(\.isListed).count,
                events: state.journal.living,
                snapshots: state.entities.all.reduce(0) { $0 + $1.snapshots.count },
                durableStates: state.entities.all.count { $0.state != nil },
                head: Offset(position: Position(Int64(state.journal.count))), bytes: nil)
        }
    }

    public func commit(
        _ changes: [OperatorChange], under lease: Lease?, with work: ReadModelWork?
    ) async throws(StoreError) -> [Int] {
        try locked { (state) throws(StoreError) in
            if let lease {
                guard let current = state.leases[lease.name], current.isHeld,
                    current.lease.generation == lease.generation
                else { throw StoreError(.fenced, "the lease on \(lease.name) was lost") }
            }
            // Few changes can fail; then nothing of the group may stay.
            let isSafe =
                work == nil
                && changes.allSatisfy { change in
                    switch change {
                    case .addEvents, .saveProjection: false
                    default: true
                    }
                }
            if isSafe { return try changes.map { (change) throws(StoreError) in try make(change, &state) } }
            var copy = state
            let counts = try changes.map { (change) throws(StoreError) in try make(change, &copy) }
            if let work {
                let transaction = InMemoryTransaction(copy.readModel)
                do { try work(transaction) } catch { throw .ofReadModel(error) }
                copy.readModel = transaction.counters
            }
            state = copy
            return counts
        }
    }

    public func inspect(_ work: @escaping ReadModelWork) async throws(StoreError) {
        try locked { (state) throws(StoreError) in
            do { try work(InMemoryTransaction(state.readModel)) } catch { throw .ofReadModel(error) }
        }
    }

    private func add(_ event: PersistedEvent, _ state: inout State) throws(StoreError) -> Int {
        let place = place(of: event.persistenceID, kind: nil, &state)
        var entity = state.entities[at: place]
        defer { state.entities[at: place] = entity }
        if entity.tombstone != nil { return 0 }
        let number = event.sequenceNumber
        if number > .largestAdded { throw .outOfRange(event) }
        if entity.last == .zero, number > .zero {
            entity.floor = SequenceNumber(number.rawValue - 1)
            entity.last = entity.floor
        }
        guard number == entity.last.next else { throw StoreError(.conflict, event, after: entity.last) }
        entity.journal.append(state.journal.count)
        state.journal.append(event, of: place)
        if let commandID = event.metadata.commandID {
            let before = entity.commands[commandID]?.before ?? entity.last
            entity.commands[commandID] = CommandRecord(commandID: commandID, before: before, after: number)
        }
        entity.last = number
        return 1
    }

    private func make(_ change: OperatorChange, _ state: inout State) throws(StoreError) -> Int {
        switch change {
        case .addEvents(let events):
            var count = 0
            for event in events { count += try add(event, &state) }
            return count
        case .raiseFloor(let id, let number):
            var entity = entity(making: id, kind: nil, &state)
            defer { state.entities[id] = entity }
            if entity.tombstone != nil || entity.last >= number || entity.last > entity.floor { return 0 }
            entity.floor = number
            entity.last = number
            return 1
        case .recordKind(let kind, let id):
            var entity = entity(making: id, kind: nil, &state)
            defer { state.entities[id] = entity }
            if entity.kind != nil { return 0 }
            entity.kind = kind
            return 1
        case .addState(let stored):
            let id = stored.persistenceID
            var entity = entity(making: id, kind: nil, &state)
            if entity.state != nil || entity.tombstone != nil { return 0 }
            var stored = stored
            stored.shard = entity.shard
            entity.state = stored
            if let commandID = stored.metadata.commandID {
                entity.commands[commandID] = CommandRecord(
                    commandID: commandID, before: SequenceNumber(max(stored.version.rawValue, 1) - 1),
                    after: stored.version)
            }
            state.entities[id] = entity
            return 1
        case .retireEvents(let id, let number):
            guard let entity = state.entities[id], state.holds[id] == nil else { return 0 }
            let slowest = state.offsets.values.flatMap(\.values).compactMap { $0[entity.shard]?.offset }.min()
            let passed = state.events(of: entity)
                .last { $0.sequenceNumber <= number && (slowest == nil || $0.offset <= slowest ?? .start) }
            return try make(.deleteEvents(of: id, through: passed?.sequenceNumber ?? .zero), &state)
        case .retireSnapshots(let id, let number):
            guard let entity = state.entities[id], state.holds[id] == nil else { return 0 }
            var through = number
            if entity.floor > .zero, let newest = entity.snapshots.map(\.sequenceNumber).max(), newest > .zero {
                through = min(number, SequenceNumber(newest.rawValue - 1))
            }
            return try make(.deleteSnapshots(of: id, through: through), &state)
        case .deleteEvents(let id, let number):
            guard var entity = state.entities[id] else { return 0 }
            let through = min(number, entity.last)
            let count = entity.journal.count { (state.event(at: $0)?.sequenceNumber ?? .zero) <= through }
            for index in entity.journal.prefix(count) { state.journal.remove(at: index) }
            entity.journal.removeFirst(count)
            entity.floor = max(entity.floor, through)
            state.entities[id] = entity
            return count
        case .deleteSnapshots(let id, let number):
            let before = state.entities[id]?.snapshots.count ?? 0
            state.entities[id]?.snapshots.removeAll { $0.sequenceNumber <= number }
            return before - (state.entities[id]?.snapshots.count ?? 0)
        case .eraseTraces(let id):
            let before = state.deadLetters.count + (state.entities[id]?.commands.count ?? 0)
            state.deadLetters.removeAll { $0.persistenceID == id }
            state.entities[id]?.commands = [:]
            return before - state.deadLetters.count
        case .dropInlineState(let id, let first, let last):
            var count = 0
            guard let entity = state.entities[id] else { return 0 }
            for index in entity.journal {
                guard let event = state.event(at: index), first <= event.sequenceNumber, event.sequenceNumber <= last,
                    let rest = PersistedEvent.withoutInlineState(event.unknownFields)
                else { continue }
                state.journal.setUnknownFields(at: index, of: event, to: rest)
                count += 1
            }
            return count
        case .saveSnapshot(let snapshot): return save(snapshot, &state)
        case .deleteState(let id):
            defer { state.entities[id]?.state = nil }
            return state.entities[id]?.state == nil ? 0 : 1
        case .placeTombstone(let tombstone):
            var entity = entity(making: tombstone.persistenceID, kind: nil, &state)
            defer { state.entities[tombstone.persistenceID] = entity }
            entity.commands = [:]
            if entity.tombstone != nil { return 0 }
            entity.tombstone = tombstone
            state.erasures.append(tombstone.persistenceID)
            return 1
        case .saveJob(let job):
            var saved = job
            if let known = state.jobs[job.id] {
                saved = known
                (saved.state, saved.checkpoint, saved.updatedAt) = (job.state, job.checkpoint, job.updatedAt)
            }
            state.jobs[job.id] = saved
            return 1
        case .audit(let entry):
            state.audit.append(
                AuditRecord(
                    number: UInt64(state.audit.count) + 1, entry: entry,
                    previousHash: state.audit.last?.hash ?? AuditRecord.firstPreviousHash))
            return 1
        case .placeHold(let hold):
            state.holds[hold.persistenceID] = hold
            return 1
        case .releaseHold(let id): return state.holds.removeValue(forKey: id) == nil ? 0 : 1
        case .orderOlderEvents: return 0  // nobody else writes here
        case .advance(let advance):
            for offset in advance.offsets {
                state.offsets[advance.projection, default: [:]][advance.version, default: [:]][offset.shard] = offset
            }
            for letter in advance.deadLetters {
                state.deadLetters.removeAll { $0.isSame(as: letter) }
                state.deadLetters.append(letter)
            }
            return advance.offsets.count + advance.deadLetters.count
        case .saveProjection(var record):
            guard record.revision == state.projections[record.name]?.revision ?? 0 else {
                throw .changedMeanwhile(record)
            }
            record.revision += 1
            state.projections[record.name] = record
            return 1
        case .forgetVersion(let version, let name):
            let before = state.deadLetters.count
            state.deadLetters.removeAll { $0.projection == name && $0.version == version }
            let offsets = state.offsets[name]?.removeValue(forKey: version)?.count ?? 0
            return offsets + before - state.deadLetters.count
        case .forgetProjection(let name):
            let before = state.deadLetters.count
            state.deadLetters.removeAll { $0.projection == name }
            let offsets = state.offsets.removeValue(forKey: name)?.values.reduce(0) { $0 + $1.count } ?? 0
            let record = state.projections.removeValue(forKey: name) == nil ? 0 : 1
            return offsets + before - state.deadLetters.count + record
        case .deleteDeadLetter(let name, let version, let offset):
            let before = state.deadLetters.count
            state.deadLetters.removeAll {
                $0.projection == name && $0.version == version && $0.offset == offset
            }
            return before - state.deadLetters.count
        case .breakLease(let name):
            if state.leases[name] == nil { return 0 }
            state.leases[name]?.lease.generation += 1
            return 1
        }
    }

    public func acquireLease(
        _ name: String, owner: String, for duration: Duration, now: Timestamp
    ) async throws(StoreError) -> Lease {
        try locked { (state) throws(StoreError) in
            if let current = state.leases[name], current.isHeld, current.lease.owner != owner,
                current.lease.expiresAt > now
            {
                let seconds = now.duration(since: current.lease.acquiredAt).components.seconds
                throw StoreError(.leaseHeld, "\(current.lease.owner) has held the lease on \(name) for \(seconds) s")
            }
            let lease = Lease(
                name: name, owner: owner, generation: (state.leases[name]?.lease.generation ?? 0) + 1,
                acquiredAt: now, expiresAt: now.advanced(by: duration))
            state.leases[name] = (lease, true)
            return lease
        }
    }

    public func renew(_ lease: Lease, for duration: Duration, now: Timestamp) async throws(StoreError) -> Lease {
        try locked { (state) throws(StoreError) in
            guard var current = state.leases[lease.name], current.isHeld, current.lease.generation == lease.generation
            else { throw StoreError(.fenced, "the lease on \(lease.name) was lost") }
            current.lease.expiresAt = now.advanced(by: duration)
            state.leases[lease.name] = current
            return current.lease
        }
    }

    public func release(_ lease: Lease) async throws(StoreError) {
        try locked { state in
            if state.leases[lease.name]?.lease.generation == lease.generation {
                state.leases[lease.name]?.isHeld = false
            }
        }
    }

    public func leases() async throws(StoreError) -> [Lease] {
        try locked { state in state.leases.values.filter(\.isHeld).map(\.lease).sorted { $0.name < $1.name } }
    }

    public func job(_ id: String) async throws(StoreError) -> Job? {
        try locked { state in state.jobs[id] }
    }

    public func jobs() async throws(StoreError) -> [Job] {
        try locked { state in
            state.jobs.values.sorted { $0.createdAt == $1.createdAt ? $0.id < $1.id : $0.createdAt > $1.createdAt }
        }
    }

    public func audit(after number: UInt64, limit: Int) async throws(StoreError) -> [AuditRecord] {
        try locked { state in Array(state.audit.lazy.filter { $0.number > number }.prefix(max(1, limit))) }
    }

    public func tombstone(of id: PersistenceID) async throws(StoreError) -> Tombstone? {
        try locked { state in state.entities[id]?.tombstone }
    }

    public func deadLetterCount(of id: PersistenceID) async throws(StoreError) -> Int {
        try locked { state in state.deadLetters.count { $0.persistenceID == id } }
    }

    public func erasures(after number: UInt64, limit: Int) async throws(StoreError) -> [Erasure] {
        try locked { state in
            state.erasures.enumerated().map { Erasure(number: UInt64($0 + 1), persistenceID: $1) }
                .filter { $0.number > number }.prefix(max(1, limit)).map { $0 }
        }
    }

    public func newestInlineState(
        of id: PersistenceID, through last: SequenceNumber
    ) async throws(StoreError) -> PersistedEvent? {
        try locked { state in
            state.entities[id].map(state.events(of:))?
                .last { $0.sequenceNumber <= last && $0.hasInlineState }
        }
    }

    public func purge(_ search: ResidueSearch) async throws(StoreError) -> PurgeReport {
        try locked { _ in PurgeReport() }
    }

    public func residue(_ search: ResidueSearch) async throws(StoreError) -> PurgeReport {
        try locked { _ in PurgeReport() }
    }

    public func holds() async throws(StoreError) -> [LegalHold] {
        try locked { state in state.holds.values.sorted { $0.persistenceID < $1.persistenceID } }
    }

    public func flaws(isThorough: Bool) async throws(StoreError) -> [StorageFlaw] {
        try locked { _ in [] }
    }

    public func hazards(now: Timestamp, isThorough: Bool) async throws(StoreError) -> [StoreHazard] {
        try locked { state in
            let both = state.entities.ids.filter { id in
                guard let entity = state.entities[id] else { return false }
                return !entity.journal.isEmpty && entity.state != nil
            }.sorted()
            return both.isEmpty ? [] : [.bothKindsOfState(count: both.count, first: both[0])]
        }
    }
}

extension DeadLetter {
    fileprivate func isSame(as other: DeadLetter) -> Bool {
        projection == other.projection && version == other.version && offset == other.offset
    }
}

extension InMemoryStore.Entity {
    fileprivate var isListed: Bool {
        last > .zero || floor > .zero || state != nil || tombstone != nil || !snapshots.isEmpty
    }
}
