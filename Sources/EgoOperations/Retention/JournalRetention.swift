import Ego
public import EgoCore

/// Deletes old events and snapshots, as policies and guards let it, in small transactions beside writers.
public struct JournalRetention: Sendable {
    private let store: any Store
    private let domain: Domain
    private let person: Operator
    private let time: any TimeSource
    private let page: PageLimit
    private let decodes: @Sendable (AnyPayload) -> Bool

    /// How many events one transaction deletes.
    private static let batch: UInt64 = 1_000
    /// How many entities are named for each guard.
    private static let named = 5

    /// Retention in a store.
    ///
    /// - Parameter decodes: whether a payload of a type that the domain does not know can be read.
    public init(
        store: any Store, domain: Domain, by person: Operator, time: any TimeSource, page: PageLimit = .standard,
        decodes: @escaping @Sendable (AnyPayload) -> Bool = { _ in false }
    ) {
        (self.store, self.domain, self.person, self.time, self.page) = (store, domain, person, time, page)
        self.decodes = decodes
    }

    /// What is, or would be, deleted.
    public struct Summary: Sendable, Hashable, Codable {
        /// Entities that lose something.
        public var entities = 0
        /// Events.
        public var events = 0
        /// Snapshots.
        public var snapshots = 0
        /// Bytes of the events' payloads.
        public var bytes = 0
        /// What is held back, ascending by name.
        public var guards: [HeldBack] = []
        /// The file of the archive; nil when there is none.
        public var archive: Archive?

        /// Nothing.
        public init() {}

        mutating func add(_ decision: RetentionDecision, of id: PersistenceID) {
            if !decision.isNothing { entities += 1 }
            events += decision.eventCount
            snapshots += decision.snapshotCount
            bytes += decision.bytes
            for (held, detail) in decision.guards { hold(held, id, detail) }
        }

        fileprivate mutating func hold(_ held: RetentionGuard, _ id: PersistenceID, _ detail: String) {
            let text = "\(id.rawValue): \(detail)"
            guard let index = guards.firstIndex(where: { $0.guard == held }) else {
                guards.append(HeldBack(guard: held, entities: 1, samples: [text]))
                guards.sort { $0.guard.rawValue < $1.guard.rawValue }
                return
            }
            guards[index].entities += 1
            if guards[index].samples.count < JournalRetention.named { guards[index].samples.append(text) }
        }
    }

    /// What one guard holds back.
    public struct HeldBack: Sendable, Hashable, Codable {
        /// The guard.
        public var `guard`: RetentionGuard
        /// How many entities.
        public var entities: Int
        /// Some of them, each with the reason.
        public var samples: [String]
    }

    /// Where deleted events were kept.
    public struct Archive: Sendable, Hashable, Codable {
        /// The file.
        public var file: String
        /// How many events it has.
        public var events: Int
        /// SHA-256 of the whole file, in hexadecimal.
        public var sha256: String
    }

    // MARK: Looking

    /// What retention would do.
    public func plan(
        _ policies: [RetentionPolicy], progress: @Sendable (Int) -> Void = { _ in }
    ) async throws -> (plan: Plan, summary: Summary) {
        let decider = try await RetentionDecider(store: store, domain: domain, page: page, decodes: decodes)
        var summary = Summary()
        var digest = PlanDigest()
        var samples: [String] = []
        var walk = RetentionWalk(store: store, policies: policies, after: nil)
        var seen = 0
        while let (entity, policy) = try await walk.next() {
            let decision = try await decider.decide(entity, policy)
            summary.add(decision, of: entity.persistenceID)
            if !decision.isNothing {
                digest.add(
                    entity.persistenceID.rawValue, "\(decision.events)", "\(decision.eventCount)",
                    "\(decision.snapshots)")
                if samples.count < Plan.sampleCount { samples.append(entity.persistenceID.rawValue) }
            }
            seen += 1
            progress(seen)
        }
        let plan = Plan(
            operation: "retain", arguments: ["policies": try policies.map(JobText.encode)],
            storeID: try await store.metadata().storeID, head: try await store.head().description,
            counts: ["entities": summary.entities, "events": summary.events, "snapshots": summary.snapshots],
            samples: samples,
            guards: summary.guards.flatMap { held in
                held.samples.map { Plan.Guard(held.guard.rawValue, id: "", detail: $0) }
            }, digest: digest.finalized())
        return (plan, summary)
    }

