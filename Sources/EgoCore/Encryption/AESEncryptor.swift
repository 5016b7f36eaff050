import Crypto

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Encrypts payloads with AES-256-GCM, each entity's with a key of its own.
///
/// The message is encrypted, its type URL stays readable. What the record is, the entity, the number, the manifest, the
/// type and the key are associated data: a ciphertext in another place does not decrypt. Its form is nonce (12 bytes),
/// ciphertext and tag (16 bytes).
public struct AESEncryptor: PayloadDecryptor {
    /// The keys.
    public let keys: KeyRing
    /// Reads what was encrypted with keys that the ring does not have, such as those of eGo for Go.
    private let others: (any PayloadDecryptor)?

    /// An encryptor with a ring of keys.
    ///
    /// - Parameter others: reads what was encrypted with keys that the ring does not have.
    public init(keys: KeyRing, others: (any PayloadDecryptor)? = nil) {
        self.keys = keys
        self.others = others
    }

    public func decrypt(_ payload: AnyPayload, of record: EncryptedRecord) throws(PayloadError) -> AnyPayload {
        switch keys.entry(record.keyID) {
        case .key(let key)?:
            do {
                let box = try AES.GCM.SealedBox(combined: payload.value)
                let clear = try AES.GCM.open(
                    box, using: key, authenticating: Self.binding(record, typeURL: payload.typeURL))
                return AnyPayload(typeURL: payload.typeURL, value: Array(clear))
            } catch {
                throw .undecryptable(keyID: record.keyID)
            }
        case .destroyed?: throw .erased
        case .locked?: throw .locked(keyID: record.keyID)
        case nil:
            guard let others else { throw .encrypted(keyID: record.keyID) }
            return try others.decrypt(payload, of: record)
        }
    }

    /// The payload of a record, encrypted with the key that the record names.
    ///
    /// - Throws: ``StoreError/Code/invalid`` when the payload is no `google.protobuf.Any`.
    func encrypt(
        _ payload: [UInt8], of record: EncryptedRecord, with key: EntityKey
    ) throws(StoreError) -> [UInt8] {
        do {
            let clear = try AnyPayload(serialized: payload)
            let sealed = try AES.GCM.seal(
                clear.value, using: key.key, authenticating: Self.binding(record, typeURL: clear.typeURL))
            guard let combined = sealed.combined else { throw PayloadError.malformed }
            return AnyPayload(typeURL: clear.typeURL, value: Array(combined)).serialized()
        } catch {
            throw StoreError(
                .invalid, "\(record.persistenceID), \(record.sequenceNumber): the payload cannot be encrypted",
                cause: error)
        }
    }

    private static func binding(_ record: EncryptedRecord, typeURL: String) -> [UInt8] {
        var writer = WireWriter()
        writer.varint(UInt64(record.role.rawValue), field: 1)
        writer.string(record.persistenceID.rawValue, field: 2)
        writer.varint(record.sequenceNumber.rawValue, field: 3)
        writer.string(record.manifest, field: 4)
        writer.string(typeURL, field: 5)
        writer.string(record.keyID, field: 6)
        return writer.bytes
    }
}
