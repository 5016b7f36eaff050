import EgoCore

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

extension ExportRecord {
    /// Reads a line of JSON.
    ///
    /// - Parameter scratch: a buffer that is used for nothing else meanwhile.
    /// - Throws: ``ExportProblem``.
    init(line: UnsafeBufferPointer<UInt8>, _ scratch: TransferBuffer) throws(ExportProblem) {
        let fields = try Line(line)
        let id: PersistenceID
        do { id = try PersistenceID(fields.id?.string ?? "") } catch { throw ExportProblem("\(error)") }
        switch fields.type {
        case "event"?:
            self = .event(
                PersistedEvent(
                    persistenceID: id, sequenceNumber: SequenceNumber(try Self.number(fields.sequenceNumber, "number")),
                    timestamp: try Self.time(fields.timestamp), shard: Shard(fields.shard ?? 0),
                    manifest: fields.manifestName, payload: try Self.bytes(fields.bytes, scratch),
                    encryptionKeyID: fields.encryptionKey?.string ?? "", isEncrypted: fields.encrypted ?? false,
                    isDeleted: fields.deleted ?? false, metadata: fields.metadata,
                    unknownFields: fields.unknownFields == nil ? [] : try Self.bytes(fields.unknownFields, scratch)))
        case "entity"?:
            self = .entity(
                ExportedEntity(
                    id: id, kind: fields.kind?.string,
                    sequenceNumber: SequenceNumber(
                        try Self.number(fields.sequenceNumber, "number", isZeroAllowed: true)),
                    floor: fields.floor == nil
                        ? .zero : SequenceNumber(try Self.number(fields.floor, "floor", isZeroAllowed: true)),
                    erasedAt: fields.erasedAt == nil ? nil : try Self.time(fields.erasedAt)))
        case "snapshot"?:
            self = .snapshot(
                StoredSnapshot(
                    persistenceID: id, sequenceNumber: SequenceNumber(try Self.number(fields.sequenceNumber, "number")),
                    timestamp: try Self.time(fields.timestamp), manifest: fields.manifestName,
                    payload: try Self.bytes(fields.bytes, scratch),
                    encryptionKeyID: fields.encryptionKey?.string ?? "", isEncrypted: fields.encrypted ?? false))
        case "state"?:
            self = .state(
                StoredState(
                    persistenceID: id,
                    version: SequenceNumber(try Self.number(fields.version, "version", isZeroAllowed: true)),
                    timestamp: try Self.time(fields.timestamp), shard: Shard(0), manifest: fields.manifestName,
                    payload: try Self.bytes(fields.bytes, scratch),
                    encryptionKeyID: fields.encryptionKey?.string ?? "", isEncrypted: fields.encrypted ?? false,
                    metadata: fields.metadata))
        default: throw ExportProblem("records of type \(fields.type?.string ?? "") are not known")
        }
    }

    /// The fields of all records; which of them are there depends on the type.
    private struct Line {
        typealias Text = JSONLineReader.Text

        var type: Text?
        var id: Text?
        var sequenceNumber: Text?
        var floor: Text?
        var version: Text?
        var timestamp: Text?
        var shard: UInt64?
        var kind: Text?
        var manifest: Text?
        var bytes: Text?
        var encrypted: Bool?
        var encryptionKey: Text?
        var deleted: Bool?
        var unknownFields: Text?
        var erasedAt: Text?
        var commandID: Text?
        var correlationID: Text?
        var causationID: Text?
        var traceContext: Text?

        init(_ line: UnsafeBufferPointer<UInt8>) throws(ExportProblem) {
            var fields = Line()
            try JSONLineReader.read(line) { name, value in fields.set(name, value) }
            self = fields
        }

        private init() {}

        private mutating func set(_ name: Text, _ value: JSONLineReader.Value) {
            switch name {
            case "type": type = value.text
            case "id": id = value.text
            case "sequence_number": sequenceNumber = value.text
            // For people; looked for first, as each event has them.
            case "position", "message", "payload": break
            case "timestamp": timestamp = value.text
            case "shard": shard = value.number
            case "bytes": bytes = value.text
            case "manifest": manifest = value.text
            case "kind": kind = value.text
            case "floor": floor = value.text
            case "version": version = value.text
            case "encrypted": encrypted = value.bool
            case "encryption_key": encryptionKey = value.text
            case "deleted": deleted = value.bool
            case "unknown_fields": unknownFields = value.text
            case "erased_at": erasedAt = value.text
            case "command_id": commandID = value.text
            case "correlation_id": correlationID = value.text
            case "causation_id": causationID = value.text
            case "trace_context": traceContext = value.text
            default: break
            }
        }

        var manifestName: String { manifest?.string ?? PersistedEvent.anyManifest }

        var metadata: EventMetadata {
            if commandID == nil, correlationID == nil, causationID == nil, traceContext == nil { return .none }
            return EventMetadata(
                commandID: commandID.flatMap { CommandID($0.string) }, correlationID: correlationID?.string,
                causationID: causationID?.string, traceContext: traceContext?.string)
        }
    }

    private static func number(
        _ text: JSONLineReader.Text?, _ what: String, isZeroAllowed: Bool = false
    ) throws(ExportProblem) -> UInt64 {
        guard let text, let number = text.withBytes({ $0.plainDecimal }) ?? UInt64(text.string),
            number > 0 || isZeroAllowed, number <= SequenceNumber.largestAdded.rawValue
        else { throw ExportProblem("its \(what) is missing or out of range") }
        return number
    }

    private static func time(_ text: JSONLineReader.Text?) throws(ExportProblem) -> Timestamp {
        guard let text,
            let time = text.withBytes({ $0.plainDecimal }).flatMap({ Int64(exactly: $0) }) ?? Int64(text.string)
        else { throw ExportProblem("its timestamp is missing") }
        return Timestamp(unixNanoseconds: time)
    }

    private static func bytes(
        _ text: JSONLineReader.Text?, _ scratch: TransferBuffer
    ) throws(ExportProblem) -> [UInt8] {
        scratch.removeAll()
        if let text, text.withBytes({ scratch.append(decodingBase64: $0) }) { return Array(scratch.bytes) }
        // Foundation takes more padding than there should be, and with it all that was ever taken.
        guard let data = text.flatMap({ Data(base64Encoded: $0.string) }) else {
            throw ExportProblem("its bytes are missing or no base64")
        }
        return Array(data)
    }
}
