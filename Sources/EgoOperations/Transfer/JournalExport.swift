import Crypto
public import EgoCore

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Writes a store's journal to a file or a pipe.
public struct JournalExport: Sendable {
    private let store: any Store
    private let messages: MessageRegistry
    private let selection: ExportSelection
    private let format: ExportFormat
    private let page: PageLimit
    private let pagesPerCheckpoint: Int

    /// An export of what a selection names.
    ///
    /// - Parameters:
    ///   - messages: types whose payloads are readable in JSON Lines.
    ///   - pagesPerCheckpoint: how many pages a job goes on from at most when it was stopped: at each checkpoint it waits
    ///     for the disk. There is one after as many bytes as a page has at most, too.
    public init(
        store: any Store, messages: MessageRegistry, selection: ExportSelection, format: ExportFormat,
        page: PageLimit = .standard, pagesPerCheckpoint: Int = 10
    ) {
        self.store = store
        self.messages = messages
        self.selection = selection
        self.format = format
        self.page = page
        self.pagesPerCheckpoint = pagesPerCheckpoint
    }

    /// What was written.
    public struct Summary: Sendable, Hashable, Codable {
        /// Events.
        public var events = 0
        /// Entities whose kind and last number were recorded.
        public var entities = 0
        /// Snapshots.
        public var snapshots = 0
        /// Durable states.
        public var states = 0
        /// Bytes, checksum and all.
        public var bytes = 0
        /// The place in the journal up to which events were written.
        public var position = Offset.start.description
        /// SHA-256 of the whole file, in hexadecimal.
        public var sha256 = ""

        /// Nothing yet.
        public init() {}
    }

    /// How far an export has come.
    struct Checkpoint: Codable, Sendable {
        var summary = Summary()
        /// The head of the store: events after it are not included.
        var head: String
        /// SHA-256 of what was written; tells whether the unfinished file is still the one that was written.
        var sha256 = Hexadecimal.text(SHA256.hash(data: []))
        /// The place up to which the journal was read.
        var offset: String
        /// How many of the selected IDs are done, and up to which number the next one.
        var idIndex = 0
        var number: UInt64 = 0
        /// The last entity that was recorded; nil while there are events to come.
        var entity: String?
        var isPastEvents = false
        var isPastEntities = false
        /// Whether the file is whole, and has its name or is about to get it.
        var isWhole = false
    }

    /// Writes to a pipe, without a job.
    ///
    /// - Parameters:
    ///   - write: takes the next bytes.
    ///   - progress: called after each page with the place in the journal up to which events were written.
    /// - Throws: what `write` throws, `StoreError`, `CancellationError` between pages.
    public func write(
        to write: @escaping @Sendable ([UInt8]) throws -> Void, progress: @Sendable (String) -> Void = { _ in }
    ) async throws -> Summary {
        var checkpoint = try await start()
        let (sink, queue) = (ExportSink(write: write), BlockQueue())
        async let _ = queue.write(to: sink)
        defer { queue.close() }
        let output = ExportOutput(messages, format, to: queue)
        try await writeHead(output)
        try await writePages(&checkpoint, output) { checkpoint in
            try await output.flush()
            progress(checkpoint.summary.position)
        }
        try await writeTrailer(&checkpoint, output, sink)
        return checkpoint.summary
    }

    /// Writes to a file as a job: whatever stops it, the same command goes on from the last checkpoint, and the file in
    /// the end is the same.
    ///
    /// The file has the name `PATH.partial` until it is whole. Beside a file of protobuf messages, which has no room for
    /// one, a file `PATH.sha256` holds the checksum.
    ///
    /// - Throws: ``OperationError/Code/refused`` when an unfinished file belongs to another store, ``FileError``,
    ///   `StoreError`, ``JobInterrupted``.
    public func write(
        toFile path: String, command: String, by person: Operator, time: any TimeSource,
        progress: @escaping @Sendable (Int) -> Void = { _ in }
    ) async throws -> Summary {
        try ExportFile.check(path)
        return try await JobRun<Checkpoint>.run(
            try specification(path, command: command), on: store, by: person, time: time, from: { try await start() }
        ) { job in
            let summary = try await self.write(toFile: path, job: job, progress: progress)
            try await job.finish(result: try JobText.encode(summary))
            return summary
        }
    }

