public import EgoCore

/// Operates projections through the store, also those that another process runs: it breaks the runner's lease, and the
/// runner looks within two seconds what there is to do. What it had not committed by then is not committed any more.
public struct ProjectionControl: Sendable {
    private let store: any Store
    private let declared: Set<String>
    private let person: Operator
    private let time: any TimeSource

    /// Operates projections of a store.
    ///
    /// - Parameter declared: names of projections that there are, whether or not they ever ran.
    public init(store: any Store, declared: [String] = [], by person: Operator, time: any TimeSource) {
        self.store = store
        self.declared = Set(declared)
        self.person = person
        self.time = time
    }

    /// The record of a projection that there is.
    ///
    /// - Throws: ``OperationError/Code/notFound``.
    public func record(_ name: String) async throws -> ProjectionRecord {
        if let record = try await store.projection(name) { return record }
        if declared.contains(name) { return ProjectionRecord(name: name) }
        if try await store.timestampOffsets().contains(where: { $0.projection == name }) {
            throw OperationError(
                .refused, "projection \(name) is one of eGo for Go, which is operated there",
                hint: "nothing was changed; ego lag shows how far it is")
        }
        throw OperationError.noProjection(name)
    }

    // MARK: Pause and resume

    /// Lets a projection wait. Returns whether it did not already.
    public func pause(_ name: String, isDryRun: Bool = false) async throws -> Bool {
        try await change(name, "projection-pause", isDryRun: isDryRun) { record in
            try await refuseRebuilding(record)
            if record.mode == .paused { return nil }
            record.mode = .paused
            return []
        }
    }

    /// Lets a projection that was paused, or that stopped at an event, go on. Returns whether it was.
    public func resume(_ name: String, isDryRun: Bool = false) async throws -> Bool {
        try await change(name, "projection-resume", isDryRun: isDryRun) { record in
            try await refuseRebuilding(record)
            if record.mode == .running, record.failure == nil { return nil }
            record.mode = .running
            record.failure = nil
            return []
        }
    }

    // MARK: Reset

    /// Where to set a projection.
    public enum Target: Sendable, Hashable {
        /// Before the first event of the journal.
        case start
        /// After the last event of the journal.
        case end
        /// Before the first event that was written at or after a moment.
        case time(Timestamp)
        /// After a place in the journal.
        case offset(Offset)
        /// So many events further, or back where negative, from the shard that is furthest behind.
        case by(Int)
        /// Where another projection stands.
        case like(String)
    }

    /// What a reset does to one shard.
    public struct Move: Sendable, Hashable {
        /// The shard.
        public var shard: Shard
        /// Where the projection stands; nil when it never ran.
        public var from: Offset?
        /// Where it will stand.
        public var to: Offset
    }

    /// What a reset would do.
    public struct ResetPlan: Sendable {
        /// The plan to show.
        public var plan: Plan
        /// What becomes of each shard, ascending.
        public var moves: [Move]
        fileprivate var offsets: [CommittedOffset]
        fileprivate var version: Int
    }

    /// Looks at what a reset would do; changes nothing.
    public func planReset(_ name: String, to target: Target) async throws -> ResetPlan {
        let record = try await record(name)
        try await refuseRebuilding(record)
        let current = try await store.offsets(of: name, version: record.activeVersion)
        let metadata = try await store.metadata()
        let head = try await store.head()
        let now = time.now()
        let wanted: [CommittedOffset]
        if case .like(let other) = target {
            let model = try await self.record(other)
            wanted = try await store.offsets(of: other, version: model.activeVersion)
            if wanted.isEmpty {
                throw OperationError(.refused, "projection \(other) never ran", hint: "nothing was changed")
            }
        } else {
            let offset = try await offset(of: target, from: current, head: head)
            wanted = (0..<UInt64(metadata.shardCount)).map {
                CommittedOffset(shard: Shard($0), offset: offset, committedAt: now)
            }
        }
        let known = Dictionary(uniqueKeysWithValues: current.map { ($0.shard, $0) })
        var digest = PlanDigest()
        digest.add(name, "\(record.activeVersion)")
        for offset in current { digest.add("\(offset.shard.rawValue)", offset.offset.description) }
        var moves: [Move] = []
        for offset in wanted where known[offset.shard]?.offset != offset.offset {
            moves.append(Move(shard: offset.shard, from: known[offset.shard]?.offset, to: offset.offset))
            digest.add("\(offset.shard.rawValue)", offset.offset.description)
        }
        let behind = try await eventCount(after: current)
        let after = try await eventCount(after: wanted)
        return ResetPlan(
            plan: Plan(
                operation: "projection reset", arguments: ["projection": [name], "to": Self.words(target)],
                storeID: metadata.storeID, head: head.description,
                counts: [
                    "shards": moves.count, "again": max(0, after - behind), "passed_over": max(0, behind - after),
                ], samples: [], guards: [], digest: digest.finalized()),
            moves: moves, offsets: wanted, version: record.activeVersion)
    }

