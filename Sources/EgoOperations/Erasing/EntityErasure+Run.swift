import Ego
public import EgoCore

extension EntityErasure {
    /// How far an erasure has come.
    struct Progress: Codable, Sendable {
        enum Phase: String, Codable { case fence, shred, delete, readModels, files, certify }

        var phase = Phase.fence
        var entities: [Entity] = []
        /// Pieces of what was deleted, to look for in files; gone when the work is done.
        var sample: PayloadSample?
        /// Tables of read models that rows were deleted from.
        var tables: [String] = []
        var report: Report?
        var notCovered: [String] = []

        struct Entity: Codable, Sendable {
            var id: String
            var last: UInt64
            var deleted = ErasureCertificate.Deleted()
            var isDone = false
        }

        struct Report: Codable, Sendable {
            var scannedBytes: Int
            var residues: Int
        }
    }

    /// Erases entities, a hundred in one job. What was erased before, and is certified, is left out.
    ///
    /// - Parameters:
    ///   - planned: the plan that was confirmed; its guards are entities to leave alone.
    ///   - command: the command that goes on with the work after an interruption.
    ///   - progress: called with the number of certified entities.
    /// - Returns: the new certificates.
    public func run(
        _ ids: [PersistenceID], _ options: Options, as planned: Plan, command: String,
        progress: @escaping @Sendable (Int) -> Void = { _ in }
    ) async throws -> [RecordedCertificate] {
        let held = Set(planned.guards.map(\.id))
        let known = try await certificates().last?.number ?? 0
        for begun in try await unfinished(among: ids) {
            let options = Options(keepsEvents: begun.keepsEvents, rewrite: options.rewrite)
            try await runJob(begun.ids, options, command: command) { _ in }
        }
        let certified = Set(try await certificates().map(\.certificate.id))
        let open = ids.filter { !held.contains($0.rawValue) && !certified.contains($0.rawValue) }
        var done = 0
        for start in stride(from: 0, to: open.count, by: Self.batch) {
            let batch = Array(open[start..<min(start + Self.batch, open.count)])
            let (earlier, count) = (done, batch.count)
            try await runJob(batch, options, command: command) { progress(earlier + min($0, count)) }
            done += batch.count
        }
        let wanted = Set(ids.map(\.rawValue))
        return try await certificates().filter { $0.number > known && wanted.contains($0.certificate.id) }
    }

    /// Whether an erasure of some of these was begun, and has to be brought to its end.
    public func isUnfinished(_ ids: [PersistenceID]) async throws -> Bool { try await !unfinished(among: ids).isEmpty }

    /// The entities of jobs that were begun and have one of these. What was begun was confirmed, and is fenced already.
    private func unfinished(
        among ids: [PersistenceID]
    ) async throws -> [(ids: [PersistenceID], keepsEvents: Bool)] {
        let wanted = Set(ids.map(\.rawValue))
        return try await store.jobs().filter { $0.kind == "erase" && $0.state.isUnfinished }.compactMap { job in
            let state: Progress = try JobText.decode(job.checkpoint)
            let arguments: [String: String] = try JobText.decode(job.arguments)
            guard state.entities.contains(where: { wanted.contains($0.id) }) else { return nil }
            return (self.ids(state), arguments["keep_events"] == "true")
        }
    }

