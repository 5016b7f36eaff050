public import SwiftProtobuf

/// An event as a projection's handler gets it: decrypted, and in the current schema.
public struct ProjectedEvent: Sendable, Hashable {
    /// The entity.
    public let persistenceID: PersistenceID
    /// The event's place within the entity.
    public let sequenceNumber: SequenceNumber
    /// The event's place in the journal.
    public let offset: Offset
    /// When the event was written, by its writer's clock.
    public let timestamp: Timestamp
    /// The slice of the journal that the entity belongs to.
    public let shard: Shard
    /// What travels beside the event.
    public let metadata: EventMetadata
    /// The payload.
    public let content: Content

    /// What an event holds.
    public enum Content: Sendable, Hashable {
        /// A message.
        case payload(AnyPayload)
        /// The entity was erased, or the key of its records destroyed: there is nothing to be read, and nothing to keep.
        case erased
    }

    /// An event with the given parts.
    public init(_ event: PersistedEvent, content: Content) {
        self.persistenceID = event.persistenceID
        self.sequenceNumber = event.sequenceNumber
        self.offset = event.offset
        self.timestamp = event.timestamp
        self.shard = event.shard
        self.metadata = event.metadata
        self.content = content
    }

    /// Reads a stored event.
    ///
    /// - Throws: ``PayloadError`` when it cannot be decrypted or adapted; an erased payload is a value.
    public init(_ event: PersistedEvent, reader: EventReader) throws(PayloadError) {
        if event.isErased {
            self.init(event, content: .erased)
            return
        }
        do {
            self.init(event, content: .payload(try reader.payload(of: event)))
        } catch .erased {
            self.init(event, content: .erased)
        } catch {
            throw error
        }
    }

    /// The payload; nil when it was erased.
    public var payload: AnyPayload? {
        guard case .payload(let payload) = content else { return nil }
        return payload
    }

    /// The full name of the event's type; nil when it was erased.
    public var type: String? { payload?.typeName }

    /// The event as one of a behavior's events; nil when it was erased.
    ///
    /// - Throws: ``PayloadError/unknownType(_:)`` or ``PayloadError/undecodable(type:)``.
    public func decoded<Event: MessageUnion>(as type: Event.Type) throws(PayloadError) -> Event? {
        guard let payload else { return nil }
        return try Event.members.decode(payload)
    }

    /// The event as a message of one type; nil when it is of another, or was erased.
    ///
    /// - Throws: ``PayloadError/undecodable(type:)``.
    public func decoded<M: Message>(as type: M.Type) throws(PayloadError) -> M? {
        guard let payload, payload.typeName == M.protoMessageName else { return nil }
        do { return try M(serializedBytes: payload.value) } catch { throw .undecodable(type: payload.typeName) }
    }
}