    /// Carries a reset out.
    public func reset(_ name: String, as planned: ResetPlan) async throws -> Bool {
        if planned.moves.isEmpty { return false }
        return try await change(
            name, "projection-reset", arguments: ["to": planned.moves.first?.to.description ?? ""]
        ) { record in
            try await refuseRebuilding(record)
            if record.activeVersion != planned.version {
                throw OperationError(
                    .refused, "another version of the read model is in use by now", hint: "nothing was changed")
            }
            record.failure = nil
            let offsets = Dictionary(uniqueKeysWithValues: planned.offsets.map { ($0.shard, $0.offset) })
            let again = try await DeadLetters.removals(of: name, version: planned.version, after: offsets, in: store)
            return again + [
                .advance(
                    ProjectionAdvance(projection: name, version: planned.version, offsets: planned.offsets))
            ]
        }
    }

    private static func words(_ target: Target) -> [String] {
        switch target {
        case .start: ["start"]
        case .end: ["end"]
        case .time(let moment): ["time", "\(moment.unixNanoseconds)"]
        case .offset(let offset): ["offset", offset.description]
        case .by(let count): ["by", "\(count)"]
        case .like(let other): ["like", other]
        }
    }

    /// The target of a plan.
    ///
    /// - Throws: ``OperationError/Code/data``.
    public static func target(of plan: Plan) throws(OperationError) -> (projection: String, target: Target) {
        let words = plan.arguments["to"] ?? []
        let value = words.count > 1 ? words[1] : ""
        let target: Target? =
            switch words.first {
            case "start": .start
            case "end": .end
            case "time": Int64(value).map { .time(Timestamp(unixNanoseconds: $0)) }
            case "offset": Offset(value).map { .offset($0) }
            case "by": Int(value).map { .by($0) }
            case "like": .like(value)
            default: nil
            }
        guard let target, let name = plan.arguments["projection"]?.first else {
            throw OperationError(.data, "it is no plan of a reset")
        }
        return (name, target)
    }

    private func offset(of target: Target, from current: [CommittedOffset], head: Offset) async throws -> Offset {
        switch target {
        case .start, .like: return .start
        case .end: return head
        case .time(let moment): return try await store.offset(before: moment)
        case .offset(let offset):
            if offset > head {
                throw OperationError(
                    .refused, "the journal ends at \(head); a projection past it misses what comes",
                    hint: "nothing was changed; --to end is the place after the last event")
            }
            return offset
        case .by(let count):
            guard let base = current.map(\.offset).min() else {
                throw OperationError(.refused, "it never ran: there is nothing to count from")
            }
            return try await JournalWalk(store: store).offset(count, from: base)
        }
    }

    private func eventCount(after offsets: [CommittedOffset]) async throws -> Int {
        let shards = try await store.metadata().shardCount
        var places = Dictionary(uniqueKeysWithValues: (0..<UInt64(shards)).map { (Shard($0), Offset.start) })
        for offset in offsets { places[offset.shard] = offset.offset }
        return try await store.backlog(after: places).reduce(0) { $0 + $1.events }
    }

    // MARK: Skip

