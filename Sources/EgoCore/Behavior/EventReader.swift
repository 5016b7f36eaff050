/// The way from a stored payload to a message: decryption is refused without a key, then the adapters in their order.
public struct EventReader: Sendable {
    /// Applied to every event that is read, in this order.
    public let adapters: [any EventAdapter]

    /// A reader with the given adapters.
    public init(adapters: [any EventAdapter] = []) {
        self.adapters = adapters
    }

    /// The event's payload in the current schema.
    public func payload(of event: PersistedEvent) throws(PayloadError) -> AnyPayload {
        if event.isEncrypted { throw .encrypted(keyID: event.encryptionKeyID) }
        var payload = try AnyPayload(serialized: event.payload)
        for adapter in adapters {
            do {
                payload = try adapter.adapt(payload, at: event.sequenceNumber)
            } catch {
                throw .adapter(message: "\(error)")
            }
        }
        return payload
    }

    /// The event as one of a behavior's events.
    public func event<Event: MessageUnion>(
        _ record: PersistedEvent, as type: Event.Type
    ) throws(PayloadError) -> Event {
        if adapters.isEmpty, !record.isEncrypted { return try Event.members.decode(serializedAny: record.payload) }
        return try Event.members.decode(payload(of: record))
    }
}
