import Crypto

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Reads what eGo for Go has encrypted: AES-256-GCM without associated data, as nonce (12 bytes), ciphertext and tag (16
/// bytes); in the clear it is a whole serialized `google.protobuf.Any` again.
public struct EgoGoDecryptor: PayloadDecryptor {
    private let keys: [String: SymmetricKey]

    /// A decryptor with keys of 16, 24 or 32 bytes, by their IDs.
    ///
    /// - Throws: ``InvalidKey`` for a key of another length.
    public init(keys: [String: [UInt8]]) throws(InvalidKey) {
        var made: [String: SymmetricKey] = [:]
        for (id, bytes) in keys {
            guard [16, 24, 32].contains(bytes.count) else { throw InvalidKey(id: id) }
            made[id] = SymmetricKey(data: bytes)
        }
        self.keys = made
    }

    public func decrypt(_ payload: AnyPayload, of record: EncryptedRecord) throws(PayloadError) -> AnyPayload {
        guard let key = keys[record.keyID] else { throw .encrypted(keyID: record.keyID) }
        let clear: Data
        do {
            clear = try AES.GCM.open(AES.GCM.SealedBox(combined: payload.value), using: key)
        } catch {
            throw .undecryptable(keyID: record.keyID)
        }
        return try AnyPayload(serialized: Array(clear))
    }
}

/// A key whose length no AES key has.
public struct InvalidKey: Error, Sendable, Hashable, CustomStringConvertible {
    /// The key's ID.
    public let id: String

    public var description: String { "key \(id) is not 16, 24 or 32 bytes long" }
}
