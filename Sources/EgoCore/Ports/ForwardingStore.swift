/// A store in front of another one; what a wrapper does not define itself goes to ``base``.
public protocol ForwardingStore: Store {
    /// The store behind.
    var base: any Store { get }

    /// Runs around every call to the base.
    func forward<Value: Sendable>(
        _ call: StoreCall, _ body: () async throws(StoreError) -> Value
    ) async throws(StoreError) -> Value
}

/// The calls of all ports.
public enum StoreCall: String, Sendable, CaseIterable {
    case append, stream, history, events, journal, head, awaitAppend, settle, moment, backlog, command
    case saveSnapshot, latestSnapshot, snapshots
    case saveStates, state
    case projections, projection, offsets, deadLetters, timestampOffsets
    case addKey, key, keys, hadKey, listKeys, rewrap, destroyKeys
    case metadata, entities, statistics, commitChanges, inspect, acquireLease, renewLease, releaseLease, leases
    case job, jobs, audit, tombstone, deadLetterCount, erasures, holds, newestInlineState, purge, residue, flaws,
        hazards

    /// Whether the call changes the store.
    public var isWrite: Bool {
        switch self {
        case .append, .saveSnapshot, .saveStates, .addKey, .rewrap, .destroyKeys, .purge,
            .commitChanges, .acquireLease, .renewLease, .releaseLease:
            true
        default: false
        }
    }
}

extension ForwardingStore {
    public var concurrentCommits: Int { base.concurrentCommits }

    public func append(_ group: [AppendRequest]) async throws(StoreError) -> [AppendOutcome] {
        try await forward(.append) { () async throws(StoreError) in try await base.append(group) }
    }

    public func stream(of id: PersistenceID) async throws(StoreError) -> StreamInfo? {
        try await forward(.stream) { () async throws(StoreError) in try await base.stream(of: id) }
    }

    public func history(
        of id: PersistenceID, through last: SequenceNumber, limit: PageLimit
    ) async throws(StoreError) -> EntityHistory? {
        try await forward(.history) { () async throws(StoreError) in
            try await base.history(of: id, through: last, limit: limit)
        }
    }

    public func events(
        of id: PersistenceID, from first: SequenceNumber, through last: SequenceNumber, limit: PageLimit
    ) async throws(StoreError) -> [PersistedEvent] {
        try await forward(.events) { () async throws(StoreError) in
            try await base.events(of: id, from: first, through: last, limit: limit)
        }
    }

    public func journal(
        after offset: Offset, shard: Shard?, limit: PageLimit
    ) async throws(StoreError) -> JournalPage {
        try await forward(.journal) { () async throws(StoreError) in
            try await base.journal(after: offset, shard: shard, limit: limit)
        }
    }

    public func head() async throws(StoreError) -> Offset {
        try await forward(.head) { () async throws(StoreError) in try await base.head() }
    }

    public func command(
        _ commandID: CommandID, of id: PersistenceID
    ) async throws(StoreError) -> CommandRecord? {
        try await forward(.command) { () async throws(StoreError) in try await base.command(commandID, of: id) }
    }

    public func save(_ snapshot: StoredSnapshot) async throws(StoreError) {
        try await forward(.saveSnapshot) { () async throws(StoreError) in try await base.save(snapshot) }
    }

    public func latestSnapshot(
        of id: PersistenceID, through last: SequenceNumber
    ) async throws(StoreError) -> StoredSnapshot? {
        try await forward(.latestSnapshot) { () async throws(StoreError) in
            try await base.latestSnapshot(of: id, through: last)
        }
    }

    public func snapshots(
        of id: PersistenceID, from first: SequenceNumber, limit: PageLimit
    ) async throws(StoreError) -> [StoredSnapshot] {
        try await forward(.snapshots) { () async throws(StoreError) in
            try await base.snapshots(of: id, from: first, limit: limit)
        }
    }

    public func save(_ group: [StateWrite]) async throws(StoreError) -> [StateOutcome] {
        try await forward(.saveStates) { () async throws(StoreError) in try await base.save(group) }
    }

    public func state(of id: PersistenceID) async throws(StoreError) -> StoredState? {
        try await forward(.state) { () async throws(StoreError) in try await base.state(of: id) }
    }

    public func projections() async throws(StoreError) -> [ProjectionRecord] {
        try await forward(.projections) { () async throws(StoreError) in try await base.projections() }
    }

    public func projection(_ name: String) async throws(StoreError) -> ProjectionRecord? {
        try await forward(.projection) { () async throws(StoreError) in try await base.projection(name) }
    }

    public func offsets(of projection: String, version: Int) async throws(StoreError) -> [CommittedOffset] {
        try await forward(.offsets) { () async throws(StoreError) in
            try await base.offsets(of: projection, version: version)
        }
    }

    public func deadLetters(_ query: DeadLetterQuery) async throws(StoreError) -> [DeadLetter] {
        try await forward(.deadLetters) { () async throws(StoreError) in try await base.deadLetters(query) }
    }

    public func settle(timeout: Duration) async throws(StoreError) {
        try await forward(.settle) { () async throws(StoreError) in try await base.settle(timeout: timeout) }
    }

    public func offset(before moment: Timestamp) async throws(StoreError) -> Offset {
        try await forward(.moment) { () async throws(StoreError) in try await base.offset(before: moment) }
    }

    public func backlog(after offsets: [Shard: Offset]) async throws(StoreError) -> [ShardBacklog] {
        try await forward(.backlog) { () async throws(StoreError) in try await base.backlog(after: offsets) }
    }

    public func add(_ key: StoredKey) async throws(StoreError) {
        try await forward(.addKey) { () async throws(StoreError) in try await base.add(key) }
    }