    /// Passes one event over: it becomes a dead letter, which can be retried later.
    ///
    /// - Parameter offset: the event; nil for the one at which the projection has stopped.
    /// - Returns: the dead letter.
    /// - Throws: ``OperationError/Code/refused`` when it is not the next event of its shard.
    public func skip(_ name: String, at offset: Offset?, isDryRun: Bool = false) async throws -> DeadLetter {
        let record = try await record(name)
        guard let wanted = offset ?? record.failure?.offset else {
            throw OperationError(
                .refused, "projection \(name) has not stopped at an event",
                hint: "nothing was changed; name the event's position to pass another one over")
        }
        let found = try await store.journal(after: wanted.previous, shard: nil, limit: PageLimit(rows: 1)).events.first
        guard let event = found, event.offset == wanted else {
            throw OperationError(.notFound, "there is no event at \(wanted)", hint: "ego events lists them")
        }
        let letter = DeadLetter(
            event, projection: name, version: record.activeVersion,
            error: record.failure.map { $0.offset == wanted ? $0.message : "passed over by an operator" }
                ?? "passed over by an operator",
            attempts: record.failure?.offset == wanted ? record.failure?.attempts ?? 0 : 0, failedAt: time.now())
        _ = try await change(
            name, "projection-skip", arguments: ["event": "\(event.persistenceID)@\(event.sequenceNumber)"],
            isDryRun: isDryRun
        ) { record in
            try await refuseRebuilding(record)
            let place = try await store.offsets(of: name, version: record.activeVersion)
                .first { $0.shard == event.shard }
            let next = try await store.journal(
                after: place?.offset ?? .start, shard: event.shard, limit: PageLimit(rows: 1)
            ).events.first
            guard place != nil, next?.offset == wanted else {
                let why =
                    place == nil
                    ? "it never ran"
                    : (place?.offset ?? .start) >= wanted
                        ? "it has passed that event" : "it has events to process before"
                throw OperationError(
                    .refused, "projection \(name): \(why)",
                    hint: "nothing was changed; only the next event of a shard can be passed over")
            }
            record.failure = nil
            return [
                .advance(
                    ProjectionAdvance(
                        projection: name, version: record.activeVersion,
                        offsets: [
                            CommittedOffset(
                                shard: event.shard, offset: wanted, committedAt: time.now(),
                                eventTimestamp: event.timestamp)
                        ], deadLetters: [letter]))
            ]
        }
        return letter
    }

    // MARK: Versions

    /// Takes the version of the read model that was in use before the last rebuild. The one that is in use becomes the
    /// previous one.
    public func rollback(_ name: String, isDryRun: Bool = false) async throws {
        _ = try await change(name, "projection-rollback", isDryRun: isDryRun) { record in
            try await refuseRebuilding(record)
            guard let previous = record.previousVersion else {
                throw OperationError(
                    .refused, "projection \(name) has no earlier version",
                    hint: "nothing was changed; a rebuild keeps one")
            }
            record.previousVersion = record.activeVersion
            record.activeVersion = previous
            record.failure = nil
            return []
        } work: { record, transaction in
            let old = record.previousVersion.map { record.schema(of: $0) } ?? ReadModelSchema(tables: [])
            try record.schema(of: record.activeVersion).show(record.activeVersion, insteadOf: old, in: transaction)
        }
    }

    /// Forgets the version of the read model that was in use before the last rebuild, and what it left elsewhere.
    /// Returns whether there was one.
    public func forgetPrevious(_ name: String, isDryRun: Bool = false) async throws -> Bool {
        let before = try await record(name)
        let forgotten = before.previousVersion
        return try await change(name, "projection-forget", arguments: ["version": "previous"], isDryRun: isDryRun) {
            record in
            guard let previous = record.previousVersion, previous == forgotten else { return nil }
            record.previousVersion = nil
            record.tables[previous] = nil
            return [.forgetVersion(previous, ofProjection: name)]
        } work: { _, transaction in
            if let forgotten { try before.schema(of: forgotten).drop(forgotten, in: transaction) }
        }
    }

