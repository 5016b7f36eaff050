import SwiftProtobuf

/// Folds one entity's records into its state, and refuses what does not follow.
///
/// A value without I/O: whoever has the records feeds them, page by page.
public struct StreamFold<Behavior: EventFolding>: Sendable {
    /// The entity.
    public let persistenceID: PersistenceID
    /// The state after ``sequenceNumber``.
    public private(set) var state: Behavior.State
    /// The last event that the state includes.
    public private(set) var sequenceNumber: SequenceNumber
    /// When that event was written; nil before the first.
    public private(set) var timestamp: Timestamp?

    private let behavior: Behavior
    private let reader: EventReader

    /// Starts before the first event.
    public init(_ behavior: Behavior, of id: PersistenceID, reader: EventReader) {
        self.behavior = behavior
        self.reader = reader
        self.persistenceID = id
        self.state = behavior.initialState(for: id)
        self.sequenceNumber = .zero
    }

    /// Starts after a snapshot.
    ///
    /// - Throws: ``FoldError/undecodable(sequenceNumber:cause:)`` when the snapshot does not decode.
    public init(
        _ behavior: Behavior, from snapshot: StoredSnapshot, reader: EventReader
    ) throws(FoldError) {
        self.init(behavior, of: snapshot.persistenceID, reader: reader)
        do throws(PayloadError) {
            self.state = try Behavior.State(decoding: reader.clear(snapshot))
        } catch {
            throw .undecodable(sequenceNumber: snapshot.sequenceNumber, cause: error)
        }
        self.sequenceNumber = snapshot.sequenceNumber
        self.timestamp = snapshot.timestamp
    }

    /// Takes the next record and returns its event.
    ///
    /// - Throws: ``FoldError/gap(expected:found:)`` when the record is not the next one, or
    ///   ``FoldError/undecodable(sequenceNumber:cause:)``. The state is unchanged then.
    @discardableResult
    public mutating func apply(_ record: PersistedEvent) throws(FoldError) -> Behavior.Event {
        guard record.sequenceNumber == sequenceNumber.next else {
            throw .gap(expected: sequenceNumber.next, found: record.sequenceNumber)
        }
        let event: Behavior.Event
        do {
            event = try reader.event(record, as: Behavior.Event.self)
        } catch {
            throw .undecodable(sequenceNumber: record.sequenceNumber, cause: error)
        }
        behavior.apply(event, to: &state)
        sequenceNumber = record.sequenceNumber
        timestamp = record.timestamp
        return event
    }

    /// Takes the next records.
    ///
    /// - Throws: as ``apply(_:)`` of a record; what comes before that is taken.
    public mutating func apply(_ records: [PersistedEvent]) throws(FoldError) {
        let before = sequenceNumber
        defer {
            let count = Int(sequenceNumber.rawValue - before.rawValue)
            if count > 0 { timestamp = records[count - 1].timestamp }
        }
        try behavior.fold(records, reader, to: &state, at: &sequenceNumber)
    }

    /// Checks that nothing is missing between the fold's start and the entity's first stored event.
    ///
    /// - Throws: ``FoldError/trimmed(through:)`` when events after this fold's start were deleted on purpose, so that
    ///   the state cannot be known without a newer snapshot.
    public func checkFloor(_ floor: SequenceNumber) throws(FoldError) {
        if floor > sequenceNumber { throw .trimmed(through: floor) }
    }
}

/// Why an entity's records cannot be folded.
public enum FoldError: Error, Sendable {
    /// A record is missing that nobody deleted on purpose.
    case gap(expected: SequenceNumber, found: SequenceNumber?)
    /// Events were deleted on purpose, and no snapshot that can be read includes them.
    case trimmed(through: SequenceNumber)
    /// A record or snapshot cannot be read.
    case undecodable(sequenceNumber: SequenceNumber, cause: PayloadError)
}

extension FoldError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .gap(let expected, let found?): "event \(expected) is missing: the next one stored is \(found)"
        case .gap(let expected, nil): "event \(expected) is missing"
        case .trimmed(let floor): "events up to \(floor) were deleted, and no readable snapshot includes them"
        case .undecodable(let number, let cause): "sequence number \(number): \(cause)"
        }
    }
}

extension Message {
    /// Decodes a serialized `google.protobuf.Any` that must hold this type.
    package init(decoding serializedAny: [UInt8]) throws(PayloadError) {
        try self.init(decoding: AnyPayload(serialized: serializedAny))
    }

    /// Decodes a payload that must hold this type.
    package init(decoding payload: AnyPayload) throws(PayloadError) {
        guard payload.typeName == Self.protoMessageName else { throw .unknownType(payload.typeName) }
        do {
            try self.init(serializedBytes: payload.value)
        } catch {
            throw .undecodable(type: payload.typeName)
        }
    }
}
