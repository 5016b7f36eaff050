/// A named consumer of the journal.
public struct Projection: Sendable {
    /// Names it in the store and to operators; 1 to 255 characters.
    public let name: String
    /// What takes the events.
    public let handler: Handler
    /// How it runs.
    public var options: ProjectionOptions

    /// What takes the events of a projection, by where the read model lives.
    public enum Handler: Sendable {
        /// In the store's own database: exactly once.
        case readModel(any ReadModel)
        /// Elsewhere: at least once.
        case external(any ProjectionHandler)
    }

    /// A projection whose read model is in the store's own database.
    public init(_ name: String, _ readModel: any ReadModel, options: ProjectionOptions = ProjectionOptions()) {
        (self.name, self.handler, self.options) = (name, .readModel(readModel), options)
    }

    /// A projection whose read model is elsewhere.
    public init(_ name: String, _ handler: any ProjectionHandler, options: ProjectionOptions = ProjectionOptions()) {
        (self.name, self.handler, self.options) = (name, .external(handler), options)
    }

    /// The tables in the store's own database.
    public var tables: [ReadModelTable] {
        guard case .readModel(let model) = handler else { return [] }
        return model.tables
    }
}

/// Takes events for a read model outside of the store's database.
public protocol ProjectionHandler: Sendable {
    /// Takes one event. Events of one shard come in the order of the journal, one after the other; those of different
    /// shards at the same time, up to ``ProjectionOptions/parallelism``.
    ///
    /// An event comes again when its offset was not committed, so what it does has to have the same result twice.
    func handle(_ event: ProjectedEvent) async throws
}

/// A handler whose read model holds something of single entities, which has to go when one is erased.
public protocol ErasableProjectionHandler: ProjectionHandler {
    /// Removes everything of an entity. Called again when an erasure was interrupted.
    func erase(_ id: PersistenceID) async throws
}

/// A handler whose read model can be emptied, so that it can be rebuilt.
public protocol ClearableProjectionHandler: ProjectionHandler {
    /// Empties the read model. Called again when a rebuild was interrupted before its first page.
    func clear() async throws
}

/// How a projection runs.
public struct ProjectionOptions: Sendable, Hashable {
    /// The most events of one page, after which offsets are committed; 1 to 5,000.
    public var pageSize: Int
    /// How long to wait at most before looking for new events, when nobody tells of them.
    public var pollInterval: Duration
    /// Where it starts when it runs for the first time; not looked at again after that.
    public var start: ProjectionStart
    /// What becomes of an event that the handler fails on.
    public var recovery: RecoveryPolicy
    /// How many groups of shards are processed at the same time; at least 1.
    public var parallelism: Int

    /// Options with the given parts.
    public init(
        pageSize: Int = 500, pollInterval: Duration = .seconds(1), start: ProjectionStart = .beginning,
        recovery: RecoveryPolicy = .fail, parallelism: Int = 1
    ) {
        self.pageSize = min(max(1, pageSize), PageLimit.standard.rows)
        self.pollInterval = pollInterval
        self.start = start
        self.recovery = recovery
        self.parallelism = max(1, parallelism)
    }
}

/// Where a projection starts when it runs for the first time.
public enum ProjectionStart: Sendable, Hashable {
    /// With the first event of the journal.
    case beginning
    /// With what is appended from now on.
    case end
    /// With the first event that was written at or after a moment.
    case time(Timestamp)
    /// After a place in the journal.
    case after(Offset)
}
