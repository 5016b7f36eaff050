public import SwiftProtobuf

/// A serialized `Any` while SwiftProtobuf writes a message into it: one buffer, whose beginning is the type URL. The
/// message's bytes are never anywhere else, and no text is put together.
@usableFromInline
struct PackedMessage<Packed: Message>: SwiftProtobufContiguousBytes {
    /// The `Any`.
    @usableFromInline var bytes: [UInt8]
    /// Where the message begins.
    @usableFromInline let start: Int

    @usableFromInline
    init(repeating byte: UInt8, count: Int) {
        let name = Packed.protoMessageName
        let url = AnyPayload.prefixBytes.utf8CodeUnitCount + name.utf8.count
        // A field without content is left out.
        start = 1 + url.varintSize + url + (count == 0 ? 0 : 1 + count.varintSize)
        // Not `unsafeUninitializedCapacity` nor `repeating`: they ask the runtime for the array's type each time.
        bytes = []
        bytes.reserveCapacity(start + count)
        bytes.append(tag: 0x0a, count: url)
        let prefix = AnyPayload.prefixBytes
        bytes.append(contentsOf: UnsafeBufferPointer(start: prefix.utf8Start, count: prefix.utf8CodeUnitCount))
        bytes.append(contentsOf: name.utf8)
        if count > 0 { bytes.append(tag: 0x12, count: count) }
        bytes.append(contentsOf: repeatElement(byte, count: count))
    }

    /// SwiftProtobuf has no use for it when it encodes; the protocol wants it.
    @usableFromInline
    init<Source: Sequence>(_ source: Source) where Source.Element == UInt8 {
        let content = Array(source)
        self.init(repeating: 0, count: content.count)
        bytes.replaceSubrange(start..., with: content)
    }

    @usableFromInline var count: Int { bytes.count - start }

    @usableFromInline
    func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try bytes.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[start...])) }
    }

    @usableFromInline
    mutating func withUnsafeMutableBytes<Result>(
        _ body: (UnsafeMutableRawBufferPointer) throws -> Result
    ) rethrows -> Result {
        let start = start
        return try bytes.withUnsafeMutableBytes { try body(UnsafeMutableRawBufferPointer(rebasing: $0[start...])) }
    }
}

// Not in the generic type, whose methods ask for its type's metadata each time.

extension Int {
    /// How many bytes this takes in protobuf's encoding.
    fileprivate var varintSize: Int {
        var (rest, size) = (self >> 7, 1)
        while rest > 0 { (rest, size) = (rest >> 7, size + 1) }
        return size
    }
}

extension [UInt8] {
    /// Appends the beginning of a field of so many bytes.
    fileprivate mutating func append(tag: UInt8, count: Int) {
        append(tag)
        var rest = count
        while rest >= 0x80 {
            append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        append(UInt8(rest))
    }
}

extension AnyPayload {
    /// ``typeURLPrefix``, as bytes.
    fileprivate static let prefixBytes: StaticString = "type.googleapis.com/"

    /// A message as a serialized `google.protobuf.Any`.
    ///
    /// - Throws: SwiftProtobuf's error when a required field of a proto2 message is missing.
    @inlinable
    public static func serialized<Packed: Message>(packing message: Packed) throws -> [UInt8] {
        let packed: PackedMessage<Packed> = try message.serializedBytes()
        return packed.bytes
    }
}

extension MessageUnion {
    /// The message as a serialized `google.protobuf.Any`.
    ///
    /// - Throws: SwiftProtobuf's error when a required field of a proto2 message is missing.
    @inlinable
    public func serializedAny() throws -> [UInt8] {
        try AnyPayload.serialized(packing: message)
    }
}