    /// Whether an export to this file was begun, and can go on.
    public func isUnfinished(toFile path: String) async throws -> Bool {
        try await specification(path, command: "").isUnfinished(in: store)
    }

    /// What was written to this file before, when it is still what would be written now; nil when it is not.
    public func finished(toFile path: String) async throws -> Summary? {
        let arguments = try JobText.encode(try specification(path, command: "").arguments)
        let head = try await store.head().description
        let done = try await store.jobs().filter {
            $0.kind == "export" && $0.arguments == arguments && $0.state == .done
        }
        for job in done {
            guard let checkpoint: Checkpoint = try? JobText.decode(job.checkpoint), checkpoint.head == head,
                try ExportFile.sum(path, bytes: checkpoint.summary.bytes) == checkpoint.summary.sha256
            else { continue }
            return checkpoint.summary
        }
        return nil
    }

    private func specification(_ path: String, command: String) throws -> JobSpecification {
        JobSpecification(
            kind: "export",
            arguments: ["file": path, "format": format.rawValue, "selection": try JobText.encode(selection)],
            lease: "export \(path)", command: command)
    }

    /// Writes to a file without a job, where the store may not be changed.
    public func write(
        toFile path: String, progress: @escaping @Sendable (Int) -> Void = { _ in }
    ) async throws -> Summary {
        try await write(toFile: path, job: nil, progress: progress)
    }

    private func write(
        toFile path: String, job: JobRun<Checkpoint>?, progress: @escaping @Sendable (Int) -> Void
    ) async throws -> Summary {
        let file = try ExportFile(path)
        var checkpoint = try await start()
        if let job, job.isResumed { checkpoint = try await resumed(await job.checkpoint, path, fresh: checkpoint) }
        if checkpoint.isWhole {
            // It has its name already, or needs nothing else.
            let hasName = try ExportFile.sum(path, bytes: checkpoint.summary.bytes) == checkpoint.summary.sha256
            if hasName { file.discard() } else { try file.complete() }
            return checkpoint.summary
        }
        if checkpoint.summary.bytes == 0 { try await checkForeign(path) }
        try file.truncate(to: checkpoint.summary.bytes)
        let (sink, queue) = (ExportSink(after: try file.hash()) { try file.write($0) }, BlockQueue())
        async let _ = queue.write(to: sink)
        defer { queue.close() }
        let output = ExportOutput(messages, format, bytes: checkpoint.summary.bytes, to: queue)
        var (pages, committed) = (0, output.bytes)
        func commit(_ checkpoint: inout Checkpoint) async throws {
            (pages, committed) = (0, output.bytes)
            try await output.flush()
            checkpoint.sha256 = await sink.sha256
            // The file first: a checkpoint must not be ahead of what is on disk.
            try file.sync()
            if let job { _ = try await job.commit([], checkpoint: checkpoint) }
        }
        if checkpoint.summary.bytes == 0 { try await writeHead(output) }
        progress(checkpoint.summary.events)
        try await writePages(&checkpoint, output) { checkpoint in
            pages += 1
            let isDue = pages >= pagesPerCheckpoint || output.bytes - committed >= page.bytes
            if job != nil, isDue { try await commit(&checkpoint) }
            progress(checkpoint.summary.events)
        }
        try await writeTrailer(&checkpoint, output, sink)
        checkpoint.isWhole = true
        if format == .protobuf { try writeChecksum(checkpoint.summary.sha256, of: path) }
        try await commit(&checkpoint)
        try file.complete()
        return checkpoint.summary
    }