    private func runJob(
        _ ids: [PersistenceID], _ options: Options, command: String, progress: @Sendable (Int) -> Void
    ) async throws {
        var selection = PlanDigest()
        for id in ids { selection.add(id.rawValue) }
        let specification = JobSpecification(
            kind: "erase",
            arguments: [
                "entities": ids.prefix(Plan.sampleCount).map(\.rawValue).joined(separator: ", "),
                "count": "\(ids.count)", "selection": selection.finalized(),
                "keep_events": options.keepsEvents ? "true" : "false",
            ], lease: "erase", command: command)
        let reason = person.reason
        try await JobRun<Progress>.run(
            specification, on: store, by: person, time: time,
            from: {
                var start = Progress()
                for id in ids {
                    start.entities.append(Progress.Entity(id: id.rawValue, last: try await known(id).last.rawValue))
                }
                start.sample = PayloadSample()
                return start
            }
        ) { job in
            var state = await job.checkpoint
            if state.phase == .fence { try await fence(&state, job) }
            // What other processes have in memory runs out; those that hold a page of events are cut off later.
            if state.phase == .shred {
                try await Task.sleep(for: staleness + staleness / 10)
                try await shred(&state, job)
                // With records that stay, a key that others have in memory is all that is left to run out.
                if options.keepsEvents { try await Task.sleep(for: staleness + staleness / 10) }
            }
            // A rebuild reads events and writes them into new tables: none runs now, and none begins.
            state = try await JobLeases(store: store, person: person, time: time).holding(Rebuild.leaseName) {
                var state = state
                if state.phase == .delete { try await delete(&state, options, job) }
                if state.phase == .readModels { try await clearReadModels(&state, job) }
                return state
            }
            if state.phase == .files { try await purge(&state, options, job) }
            try await certify(&state, options, job, reason: reason)
            let done = state.entities.count
            for number in 0..<done { progress(number + 1) }
            try await job.finish(result: "{\"certificates\":\(done)}")
        }
    }

    private func ids(_ state: Progress) -> [PersistenceID] { state.entities.map { PersistenceID(stored: $0.id) } }

    // MARK: The steps, each with the same end when it is done again

    private func fence(_ state: inout Progress, _ job: JobRun<Progress>) async throws {
        let now = time.now()
        var changes: [OperatorChange] = []
        // A hold may have come while a question stood.
        let holds = Set(try await store.holds().map(\.persistenceID))
        for index in state.entities.indices {
            let id = PersistenceID(stored: state.entities[index].id)
            if holds.contains(id) {
                throw OperationError(
                    .refused, "it is under a legal hold", hint: "nothing was erased", persistenceID: id)
            }
            // Commands may have come since it was looked at.
            let last = max(SequenceNumber(state.entities[index].last), try await known(id).last)
            state.entities[index].last = last.rawValue
            changes.append(.placeTombstone(Tombstone(persistenceID: id, sequenceNumber: last, erasedAt: now)))
            for keys in keyStores { state.entities[index].deleted.keys += try await keys.keys(of: id).count }
        }
        state.phase = .shred
        _ = try await job.commit(changes, checkpoint: state)
    }

    private func shred(_ state: inout Progress, _ job: JobRun<Progress>) async throws {
        for id in ids(state) {
            for keys in keyStores { _ = try await keys.destroyKeys(of: id) }
        }
        state.phase = .delete
        _ = try await job.commit([], checkpoint: state)
    }

    private func delete(_ state: inout Progress, _ options: Options, _ job: JobRun<Progress>) async throws {
        // Entities share a transaction, as far as a page goes: a commit for each would be most of the work.
        var deletion = DeletionPage(page)
        for index in state.entities.indices {
            try Task.checkCancellation()
            let id = PersistenceID(stored: state.entities[index].id)
            if !options.keepsEvents {
                try await deleteEvents(of: id, index, &state, &deletion, job)
                try await deleteSnapshots(of: id, index, &state, &deletion, job)
                if let stored = try await store.state(of: id) {
                    state.sample?.add(stored.payload)
                    state.entities[index].deleted.durableStates += 1
                    deletion.add(.deleteState(of: id), rows: 1, bytes: stored.payload.count)
                }
            }
            let letters = try await store.deadLetterCount(of: id)
            if letters > 0 {
                state.entities[index].deleted.deadLetters += letters
                deletion.add(.eraseTraces(of: id), rows: letters, bytes: 0)
            }
            if deletion.isFull { _ = try await job.commit(deletion.take(), checkpoint: state) }
        }
        state.phase = .readModels
        _ = try await job.commit(deletion.take(), checkpoint: state)
    }

