public import EgoCore

/// Takes an exported journal into a store: first the whole file is checked, then its records are committed page by page.
public struct JournalImport: Sendable {
    /// What to do with an event that the store has already.
    public enum OnConflict: String, Sendable, CaseIterable {
        /// Take nothing of the file.
        case fail
        /// Leave it as it is in the store.
        case skip
    }

    private let store: any Store
    private let format: ExportFormat
    private let onConflict: OnConflict
    private let page: PageLimit

    /// An import into a store.
    public init(store: any Store, format: ExportFormat, onConflict: OnConflict, page: PageLimit = .standard) {
        self.store = store
        self.format = format
        self.onConflict = onConflict
        self.page = page
    }

    /// What is in a file, or what was taken from it.
    public struct Summary: Sendable, Hashable, Codable {
        /// Events that were written.
        public var events = 0
        /// Events that were there already, and left alone.
        public var skipped = 0
        /// Of those, events that are not the same in the store.
        public var differing = 0
        /// Events of entities that were erased in this store, and stay so.
        public var erased = 0
        /// Events that were deleted here on purpose, and are not brought back.
        public var trimmed = 0
        /// Entities that begin after their first event: what came before counts as deleted.
        public var begun = 0
        /// Entities of which the store has another history: nothing more of them is taken.
        public var diverged: Set<String> = []
        /// Entities that were erased where the file is from, and have events here: they are left alone.
        public var notErased = 0
        /// Entities of which something was recorded: their kind, that they were erased, or that events were deleted.
        public var entities = 0
        /// Snapshots that were written.
        public var snapshots = 0
        /// Durable states that were written.
        public var states = 0
        /// SHA-256 of the file, in hexadecimal.
        public var sha256 = ""
        /// Whether the file's checksum was there to be compared.
        public var isChecked = false

        /// Nothing yet.
        public init() {}

        /// So many entities with another history are another store's.
        private static let divergedLimit = 10_000

        mutating func diverge(_ id: PersistenceID) throws {
            diverged.insert(id.rawValue)
            if diverged.count > Self.divergedLimit {
                throw OperationError(
                    .refused, "more than \(Self.divergedLimit) entities have another history here",
                    hint: "the file is from another store; import it into a new one")
            }
        }

        /// Whether anything was written.
        public var hasChanges: Bool { events + entities + snapshots + states > 0 }
    }

    private struct Checkpoint: Codable, Sendable {
        var bytes = 0
        var summary = Summary()
    }

    /// Guards a store against two imports at once.
    private static let lease = "import"

    // MARK: Check

    /// Reads the whole file and checks it, and that its records can follow what is in the store. Changes nothing.
    ///
    /// - Returns: what an import would do with its events, and its checksum.
    /// - Throws: ``OperationError/Code/data`` for a file that is truncated, damaged, out of order or of another version,
    ///   naming the line; ``OperationError/Code/refused`` for a record that the store has, with ``OnConflict/fail``.
    public func check(
        _ path: String, progress: @Sendable (Int, Int) -> Void = { _, _ in }
    ) async throws -> Summary {
        async let sum = Self.checksum(path, format)
        var summary: Summary
        do {
            let jobs = try await store.jobs().filter { $0.kind == "import" }
            var isStarted = false
            // Only where there are imports does the checksum say whether one is of this file.
            if !jobs.isEmpty {
                let arguments = try JobText.encode(arguments(try await sum.sha256))
                isStarted = jobs.contains { $0.arguments == arguments }
            }
            // Records before the checkpoint of an unfinished import are in the store by its own hand.
            summary = try await checkRecords(path, isStarted ? .skip : onConflict, progress)
        } catch {
            // A file that is not as it was written is told as that, whatever else is wrong with it then.
            _ = try await sum
            throw error
        }
        let (sha256, isChecked) = (try await sum.sha256, try await sum.isChecked)
        (summary.sha256, summary.isChecked) = (sha256, isChecked)
        return summary
    }