    /// The policies of a plan.
    ///
    /// - Throws: ``OperationError/Code/data``.
    public static func policies(of plan: Plan) throws -> [RetentionPolicy] {
        try (plan.arguments["policies"] ?? []).map { try JobText.decode($0) }
    }

    // MARK: Deleting

    /// How far retention has come.
    struct Progress: Codable, Sendable {
        enum Phase: String, Codable { case archive, delete }

        var phase: Phase
        var summary = Summary()
        /// The last entity that is done.
        var after: String?
        /// Whether the entities that lose something are counted already.
        var isCounted = false
        /// Where the archive is read on.
        var place = 0
        /// The last entity of the archive that was counted: its events may go on after a page.
        var counted: String?
        /// The last entity of the archive whose events something keeps: those that follow stay too.
        var kept: String?
    }

    /// Whether a run with these policies was begun, and has to be brought to its end.
    public func isUnfinished(_ policies: [RetentionPolicy], archive: String?) async throws -> Bool {
        try await specification(policies, archive, command: "").isUnfinished(in: store)
    }

    private func specification(
        _ policies: [RetentionPolicy], _ archive: String?, command: String
    ) throws -> JobSpecification {
        JobSpecification(
            kind: "retain",
            arguments: ["policies": try JobText.encode(policies), "archive": archive ?? ""], lease: "retain",
            command: command)
    }

    /// Deletes what policies and guards let go.
    ///
    /// With an archive everything that goes is written to it first, then read back and compared with the store, entity by
    /// entity, before it is deleted.
    ///
    /// - Parameters:
    ///   - planned: a plan that was written down; nothing is done when it does not hold any more. Nil for what the policies
    ///     say now: beside an engine at work no plan holds for long.
    ///   - command: the command that goes on with the work after an interruption.
    public func run(
        _ policies: [RetentionPolicy], archive: String?, as planned: Plan?, command: String,
        progress: @escaping @Sendable (Int) -> Void = { _ in }
    ) async throws -> Summary {
        if let archive { try ExportFile.check(archive) }
        return try await JobRun<Progress>.run(
            try specification(policies, archive, command: command), on: store, by: person, time: time,
            from: {
                if let planned { try planned.check(against: try await plan(policies).plan) }
                return Progress(phase: archive == nil ? .delete : .archive)
            }
        ) { job in
            var state = await job.checkpoint
            if state.phase == .archive, let archive {
                try await writeArchive(archive, policies, &state, job, progress)
            }
            if let archive {
                try await deleteArchived(archive, &state, job, progress)
                // The archive holds events; snapshots are decided on anew.
                try await deleteDirectly(policies.map(\.withoutEvents), &state, job, progress)
            } else {
                try await deleteDirectly(policies, &state, job, progress)
            }
            try await job.finish(result: try JobText.encode(state.summary))
            return state.summary
        }
    }

    private func deleteDirectly(
        _ policies: [RetentionPolicy], _ state: inout Progress, _ job: JobRun<Progress>,
        _ progress: @Sendable (Int) -> Void
    ) async throws {
        let decider = try await RetentionDecider(store: store, domain: domain, page: page, decodes: decodes)
        var walk = RetentionWalk(store: store, policies: policies, after: state.after)
        while let (entity, policy) = try await walk.next() {
            let decision = try await decider.decide(entity, policy)
            try await delete(decision, of: entity.persistenceID, &state, job)
            progress(state.summary.events)
        }
    }

