import Crypto
import EgoCore

/// What is written of an export: its records in the form of the file, a piece at a time, with their checksum.
///
/// Not shared between tasks.
final class ExportOutput {
    /// How much was written, and will be with what is waiting.
    var bytes: Int { written + buffer.count }
    /// SHA-256 of what was written.
    var hash = SHA256()
    /// The same in hexadecimal.
    var sha256: String { Hexadecimal.text(hash.finalize()) }

    private var written: Int
    private let buffer = TransferBuffer()
    private let lines: JSONLineWriter
    private let take: (UnsafeRawBufferPointer) throws -> Void
    /// What fits the processor's cache from the moment it is formed until it is written.
    private static let piece = 1 << 18

    /// An output of what comes after so many bytes, which `hash` has to be told.
    ///
    /// - Parameter take: takes the next bytes.
    init(_ messages: MessageRegistry, bytes: Int, _ take: @escaping (UnsafeRawBufferPointer) throws -> Void) {
        written = bytes
        lines = JSONLineWriter(buffer, messages)
        self.take = take
    }

    /// Writes what is waiting.
    func write() throws {
        if buffer.count == 0 { return }
        hash.update(bufferPointer: buffer.bytes)
        written += buffer.count
        try take(buffer.bytes)
        buffer.removeAll()
    }

    private func writePiece() throws {
        if buffer.count >= Self.piece { try write() }
    }

    func append(_ text: String) {
        var text = text
        text.withUTF8 { buffer.append($0) }
    }

    func add(_ event: PersistedEvent) throws {
        lines.write(event)
        try writePiece()
    }

    func add(_ entity: ExportedEntity) throws {
        lines.write(entity)
        try writePiece()
    }

    func add(_ snapshot: StoredSnapshot) throws {
        lines.write(snapshot)
        try writePiece()
    }

    func add(_ state: StoredState) throws {
        lines.write(state)
        try writePiece()
    }

    /// A message after its length.
    func add(delimited message: [UInt8]) throws {
        buffer.append(varint: UInt64(message.count))
        buffer.append(message)
        try writePiece()
    }
}
