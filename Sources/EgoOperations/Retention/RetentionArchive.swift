import Crypto
import EgoCore

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Writes what retention deletes to a file that `ego import` reads.
final class RetentionArchive {
    private(set) var events = 0
    private let file: ExportFile
    private let store: any Store
    private let messages: MessageRegistry
    private var hash = SHA256()

    init(
        _ path: String, store: any Store, messages: MessageRegistry, metadata: StoreMetadata, now: Timestamp
    ) throws {
        self.store = store
        self.messages = messages
        file = try ExportFile(path)
        try file.truncate(to: 0)
        var selection = ExportSelection()
        // A part of the journal: entities whose events were deleted before begin in the middle.
        selection.until = now.unixNanoseconds
        let header = ExportHeader(
            storeID: metadata.storeID, origin: metadata.origin.rawValue, shardCount: metadata.shardCount,
            selection: selection)
        try emit(Array(try Self.encode(header)) + [0x0a])
    }

    /// Adds the last `count` events of an entity up to a number.
    func add(_ id: PersistenceID, through last: SequenceNumber, count: Int, _ page: PageLimit) async throws {
        var next = SequenceNumber(last.rawValue - UInt64(count) + 1)
        while next <= last {
            try Task.checkCancellation()
            let found = try await store.events(of: id, from: next, through: last, limit: page)
            guard let final = found.last else { return }
            var bytes: [UInt8] = []
            for event in found { bytes += ExportRecord.event(event).line(messages) }
            try emit(bytes)
            events += found.count
            next = final.sequenceNumber.next
        }
    }

    /// Ends the file and gives it its name; returns its checksum.
    func complete(head: Offset) throws -> String {
        let trailer = ExportTrailer(
            events: events, entities: 0, snapshots: 0, states: 0, head: head.description,
            sha256: Hexadecimal.text(hash.finalize()))
        try emit(Array(try Self.encode(trailer)) + [0x0a])
        try file.sync()
        try file.complete()
        return Hexadecimal.text(hash.finalize())
    }

    /// Removes the file, which has no name yet.
    func discard() { file.discard() }

    private func emit(_ bytes: [UInt8]) throws {
        hash.update(data: bytes)
        try file.write(bytes)
    }

    private static func encode(_ value: some Encodable) throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(value)
    }
}