    /// Deletes what was decided, in steps; the guards are looked at again in each transaction.
    private func delete(
        _ decision: RetentionDecision, of id: PersistenceID, _ state: inout Progress, _ job: JobRun<Progress>
    ) async throws {
        let before = state.summary
        var isKept = false
        var next = decision.events.rawValue - min(decision.events.rawValue, UInt64(decision.eventCount))
        while !isKept, next < decision.events.rawValue, decision.eventCount > 0 {
            try Task.checkCancellation()
            let range = SequenceNumber(next + 1)...SequenceNumber(min(next + Self.batch, decision.events.rawValue))
            let there = try await content(of: id, range)
            state.summary.events += there.count
            state.summary.bytes += there.bytes
            let deleted = try await job.commit([.retireEvents(of: id, through: range.upperBound)], checkpoint: state)
            if deleted != [there.count] { isKept = try await takeBack(range, of: id, &state.summary) }
            next = range.upperBound.rawValue
        }
        state.after = id.rawValue
        // Beside an archive they were named when it was written.
        if !state.isCounted {
            for (held, detail) in decision.guards { state.summary.hold(held, id, detail) }
        }
        let hasLost = state.summary.events > before.events
        if !hasLost, decision.snapshotCount == 0 { return }
        state.summary.snapshots += decision.snapshotCount
        if !state.isCounted { state.summary.entities += 1 }
        let deleted = try await job.commit(
            decision.snapshotCount == 0 ? [] : [.retireSnapshots(of: id, through: decision.snapshots)],
            checkpoint: state
        ).reduce(0, +)
        state.summary.snapshots -= decision.snapshotCount - deleted
        if !hasLost, deleted == 0, !state.isCounted { state.summary.entities -= 1 }
        if !isKept, deleted < decision.snapshotCount, try await isHeld(id) {
            state.summary.hold(.legalHold, id, RetentionGuard.heldDetail)
        }
    }

    private func content(
        of id: PersistenceID, _ range: ClosedRange<SequenceNumber>
    ) async throws -> (count: Int, bytes: Int) {
        var (count, bytes) = (0, 0)
        var events = try await store.events(of: id, from: range.lowerBound, through: range.upperBound, limit: page)
        while let final = events.last {
            count += events.count
            bytes += events.reduce(0) { $0 + $1.payload.count }
            events = try await store.events(
                of: id, from: final.sequenceNumber.next, through: range.upperBound, limit: page)
        }
        return (count, bytes)
    }

    /// Takes out of the count what a transaction was to delete and has not: a hold that was placed meanwhile, or a
    /// projection that was reset, keeps the store from it.
    ///
    /// - Returns: whether there is such.
    private func takeBack(
        _ range: ClosedRange<SequenceNumber>, of id: PersistenceID, _ summary: inout Summary
    ) async throws -> Bool {
        let left = try await content(of: id, range)
        if left.count == 0 { return false }
        summary.events -= left.count
        summary.bytes -= left.bytes
        if try await isHeld(id) {
            summary.hold(.legalHold, id, RetentionGuard.heldDetail)
        } else {
            let first = range.upperBound.rawValue - UInt64(left.count) + 1
            summary.hold(.projection, id, "somebody has not passed event \(first)")
        }
        return true
    }

    private func isHeld(_ id: PersistenceID) async throws -> Bool {
        try await store.holds().contains { $0.persistenceID == id }
    }

    // MARK: The archive

    private func writeArchive(
        _ path: String, _ policies: [RetentionPolicy], _ state: inout Progress, _ job: JobRun<Progress>,
        _ progress: @Sendable (Int) -> Void
    ) async throws {
        // What an interruption has left is written anew: nothing was deleted yet.
        let archive = try RetentionArchive(
            path, store: store, messages: domain.messages, metadata: try await store.metadata(), now: time.now())
        let (sink, queue) = (archive.sink, archive.queue)
        async let _ = queue.write(to: sink)
        defer { queue.close() }
        let decider = try await RetentionDecider(store: store, domain: domain, page: page, decodes: decodes)
        var walk = RetentionWalk(store: store, policies: policies, after: nil)
        while let (entity, policy) = try await walk.next() {
            let decision = try await decider.decide(entity, policy)
            if decision.eventCount > 0 {
                try await archive.add(entity.persistenceID, through: decision.events, count: decision.eventCount, page)
            }
            for (held, detail) in decision.guards { state.summary.hold(held, entity.persistenceID, detail) }
            // One that loses snapshots only is counted here, as later its events are not looked at.
            if decision.eventCount == 0, decision.snapshotCount > 0 { state.summary.entities += 1 }
            progress(archive.events)
        }
        // One that is there from before is not replaced by one of nothing.
        if archive.events > 0 {
            let sum = try await archive.complete(head: try await store.head())
            state.summary.archive = Archive(file: path, events: archive.events, sha256: sum)
        } else {
            archive.discard()
        }
        state.phase = .delete
        state.isCounted = true
        _ = try await job.commit([], checkpoint: state)
    }