    /// Where an earlier run can be gone on with, up to the head as it is now; `fresh` where it cannot: the unfinished
    /// file is gone or is not the one that was written, or the journal went on after its events were done.
    private func resumed(_ old: Checkpoint, _ path: String, fresh: Checkpoint) async throws -> Checkpoint {
        if old.isWhole {
            let isThere = try ExportFile.sum(path, bytes: old.summary.bytes) == old.summary.sha256
            let isPartial =
                try ExportFile.sum(ExportFile.partialPath(path), bytes: old.summary.bytes) == old.summary.sha256
            return isThere || isPartial ? old : fresh
        }
        guard try ExportFile.sum(ExportFile.partialPath(path), bytes: old.summary.bytes) == old.sha256 else {
            return fresh
        }
        if old.isPastEvents, old.head != fresh.head { return fresh }
        var checkpoint = old
        checkpoint.head = fresh.head
        return checkpoint
    }

    /// Refuses to write over what another store's export has begun.
    private func checkForeign(_ path: String) async throws {
        let partial = ExportFile.partialPath(path)
        guard let line = try? ImportFile(partial).nextLine({ Data($0) }),
            let header = try? JSONDecoder().decode(ExportHeader.self, from: line),
            header.storeID != (try await store.metadata().storeID)
        else { return }
        throw OperationError(
            .refused, "\(partial) is an unfinished export of another store",
            hint: "go on with it on that store, or remove the file")
    }

    /// Writes `PATH.sha256`, as `sha256sum` does.
    private func writeChecksum(_ sum: String, of path: String) throws {
        let name = path.split(separator: "/").last.map(String.init) ?? path
        let file = try ExportFile(path + ".sha256")
        try file.truncate(to: 0)
        try file.write(Array("\(sum)  \(name)\n".utf8))
        try file.sync()
        try file.complete()
    }

    private func start() async throws -> Checkpoint {
        Checkpoint(
            head: try await store.head().description, offset: selection.after ?? Offset.start.description)
    }

    /// Writes what stands before the records.
    private func writeHead(_ output: ExportOutput) async throws {
        if format == .protobuf { return }
        let metadata = try await store.metadata()
        let header = ExportHeader(
            storeID: metadata.storeID, origin: metadata.origin.rawValue, shardCount: metadata.shardCount,
            selection: selection)
        output.add(line: try JobText.encode(header))
    }

    private func writeTrailer(
        _ checkpoint: inout Checkpoint, _ output: ExportOutput, _ sink: ExportSink
    ) async throws {
        try await output.flush()
        if format == .jsonl {
            let summary = checkpoint.summary
            let trailer = ExportTrailer(
                events: summary.events, entities: summary.entities, snapshots: summary.snapshots,
                states: summary.states, head: checkpoint.head, sha256: await sink.sha256)
            output.add(line: try JobText.encode(trailer))
            try await output.flush()
        }
        (checkpoint.summary.bytes, checkpoint.summary.sha256) = (output.bytes, await sink.sha256)
    }

    // MARK: Pages

    /// Writes what is to come.
    ///
    /// - Parameter done: called after each page.
    private func writePages(
        _ checkpoint: inout Checkpoint, _ output: ExportOutput, _ done: (inout Checkpoint) async throws -> Void
    ) async throws {
        func end(_ checkpoint: inout Checkpoint) async throws {
            checkpoint.summary.bytes = output.bytes
            try await done(&checkpoint)
        }
        try Task.checkCancellation()
        if selection.ids.isEmpty { try await writeJournal(&checkpoint, output, end) }
        while !checkpoint.isPastEvents {
            try Task.checkCancellation()
            try await write(try await nextOfEntity(&checkpoint), &checkpoint, output)
            try await end(&checkpoint)
        }
        if format == .protobuf || !selection.hasEntities { checkpoint.isPastEntities = true }
        try await writeEntities(&checkpoint, output, end)
    }

