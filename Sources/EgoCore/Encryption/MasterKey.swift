import Crypto

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The key that wraps the keys of entities. It never gets into a store, a log or an error.
public struct MasterKey: Sendable {
    /// Tells it from other master keys without giving it away: 16 hexadecimal digits of a hash.
    public let fingerprint: String
    private let key: SymmetricKey

    /// How a wrapped key begins: the version of the format, then the fingerprint's 8 bytes.
    private static let version: UInt8 = 1
    private static let headerLength = 9
    private static let keyLength = 32

    /// A master key of 32 bytes.
    ///
    /// - Throws: ``InvalidKey`` for another length.
    public init(bytes: [UInt8]) throws(InvalidKey) {
        guard bytes.count == Self.keyLength else { throw InvalidKey(id: "master") }
        key = SymmetricKey(data: bytes)
        let digest = SHA256.hash(data: Array("ego master key".utf8) + bytes)
        fingerprint = Hexadecimal.text(digest.prefix(8))
    }

    /// A master key as a file or a command gives it: 64 hexadecimal digits, base64, or its 32 bytes; white space around a
    /// text does not count.
    ///
    /// - Throws: ``InvalidKey`` for anything else.
    public init(content: [UInt8]) throws(InvalidKey) {
        // A text of 32 characters is one that lacks some.
        if content.count == Self.keyLength, !content.allSatisfy({ (9...13).contains($0) || (32...126).contains($0) }) {
            try self.init(bytes: content)
            return
        }
        let text = String(decoding: content, as: UTF8.self).trimmingPrefix(while: \.isWhitespace)
        let end = text.lastIndex { !$0.isWhitespace }.map { text.index(after: $0) } ?? text.startIndex
        let trimmed = String(text[..<end])
        if let bytes = Hexadecimal.bytes(trimmed), bytes.count == Self.keyLength {
            try self.init(bytes: bytes)
        } else if let data = Data(base64Encoded: trimmed), data.count == Self.keyLength {
            try self.init(bytes: Array(data))
        } else {
            throw InvalidKey(id: "master")
        }
    }

    /// A master key made by chance.
    public static func random() -> MasterKey {
        let bytes = SymmetricKey(size: .bits256).withUnsafeBytes { Array($0) }
        guard let key = try? MasterKey(bytes: bytes) else { preconditionFailure("a key of 256 bits has 32 bytes") }
        return key
    }

    /// Encrypts an entity's key; the result fits this key ID and entity only.
    func wrap(_ key: SymmetricKey, id: String, of entity: PersistenceID) throws -> [UInt8] {
        let bytes = key.withUnsafeBytes { Array($0) }
        let sealed = try AES.GCM.seal(bytes, using: self.key, authenticating: Self.binding(id, entity))
        guard let combined = sealed.combined else { throw InvalidKey(id: id) }
        return [Self.version] + (Hexadecimal.bytes(fingerprint) ?? []) + combined
    }

    /// The entity's key; nil when it was wrapped by another master key, or altered.
    func unwrap(_ stored: StoredKey) -> SymmetricKey? {
        guard Self.fingerprint(of: stored) == fingerprint,
            let box = try? AES.GCM.SealedBox(combined: stored.wrapped.dropFirst(Self.headerLength)),
            let bytes = try? AES.GCM.open(
                box, using: key, authenticating: Self.binding(stored.id, stored.persistenceID))
        else { return nil }
        return SymmetricKey(data: bytes)
    }

    /// The same key wrapped by another master key; nil when it cannot be unwrapped.
    public func rewrapped(_ stored: StoredKey, by other: MasterKey) throws -> StoredKey? {
        guard let key = unwrap(stored) else { return nil }
        var rewrapped = stored
        rewrapped.wrapped = try other.wrap(key, id: stored.id, of: stored.persistenceID)
        return rewrapped
    }

    /// The master key that a key is wrapped by; nil for what is no wrapped key of Ego.
    public static func fingerprint(of stored: StoredKey) -> String? {
        guard stored.wrapped.count > headerLength, stored.wrapped[0] == version else { return nil }
        return Hexadecimal.text(stored.wrapped[1..<headerLength])
    }

    private static func binding(_ id: String, _ entity: PersistenceID) -> [UInt8] {
        var writer = WireWriter()
        writer.string(id, field: 1)
        writer.string(entity.rawValue, field: 2)
        return writer.bytes
    }
}

extension MasterKey: CustomStringConvertible {
    public var description: String { "master key \(fingerprint)" }
}
