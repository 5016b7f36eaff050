/// Reads payloads that are encrypted.
public protocol PayloadDecryptor: Sendable {
    /// The payload in the clear.
    ///
    /// - Parameters:
    ///   - payload: the stored payload, whose value is ciphertext.
    ///   - record: which record it belongs to.
    /// - Throws: ``PayloadError/encrypted(keyID:)`` when the key is not there, ``PayloadError/undecryptable(keyID:)`` when
    ///   it does not fit or the ciphertext was altered, ``PayloadError/erased`` when the key was destroyed.
    func decrypt(_ payload: AnyPayload, of record: EncryptedRecord) throws(PayloadError) -> AnyPayload
}

/// What a ciphertext belongs to.
public struct EncryptedRecord: Sendable, Hashable {
    /// What a record is to its entity.
    public enum Role: UInt8, Sendable {
        case event = 1
        case snapshot = 2
        case state = 3
    }

    /// What the record is to its entity.
    public var role: Role
    /// The entity.
    public var persistenceID: PersistenceID
    /// The event's or snapshot's number, or the state's version.
    public var sequenceNumber: SequenceNumber
    /// What the payload is.
    public var manifest: String
    /// The key that it is encrypted with.
    public var keyID: String

    /// A record with the given parts.
    public init(
        role: Role, persistenceID: PersistenceID, sequenceNumber: SequenceNumber, manifest: String, keyID: String
    ) {
        self.role = role
        self.persistenceID = persistenceID
        self.sequenceNumber = sequenceNumber
        self.manifest = manifest
        self.keyID = keyID
    }
}
