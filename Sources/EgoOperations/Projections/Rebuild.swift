import Ego
public import EgoCore

/// Replays the journal into projections.
///
/// A read model in the store's database is made anew beside the one in use, and takes its place in one transaction once it
/// has caught up; nobody sees half of it. One that lives elsewhere is emptied and filled again in place, and its projection
/// waits meanwhile.
///
/// It is a durable job: each page of work is committed together with its offsets and the job's checkpoint. Several
/// projections share one pass over the journal.
public struct Rebuild: Sendable {
    /// How a read model is made anew.
    public enum Strategy: String, Sendable, CaseIterable, Codable {
        /// Beside the one in use.
        case shadow
        /// In the place of the one in use.
        case inPlace = "in-place"
    }

    /// What becomes of an event that the handler fails on.
    public enum OnError: String, Sendable, CaseIterable {
        /// The rebuild stops; it can go on later.
        case fail
        /// The event is kept as a dead letter.
        case deadLetter = "dead-letter"
        /// The event is passed over, and counted.
        case skip
    }

    /// What a rebuild was told.
    public struct Options: Sendable {
        /// How; nil for what each projection supports best.
        public var strategy: Strategy?
        /// Only events after this place, into the read model as it is; nil for all events, into an empty one.
        public var from: Offset?
        /// What becomes of an event that the handler fails on.
        public var onError: OnError
        /// The most events of one page.
        public var page: PageLimit

        /// Options with the given parts.
        public init(
            strategy: Strategy? = nil, from: Offset? = nil, onError: OnError = .fail, page: PageLimit = .standard
        ) {
            (self.strategy, self.from, self.onError, self.page) = (strategy, from, onError, page)
        }
    }

    /// What became of one projection.
    public struct Outcome: Sendable, Hashable, Codable {
        /// The projection.
        public var name: String
        /// How it was rebuilt.
        public var strategy: Strategy
        /// How many events the handler took.
        public var events = 0
        /// How many events were of erased entities.
        public var erased = 0
        /// How many events became dead letters.
        public var deadLetters = 0
        /// How many events were passed over.
        public var skipped = 0
        /// The version of the read model that was filled.
        public var version: Int
        /// Whether every event up to the end was handed out.
        public var isVerified = false
        /// Whether the new read model is in use.
        public var isPromoted = false

        /// The outcome of a rebuild that has not begun.
        public init(name: String, strategy: Strategy, version: Int) {
            (self.name, self.strategy, self.version) = (name, strategy, version)
        }
    }

    private let store: any Store
    private let reader: EventReader
    private let person: Operator
    private let time: any TimeSource

    /// Rebuilds projections of a store.
    public init(store: any Store, reader: EventReader, by person: Operator, time: any TimeSource) {
        self.store = store
        self.reader = reader
        self.person = person
        self.time = time
    }

    /// How a projection is rebuilt unless told otherwise.
    public static func strategy(of projection: Projection, _ options: Options) throws(OperationError) -> Strategy {
        let hasTables: Bool
        if case .readModel = projection.handler { hasTables = true } else { hasTables = false }
        let strategy = options.strategy ?? (hasTables && options.from == nil ? .shadow : .inPlace)
        if strategy == .shadow, !hasTables {
            throw OperationError(
                .refused, "projection \(projection.name) keeps its read model elsewhere: there is no shadow of it",
                hint: "nothing was changed; --strategy in-place empties it and fills it again")
        }
        if strategy == .shadow, options.from != nil {
            throw OperationError(
                .refused, "a shadow begins empty: it has to take all events",
                hint: "nothing was changed; --from goes with --strategy in-place")
        }
        if strategy == .inPlace, options.from == nil, case .external(let handler) = projection.handler,
            !(handler is any ClearableProjectionHandler)
        {
            throw OperationError(
                .refused, "projection \(projection.name) cannot empty its read model",
                hint: "nothing was changed; --from 0 hands it all events again, into what is there")
        }
        return strategy
    }

    /// The kind of the job.
    static let jobKind = "rebuild"
    static let leaseName = "rebuild"

    /// Whether a rebuild has the projection in its hands, and can go on.
    static func isUnderWay(_ record: ProjectionRecord, on store: any Store) async throws -> Bool {
        guard let id = record.rebuildJob else { return false }
        return try await store.job(id)?.state.isUnfinished ?? false
    }

