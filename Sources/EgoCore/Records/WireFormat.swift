/// Reads the fields of one protobuf message, in the order in which they were written.
///
/// Source of the format: protobuf.dev/programming-guides/encoding. Groups are not read: nothing that Ego stores has them.
package struct WireReader {
    /// The value of one field.
    package enum Value {
        case varint(UInt64)
        case fixed64(UInt64)
        case fixed32(UInt32)
        case bytes(Range<Int>)
    }

    private let bytes: UnsafeRawBufferPointer
    private var cursor = 0

    /// Starts at the first field.
    package init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    /// Where the next field starts.
    package var offset: Int { cursor }

    /// The next field, or nil after the last.
    package mutating func next() throws(WireFormatError) -> (field: Int, value: Value)? {
        guard cursor < bytes.count else { return nil }
        let tag = try varint()
        let field = tag >> 3
        guard field > 0, field <= 536_870_911 else { throw WireFormatError.malformed }
        switch tag & 7 {
        case 0: return (Int(field), .varint(try varint()))
        case 1: return (Int(field), .fixed64(try fixed64()))
        case 2:
            let count = try varint()
            guard count <= UInt64(bytes.count - cursor) else { throw WireFormatError.truncated }
            let start = try take(Int(count))
            return (Int(field), .bytes(start..<start + Int(count)))
        case 5: return (Int(field), .fixed32(try fixed32()))
        default: throw WireFormatError.malformed
        }
    }

    private mutating func take(_ count: Int) throws(WireFormatError) -> Int {
        guard count <= bytes.count - cursor else { throw WireFormatError.truncated }
        defer { cursor += count }
        return cursor
    }

    /// The next eight bytes of numbers that are packed.
    package mutating func fixed64() throws(WireFormatError) -> UInt64 {
        UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: try take(8), as: UInt64.self))
    }

    /// The next four bytes of numbers that are packed.
    package mutating func fixed32() throws(WireFormatError) -> UInt32 {
        UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: try take(4), as: UInt32.self))
    }

    /// The next of numbers that are packed.
    package mutating func varint() throws(WireFormatError) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while cursor < bytes.count {
            let byte = bytes[cursor]
            cursor += 1
            value |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return value }
            shift += 7
            if shift > 63 { throw WireFormatError.malformed }
        }
        throw WireFormatError.truncated
    }
}

/// Why bytes are not a protobuf message.
package enum WireFormatError: Error, Sendable {
    case truncated
    case malformed
    case invalidUTF8
}

/// Writes the fields of one protobuf message; proto3 defaults are left out.
package struct WireWriter {
    /// What was written so far.
    package private(set) var bytes: [UInt8] = []

    /// Starts an empty message.
    package init(reserving capacity: Int = 0) {
        bytes.reserveCapacity(capacity)
    }

    /// Writes an integer or boolean field, unless it is zero.
    package mutating func varint(_ value: UInt64, field: Int) {
        guard value != 0 else { return }
        append(varint: UInt64(field) << 3)
        append(varint: value)
    }

    /// Writes a string field, unless it is empty.
    package mutating func string(_ value: String, field: Int) {
        guard !value.isEmpty else { return }
        append(varint: UInt64(field) << 3 | 2)
        append(varint: UInt64(value.utf8.count))
        bytes.append(contentsOf: value.utf8)
    }

    /// Writes a bytes or message field, empty or not.
    package mutating func data(_ value: some Collection<UInt8>, field: Int) {
        append(varint: UInt64(field) << 3 | 2)
        append(varint: UInt64(value.count))
        bytes.append(contentsOf: value)
    }

    /// Appends fields that are already in wire format.
    package mutating func raw(_ fields: [UInt8]) {
        bytes.append(contentsOf: fields)
    }

    private mutating func append(varint: UInt64) {
        var rest = varint
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }
}

extension UnsafeRawBufferPointer {
    /// The text in a part of these bytes.
    func string(_ range: Range<Int>) throws(WireFormatError) -> String {
        guard let text = String(validating: self[range], as: UTF8.self) else { throw WireFormatError.invalidUTF8 }
        return text
    }
}

extension Array where Element == UInt8 {
    /// Calls `body` with these bytes; unlike `withUnsafeBytes` it keeps the type of what `body` throws.
    func withRawBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try withUnsafeBufferPointer { (buffer) throws(Failure) in try body(UnsafeRawBufferPointer(buffer)) }
    }
}
