import Ego
public import EgoCore
import SwiftProtobuf

/// Turns the inline state of eGo v3, which was stored with each event, into snapshots.
///
/// The newest inline state of an entity that decodes becomes its snapshot, unless there is one as new. Newer ones that do
/// not decode are named; the events after the snapshot make up for them.
public struct InlineStateMigration: Sendable {
    private let store: any Store
    private let domain: Domain
    private let person: Operator
    private let time: any TimeSource
    private let page: PageLimit
    private let decodes: @Sendable (AnyPayload) -> Bool?

    /// How many entities are looked at before what they give is written.
    private static let batch = 100
    /// How many events lose their inline state in one transaction.
    private static let dropped: UInt64 = 1_000

    /// A migration in a store.
    ///
    /// - Parameter decodes: whether a state of a type that the domain does not know decodes; nil when that is not known.
    public init(
        store: any Store, domain: Domain, by person: Operator, time: any TimeSource, page: PageLimit = .standard,
        decodes: @escaping @Sendable (AnyPayload) -> Bool? = { _ in nil }
    ) {
        (self.store, self.domain, self.person, self.time, self.page) = (store, domain, person, time, page)
        self.decodes = decodes
    }

    /// What a migration was told.
    public struct Options: Sendable, Hashable {
        /// Whether each state is compared with a fold of the events.
        public var verifies: Bool
        /// Whether inline states are removed once they are verified.
        public var drops: Bool
        /// How many entities are looked at at the same time.
        public var jobs: Int

        /// Options with the given parts; what is dropped is verified first.
        public init(verifies: Bool = false, drops: Bool = false, jobs: Int = 1) {
            self.verifies = verifies || drops
            self.drops = drops
            self.jobs = max(1, jobs)
        }
    }

    /// What was done.
    public struct Summary: Sendable, Hashable, Codable {
        /// Entities with events.
        public var entities = 0
        /// Snapshots that were written.
        public var written = 0
        /// Entities that have a snapshot as new as their inline state.
        public var kept = 0
        /// Entities without inline state.
        public var withoutInlineState = 0
        /// How many of the written snapshots are encrypted.
        public var encrypted = 0
        /// Entities whose state was compared with a fold.
        public var verified = 0
        /// Events that lost their inline state.
        public var dropped = 0
        /// Entities with a problem.
        public var failures = 0
        /// The first problems.
        public var failed: [Failure] = []

        /// Nothing.
        public init() {}
    }

    /// Why an inline state was not used.
    public struct Failure: Sendable, Hashable, Codable {
        /// The entity.
        public var id: String
        /// The event with the inline state.
        public var sequenceNumber: UInt64
        /// The kind of problem: `undecodable`, `mismatch` or `not_folded`.
        public var code: String
        /// What is wrong.
        public var message: String
    }

    // MARK: One entity

    /// What becomes of an entity.
    fileprivate struct Outcome: Sendable {
        var id: PersistenceID
        var last = SequenceNumber.zero
        var snapshot: StoredSnapshot?
        var isKept = false
        var hasInlineState = false
        var isVerified = false
        /// The newest problem, which is what there is to say.
        var failure: Failure?

        mutating func fail(at number: SequenceNumber, _ code: String, _ message: String) {
            failure =
                failure
                ?? Failure(
                    id: id.rawValue, sequenceNumber: number.rawValue, code: code, message: message)
        }
    }

    private func outcome(of entity: EntitySummary, _ options: Options) async throws -> Outcome {
        let id = entity.persistenceID
        var outcome = Outcome(id: id, last: entity.sequenceNumber)
        guard let snapshot = try await newest(of: id, &outcome) else { return outcome }
        let existing = try await store.latestSnapshot(of: id, through: .max)
        if let existing, existing.sequenceNumber >= snapshot.sequenceNumber {
            outcome.isKept = true
        } else {
            outcome.snapshot = snapshot
        }
        if options.verifies { try await verify(snapshot, &outcome) }
        return outcome
    }