    /// Declarations that have changed are another work; of code that has changed nothing is known.
    private static func signature(of projections: [Projection]) -> String {
        projections.sorted { $0.name < $1.name }.compactMap { projection in
            guard case .readModel(let model as SQLReadModel) = projection.handler else { return nil }
            return String(model.signature.prefix(12))
        }.joined(separator: " ")
    }

    /// What takes back what a rebuild that is given up has begun: shadows go, projections that wait for it go on.
    ///
    /// - Parameter names: projections that another rebuild takes over.
    static func abandonment(
        of job: Job, on store: any Store, except names: Set<String> = []
    ) async throws -> (changes: [OperatorChange], work: ReadModelWork?) {
        if job.kind != jobKind { return ([], nil) }
        // A run of it that is still at work stops at its next page.
        var leases: [OperatorChange] = [.breakLease(leaseName)]
        var changes: [OperatorChange] = []
        var works: [ReadModelWork] = []
        // What another rebuild has taken over is not touched.
        for var record in try await store.projections()
        where record.rebuildJob == job.id && !names.contains(record.name) {
            let name = record.name
            record.rebuildJob = nil
            if let shadow = record.shadowVersion {
                let schema = record.schema(of: shadow)
                changes.append(.forgetVersion(shadow, ofProjection: name))
                works.append { try schema.drop(shadow, in: $0) }
                record.shadowVersion = nil
                record.tables[shadow] = nil
            }
            if record.mode == .rebuilding { record.mode = .running }
            leases.append(.breakLease(ProjectionRecord.lease(of: name)))
            changes.append(.saveProjection(record))
        }
        if works.isEmpty { return (leases + changes, nil) }
        let all = works
        let work: ReadModelWork = { transaction in
            for work in all { try work(transaction) }
        }
        return (leases + changes, work)
    }

    /// How far a rebuild has come.
    struct Progress: Codable, Sendable {
        var outcomes: [Outcome]
        /// Whether the projections that are rebuilt in place wait.
        var isFenced = false
        /// Whether read models are empty and offsets set.
        var isPrepared = false
        /// What in-place projections did before.
        var modes: [String: String] = [:]
        /// Where the pages begin.
        var start: String
        /// When the last event of each shard was written, in nanoseconds since the Unix epoch.
        var timestamps: [UInt64: Int64] = [:]
    }

    /// Rebuilds projections in one pass.
    ///
    /// - Parameters:
    ///   - command: the command that goes on with the work after an interruption.
    ///   - progress: called after each page with the number of events that were read and of those that there are.
    /// - Throws: ``OperationError/Code/failed`` when a handler fails on an event; the job can go on.
    public func run(
        _ projections: [Projection], _ options: Options, command: String,
        progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void = { _, _ in }
    ) async throws -> [Outcome] {
        var strategies: [String: Strategy] = [:]
        for projection in projections {
            strategies[projection.name] = try Self.strategy(of: projection, options)
            for table in projection.tables {
                if let problem = table.nameProblem {
                    throw OperationError(.data, "projection \(projection.name), table \(table.name): \(problem)")
                }
            }
        }
        let names = projections.map(\.name).sorted()
        let specification = JobSpecification(
            kind: Self.jobKind,
            arguments: [
                "projections": names.joined(separator: ", "), "strategy": options.strategy?.rawValue ?? "",
                "from": options.from?.description ?? "", "on_error": options.onError.rawValue,
                "declarations": Self.signature(of: projections),
            ], lease: Self.leaseName, command: command)
        let (store, time) = (store, time)
        let chosen = strategies
        return try await JobRun<Progress>.run(
            specification, on: store, by: person, time: time,
            from: {
                var outcomes: [Outcome] = []
                for projection in projections {
                    let record = try await store.projection(projection.name) ?? ProjectionRecord(name: projection.name)
                    let strategy = chosen[projection.name] ?? .inPlace
                    outcomes.append(
                        Outcome(
                            name: projection.name, strategy: strategy,
                            version: strategy == .shadow ? record.nextVersion : record.activeVersion))
                }
                return Progress(outcomes: outcomes, start: (options.from ?? .start).description)
            }
        ) { job in
            let work = Run(
                store: store, reader: reader, time: time, job: job, projections: projections, options: options)
            return try await work.run(progress)
        }
    }
}
