public import SwiftProtobuf

/// An event as a projection's handler gets it: decrypted, and in the current schema.
public struct ProjectedEvent: Sendable, Hashable {
    @usableFromInline let record: PersistedEvent
    @usableFromInline let body: Body

    /// What was read of the payload.
    @usableFromInline
    package enum Body: Sendable {
        /// The stored payload is the event's own: where its parts are.
        case stored(AnyScan)
        /// It was decrypted or adapted.
        case read(AnyPayload)
        case erased
    }

    /// The entity.
    public var persistenceID: PersistenceID { record.persistenceID }
    /// The event's place within the entity.
    public var sequenceNumber: SequenceNumber { record.sequenceNumber }
    /// The event's place in the journal.
    public var offset: Offset { record.offset }
    /// When the event was written, by its writer's clock.
    public var timestamp: Timestamp { record.timestamp }
    /// The slice of the journal that the entity belongs to.
    public var shard: Shard { record.shard }
    /// What travels beside the event.
    public var metadata: EventMetadata { record.metadata }

    /// The payload.
    public var content: Content { payload.map(Content.payload) ?? .erased }

    /// What an event holds.
    public enum Content: Sendable, Hashable {
        /// A message.
        case payload(AnyPayload)
        /// The entity was erased, or the key of its records destroyed: there is nothing to be read, and nothing to keep.
        case erased
    }

    /// An event with the given parts.
    public init(_ event: PersistedEvent, content: Content) {
        switch content {
        case .payload(let payload): self.init(event, .read(payload))
        case .erased: self.init(event, .erased)
        }
    }

    /// Reads a stored event.
    ///
    /// - Throws: ``PayloadError`` when it cannot be decrypted or adapted; an erased payload is a value.
    public init(_ event: PersistedEvent, reader: EventReader) throws(PayloadError) {
        self.init(event, try Self.body(of: event, reader))
    }

    package init(_ event: PersistedEvent, _ body: Body) { (record, self.body) = (event, body) }

    /// Reads a stored event's payload.
    package static func body(of event: PersistedEvent, _ reader: EventReader) throws(PayloadError) -> Body {
        if event.isErased { return .erased }
        do throws(PayloadError) {
            guard reader.takesAsStored(event) else { return .read(try reader.payload(of: event)) }
            let parts = try AnyScan(event.payload)
            // A type URL that is no text is refused here, as it is when the payload is read.
            return parts.hasPlainTypeURL(in: event.payload) ? .stored(parts) : .read(try reader.payload(of: event))
        } catch .erased {
            return .erased
        } catch {
            throw error
        }
    }

    /// Whether there is nothing to be read, and nothing to keep.
    public var isErased: Bool {
        if case .erased = body { return true }
        return false
    }

    /// The payload; nil when it was erased.
    public var payload: AnyPayload? {
        switch body {
        case .stored(let parts): AnyPayload(parts, of: record.payload)
        case .read(let payload): payload
        case .erased: nil
        }
    }

    /// The full name of the event's type; nil when it was erased.
    public var type: String? {
        switch body {
        case .stored(let parts): parts.typeName(in: record.payload)
        case .read(let payload): payload.typeName
        case .erased: nil
        }
    }

    /// The event as one of a behavior's events; nil when it was erased.
    ///
    /// - Throws: ``PayloadError/unknownType(_:)`` or ``PayloadError/undecodable(type:)``.
    @inlinable
    public func decoded<Event: MessageUnion>(as type: Event.Type) throws(PayloadError) -> Event? {
        switch body {
        case .stored: try Event.members.decode(serializedAny: record.payload)
        case .read(let payload): try Event.members.decode(payload)
        case .erased: nil
        }
    }

    /// The event as a message of one type; nil when it is of another, or was erased.
    ///
    /// - Throws: ``PayloadError/undecodable(type:)``.
    @inlinable
    public func decoded<M: Message>(as type: M.Type) throws(PayloadError) -> M? {
        do {
            switch body {
            case .stored(let parts):
                guard parts.hasTypeName(M.protoMessageName, in: record.payload) else { return nil }
                return try M(serializedBytes: record.payload.span.bytes.extracting(parts.value))
            case .read(let payload):
                guard payload.typeName == M.protoMessageName else { return nil }
                return try M(serializedBytes: payload.value.span.bytes)
            case .erased: return nil
            }
        } catch {
            throw .undecodable(type: M.protoMessageName)
        }
    }

    public static func == (one: Self, other: Self) -> Bool {
        (one.persistenceID, one.sequenceNumber, one.offset, one.timestamp, one.shard, one.metadata)
            == (other.persistenceID, other.sequenceNumber, other.offset, other.timestamp, other.shard, other.metadata)
            && one.content == other.content
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(persistenceID)
        hasher.combine(sequenceNumber)
        hasher.combine(offset)
    }
}