    private func deleteEvents(
        of id: PersistenceID, _ index: Int, _ state: inout Progress, _ deletion: inout DeletionPage,
        _ job: JobRun<Progress>
    ) async throws {
        var events = try await store.events(of: id, from: 1, through: .max, limit: deletion.rest)
        while let last = events.last {
            try Task.checkCancellation()
            for event in events {
                state.sample?.add(event.payload)
                state.sample?.add(event.unknownFields)
            }
            state.entities[index].deleted.events += events.count
            deletion.add(
                .deleteEvents(of: id, through: last.sequenceNumber), rows: events.count,
                bytes: events.reduce(0) { $0 + $1.payload.count })
            if deletion.isFull { _ = try await job.commit(deletion.take(), checkpoint: state) }
            events = try await store.events(
                of: id, from: last.sequenceNumber.next, through: .max, limit: deletion.rest)
        }
    }

    private func deleteSnapshots(
        of id: PersistenceID, _ index: Int, _ state: inout Progress, _ deletion: inout DeletionPage,
        _ job: JobRun<Progress>
    ) async throws {
        var snapshots = try await store.snapshots(of: id, from: .zero, limit: deletion.rest)
        while let last = snapshots.last {
            try Task.checkCancellation()
            for snapshot in snapshots { state.sample?.add(snapshot.payload) }
            state.entities[index].deleted.snapshots += snapshots.count
            deletion.add(
                .deleteSnapshots(of: id, through: last.sequenceNumber), rows: snapshots.count,
                bytes: snapshots.reduce(0) { $0 + $1.payload.count })
            if deletion.isFull { _ = try await job.commit(deletion.take(), checkpoint: state) }
            snapshots = try await store.snapshots(of: id, from: last.sequenceNumber.next, limit: deletion.rest)
        }
    }

    /// Rows go, and whoever runs a projection has to take its lease again: a page that it has read before is refused.
    private func clearReadModels(_ state: inout Progress, _ job: JobRun<Progress>) async throws {
        let ids = ids(state)
        for record in try await store.projections() {
            try Task.checkCancellation()
            let tables = ReadModelRows.tables(of: record)
            for table in tables where !state.tables.contains(table.name) { state.tables.append(table.name) }
            for (version, all) in record.tables.sorted(by: { $0.key < $1.key }) {
                for table in all where table.entityColumn == nil {
                    state.note(
                        "table \(table.name(ofVersion: version)) of projection \(record.name), which names no column of entities"
                    )
                }
            }
            var changes: [OperatorChange] = [.breakLease(ProjectionRecord.lease(of: record.name))]
            if let failure = record.failure, ids.contains(failure.persistenceID) {
                var cleared = record
                cleared.failure = nil
                changes.append(.saveProjection(cleared))
            }
            // Counted before: what a transaction has deleted is not known when its checkpoint is written.
            let rows = ReadModelRows(store: store, tables: tables)
            for (index, id) in ids.enumerated() {
                state.entities[index].deleted.rows += try await rows.counts(of: id).reduce(0, +)
            }
            _ = try await job.commit(changes, checkpoint: state) { transaction in
                if transaction.dialect == .none { return }
                for table in tables {
                    let sql = "DELETE FROM \(table.name) WHERE \(table.column) = \(transaction.dialect.placeholder(1))"
                    for id in ids { _ = try transaction.change(sql, [.text(id.rawValue)]) }
                }
            }
        }
        for projection in domain.projections {
            guard case .external(let handler) = projection.handler else { continue }
            guard let erasable = handler as? any ErasableProjectionHandler else {
                state.note("what the handler of projection \(projection.name) has written: it has no hook for erasures")
                continue
            }
            for id in ids { try await erasable.erase(id) }
        }
        try await shredExports(&state)
        state.phase = .files
        _ = try await job.commit([], checkpoint: state)
    }

    /// Files of exports that were not finished are ours; those that were are somebody else's by now.
    private func shredExports(_ state: inout Progress) async throws {
        for job in try await store.jobs() {
            guard let arguments: [String: String] = try? JobText.decode(job.arguments) else { continue }
            switch (job.kind, job.state) {
            case ("export", .discarded):
                if let path = arguments["file"] { _ = try ExportFile.shred(path) }
            case ("export", .running), ("export", .interrupted), ("export", .failed):
                guard let path = arguments["file"] else { continue }
                if try !ExportFile.shred(path) { state.note("the unfinished export \(path), which is not here") }
                var discarded = job
                discarded.state = .discarded
                discarded.updatedAt = time.now()
                _ = try await store.commit([.saveJob(discarded)], under: nil)
            case ("export", .done):
                if let path = arguments["file"] { state.note("the export \(path)") }
            case ("retain", _):
                if let path = arguments["archive"], !path.isEmpty { state.note("the archive \(path)") }
            default: break
            }
        }
    }