    /// The newest inline state that decodes, as a snapshot; nil when there is none. An empty one says nothing.
    private func newest(of id: PersistenceID, _ outcome: inout Outcome) async throws -> StoredSnapshot? {
        var limit = SequenceNumber.max
        while let event = try await store.newestInlineState(of: id, through: limit) {
            let number = event.sequenceNumber
            limit = SequenceNumber(number.rawValue - 1)
            switch state(of: event) {
            case .success(nil): continue
            case .success(let payload?):
                outcome.hasInlineState = true
                return StoredSnapshot(
                    persistenceID: id, sequenceNumber: number, timestamp: event.timestamp,
                    payload: payload.serialized())
            case .failure(let error):
                outcome.hasInlineState = true
                if outcome.failure == nil { outcome.fail(at: number, "undecodable", "its inline state: \(error)") }
            }
        }
        return nil
    }

    /// The inline state of an event; nil when it is empty.
    private func state(of event: PersistedEvent) -> Result<AnyPayload?, PayloadError> {
        if event.hasEmptyInlineState { return .success(nil) }
        do throws(PayloadError) {
            guard let payload = try event.inlineState() else { return .success(nil) }
            do throws(PayloadError) { _ = try domain.messages.decode(payload) } catch {
                guard case .unknownType = error else { throw error }
                if decodes(payload) == false { throw .undecodable(type: payload.typeName) }
            }
            return .success(payload)
        } catch {
            return .failure(error)
        }
    }

    private func verify(_ snapshot: StoredSnapshot, _ outcome: inout Outcome) async throws {
        let id = snapshot.persistenceID
        let number = snapshot.sequenceNumber
        let folded: any Message
        do {
            guard let state = try await fold(id, through: number) else {
                outcome.fail(at: number, "not_folded", "no behavior folds its events")
                return
            }
            folded = state
        } catch let error as EgoError where error.code == .undecodable {
            outcome.fail(at: number, "not_folded", error.message)
            return
        } catch let error as DomainError {
            outcome.fail(at: number, "not_folded", "\(error)")
            return
        }
        let payload = try? AnyPayload(serialized: snapshot.payload)
        let stored = payload.flatMap { try? domain.messages.decode($0) }
        if let stored, stored.isEqualTo(message: folded) {
            outcome.isVerified = true
        } else {
            outcome.fail(at: number, "mismatch", "its inline state is not what the events give")
            outcome.snapshot = nil
        }
    }

    /// A fold of the events from the first on, without any snapshot; nil when the entity has no behavior with events.
    private func fold(_ id: PersistenceID, through last: SequenceNumber) async throws -> (any Message)? {
        let resolver = EntityResolver(store: store, domain: domain)
        let record = try await resolver.existing(id)
        guard let behavior = try await resolver.kind(of: id, record: record).folding else { return nil }
        return try await fold(behavior, record, through: last)
    }

    private func fold<Behavior: EventFolding>(
        _ behavior: Behavior, _ record: EntityRecord, through last: SequenceNumber
    ) async throws -> any Message {
        var fold = StreamFold(behavior, of: record.persistenceID, reader: domain.reader)
        do { try fold.checkFloor(min(record.stream.floor, last)) } catch {
            throw EgoError(error, record.persistenceID)
        }
        try await StreamReader(store: store, reader: domain.reader, page: page).forEach(
            of: record.persistenceID, from: 1, through: last
        ) { (event) throws(FoldError) in
            try fold.apply(event)
        }
        return fold.state
    }

    // MARK: All entities

    /// How far a migration has come.
    private struct Progress: Codable, Sendable {
        var summary = Summary()
        var after: String?
        /// What is left to drop of the entities up to `after`.
        var drops: [Drop]?
    }

    private struct Drop: Codable, Sendable {
        var id: String
        var next: UInt64
        var last: UInt64
    }

    /// Looks at what a migration would do; changes nothing.
    ///
    /// - Returns: a summary whose ``Summary/written`` is what is left to do.
    public func preview(
        _ options: Options = Options(), progress: @Sendable (Int) -> Void = { _ in }
    ) async throws -> Summary {
        var state = Progress()
        while let outcomes = try await nextOutcomes(&state, options) {
            for outcome in outcomes { state.summary.add(outcome) }
            progress(state.summary.entities)
        }
        return state.summary
    }

    /// Whether a migration was begun, and has to be brought to its end.
    public func isUnfinished(_ options: Options) async throws -> Bool {
        try await specification(options, command: "").isUnfinished(in: store)
    }

