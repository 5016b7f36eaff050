/// Reads the fields of a message in wire format, groups included (protobuf.dev/programming-guides/encoding).
struct FieldReader {
    private let bytes: UnsafeRawBufferPointer
    private(set) var position: Int
    private var end: Int

    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
        position = 0
        end = bytes.count
    }

    var isAtEnd: Bool { position >= end }

    /// A field's number and wire type.
    struct Tag {
        var number: Int
        var wireType: UInt64
    }

    /// The bytes from a place on, up to here.
    func raw(from start: Int) -> [UInt8] { Array(bytes[start..<position]) }

    mutating func tag() throws(ReflectionError) -> Tag {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while true {
            let byte = try byte()
            if shift == 28, byte > 15 { throw .malformed }
            value |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { break }
            shift += 7
        }
        guard value >> 3 > 0, value & 7 < 6 else { throw .malformed }
        return Tag(number: Int(value >> 3), wireType: value & 7)
    }

    mutating func varint() throws(ReflectionError) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while shift < 70 {
            let byte = try byte()
            value |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        throw .malformed
    }

    mutating func fixed32() throws(ReflectionError) -> UInt32 {
        let start = try take(4)
        return UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: start, as: UInt32.self))
    }

    mutating func fixed64() throws(ReflectionError) -> UInt64 {
        let start = try take(8)
        return UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: start, as: UInt64.self))
    }

    /// The bytes of a field that says its length.
    mutating func delimited() throws(ReflectionError) -> Range<Int> {
        let count = try varint()
        guard count <= UInt64(end - position) else { throw .truncated }
        let start = try take(Int(count))
        return start..<start + Int(count)
    }

    /// The bytes of a range.
    func bytes(_ range: Range<Int>) -> [UInt8] { Array(bytes[range]) }

    func text(_ range: Range<Int>) throws(ReflectionError) -> String {
        guard let text = String(validating: bytes[range], as: UTF8.self) else {
            throw ReflectionError("a string is not UTF-8")
        }
        return text
    }

    /// Goes to another place.
    mutating func move(to place: Int) { position = place }

    /// A reader of a part.
    func part(_ range: Range<Int>) -> FieldReader {
        var reader = self
        reader.position = range.lowerBound
        reader.end = range.upperBound
        return reader
    }

    /// Steps over a field whose tag was read.
    mutating func skip(_ tag: Tag, depth: Int) throws(ReflectionError) {
        switch tag.wireType {
        case 0: _ = try varint()
        case 1: _ = try take(8)
        case 2: _ = try delimited()
        case 3:
            if depth >= DynamicMessage.depthLimit { throw .tooDeep }
            while true {
                let inner = try self.tag()
                if inner.wireType == 4 {
                    guard inner.number == tag.number else { throw .malformed }
                    return
                }
                try skip(inner, depth: depth + 1)
            }
        case 5: _ = try take(4)
        default: throw .malformed
        }
    }

    private mutating func byte() throws(ReflectionError) -> UInt8 {
        guard position < end else { throw .truncated }
        defer { position += 1 }
        return bytes[position]
    }

    private mutating func take(_ count: Int) throws(ReflectionError) -> Int {
        guard count <= end - position else { throw .truncated }
        defer { position += count }
        return position
    }
}