    public func key(_ id: String) async throws(StoreError) -> KeyLookup? {
        try await forward(.key) { () async throws(StoreError) in try await base.key(id) }
    }

    public func keys(of id: PersistenceID) async throws(StoreError) -> [StoredKey] {
        try await forward(.keys) { () async throws(StoreError) in try await base.keys(of: id) }
    }

    public func hadKey(_ id: PersistenceID) async throws(StoreError) -> Bool {
        try await forward(.hadKey) { () async throws(StoreError) in try await base.hadKey(id) }
    }

    public func keys(after id: String?, limit: Int) async throws(StoreError) -> [KeyListing] {
        try await forward(.listKeys) { () async throws(StoreError) in try await base.keys(after: id, limit: limit) }
    }

    public func rewrap(_ keys: [StoredKey]) async throws(StoreError) {
        try await forward(.rewrap) { () async throws(StoreError) in try await base.rewrap(keys) }
    }

    public func destroyKeys(of id: PersistenceID) async throws(StoreError) -> Int {
        try await forward(.destroyKeys) { () async throws(StoreError) in try await base.destroyKeys(of: id) }
    }

    public func metadata() async throws(StoreError) -> StoreMetadata {
        try await forward(.metadata) { () async throws(StoreError) in try await base.metadata() }
    }

    public func entities(_ query: EntityQuery) async throws(StoreError) -> [EntitySummary] {
        try await forward(.entities) { () async throws(StoreError) in try await base.entities(query) }
    }

    public func statistics() async throws(StoreError) -> StoreStatistics {
        try await forward(.statistics) { () async throws(StoreError) in try await base.statistics() }
    }

    public func commit(
        _ changes: [OperatorChange], under lease: Lease?, with work: ReadModelWork?
    ) async throws(StoreError) -> [Int] {
        try await forward(.commitChanges) { () async throws(StoreError) in
            try await base.commit(changes, under: lease, with: work)
        }
    }

    public func acquireLease(
        _ name: String, owner: String, for duration: Duration, now: Timestamp
    ) async throws(StoreError) -> Lease {
        try await forward(.acquireLease) { () async throws(StoreError) in
            try await base.acquireLease(name, owner: owner, for: duration, now: now)
        }
    }

    public func renew(_ lease: Lease, for duration: Duration, now: Timestamp) async throws(StoreError) -> Lease {
        try await forward(.renewLease) { () async throws(StoreError) in
            try await base.renew(lease, for: duration, now: now)
        }
    }

    public func release(_ lease: Lease) async throws(StoreError) {
        try await forward(.releaseLease) { () async throws(StoreError) in try await base.release(lease) }
    }

    public func leases() async throws(StoreError) -> [Lease] {
        try await forward(.leases) { () async throws(StoreError) in try await base.leases() }
    }

    public func job(_ id: String) async throws(StoreError) -> Job? {
        try await forward(.job) { () async throws(StoreError) in try await base.job(id) }
    }

    public func jobs() async throws(StoreError) -> [Job] {
        try await forward(.jobs) { () async throws(StoreError) in try await base.jobs() }
    }

    public func audit(after number: UInt64, limit: Int) async throws(StoreError) -> [AuditRecord] {
        try await forward(.audit) { () async throws(StoreError) in try await base.audit(after: number, limit: limit) }
    }

    public func tombstone(of id: PersistenceID) async throws(StoreError) -> Tombstone? {
        try await forward(.tombstone) { () async throws(StoreError) in try await base.tombstone(of: id) }
    }

    public func deadLetterCount(of id: PersistenceID) async throws(StoreError) -> Int {
        try await forward(.deadLetterCount) { () async throws(StoreError) in try await base.deadLetterCount(of: id) }
    }

    public func inspect(_ work: @escaping ReadModelWork) async throws(StoreError) {
        try await forward(.inspect) { () async throws(StoreError) in try await base.inspect(work) }
    }

    public func erasures(after number: UInt64, limit: Int) async throws(StoreError) -> [Erasure] {
        try await forward(.erasures) { () async throws(StoreError) in
            try await base.erasures(after: number, limit: limit)
        }
    }

    public func newestInlineState(
        of id: PersistenceID, through last: SequenceNumber
    ) async throws(StoreError) -> PersistedEvent? {
        try await forward(.newestInlineState) { () async throws(StoreError) in
            try await base.newestInlineState(of: id, through: last)
        }
    }

    public func purge(_ search: ResidueSearch) async throws(StoreError) -> PurgeReport {
        try await forward(.purge) { () async throws(StoreError) in try await base.purge(search) }
    }

    public func residue(_ search: ResidueSearch) async throws(StoreError) -> PurgeReport {
        try await forward(.residue) { () async throws(StoreError) in try await base.residue(search) }
    }

    public func holds() async throws(StoreError) -> [LegalHold] {
        try await forward(.holds) { () async throws(StoreError) in try await base.holds() }
    }

    public func flaws(isThorough: Bool) async throws(StoreError) -> [StorageFlaw] {
        try await forward(.flaws) { () async throws(StoreError) in try await base.flaws(isThorough: isThorough) }
    }

    public func hazards(now: Timestamp, isThorough: Bool) async throws(StoreError) -> [StoreHazard] {
        try await forward(.hazards) { () async throws(StoreError) in
            try await base.hazards(now: now, isThorough: isThorough)
        }
    }

    public func awaitAppend(after offset: Offset, timeout: Duration) async throws(StoreError) {
        try await forward(.awaitAppend) { () async throws(StoreError) in
            try await base.awaitAppend(after: offset, timeout: timeout)
        }
    }

    public func timestampOffsets() async throws(StoreError) -> [TimestampOffset] {
        try await forward(.timestampOffsets) { () async throws(StoreError) in try await base.timestampOffsets() }
    }

    public func close() async { await base.close() }
}