    /// Writes the events of all entities. The next page is read while one is written.
    private func writeJournal(
        _ checkpoint: inout Checkpoint, _ output: ExportOutput, _ end: (inout Checkpoint) async throws -> Void
    ) async throws {
        if checkpoint.isPastEvents { return }
        let head = Offset(checkpoint.head) ?? .start
        var after = Offset(checkpoint.offset) ?? .start
        var next: JournalPage? = try await journal(after: after)
        while let page = next {
            try Task.checkCancellation()
            checkpoint.isPastEvents = page.reachedHead || page.next >= head
            let isLast = checkpoint.isPastEvents
            async let following = isLast ? nil : journal(after: page.next)
            // Ascending, as the journal is.
            let isBeforeHead = page.events.last.map { $0.offset <= head } ?? true
            let events = isBeforeHead ? page.events : page.events.filter { $0.offset <= head }
            try await write(events, &checkpoint, output)
            checkpoint.offset = page.next.description
            // With filters too, so that the next export can go on after what was looked at.
            checkpoint.summary.position = max(after, min(page.next, head)).description
            after = page.next
            try await end(&checkpoint)
            next = try await following
        }
    }

    private func journal(after offset: Offset) async throws -> JournalPage {
        try await store.journal(after: offset, shard: selection.shard.map { Shard($0) }, limit: page)
    }

    /// Writes those of these events that the selection has.
    private func write(
        _ events: [PersistedEvent], _ checkpoint: inout Checkpoint, _ output: ExportOutput
    ) async throws {
        let kinds = try await kinds(of: events)
        let matching = selection.isOfAllEvents ? events : events.filter { matches($0, kinds) }
        try await output.add(matching)
        checkpoint.summary.events += matching.count
        if !selection.ids.isEmpty, let last = matching.last {
            checkpoint.summary.position = last.offset.description
        }
    }

    private func nextOfEntity(_ checkpoint: inout Checkpoint) async throws -> [PersistedEvent] {
        guard checkpoint.idIndex < selection.ids.count else {
            checkpoint.isPastEvents = true
            return []
        }
        let id = try PersistenceID(selection.ids[checkpoint.idIndex])
        let head = Offset(checkpoint.head) ?? .start
        let after = Offset(checkpoint.offset) ?? .start
        let found = try await store.events(
            of: id, from: SequenceNumber(checkpoint.number + 1), through: .max, limit: page)
        if let last = found.last, last.offset < head {
            checkpoint.number = last.sequenceNumber.rawValue
        } else {
            checkpoint.idIndex += 1
            checkpoint.number = 0
            checkpoint.isPastEvents = checkpoint.idIndex == selection.ids.count
        }
        return found.filter { $0.offset <= head && $0.offset > after }
    }

    private func matches(_ event: PersistedEvent, _ kinds: [PersistenceID: String]) -> Bool {
        if let since = selection.since, event.timestamp.unixNanoseconds < since { return false }
        if let until = selection.until, event.timestamp.unixNanoseconds >= until { return false }
        if let shard = selection.shard, event.shard.rawValue != shard { return false }
        if let kind = selection.kind, kinds[event.persistenceID] != kind { return false }
        return true
    }

    /// The recorded kinds of a page's entities, where the selection asks for them.
    private func kinds(of events: [PersistedEvent]) async throws -> [PersistenceID: String] {
        if selection.kind == nil { return [:] }
        var kinds: [PersistenceID: String] = [:]
        for id in Set(events.map(\.persistenceID)) { kinds[id] = try await store.stream(of: id)?.kind }
        return kinds
    }

