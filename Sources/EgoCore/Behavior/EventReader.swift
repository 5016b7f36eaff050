/// The way from a stored payload to a message: decryption, then the adapters in their order.
public struct EventReader: Sendable {
    /// Applied to every event that is read, in this order.
    public let adapters: [any EventAdapter]
    /// Reads encrypted payloads; nil refuses them.
    public let decryptor: (any PayloadDecryptor)?

    /// A reader with the given adapters.
    public init(adapters: [any EventAdapter] = [], decryptor: (any PayloadDecryptor)? = nil) {
        self.adapters = adapters
        self.decryptor = decryptor
    }

    /// The event's payload in the clear, as it was written.
    public func clear(_ event: PersistedEvent) throws(PayloadError) -> AnyPayload {
        if event.isDamaged { throw .damaged }
        let payload = try AnyPayload(serialized: event.payload)
        if !event.isEncrypted { return try unmarked(payload, event.encryptionKeyID) }
        return try decrypt(
            payload,
            EncryptedRecord(
                role: .event, persistenceID: event.persistenceID, sequenceNumber: event.sequenceNumber,
                manifest: event.manifest, keyID: event.encryptionKeyID))
    }

    /// The snapshot's payload in the clear.
    public func clear(_ snapshot: StoredSnapshot) throws(PayloadError) -> AnyPayload {
        if snapshot.isDamaged { throw .damaged }
        let payload = try AnyPayload(serialized: snapshot.payload)
        if !snapshot.isEncrypted { return try unmarked(payload, snapshot.encryptionKeyID) }
        return try decrypt(
            payload,
            EncryptedRecord(
                role: .snapshot, persistenceID: snapshot.persistenceID, sequenceNumber: snapshot.sequenceNumber,
                manifest: snapshot.manifest, keyID: snapshot.encryptionKeyID))
    }

    /// The durable state's payload in the clear.
    public func clear(_ state: StoredState) throws(PayloadError) -> AnyPayload {
        if state.isDamaged { throw .damaged }
        let payload = try AnyPayload(serialized: state.payload)
        if !state.isEncrypted { return try unmarked(payload, state.encryptionKeyID) }
        return try decrypt(
            payload,
            EncryptedRecord(
                role: .state, persistenceID: state.persistenceID, sequenceNumber: state.version,
                manifest: state.manifest, keyID: state.encryptionKeyID))
    }

    /// A record that names a key and is not marked as encrypted was altered.
    private func unmarked(_ payload: AnyPayload, _ keyID: String) throws(PayloadError) -> AnyPayload {
        if !keyID.isEmpty { throw .undecryptable(keyID: keyID) }
        return payload
    }

    private func decrypt(_ payload: AnyPayload, _ record: EncryptedRecord) throws(PayloadError) -> AnyPayload {
        guard let decryptor else { throw .encrypted(keyID: record.keyID) }
        return try decryptor.decrypt(payload, of: record)
    }

    /// The event's payload in the current schema.
    public func payload(of event: PersistedEvent) throws(PayloadError) -> AnyPayload {
        var payload = try clear(event)
        for adapter in adapters {
            do {
                payload = try adapter.adapt(payload, at: event.sequenceNumber)
            } catch {
                throw .adapter(message: "\(error)")
            }
        }
        return payload
    }

    /// Whether an event's payload is taken as it is stored: there is nothing to decrypt, to adapt or to refuse.
    @inlinable
    func takesAsStored(_ record: PersistedEvent) -> Bool {
        adapters.isEmpty && !record.isEncrypted && !record.isDamaged && record.encryptionKeyID.isEmpty
    }

    /// The event as one of a behavior's events.
    @inlinable
    public func event<Event: MessageUnion>(
        _ record: PersistedEvent, as type: Event.Type
    ) throws(PayloadError) -> Event {
        if takesAsStored(record) {
            return try Event.members.decode(serializedAny: record.payload)
        }
        return try Event.members.decode(payload(of: record))
    }
}
