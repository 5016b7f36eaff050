import EgoCore

/// Writes what retention deletes to a file that `ego import` reads.
final class RetentionArchive {
    private(set) var events = 0
    private let file: ExportFile
    private let store: any Store
    /// Where the blocks of the queue have to be written to, as long as the archive is.
    let sink: ExportSink
    let queue = BlockQueue()
    private let output: ExportOutput

    init(
        _ path: String, store: any Store, messages: MessageRegistry, metadata: StoreMetadata, now: Timestamp
    ) throws {
        self.store = store
        let file = try ExportFile(path)
        try file.truncate(to: 0)
        self.file = file
        sink = ExportSink { try file.write($0) }
        output = ExportOutput(messages, .jsonl, to: queue)
        var selection = ExportSelection()
        // A part of the journal: entities whose events were deleted before begin in the middle.
        selection.until = now.unixNanoseconds
        let header = ExportHeader(
            storeID: metadata.storeID, origin: metadata.origin.rawValue, shardCount: metadata.shardCount,
            selection: selection)
        output.add(line: try JobText.encode(header))
    }

    /// Adds the last `count` events of an entity up to a number.
    func add(_ id: PersistenceID, through last: SequenceNumber, count: Int, _ page: PageLimit) async throws {
        var next = SequenceNumber(last.rawValue - UInt64(count) + 1)
        while next <= last {
            try Task.checkCancellation()
            let found = try await store.events(of: id, from: next, through: last, limit: page)
            guard let final = found.last else { return }
            try await output.add(found)
            events += found.count
            next = final.sequenceNumber.next
        }
    }

    /// Ends the file and gives it its name; returns its checksum.
    func complete(head: Offset) async throws -> String {
        try await output.flush()
        let trailer = ExportTrailer(
            events: events, entities: 0, snapshots: 0, states: 0, head: head.description,
            sha256: await sink.sha256)
        output.add(line: try JobText.encode(trailer))
        try await output.flush()
        try file.sync()
        try file.complete()
        return await sink.sha256
    }

    /// Removes the file, which has no name yet.
    func discard() { file.discard() }
}