    private func specification(_ options: Options, command: String) -> JobSpecification {
        JobSpecification(
            kind: "migrate", arguments: ["verify": "\(options.verifies)", "drop_inline_state": "\(options.drops)"],
            lease: "migrate", command: command)
    }

    /// Migrates all entities.
    ///
    /// - Parameters:
    ///   - command: the command that goes on with the work after an interruption.
    ///   - progress: called with the number of entities so far.
    public func run(
        _ options: Options, command: String, progress: @escaping @Sendable (Int) -> Void = { _ in }
    ) async throws -> Summary {
        try await JobRun<Progress>.run(
            specification(options, command: command), on: store, by: person, time: time, from: { Progress() }
        ) { job in
            var state = await job.checkpoint
            try await drop(&state, job)
            while true {
                var next = state
                guard let outcomes = try await nextOutcomes(&next, options) else { break }
                try await write(outcomes, options, &next, job)
                state = next
                progress(state.summary.entities)
            }
            var result = state.summary
            result.failed = []
            try await job.finish(result: try JobText.encode(result))
            return state.summary
        }
    }

    /// What the next entities come to; nil at the end.
    private func nextOutcomes(_ state: inout Progress, _ options: Options) async throws -> [Outcome]? {
        try Task.checkCancellation()
        let found = try await store.entities(
            EntityQuery(after: state.after.map { PersistenceID(stored: $0) }, limit: Self.batch))
        guard let last = found.last else { return nil }
        state.after = last.persistenceID.rawValue
        let open = found.filter { !$0.isErased && !$0.isDurableState }
        return try await withThrowingTaskGroup(of: (Int, Outcome).self) { group in
            var outcomes = [Outcome?](repeating: nil, count: open.count)
            for (index, entity) in open.enumerated() {
                if index >= options.jobs, let (done, outcome) = try await group.next() { outcomes[done] = outcome }
                group.addTask { (index, try await self.outcome(of: entity, options)) }
            }
            while let (done, outcome) = try await group.next() { outcomes[done] = outcome }
            return outcomes.compactMap(\.self)
        }
    }

    private func write(
        _ outcomes: [Outcome], _ options: Options, _ state: inout Progress, _ job: JobRun<Progress>
    ) async throws {
        for outcome in outcomes { state.summary.add(outcome) }
        let snapshots = outcomes.compactMap(\.snapshot)
        if let encrypted = EncryptedStore.inside(store) {
            for snapshot in snapshots where try await encrypted.encrypts(snapshot.persistenceID) {
                state.summary.encrypted += 1
            }
        }
        if options.drops {
            state.drops = outcomes.filter { $0.isVerified && $0.failure == nil }.map {
                Drop(id: $0.id.rawValue, next: 1, last: $0.last.rawValue)
            }
        }
        _ = try await job.commit(snapshots.map(OperatorChange.saveSnapshot), checkpoint: state)
        try await drop(&state, job)
    }

    /// Removes inline states that are kept as snapshots, and are what the events give.
    private func drop(_ state: inout Progress, _ job: JobRun<Progress>) async throws {
        while var drop = state.drops?.first {
            try Task.checkCancellation()
            let through = min(drop.next + Self.dropped - 1, drop.last)
            let change = OperatorChange.dropInlineState(
                of: PersistenceID(stored: drop.id), from: SequenceNumber(drop.next), through: SequenceNumber(through))
            drop.next = through + 1
            state.drops?[0] = drop
            if drop.next > drop.last { state.drops?.removeFirst() }
            // How many there were is known when it is done; the next checkpoint has it.
            state.summary.dropped += try await job.commit([change], checkpoint: state).first ?? 0
        }
    }
}

extension InlineStateMigration.Summary {
    fileprivate static let remembered = 1_000

    fileprivate mutating func add(_ outcome: InlineStateMigration.Outcome) {
        entities += 1
        if outcome.snapshot != nil { written += 1 }
        if outcome.isKept { kept += 1 }
        if !outcome.hasInlineState { withoutInlineState += 1 }
        if outcome.isVerified { verified += 1 }
        if let failure = outcome.failure {
            failures += 1
            if failed.count < Self.remembered { failed.append(failure) }
        }
    }
}
