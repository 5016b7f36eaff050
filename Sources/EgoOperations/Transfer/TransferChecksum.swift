import Crypto
import EgoCore

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The checksum of a file, and whether it is the one that the export wrote.
struct TransferChecksum: Sendable {
    var sha256: String
    var isChecked: Bool

    init(_ path: String, format: ExportFormat) throws {
        switch format {
        case .jsonl: self = try Self.lines(path)
        case .protobuf: self = try Self.messages(path)
        }
    }

    private init(_ hash: SHA256, isChecked: Bool) {
        (sha256, self.isChecked) = (Hexadecimal.text(hash.finalize()), isChecked)
    }

    private static func messages(_ path: String) throws -> Self {
        let file = try ImportFile(path)
        var hash = SHA256()
        while try file.nextBlock({ hash.update(bufferPointer: UnsafeRawBufferPointer($0)) }) {
            try Task.checkCancellation()
        }
        var sum = Self(hash, isChecked: false)
        guard let data = FileManager.default.contents(atPath: path + ".sha256") else { return sum }
        guard String(decoding: data.prefix(64), as: UTF8.self) == sum.sha256 else {
            throw problem(
                "its content does not match \(path).sha256: it was damaged or edited",
                hint: "nothing was imported; export it again")
        }
        sum.isChecked = true
        return sum
    }

    private static func lines(_ path: String) throws -> Self {
        let file = try ImportFile(path)
        var hash = SHA256()
        // The trailer's own line is not part of the sum that it holds: what may be the last line waits.
        var waiting: [UInt8] = []
        func add(_ block: UnsafeBufferPointer<UInt8>) {
            if let start = block.startOfLastLine {
                hash.update(data: waiting)
                hash.update(bufferPointer: UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: block[..<start])))
                waiting = Array(block[start...])
                return
            }
            waiting.append(contentsOf: block)
            let start = waiting.withUnsafeBufferPointer { $0.startOfLastLine } ?? 0
            hash.update(data: waiting[..<start])
            waiting.removeFirst(start)
        }
        while try file.nextBlock(add) {
            try Task.checkCancellation()
            if waiting.count > ImportFile.maximumRecordBytes { throw problem("a line is too long") }
        }
        if let last = waiting.last, last != 0x0a {
            throw problem("the file ends in the middle of a line: it is truncated")
        }
        guard let trailer = try? JSONDecoder().decode(ExportTrailer.self, from: Data(waiting)), trailer.type == "end"
        else { throw problem("its last line is no trailer: the file is truncated, or no export") }
        guard trailer.sha256 == Hexadecimal.text(hash.finalize()) else {
            throw problem(
                "its content does not match its checksum: it was damaged or edited",
                hint: "nothing was imported; export it again")
        }
        hash.update(data: waiting)
        return Self(hash, isChecked: true)
    }

    private static func problem(_ message: String, hint: String = "nothing was imported") -> OperationError {
        OperationError(.data, message, hint: hint)
    }
}

extension UnsafeBufferPointer<UInt8> {
    /// Where the last line begins, whole or not, when the line before it is here to its end.
    fileprivate var startOfLastLine: Int? {
        guard let last = dropLast().lastIndex(of: 0x0a) else { return nil }
        return last + 1
    }
}
