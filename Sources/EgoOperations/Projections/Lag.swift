public import EgoCore

/// How far projections are behind the journal.
public struct Lag: Sendable {
    private let store: any Store
    private let declared: [String]
    private let time: any TimeSource

    /// Measures projections of a store.
    ///
    /// - Parameter declared: names of projections that there are, whether or not they ever ran.
    public init(of store: any Store, declared: [String] = [], time: any TimeSource) {
        self.store = store
        self.declared = declared
        self.time = time
    }

    /// Measures the named projections, or all, ascending by name.
    ///
    /// - Throws: ``OperationError/Code/notFound`` for a name that no projection has.
    public func measure(_ names: [String] = []) async throws -> [ProjectionLag] {
        let metadata = try await store.metadata()
        let leases = try await store.leases()
        var found: [ProjectionLag] = []
        // A database that was not adopted has no projections of ours.
        let declared = metadata.schemaVersion == 0 ? [] : declared
        let total = try await total(metadata)
        let records = try await store.projections()
        let known = Set(records.map(\.name))
        for record in records + declared.filter({ !known.contains($0) }).map(ProjectionRecord.init(name:))
        where names.isEmpty || names.contains(record.name) {
            found.append(try await measure(record, leases, metadata, total))
        }
        let foreign = try await store.timestampOffsets()
        for (name, offsets) in Dictionary(grouping: foreign, by: \.projection)
        where names.isEmpty || names.contains(name) {
            found.append(ProjectionLag(ofEgoGo: name, offsets))
        }
        for name in names where !found.contains(where: { $0.name == name }) {
            throw OperationError.noProjection(name)
        }
        return found.sorted { ($0.name, $0.engine.rawValue) < ($1.name, $1.engine.rawValue) }
    }

    private func total(_ metadata: StoreMetadata) async throws -> Int {
        if metadata.schemaVersion == 0 { return 0 }
        let shards = (0..<UInt64(metadata.shardCount)).map { Shard($0) }
        return try await store.backlog(after: Dictionary(uniqueKeysWithValues: shards.map { ($0, .start) }))
            .reduce(0) { $0 + $1.events }
    }

    private func measure(
        _ record: ProjectionRecord, _ leases: [Lease], _ metadata: StoreMetadata, _ total: Int
    ) async throws -> ProjectionLag {
        let offsets = try await store.offsets(of: record.name, version: record.activeVersion)
        let committed = Dictionary(uniqueKeysWithValues: offsets.map { ($0.shard, $0) })
        // A projection that never ran has all of every shard before it.
        let shards = Set(offsets.map(\.shard)).union((0..<UInt64(metadata.shardCount)).map { Shard($0) })
        let backlogs = try await store.backlog(
            after: Dictionary(uniqueKeysWithValues: shards.map { ($0, committed[$0]?.offset ?? .start) }))
        let head = try await store.head()
        let lease = leases.first { $0.name == ProjectionRecord.lease(of: record.name) }
        let state: ProjectionState =
            if record.failure != nil {
                .failed
            } else if record.mode != .running {
                .paused
            } else if offsets.isEmpty {
                .neverRun
            } else if let lease, lease.expiresAt > time.now() {
                .running
            } else {
                .stopped
            }
        let shardLags = backlogs.map { backlog in
            let own = committed[backlog.shard]
            var shardState = state
            if own == nil { shardState = .neverRun } else if let own, own.offset > head { shardState = .aheadOfHead }
            var lag: Duration?
            if shardState == .neverRun || shardState == .aheadOfHead {
                lag = nil
            } else if backlog.events == 0 {
                lag = .zero
            } else if let last = own?.eventTimestamp, let head = backlog.headTimestamp {
                lag = max(.zero, head.duration(since: last))
            }
            return ShardLag(
                shard: backlog.shard, state: shardState, eventsBehind: backlog.events, lag: lag,
                committed: own.map { .offset($0.offset) }, head: backlog.head.map { .offset($0) },
                lastAdvanced: own?.committedAt)
        }
        let isAhead = shardLags.contains { $0.state == .aheadOfHead }
        return ProjectionLag(
            name: record.name, engine: .ego, state: isAhead ? .aheadOfHead : state, failure: record.failure,
            mode: record.mode, totalEvents: total, shards: shardLags)
    }
}

/// What a projection does, as far as the store tells.
public enum ProjectionState: String, Sendable, CaseIterable {
    /// A runner holds its lease.
    case running
    /// An operator has paused it, or rebuilds it.
    case paused
    /// No runner holds its lease.
    case stopped
    /// It stopped at an event.
    case failed
    /// It never committed an offset.
    case neverRun = "never_run"
    /// Its offset is past the journal's end: it misses what is appended until then.
    case aheadOfHead = "ahead_of_head"
    /// It cannot be told; another engine runs it.
    case unknown
}

