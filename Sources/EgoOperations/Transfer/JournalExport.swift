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

    /// An export of what a selection names.
    ///
    /// - Parameter messages: types whose payloads are readable in JSON Lines.
    public init(
        store: any Store, messages: MessageRegistry, selection: ExportSelection, format: ExportFormat,
        page: PageLimit = .standard
    ) {
        self.store = store
        self.messages = messages
        self.selection = selection
        self.format = format
        self.page = page
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
        var header: ExportHeader
        var summary = Summary()
        /// The place up to which the journal was read.
        var offset: String
        /// How many of the selected IDs are done, and up to which number the next one.
        var idIndex = 0
        var number: UInt64 = 0
        /// The last entity that was recorded; nil while there are events to come.
        var entity: String?
        var isPastEvents = false
        var isPastEntities = false
    }

    /// Writes to a pipe, without a job.
    ///
    /// - Parameters:
    ///   - write: takes the next bytes.
    ///   - progress: called after each page with the place in the journal up to which events were written.
    /// - Throws: what `write` throws, `StoreError`, `CancellationError` between pages.
    public func write(
        to write: ([UInt8]) throws -> Void, progress: @Sendable (String) -> Void = { _ in }
    ) async throws -> Summary {
        var checkpoint = try await start()
        var hash = SHA256()
        func emit(_ bytes: [UInt8]) throws {
            hash.update(data: bytes)
            checkpoint.summary.bytes += bytes.count
            try write(bytes)
        }
        try emit(head(checkpoint))
        while !checkpoint.isPastEntities {
            try Task.checkCancellation()
            try emit(try await nextPage(&checkpoint))
            progress(checkpoint.summary.position)
        }
        try emit(trailer(checkpoint, hash))
        checkpoint.summary.sha256 = Hexadecimal.text(hash.finalize())
        return checkpoint.summary
    }

    /// Writes to a file as a job: whatever stops it, the same command goes on from the last page, and the file in the
    /// end is the same.
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
        let specification = JobSpecification(
            kind: "export",
            arguments: ["file": path, "format": format.rawValue, "selection": try JobText.encode(selection)],
            lease: "export \(path)", command: command)
        return try await JobRun<Checkpoint>.run(
            specification, on: store, by: person, time: time, from: { try await start() }
        ) { job in
            let summary = try await self.write(toFile: path, job: job, progress: progress)
            _ = try await job.finish(result: try JobText.encode(summary))
            return summary
        }
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
        var checkpoint: Checkpoint
        if let job { checkpoint = await job.checkpoint } else { checkpoint = try await start() }
        try checkUnfinished(path, isResumed: job?.isResumed ?? false, checkpoint.header.storeID)
        if try ExportFile.unfinishedBytes(path) < checkpoint.summary.bytes {
            // The unfinished file is gone, or was cut off: the same bytes are made again.
            checkpoint = Checkpoint(header: checkpoint.header, offset: selection.after ?? Offset.start.description)
        }
        var hash = SHA256()
        let file = try ExportFile(path, from: checkpoint.summary.bytes)
        try file.forEachBlock { hash.update(data: $0) }
        func emit(_ bytes: [UInt8]) throws {
            hash.update(data: bytes)
            checkpoint.summary.bytes += bytes.count
            try file.write(bytes)
        }
        if checkpoint.summary.bytes == 0 { try emit(head(checkpoint)) }
        progress(checkpoint.summary.events)
        while !checkpoint.isPastEntities {
            try Task.checkCancellation()
            try emit(try await nextPage(&checkpoint))
            if let job {
                // The file first: a checkpoint must not be ahead of what is on disk.
                try file.sync()
                _ = try await job.commit([], checkpoint: checkpoint)
            }
            progress(checkpoint.summary.events)
        }
        try emit(trailer(checkpoint, hash))
        checkpoint.summary.sha256 = Hexadecimal.text(hash.finalize())
        try file.complete()
        if format == .protobuf { try writeChecksum(checkpoint.summary.sha256, of: path) }
        return checkpoint.summary
    }

    /// Refuses to write over what another store's export has begun.
    private func checkUnfinished(_ path: String, isResumed: Bool, _ storeID: String) throws {
        guard !isResumed, format == .jsonl, try ExportFile.unfinishedBytes(path) > 0 else { return }
        let partial = ExportFile.partialPath(path)
        guard let line = try? ImportFile(partial).nextLine(),
            let header = try? JSONDecoder().decode(ExportHeader.self, from: Data(line)), header.storeID != storeID
        else { return }
        throw OperationError(
            .refused, "\(partial) is an unfinished export of another store",
            hint: "go on with it on that store, or remove the file")
    }

    /// Writes `PATH.sha256`, as `sha256sum` does.
    private func writeChecksum(_ sum: String, of path: String) throws {
        let name = path.split(separator: "/").last.map(String.init) ?? path
        let file = try ExportFile(path + ".sha256", from: 0)
        try file.write(Array("\(sum)  \(name)\n".utf8))
        try file.complete()
    }

    private func start() async throws -> Checkpoint {
        let metadata = try await store.metadata()
        let header = ExportHeader(
            storeID: metadata.storeID, origin: metadata.origin.rawValue, shardCount: metadata.shardCount,
            head: try await store.head().description, selection: selection)
        return Checkpoint(header: header, offset: selection.after ?? Offset.start.description)
    }

    private func head(_ checkpoint: Checkpoint) throws -> [UInt8] {
        format == .jsonl ? Array((try JobText.encode(checkpoint.header) + "\n").utf8) : []
    }

    private func trailer(_ checkpoint: Checkpoint, _ hash: SHA256) throws -> [UInt8] {
        if format == .protobuf { return [] }
        let summary = checkpoint.summary
        let trailer = ExportTrailer(
            events: summary.events, entities: summary.entities, snapshots: summary.snapshots, states: summary.states,
            sha256: Hexadecimal.text(hash.finalize()))
        return Array((try JobText.encode(trailer) + "\n").utf8)
    }

    // MARK: Pages

    private func nextPage(_ checkpoint: inout Checkpoint) async throws -> [UInt8] {
        if checkpoint.isPastEvents { return try await nextEntities(&checkpoint) }
        let events =
            selection.ids.isEmpty ? try await nextOfJournal(&checkpoint) : try await nextOfEntity(&checkpoint)
        var bytes: [UInt8] = []
        let kinds = try await kinds(of: events)
        for event in events where matches(event, kinds) {
            switch format {
            case .jsonl: bytes += ExportRecord.event(event).line(messages)
            case .protobuf: bytes += WireWriter.delimited(EgoWire.bytes(event))
            }
            checkpoint.summary.events += 1
            checkpoint.summary.position = event.offset.description
        }
        if checkpoint.isPastEvents, format == .protobuf || !selection.hasEntities { checkpoint.isPastEntities = true }
        return bytes
    }

    private func nextOfJournal(_ checkpoint: inout Checkpoint) async throws -> [PersistedEvent] {
        let head = Offset(checkpoint.header.head) ?? .start
        let after = Offset(checkpoint.offset) ?? .start
        let found = try await store.journal(after: after, shard: selection.shard.map { Shard($0) }, limit: page)
        checkpoint.offset = found.next.description
        if found.reachedHead || found.next >= head { checkpoint.isPastEvents = true }
        return found.events.filter { $0.offset <= head }
    }

    private func nextOfEntity(_ checkpoint: inout Checkpoint) async throws -> [PersistedEvent] {
        guard checkpoint.idIndex < selection.ids.count else {
            checkpoint.isPastEvents = true
            return []
        }
        let id = try PersistenceID(selection.ids[checkpoint.idIndex])
        let head = Offset(checkpoint.header.head) ?? .start
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

    /// The next entities with their snapshots and states.
    private func nextEntities(_ checkpoint: inout Checkpoint) async throws -> [UInt8] {
        let found: [EntitySummary]
        if selection.ids.isEmpty {
            found = try await store.entities(
                EntityQuery(
                    kind: selection.kind, shard: selection.shard.map { Shard($0) },
                    after: try checkpoint.entity.map { try PersistenceID($0) }, limit: 200))
        } else {
            found = try await selected(selection.ids)
        }
        var bytes: [UInt8] = []
        for entity in found {
            let id = entity.persistenceID
            let record = ExportedEntity(
                id: id, kind: entity.kind, sequenceNumber: entity.sequenceNumber,
                erasedAt: entity.isErased ? try await store.tombstone(of: id)?.erasedAt : nil)
            bytes += ExportRecord.entity(record).line(messages)
            checkpoint.summary.entities += 1
            var next = SequenceNumber.zero
            while true {
                let snapshots = try await store.snapshots(of: id, from: next, limit: page)
                guard let last = snapshots.last else { break }
                for snapshot in snapshots { bytes += ExportRecord.snapshot(snapshot).line(messages) }
                checkpoint.summary.snapshots += snapshots.count
                next = last.sequenceNumber.next
            }
            if let state = try await store.state(of: id) {
                bytes += ExportRecord.state(state).line(messages)
                checkpoint.summary.states += 1
            }
        }
        checkpoint.entity = found.last?.persistenceID.rawValue
        if found.isEmpty || !selection.ids.isEmpty { checkpoint.isPastEntities = true }
        return bytes
    }

    private func selected(_ ids: [String]) async throws -> [EntitySummary] {
        var found: [EntitySummary] = []
        for text in ids {
            let id = try PersistenceID(text)
            let first = try await store.entities(EntityQuery(prefix: text, limit: 1)).first
            if let first, first.persistenceID == id { found.append(first) }
        }
        return found
    }
}

extension WireWriter {
    /// A message after its length.
    static func delimited(_ message: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        var length = UInt64(message.count)
        while length > 0x7f {
            bytes.append(UInt8(length & 0x7f) | 0x80)
            length >>= 7
        }
        bytes.append(UInt8(length))
        return bytes + message
    }
}