    /// Writes what is recorded of entities, with their snapshots and states. The next are looked up while some are written.
    private func writeEntities(
        _ checkpoint: inout Checkpoint, _ output: ExportOutput, _ end: (inout Checkpoint) async throws -> Void
    ) async throws {
        if checkpoint.isPastEntities { return }
        let head = Offset(checkpoint.head) ?? .start
        var next = try await entities(after: checkpoint.entity)
        while let last = next.last?.persistenceID.rawValue {
            try Task.checkCancellation()
            async let following = entities(after: last)
            var start = output.bytes
            for entity in next {
                if let record = try await record(of: entity, head) {
                    try await output.add(record)
                    checkpoint.summary.entities += 1
                    // What is left of an erased entity goes nowhere.
                    if record.erasedAt == nil { try await addContents(of: record, entity, &checkpoint.summary, output) }
                }
                checkpoint.entity = entity.persistenceID.rawValue
                // As much as a page of small events comes to.
                if output.bytes - start > page.bytes / 32 {
                    try Task.checkCancellation()
                    try await end(&checkpoint)
                    start = output.bytes
                }
            }
            try await end(&checkpoint)
            next = try await following
        }
        checkpoint.isPastEntities = true
        try await end(&checkpoint)
    }

    private static let entityPage = 1_000

    /// The next entities of the selection, ascending by ID.
    private func entities(after last: String?) async throws -> [EntitySummary] {
        if selection.ids.isEmpty {
            return try await store.entities(
                EntityQuery(
                    kind: selection.kind, shard: selection.shard.map { Shard($0) },
                    after: try last.map { try PersistenceID($0) }, limit: Self.entityPage))
        }
        var found: [EntitySummary] = []
        let ids = try selection.ids.map { try PersistenceID($0) }.sorted()
        let after = try last.map { try PersistenceID($0) }
        for id in ids where after.map({ id > $0 }) ?? true {
            let query = EntityQuery(
                prefix: id.rawValue, kind: selection.kind, shard: selection.shard.map { Shard($0) }, limit: 1)
            if let first = try await store.entities(query).first, first.persistenceID == id { found.append(first) }
            if found.count == Self.entityPage { break }
        }
        return found
    }

    /// What is recorded of an entity up to the head; nil for one that came later.
    private func record(of entity: EntitySummary, _ head: Offset) async throws -> ExportedEntity? {
        var record = ExportedEntity(
            id: entity.persistenceID, kind: entity.kind, sequenceNumber: entity.sequenceNumber, floor: entity.floor,
            erasedAt: entity.erasedAt)
        if entity.isErased {
            record.floor = .zero
        } else if let offset = entity.lastOffset, offset > head {
            record.sequenceNumber = try await last(of: entity, head)
            if record.sequenceNumber == .zero { return nil }
        }
        return record
    }

    /// The last event of an entity that is not after the head: positions ascend with sequence numbers.
    private func last(of entity: EntitySummary, _ head: Offset) async throws -> SequenceNumber {
        var (low, high) = (entity.floor.rawValue, entity.sequenceNumber.rawValue)
        while low < high {
            let middle = SequenceNumber(low + (high - low + 1) / 2)
            let event = try await store.events(
                of: entity.persistenceID, from: middle, through: middle, limit: PageLimit(rows: 1)
            ).first
            // A missing event was trimmed meanwhile: those after it tell.
            if let event, event.offset > head { high = middle.rawValue - 1 } else { low = middle.rawValue }
        }
        return SequenceNumber(low)
    }

    /// Adds an entity's snapshots up to its last event that is included, and its durable state.
    private func addContents(
        of record: ExportedEntity, _ entity: EntitySummary, _ summary: inout Summary, _ output: ExportOutput
    ) async throws {
        var next = SequenceNumber.zero
        while entity.hasSnapshots {
            let snapshots = try await store.snapshots(of: record.id, from: next, limit: page)
            guard let newest = snapshots.last else { break }
            for snapshot in snapshots where snapshot.sequenceNumber <= record.sequenceNumber {
                try await output.add(snapshot)
                summary.snapshots += 1
            }
            next = newest.sequenceNumber.next
        }
        if entity.isDurableState, let state = try await store.state(of: record.id) {
            try await output.add(state)
            summary.states += 1
        }
    }
}