    /// Forgets a projection that will not run again: offsets, dead letters, and the tables of all its versions.
    /// Returns whether there was something to forget.
    ///
    /// - Throws: ``OperationError/Code/refused`` while a runner holds its lease.
    public func forget(_ name: String, isDryRun: Bool = false) async throws -> Bool {
        let record = try await record(name)
        if record.revision == 0 { return false }
        if try await Rebuild.isUnderWay(record, on: store) {
            throw OperationError(
                .refused, "projection \(name) is being rebuilt",
                hint: "nothing was changed; ego jobs shows the rebuild, which has to be brought to its end, or given up"
            )
        }
        let lease = ProjectionRecord.lease(of: name)
        let now = time.now()
        if let holder = try await store.leases().first(where: { $0.name == lease && $0.expiresAt > now }),
            !person.isGone(holder.owner)
        {
            throw OperationError(
                .refused, "\(holder.owner) runs projection \(name)", hint: "nothing was changed; stop it first")
        }
        if isDryRun { return true }
        _ = try await store.commit(
            [
                .breakLease(lease), .saveProjection(record), .forgetProjection(name),
                try entry("projection-forget", name, [:], "forgotten"),
            ], under: nil
        ) { transaction in
            try record.schema(of: record.activeVersion).hide(in: transaction)
            for version in record.tables.keys { try record.schema(of: version).drop(version, in: transaction) }
        }
        return true
    }

    // MARK: Changes

    /// A projection waits for a rebuild in place, unless that was given up.
    private func refuseRebuilding(_ record: ProjectionRecord) async throws {
        if record.mode == .rebuilding, try await Rebuild.isUnderWay(record, on: store) {
            throw OperationError(
                .refused, "projection \(record.name) is being rebuilt in place",
                hint: "nothing was changed; ego jobs shows the rebuild, which has to be brought to its end, or given up"
            )
        }
    }

    /// Changes a projection's record together with whatever belongs to it, and fences its runner off.
    ///
    /// - Parameter body: changes the record; nil when there is nothing to do.
    /// - Returns: whether there was something to do.
    private func change(
        _ name: String, _ action: String, arguments: [String: String] = [:], isDryRun: Bool = false,
        _ body: (inout ProjectionRecord) async throws -> [OperatorChange]?,
        work: (@Sendable (ProjectionRecord, any ReadModelTransaction) throws -> Void)? = nil
    ) async throws -> Bool {
        for attempt in 1... {
            var record = try await record(name)
            guard let changes = try await body(&record) else { return false }
            if isDryRun { return true }
            let changed = record
            // The lease first: whoever commits under it is waited for, and nobody waits for us meanwhile.
            var all: [OperatorChange] = [.breakLease(ProjectionRecord.lease(of: name)), .saveProjection(record)]
            all += changes
            all.append(try entry(action, name, arguments, "done"))
            var modelWork: ReadModelWork?
            if let work { modelWork = { try work(changed, $0) } }
            do throws(StoreError) {
                _ = try await store.commit(all, under: nil, with: modelWork)
                return true
            } catch {
                // Its runner, or somebody else, has changed the record since it was read.
                if error.code == .conflict, attempt < 10 { continue }
                throw error
            }
        }
        return false
    }

    private func entry(
        _ action: String, _ name: String, _ arguments: [String: String], _ outcome: String
    ) throws -> OperatorChange {
        var all = arguments
        all["projection"] = name
        return .audit(
            AuditEntry(
                timestamp: time.now(), actor: person.name, action: action, arguments: try JobText.encode(all),
                reason: person.reason,
                result: "{\"outcome\":\"\(outcome)\"}"))
    }

    // MARK: Waiting

    /// Returns once a projection has processed everything that was in the journal when this was called.
    ///
    /// - Throws: ``OperationError/Code/failed`` when the projection stops at an event.
    public func waitUntilCaughtUp(_ name: String, progress: @Sendable (Int) -> Void = { _ in }) async throws {
        _ = try await record(name)
        try await store.settle(timeout: .seconds(30))
        let head = try await store.head()
        var told: ContinuousClock.Instant?
        while true {
            let record = try await record(name)
            let offsets = try await store.offsets(of: name, version: record.activeVersion)
            if !offsets.isEmpty, offsets.allSatisfy({ $0.offset >= head }) { return }
            if let failure = record.failure {
                throw OperationError(
                    .failed,
                    "projection \(name) has stopped at event \(failure.sequenceNumber) of \(failure.persistenceID): \(failure.message)",
                    hint: "ego projection show \(name) tells more")
            }
            // To count takes longer than to look.
            if told.map({ ContinuousClock.now - $0 > .seconds(1) }) ?? true {
                progress(try await eventCount(after: offsets))
                told = .now
            }
            try await time.sleep(for: .milliseconds(100))
        }
    }
}
