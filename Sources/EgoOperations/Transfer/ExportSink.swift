import Crypto
import EgoCore

/// Where the bytes of an export go: it hashes and writes them.
actor ExportSink {
    private var hash: SHA256
    private let write: @Sendable ([UInt8]) throws -> Void

    /// A sink for what comes after the bytes that `hash` knows.
    init(after hash: SHA256 = SHA256(), write: @escaping @Sendable ([UInt8]) throws -> Void) {
        self.hash = hash
        self.write = write
    }

    /// Writes the next bytes.
    func take(_ block: [UInt8]) throws {
        block.withUnsafeBytes { hash.update(bufferPointer: $0) }
        try write(block)
    }

    /// SHA-256 of what was written, in hexadecimal.
    var sha256: String { Hexadecimal.text(hash.finalize()) }
}