    /// Reads the archive back: what it holds, exactly as the store has it, is deleted.
    private func deleteArchived(
        _ path: String, _ state: inout Progress, _ job: JobRun<Progress>, _ progress: @Sendable (Int) -> Void
    ) async throws {
        guard let archive = state.summary.archive else { return }
        if state.place == 0 {
            guard try TransferChecksum(path, format: .jsonl).sha256 == archive.sha256 else {
                throw OperationError(
                    .refused, "the archive \(path) is not the one that was written", hint: "nothing was deleted")
            }
        }
        var reader = try RecordReader(path, format: .jsonl, from: state.place)
        while let page = try reader.nextPage(PageLimit(rows: Int(Self.batch))) {
            try Task.checkCancellation()
            var pages: [PersistenceID: [PersistedEvent]] = [:]
            for case .event(let event) in page.records.map(\.record) where event.persistenceID.rawValue != state.kept {
                pages[event.persistenceID, default: []].append(event)
            }
            let ids = pages.keys.sorted()
            var there: [Int] = []
            for id in ids {
                let events = try await compare(pages[id] ?? [])
                there.append(events.count)
                state.summary.events += events.count
                state.summary.bytes += events.bytes
            }
            state.place = page.end
            let deleted = try await job.commit(
                ids.map { .retireEvents(of: $0, through: pages[$0]?.last?.sequenceNumber ?? .zero) }, checkpoint: state)
            for (index, id) in ids.enumerated() {
                if deleted[index] > 0, state.counted != id.rawValue {
                    state.summary.entities += 1
                    state.counted = id.rawValue
                }
                guard deleted[index] < there[index], let first = pages[id]?.first, let last = pages[id]?.last else {
                    continue
                }
                if try await takeBack(first.sequenceNumber...last.sequenceNumber, of: id, &state.summary) {
                    state.kept = id.rawValue
                }
            }
            progress(state.summary.events)
        }
    }

    /// Checks that the store has an entity's events as the archive has them; those that somebody else has deleted are gone.
    ///
    /// - Returns: what the store has.
    private func compare(_ archived: [PersistedEvent]) async throws -> (count: Int, bytes: Int) {
        guard let first = archived.first, let last = archived.last else { return (0, 0) }
        let id = first.persistenceID
        var (count, bytes) = (0, 0)
        var next = first.sequenceNumber
        while next <= last.sequenceNumber {
            let events = try await store.events(of: id, from: next, through: last.sequenceNumber, limit: page)
            guard let final = events.last else { break }
            for event in events {
                let index = Int(event.sequenceNumber.rawValue - first.sequenceNumber.rawValue)
                guard index < archived.count, archived[index].isSame(as: event) else {
                    throw OperationError(
                        .refused, "event \(event.sequenceNumber) is not as the archive has it",
                        hint: "it was not deleted", persistenceID: id)
                }
                count += 1
                bytes += event.payload.count
            }
            next = final.sequenceNumber.next
        }
        return (count, bytes)
    }
}

extension RetentionPolicy {
    /// The same for snapshots only.
    fileprivate var withoutEvents: RetentionPolicy {
        var policy = self
        (policy.keepEvents, policy.olderThan, policy.closedBy) = (nil, nil, [])
        return policy
    }
}

extension PersistedEvent {
    fileprivate func isSame(as other: PersistedEvent) -> Bool {
        sequenceNumber == other.sequenceNumber && payload == other.payload && timestamp == other.timestamp
            && encryptionKeyID == other.encryptionKeyID && unknownFields == other.unknownFields
    }
}

/// Walks the entities that a policy is about, ascending by ID; the first policy that covers one counts.
struct RetentionWalk {
    private let store: any Store
    private let policies: [RetentionPolicy]
    private let prefix: String?
    private var after: PersistenceID?
    private var waiting: ArraySlice<EntitySummary> = []

    init(store: any Store, policies: [RetentionPolicy], after: String?) {
        self.store = store
        self.policies = policies
        self.after = after.map { PersistenceID(stored: $0) }
        prefix = policies.count == 1 ? policies[0].prefix : nil
    }

    mutating func next() async throws -> (EntitySummary, RetentionPolicy)? {
        while true {
            if let entity = waiting.popFirst() {
                guard let policy = policies.first(where: { $0.covers(entity) }) else { continue }
                return (entity, policy)
            }
            try Task.checkCancellation()
            let page = try await store.entities(EntityQuery(prefix: prefix, after: after, limit: 200))
            guard let last = page.last else { return nil }
            after = last.persistenceID
            waiting = page[...]
        }
    }
}
