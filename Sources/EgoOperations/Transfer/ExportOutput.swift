import EgoCore

/// Forms an export's records as the file has them, and hands them over a block at a time.
///
/// Not shared between tasks.
final class ExportOutput {
    /// How much was written, and will be with what is waiting.
    var bytes: Int { written + buffer.count }

    private var written: Int
    private let buffer = TransferBuffer(capacity: 2 * blockBytes)
    private let lines: JSONLineWriter
    private let format: ExportFormat
    private let queue: BlockQueue
    /// What fits the processor's cache from the moment it is formed until it is written.
    private static let blockBytes = 1 << 18

    /// An output of what comes after so many bytes.
    init(_ messages: MessageRegistry, _ format: ExportFormat, bytes: Int = 0, to queue: BlockQueue) {
        written = bytes
        lines = JSONLineWriter(buffer, messages)
        (self.format, self.queue) = (format, queue)
    }

    /// Returns when everything is written.
    func flush() async throws {
        if buffer.count > 0 { try await giveBlock() }
        try await queue.drain()
    }

    /// Adds a line.
    func add(line: String) {
        var line = line + "\n"
        line.withUTF8 { buffer.append($0) }
    }

    /// Adds events.
    func add(_ events: [PersistedEvent]) async throws {
        var index = 0
        while index < events.count {
            form(events, from: &index)
            try await giveFullBlock()
        }
    }

    /// Forms events up to the last one or a full block.
    private func form(_ events: [PersistedEvent], from index: inout Int) {
        while index < events.count, buffer.count < Self.blockBytes {
            switch format {
            case .jsonl: lines.write(events[index])
            case .protobuf:
                let message = EgoWire.bytes(events[index])
                buffer.append(varint: UInt64(message.count))
                buffer.append(message)
            }
            index += 1
        }
    }

    func add(_ entity: ExportedEntity) async throws {
        lines.write(entity)
        try await giveFullBlock()
    }

    func add(_ snapshot: StoredSnapshot) async throws {
        lines.write(snapshot)
        try await giveFullBlock()
    }

    func add(_ state: StoredState) async throws {
        lines.write(state)
        try await giveFullBlock()
    }

    private func giveFullBlock() async throws { if buffer.count >= Self.blockBytes { try await giveBlock() } }

    private func giveBlock() async throws {
        var block = queue.spare()
        block.append(contentsOf: buffer.bytes)
        written += block.count
        buffer.removeAll()
        try await queue.give(block)
    }
}