    private func purge(_ state: inout Progress, _ options: Options, _ job: JobRun<Progress>) async throws {
        // What recognises the deleted goes from the store before its files are looked through.
        let sample = state.sample ?? .lost
        state.sample = nil
        _ = try await job.commit([], checkpoint: state)
        let search = ResidueSearch(
            ids: options.keepsEvents ? [] : ids(state), sample: sample, tables: state.tables, rewrite: options.rewrite)
        var report = try await store.purge(search)
        for keys in keyStores.dropFirst() {
            guard let other = keys as? any OperatorStore else { continue }
            let second = try await other.purge(ResidueSearch(ids: [], rewrite: options.rewrite))
            report.notCovered += second.notCovered.map { "in the key store: \($0)" }
        }
        if report.residues > 0, options.rewrite != .never {
            throw OperationError(
                .failed, "\(report.residues) places in the store's files still hold something of what was deleted",
                hint: "repeat the command: it goes on from here")
        }
        state.report = Progress.Report(scannedBytes: report.scannedBytes, residues: report.residues)
        for text in report.notCovered { state.note(text) }
        state.phase = .certify
        _ = try await job.commit([], checkpoint: state)
    }

    private func certify(
        _ state: inout Progress, _ options: Options, _ job: JobRun<Progress>, reason: String
    ) async throws {
        var entries: [OperatorChange] = []
        for index in state.entities.indices where !state.entities[index].isDone {
            try Task.checkCancellation()
            let entity = state.entities[index]
            let id = PersistenceID(stored: entity.id)
            let left = try await remains(of: id)
            guard left.isNothing || (options.keepsEvents && left.isUnreadable) else {
                // Those before it are gone, and are certified.
                if !entries.isEmpty { _ = try await job.commit(entries, checkpoint: state) }
                throw OperationError(.failed, "something of it is still there: \(left)", persistenceID: id)
            }
            let now = time.now()
            let certificate = ErasureCertificate(
                id: entity.id, at: "\(now.unixNanoseconds)", reason: reason, operator: person.name,
                tombstoneSequenceNumber: "\(entity.last)", keptEvents: options.keepsEvents, deleted: entity.deleted,
                verified: ErasureCertificate.Verified(
                    scannedBytes: state.report?.scannedBytes ?? 0, residues: state.report?.residues ?? 0),
                notCovered: state.notCovered)
            state.entities[index].isDone = true
            entries.append(
                .audit(
                    AuditEntry(
                        timestamp: now, actor: person.name, action: ErasureCertificate.action,
                        arguments: try JobText.encode(["id": entity.id]), reason: reason,
                        result: try JobText.encode(certificate))))
        }
        if !entries.isEmpty { _ = try await job.commit(entries, checkpoint: state) }
    }
}

/// What one transaction is to delete: of as many entities as fit a page.
private struct DeletionPage {
    private let page: PageLimit
    private var changes: [OperatorChange] = []
    private var rows = 0
    private var bytes = 0

    init(_ page: PageLimit) { self.page = page }

    /// What still fits.
    var rest: PageLimit { PageLimit(rows: page.rows - rows, bytes: page.bytes - bytes) }

    var isFull: Bool { rows >= page.rows || bytes >= page.bytes }

    mutating func add(_ change: OperatorChange, rows: Int, bytes: Int) {
        changes.append(change)
        self.rows += rows
        self.bytes += bytes
    }

    mutating func take() -> [OperatorChange] {
        defer { self = DeletionPage(page) }
        return changes
    }
}

extension EntityErasure.Progress {
    fileprivate mutating func note(_ text: String) {
        if !notCovered.contains(text) { notCovered.append(text) }
    }
}

extension ErasureCertificate.Verified {
    fileprivate init(scannedBytes: Int, residues: Int) {
        self.init()
        self.scannedBytes = scannedBytes
        self.residues = residues
    }
}