/// Where a projection stands in one shard.
public struct ShardLag: Sendable, Hashable {
    /// The shard.
    public var shard: Shard
    /// What it does there.
    public var state: ProjectionState
    /// How many events it has before it.
    public var eventsBehind: Int
    /// The time between the last event that it processed and the newest; nil when that is not known.
    public var lag: Duration?
    /// Where it stands; nil when it never committed an offset.
    public var committed: StoreStatus.Place?
    /// The last event; nil when there is none.
    public var head: StoreStatus.Place?
    /// When it committed an offset last.
    public var lastAdvanced: Timestamp?
}

/// Where a projection stands.
public struct ProjectionLag: Sendable, Hashable {
    /// The projection.
    public var name: String
    /// Whose it is.
    public var engine: Engine
    /// What it does.
    public var state: ProjectionState
    /// Why it stopped.
    public var failure: ProjectionFailure?
    /// What it is to do; nil where an engine of eGo for Go runs it.
    public var mode: ProjectionRecord.Mode?
    /// How many events the journal holds; 0 where that is not counted.
    public var totalEvents: Int
    /// Where it stands in each shard, ascending.
    public var shards: [ShardLag]

    /// Whose a projection is.
    public enum Engine: String, Sendable {
        case ego
        case egoGo = "ego-go"
    }

    /// How many events it has before it.
    public var eventsBehind: Int { shards.reduce(0) { $0 + $1.eventsBehind } }

    /// The largest lag of a shard; nil when it is not known of those that have events before them.
    public var lag: Duration? {
        let known = shards.compactMap(\.lag).max()
        let hasUnknown = shards.contains { $0.lag == nil && $0.eventsBehind > 0 }
        return hasUnknown && known == .zero ? nil : known
    }

    /// When it committed an offset last.
    public var lastAdvanced: Timestamp? { shards.compactMap(\.lastAdvanced).max() }

    init(
        name: String, engine: Engine, state: ProjectionState, failure: ProjectionFailure?, mode: ProjectionRecord.Mode?,
        totalEvents: Int, shards: [ShardLag]
    ) {
        (self.name, self.engine, self.state) = (name, engine, state)
        (self.failure, self.mode, self.totalEvents, self.shards) = (failure, mode, totalEvents, shards)
    }

    /// A projection of eGo for Go. It says by timestamps how far it is, and nothing of whether it runs.
    package init(ofEgoGo name: String, _ offsets: [TimestampOffset]) {
        let shards = offsets.sorted { $0.shard < $1.shard }.map { offset in
            var state = ProjectionState.unknown
            var lag: Duration?
            if let stored = offset.stored {
                // eGo for Go compares the numbers, whatever their unit.
                if let head = offset.storedHead, stored > head {
                    state = .aheadOfHead
                } else if let head = offset.storedHead, !Timestamp.areOfOneUnit(stored, head) {
                    state = .unknown
                } else if offset.eventsBehind == 0 {
                    lag = .zero
                } else if let head = offset.head, let moment = offset.moment {
                    lag = head.duration(since: moment)
                }
            } else {
                state = .neverRun
            }
            return ShardLag(
                shard: offset.shard, state: state, eventsBehind: offset.eventsBehind, lag: lag,
                committed: offset.stored.map { .timestamp($0) }, head: offset.storedHead.map { .timestamp($0) },
                lastAdvanced: offset.committedAt)
        }
        let state: ProjectionState =
            if shards.contains(where: { $0.state == .aheadOfHead }) {
                .aheadOfHead
            } else if shards.allSatisfy({ $0.state == .neverRun }) {
                .neverRun
            } else {
                .unknown
            }
        self.init(name: name, engine: .egoGo, state: state, failure: nil, mode: nil, totalEvents: 0, shards: shards)
    }
}

/// How fast a projection comes nearer to the journal's end, from two looks at it.
public struct DrainRate: Sendable, Hashable {
    /// How many events it is nearer by each second; negative when it falls behind.
    public var eventsPerSecond: Double
    /// When it will be there at that rate; nil when it will not.
    public var eta: Duration?

    /// The rate between two looks.
    ///
    /// - Returns: nil when no time has passed between them.
    public init?(from earlier: ProjectionLag, to later: ProjectionLag, after duration: Duration) {
        let seconds = duration / .seconds(1)
        if seconds <= 0 { return nil }
        eventsPerSecond = Double(earlier.eventsBehind - later.eventsBehind) / seconds
        if later.eventsBehind == 0 {
            eta = .zero
        } else if eventsPerSecond > 0 {
            eta = .seconds(Double(later.eventsBehind) / eventsPerSecond)
        }
    }
}

extension OperationError {
    /// No projection has that name.
    static func noProjection(_ name: String) -> OperationError {
        OperationError(.notFound, "there is no projection \(name)", hint: "ego projection list shows them")
    }
}
