import Ego
public import EgoCore

/// Makes, checks and deletes snapshots by hand.
public struct Snapshots: Sendable {
    private let store: any Store
    private let domain: Domain
    private let time: any TimeSource
    private let person: Operator

    /// Work on a store's snapshots.
    public init(store: any Store, domain: Domain, time: any TimeSource, by person: Operator) {
        self.store = store
        self.domain = domain
        self.time = time
        self.person = person
    }

    /// What guards snapshots against two operators at once.
    private static let lease = "snapshots"

    // MARK: Create

    /// Folds an entity and keeps its state as a snapshot.
    ///
    /// - Parameter number: the event that the snapshot includes as its last; nil for the last one.
    /// - Returns: the snapshot, and whether it was written; an equal one that is there already is left alone.
    /// - Throws: as ``Replay/entity(_:to:kind:steps:progress:)``, and ``OperationError/Code/refused`` for an entity that
    ///   keeps no events, or whose last event is encrypted.
    public func create(
        _ id: PersistenceID, at number: SequenceNumber?, kind: String?, isDryRun: Bool
    ) async throws -> (snapshot: StoredSnapshot, isNew: Bool) {
        let last = try await EntityResolver(store: store, domain: domain).existing(id).stream.last
        let newest = try await store.events(of: id, from: last, through: last, limit: PageLimit(rows: 1)).first
        if newest?.isEncrypted == true {
            throw OperationError(.refused, "its events are encrypted, and a snapshot would not be", persistenceID: id)
        }
        let end = number.map(Replay.End.sequenceNumber) ?? .head
        let entity = try await Replay(store: store, domain: domain).entity(id, to: end, kind: kind)
        if entity.eventCount == 0, try await store.stream(of: id)?.last ?? .zero == .zero {
            throw OperationError(.refused, "it keeps its latest state only, and needs no snapshot", persistenceID: id)
        }
        let payload = try AnyPayload.serialized(packing: entity.state)
        let existing = try await store.latestSnapshot(of: id, through: entity.sequenceNumber)
        if let existing, existing.sequenceNumber == entity.sequenceNumber, existing.payload == payload {
            return (existing, false)
        }
        let snapshot = StoredSnapshot(
            persistenceID: id, sequenceNumber: entity.sequenceNumber, timestamp: time.now(), payload: payload)
        if isDryRun { return (snapshot, true) }
        let arguments = try JobText.encode(["id": id.rawValue, "sequence_number": "\(snapshot.sequenceNumber)"])
        try await underLease { lease in
            let counts = try await store.commit(
                [.saveSnapshot(snapshot), .audit(entry("snapshot-create", arguments, "{\"written\":1}"))], under: lease)
            if counts.first == 0 { throw OperationError(.refused, "the entity was erased", persistenceID: id) }
        }
        return (snapshot, true)
    }

    // MARK: Delete

    /// Which snapshots to delete.
    public struct Deletion: Sendable, Hashable {
        /// The entities.
        public var ids: [PersistenceID]
        /// Snapshots up to and including this number; nil for all.
        public var through: SequenceNumber?

        /// A selection.
        public init(ids: [PersistenceID], through: SequenceNumber? = nil) {
            self.ids = ids
            self.through = through
        }

        /// The selection as a plan's arguments.
        var arguments: [String: [String]] {
            ["ids": ids.map(\.rawValue), "through": through.map { ["\($0)"] } ?? []]
        }

        /// The selection of a plan.
        ///
        /// - Throws: ``OperationError/Code/data``.
        public init(_ plan: Plan) throws(OperationError) {
            do {
                ids = try (plan.arguments["ids"] ?? []).map { try PersistenceID($0) }
            } catch {
                throw OperationError(.data, "the plan names an entity that cannot be: \(error)")
            }
            through = plan.arguments["through"]?.first.flatMap { UInt64($0) }.map { SequenceNumber($0) }
        }
    }

    /// What a deletion would do, with what it must not touch.
    public struct DeletionPlan: Sendable {
        /// The plan to show.
        public var plan: Plan
        /// The last snapshot to delete of each entity that loses one, and how many it loses.
        var targets: [(id: PersistenceID, through: SequenceNumber, count: Int)]
    }

