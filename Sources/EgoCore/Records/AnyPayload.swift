/// A serialized `google.protobuf.Any`, taken apart: which message it holds, and that message's bytes.
///
/// Scanned by hand: SwiftProtobuf's own `Any` costs ten times the message that it wraps.
public struct AnyPayload: Sendable, Hashable {
    /// The message's type, as `type.googleapis.com/package.Message`.
    public var typeURL: String
    /// The message's bytes; ciphertext where the record is encrypted.
    public var value: [UInt8]

    /// What comes before the message's full name in a type URL.
    public static let typeURLPrefix = "type.googleapis.com/"

    /// Puts a type and a message's bytes together.
    public init(typeURL: String, value: [UInt8]) {
        self.typeURL = typeURL
        self.value = value
    }

    /// Reads a serialized `Any`.
    ///
    /// - Throws: ``PayloadError/malformed`` when the bytes are no `Any` or name no type.
    public init(serialized bytes: [UInt8]) throws(PayloadError) {
        self = try bytes.withRawBytes { (bytes) throws(PayloadError) in
            let parts = try AnyScan(bytes)
            guard let typeURL = String(validating: bytes[parts.typeURL], as: UTF8.self) else {
                throw PayloadError.malformed
            }
            return AnyPayload(typeURL: typeURL, value: Array(bytes[parts.value]))
        }
    }

    /// The `Any` as bytes.
    public func serialized() -> [UInt8] {
        var writer = WireWriter(reserving: typeURL.utf8.count + value.count + 12)
        writer.string(typeURL, field: 1)
        if !value.isEmpty { writer.data(value, field: 2) }
        return writer.bytes
    }

    /// The message's full name: what follows the last slash of the type URL.
    public var typeName: String {
        guard let slash = typeURL.utf8.lastIndex(of: UInt8(ascii: "/")) else { return typeURL }
        return String(typeURL[typeURL.index(after: slash)...])
    }
}

/// Why a stored payload cannot be read as a message.
public enum PayloadError: Error, Sendable, Equatable {
    /// The bytes are no `google.protobuf.Any`, or one without a type.
    case malformed
    /// The bytes are not those that were written.
    case damaged
    /// No message type of that name is known.
    case unknownType(String)
    /// The bytes do not fit the message that they are said to be.
    case undecodable(type: String)
    /// The payload is encrypted and no encryptor is there to read it.
    case encrypted(keyID: String)
    /// The payload is encrypted, and does not decrypt: another key, or altered bytes.
    case undecryptable(keyID: String)
    /// The payload is encrypted, and its key is wrapped by another master key than the one that is there.
    case locked(keyID: String)
    /// The key that could decrypt it was destroyed.
    case erased
    /// An event adapter threw.
    case adapter(message: String)
}

extension PayloadError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .malformed: "the payload is no google.protobuf.Any"
        case .damaged: "the stored bytes are not those that were written"
        case .unknownType(let name): "message type \(name) is not known to this domain"
        case .undecodable(let name): "the payload does not decode as \(name)"
        case .encrypted(let keyID): "the payload is encrypted with key \(keyID), and no encryptor is configured"
        case .undecryptable(let keyID):
            "the payload does not decrypt with key \(keyID): it is another key, or the bytes were altered"
        case .locked(let keyID):
            "the payload is encrypted with key \(keyID), which the master key does not unwrap"
        case .erased: "the payload was erased"
        case .adapter(let message): "an event adapter failed: \(message)"
        }
    }
}

/// Where the two fields of a serialized `Any` are.
@usableFromInline
package struct AnyScan: Sendable {
    /// The bytes of the type URL.
    package var typeURL: Range<Int> = 0..<0
    /// The bytes of the message.
    @usableFromInline package var value: Range<Int> = 0..<0

    /// Finds the two fields; of a field that is there twice, the last one counts.
    package init(_ bytes: UnsafeRawBufferPointer) throws(PayloadError) {
        if let parts = Self.usual(bytes) {
            self = parts
            return
        }
        var reader = WireReader(bytes)
        do {
            while let (field, content) = try reader.next() {
                switch (field, content) {
                case (1, .bytes(let range)): typeURL = range
                case (2, .bytes(let range)): value = range
                case (1, _), (2, _): throw PayloadError.malformed
                default: break
                }
            }
        } catch {
            throw .malformed
        }
        if typeURL.isEmpty { throw .malformed }
    }

    /// Finds the two fields.
    @usableFromInline
    init(_ bytes: [UInt8]) throws(PayloadError) {
        self = try bytes.withRawBytes { (bytes) throws(PayloadError) in try AnyScan(bytes) }
    }

    private init(typeURL: Range<Int>, value: Range<Int>) { (self.typeURL, self.value) = (typeURL, value) }

    /// The fields of an `Any` as everybody writes it: the URL, shorter than 128 bytes, then the message, shorter than
    /// 16 KiB, and no more; nil for any other.
    private static func usual(_ bytes: UnsafeRawBufferPointer) -> AnyScan? {
        guard bytes.count >= 4, bytes[0] == 0x0a, 1..<0x80 ~= bytes[1] else { return nil }
        let end = 2 + Int(bytes[1])
        guard end + 2 <= bytes.count, bytes[end] == 0x12 else { return nil }
        let count = Int(bytes[end + 1])
        if count < 0x80 {
            return end + 2 + count == bytes.count ? AnyScan(typeURL: 2..<end, value: end + 2..<bytes.count) : nil
        }
        guard end + 3 <= bytes.count, bytes[end + 2] < 0x80 else { return nil }
        let long = count & 0x7f | Int(bytes[end + 2]) << 7
        return end + 3 + long == bytes.count ? AnyScan(typeURL: 2..<end, value: end + 3..<bytes.count) : nil
    }

    /// Whether a type URL is the one that the scanned bytes have.
    @usableFromInline
    func hasTypeURL(_ url: [UInt8], in bytes: [UInt8]) -> Bool {
        guard url.count == typeURL.count else { return false }
        return bytes.withRawBytes { bytes in
            url.withRawBytes { url in UnsafeRawBufferPointer(rebasing: bytes[typeURL]).elementsEqual(url) }
        }
    }

    /// Whether the type URL is of ASCII, so that it is text.
    func hasPlainTypeURL(in bytes: [UInt8]) -> Bool { bytes[typeURL].allSatisfy { $0 < 0x80 } }

    /// Where the type's full name is: behind the last slash.
    private func name(in bytes: [UInt8]) -> Range<Int> {
        guard let slash = bytes[typeURL].lastIndex(of: UInt8(ascii: "/")) else { return typeURL }
        return slash + 1..<typeURL.upperBound
    }

    /// The type's full name.
    func typeName(in bytes: [UInt8]) -> String { String(decoding: bytes[name(in: bytes)], as: UTF8.self) }

    /// Whether the type has a full name.
    @usableFromInline
    func hasTypeName(_ wanted: String, in bytes: [UInt8]) -> Bool {
        let name = name(in: bytes)
        return name.count == wanted.utf8.count && bytes[name].elementsEqual(wanted.utf8)
    }
}

extension AnyPayload {
    /// The parts of a serialized `Any`, whose type URL is text.
    init(_ parts: AnyScan, of bytes: [UInt8]) {
        self.init(typeURL: String(decoding: bytes[parts.typeURL], as: UTF8.self), value: Array(bytes[parts.value]))
    }
}