    /// Async, so that it can be found out beside something else.
    private static func checksum(_ path: String, _ format: ExportFormat) async throws -> TransferChecksum {
        try TransferChecksum(path, format: format)
    }

    private func checkRecords(
        _ path: String, _ policy: OnConflict, _ progress: @Sendable (Int, Int) -> Void
    ) async throws -> Summary {
        let pages = try RecordPages(path, format: format, from: 0, limit: page)
        var (summary, counts) = (Summary(), RecordCounts())
        let isEmpty = try await store.statistics().entities == 0
        var target = ImportTarget(store: store, onConflict: policy, isPart: pages.isPart, wasEmpty: isEmpty)
        var next = try await pages.next()
        while let page = next {
            try Task.checkCancellation()
            async let following = pages.next()
            for (_, record) in page.records { counts.add(record) }
            try await take(page, to: &target, &summary)
            progress(page.end, pages.size)
            next = try await following
        }
        try await pages.checkEnd(counts)
        return summary
    }

    /// Takes the records of a page into the changes of one.
    private func take(_ page: RecordPage, to target: inout ImportTarget, _ summary: inout Summary) async throws {
        target.beginPage()
        for (place, record) in page.records {
            do {
                if try target.takeUnasked(record, &summary) { continue }
                try await target.take(record, &summary)
            } catch let problem as ExportProblem {
                throw problem.error(format, at: place)
            }
        }
    }

    private func arguments(_ sha256: String) -> [String: String] {
        ["sha256": sha256, "format": format.rawValue, "on_conflict": onConflict.rawValue]
    }

    // MARK: Import

    /// Takes the records of a file that was checked, as a job: each page is committed whole together with the job's
    /// checkpoint.
    ///
    /// A file that was imported completely before is left alone.
    ///
    /// - Parameters:
    ///   - checked: what ``check(_:progress:)`` gave.
    ///   - progress: called after each page that was committed, with the bytes that were read and those of the file.
    /// - Throws: ``OperationError``, ``FileError``, ``JobInterrupted``; `StoreError` with code `conflict` when somebody
    ///   else wrote one of the entities meanwhile: pages before it were imported, and the same command goes on.
    public func run(
        _ path: String, _ checked: Summary, command: String, by person: Operator, time: any TimeSource,
        progress: @escaping @Sendable (Int, Int) -> Void = { _, _ in }
    ) async throws -> Summary {
        let specification = JobSpecification(
            kind: "import", arguments: arguments(checked.sha256), lease: Self.lease, command: command)
        let arguments = try JobText.encode(specification.arguments)
        let isDone = try await store.jobs().contains {
            $0.kind == "import" && $0.arguments == arguments && $0.state == .done
        }
        if isDone {
            var summary = Summary()
            summary.skipped = checked.events + checked.skipped
            (summary.sha256, summary.isChecked) = (checked.sha256, checked.isChecked)
            return summary
        }
        return try await JobRun<Checkpoint>.run(
            specification, on: store, by: person, time: time, from: { Checkpoint() }
        ) { job in
            var checkpoint = await job.checkpoint
            (checkpoint.summary.sha256, checkpoint.summary.isChecked) = (checked.sha256, checked.isChecked)
            let pages = try RecordPages(path, format: format, from: checkpoint.bytes, limit: page)
            var isEmpty = false
            if !job.isResumed { isEmpty = try await store.statistics().entities == 0 }
            var target = ImportTarget(store: store, onConflict: onConflict, isPart: pages.isPart, wasEmpty: isEmpty)
            var next = try await pages.next()
            while let page = next {
                try Task.checkCancellation()
                async let following = pages.next()
                try await take(page, to: &target, &checkpoint.summary)
                checkpoint.bytes = page.end
                _ = try await job.commit(target.changes, checkpoint: checkpoint)
                progress(page.end, pages.size)
                next = try await following
            }
            try await job.finish(result: try JobText.encode(checkpoint.summary))
            return checkpoint.summary
        }
    }
}