    /// Looks at what a deletion would do; changes nothing.
    ///
    /// - Throws: ``OperationError/Code/notFound`` for an entity that is not there.
    public func planDeletion(_ deletion: Deletion) async throws -> DeletionPlan {
        let metadata = try await store.metadata()
        var plan = Plan(
            operation: "snapshot delete", arguments: deletion.arguments, storeID: metadata.storeID,
            head: try await store.head().description, counts: ["snapshots": 0, "entities": 0], samples: [], guards: [],
            digest: "")
        var targets: [(id: PersistenceID, through: SequenceNumber, count: Int)] = []
        var digest = PlanDigest()
        let resolver = EntityResolver(store: store, domain: domain)
        let holds = Set(try await store.holds().map(\.persistenceID))
        for id in deletion.ids {
            try Task.checkCancellation()
            let stream = try await resolver.existing(id).stream
            let (last, floor) = (stream.last, stream.floor)
            var numbers: [SequenceNumber] = []
            var next = SequenceNumber.zero
            while true {
                let page = try await store.snapshots(of: id, from: next, limit: .standard)
                guard let last = page.last else { break }
                numbers += page.map(\.sequenceNumber)
                next = last.sequenceNumber.next
            }
            var doomed = numbers.filter { $0 <= deletion.through ?? .max }
            if holds.contains(id), !doomed.isEmpty {
                plan.guards.append(.init("legal_hold", id: id.rawValue, detail: "it is under a legal hold"))
                doomed = []
            }
            // Events that were deleted can only be had from a snapshot: the newest that replaces them has to stay.
            if floor > .zero, !numbers.contains(where: { $0 >= floor && !doomed.contains($0) }),
                let needed = doomed.last(where: { $0 >= floor })
            {
                plan.guards.append(
                    .init(
                        "trimmed", id: id.rawValue,
                        detail: "its events up to \(floor) were deleted; the snapshot at \(needed) stands for them"))
                doomed.removeAll { $0 >= needed }
            }
            digest.add(id.rawValue, "\(last)", "\(floor)", doomed.map(\.description).joined(separator: " "))
            guard let through = doomed.last else { continue }
            targets.append((id, through, doomed.count))
            plan.counts["snapshots", default: 0] += doomed.count
            plan.counts["entities", default: 0] += 1
            if plan.samples.count < Plan.sampleCount { plan.samples.append(id.rawValue) }
        }
        plan.digest = digest.finalized()
        return DeletionPlan(plan: plan, targets: targets)
    }

    /// How far a deletion has come.
    private struct Progress: Codable, Sendable {
        var deleted = 0
    }

    /// Whether a deletion of these snapshots was begun, and has to be brought to its end.
    public func isUnfinished(_ deletion: Deletion) async throws -> Bool {
        try await specification(deletion, command: "").isUnfinished(in: store)
    }

    private func specification(_ deletion: Deletion, command: String) -> JobSpecification {
        var selection = PlanDigest()
        for (key, values) in deletion.arguments.sorted(by: { $0.key < $1.key }) {
            selection.add(key, values.joined(separator: "\n"))
        }
        return JobSpecification(
            kind: "snapshot-delete",
            arguments: [
                "entities": deletion.ids.prefix(Plan.sampleCount).map(\.rawValue).joined(separator: ", "),
                "selection": selection.finalized(),
            ], lease: Self.lease, command: command)
    }

    /// Deletes what was planned, a hundred entities at a time.
    ///
    /// - Parameter command: the command that goes on with the work after an interruption.
    /// - Returns: how many snapshots were deleted.
    /// - Throws: ``OperationError/Code/refused`` when the snapshots have changed since the plan was made.
    public func delete(
        _ deletion: Deletion, as planned: DeletionPlan, command: String, progress: @Sendable (Int) -> Void = { _ in }
    ) async throws -> Int {
        return try await JobRun<Progress>.run(
            specification(deletion, command: command), on: store, by: person, time: time, from: { Progress() }
        ) { job in
            // Now that nobody else may: what was planned while a question stood may have changed since.
            try planned.plan.check(against: try await planDeletion(deletion).plan)
            // A run that goes on was planned anew: what is left is all that it has to do.
            var done = await job.checkpoint
            var rest = planned.targets[...]
            while !rest.isEmpty {
                try Task.checkCancellation()
                let page = rest.prefix(100)
                rest = rest.dropFirst(page.count)
                let counts = try await job.commit(
                    page.map { .retireSnapshots(of: $0.id, through: $0.through) }, checkpoint: done)
                done.deleted += counts.reduce(0, +)
                progress(done.deleted)
            }
            try await job.finish(result: "{\"snapshots\":\(done.deleted)}")
            return done.deleted
        }
    }

    private func underLease(_ body: (Lease) async throws -> Void) async throws {
        let lease = try await JobLeases(store: store, person: person, time: time)
            .acquire(Self.lease, for: .seconds(30))
        do { try await body(lease) } catch {
            await JobLeases.release(lease, on: store)
            throw error
        }
        await JobLeases.release(lease, on: store)
    }

    private func entry(_ action: String, _ arguments: String, _ result: String) -> AuditEntry {
        AuditEntry(
            timestamp: time.now(), actor: person.name, action: action, arguments: arguments, reason: person.reason,
            result: result)
    }
}
