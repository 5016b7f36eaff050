import EgoCore
import SwiftProtobuf

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The form of an exported journal.
public enum ExportFormat: String, Sendable, Codable, CaseIterable {
    /// A header, a JSON object a line, and a trailer with counts and a checksum. Exact: payloads are there byte for byte,
    /// and beside them as JSON where their type is known.
    case jsonl
    /// `egopb.Event` messages, each after its length as a varint: what eGo for Go reads. Events only; kinds, metadata,
    /// snapshots and durable states are not in it.
    case protobuf
}

/// What of a store to export.
public struct ExportSelection: Sendable, Hashable, Codable {
    /// These entities; empty for all.
    public var ids: [String] = []
    /// Entities that were recorded with this kind.
    public var kind: String?
    /// Entities of this shard.
    public var shard: UInt64?
    /// Events written at this moment or later, in nanoseconds since the Unix epoch.
    public var since: Int64?
    /// Events written before this moment.
    public var until: Int64?
    /// Events after this place in the journal, as text.
    public var after: String?
    /// Whether snapshots, durable states and what is recorded of entities are left out.
    public var isEventsOnly: Bool {
        get { eventsOnly ?? false }
        set { eventsOnly = newValue ? true : nil }
    }

    private var eventsOnly: Bool?

    /// Everything.
    public init() {}

    enum CodingKeys: String, CodingKey {
        case ids, kind, shard, since, until, after
        case eventsOnly = "events_only"
    }

    /// Whether entities are exported whole, so that what is recorded of them belongs to it.
    var hasEntities: Bool { !isEventsOnly && since == nil && until == nil && after == nil }
}

/// The first line of an export.
struct ExportHeader: Codable, Sendable, Hashable {
    var type = "header"
    var format = Self.currentFormat
    var storeID: String
    var origin: String
    var shardCount: UInt32
    var selection: ExportSelection

    static let currentFormat = "ego.export/1"

    enum CodingKeys: String, CodingKey {
        case type, format, origin, selection
        case storeID = "store_id"
        case shardCount = "shard_count"
    }
}

/// The last line of an export.
struct ExportTrailer: Codable, Sendable, Hashable {
    var type = "end"
    var events: Int
    var entities: Int
    var snapshots: Int
    var states: Int
    /// The head of the store; no event after it is included.
    var head: String
    /// SHA-256 of every byte before this line, in hexadecimal.
    var sha256: String
}

/// What is recorded of an entity beside its events.
struct ExportedEntity: Sendable, Hashable {
    var id: PersistenceID
    var kind: String?
    /// The last event that is included, or the durable state's version.
    var sequenceNumber: SequenceNumber
    /// Events up to this one were deleted on purpose.
    var floor: SequenceNumber
    var erasedAt: Timestamp?
}

/// A record of an export.
enum ExportRecord: Sendable, Hashable {
    case event(PersistedEvent)
    case entity(ExportedEntity)
    case snapshot(StoredSnapshot)
    case state(StoredState)
}

extension ExportRecord {
    /// The record as a line of JSON, its end included.
    ///
    /// - Parameter messages: the types whose payloads are shown as JSON too.
    func line(_ messages: MessageRegistry) -> [UInt8] {
        var line = JSONLineWriter()
        switch self {
        case .event(let event):
            line.text("type", "event")
            line.text("id", event.persistenceID.rawValue)
            line.text("sequence_number", "\(event.sequenceNumber)")
            line.text("position", event.offset.description)
            line.text("timestamp", "\(event.timestamp.unixNanoseconds)")
            line.number("shard", event.shard.rawValue)
            line.payload(event.payload, event.manifest, isEncrypted: event.isEncrypted, messages)
            line.encryption(event.isEncrypted, event.encryptionKeyID)
            if event.isDeleted { line.raw("deleted", "true") }
            line.metadata(event.metadata)
            if !event.unknownFields.isEmpty { line.bytes("unknown_fields", event.unknownFields) }
        case .entity(let entity):
            line.text("type", "entity")
            line.text("id", entity.id.rawValue)
            line.text("sequence_number", "\(entity.sequenceNumber)")
            if entity.floor > .zero { line.text("floor", "\(entity.floor)") }
            if let kind = entity.kind { line.text("kind", kind) }
            if let erasedAt = entity.erasedAt { line.text("erased_at", "\(erasedAt.unixNanoseconds)") }
        case .snapshot(let snapshot):
            line.text("type", "snapshot")
            line.text("id", snapshot.persistenceID.rawValue)
            line.text("sequence_number", "\(snapshot.sequenceNumber)")
            line.text("timestamp", "\(snapshot.timestamp.unixNanoseconds)")
            line.payload(snapshot.payload, snapshot.manifest, isEncrypted: snapshot.isEncrypted, messages)
            line.encryption(snapshot.isEncrypted, snapshot.encryptionKeyID)
        case .state(let state):
            line.text("type", "state")
            line.text("id", state.persistenceID.rawValue)
            line.text("version", "\(state.version)")
            line.text("timestamp", "\(state.timestamp.unixNanoseconds)")
            line.payload(state.payload, state.manifest, isEncrypted: state.isEncrypted, messages)
            line.encryption(state.isEncrypted, state.encryptionKeyID)
            line.metadata(state.metadata)
        }
        return line.finished()
    }

    /// Reads a line of JSON.
    ///
    /// - Throws: ``ExportProblem``.
    init(line: ArraySlice<UInt8>) throws(ExportProblem) {
        let fields = try Line(line)
        let id: PersistenceID
        do { id = try PersistenceID(fields.id) } catch { throw ExportProblem("\(error)") }
        switch fields.type {
        case "event":
            self = .event(
                PersistedEvent(
                    persistenceID: id, sequenceNumber: SequenceNumber(try Self.number(fields.sequenceNumber, "number")),
                    timestamp: try Self.time(fields.timestamp), shard: Shard(fields.shard ?? 0),
                    manifest: fields.manifest ?? PersistedEvent.anyManifest, payload: try Self.bytes(fields.bytes),
                    encryptionKeyID: fields.encryptionKey ?? "", isEncrypted: fields.encrypted ?? false,
                    isDeleted: fields.deleted ?? false, metadata: fields.metadata,
                    unknownFields: fields.unknownFields == nil ? [] : try Self.bytes(fields.unknownFields)))
        case "entity":
            self = .entity(
                ExportedEntity(
                    id: id, kind: fields.kind,
                    sequenceNumber: SequenceNumber(
                        try Self.number(fields.sequenceNumber, "number", isZeroAllowed: true)),
                    floor: SequenceNumber(try Self.number(fields.floor ?? "0", "floor", isZeroAllowed: true)),
                    erasedAt: fields.erasedAt == nil ? nil : try Self.time(fields.erasedAt)))
        case "snapshot":
            self = .snapshot(
                StoredSnapshot(
                    persistenceID: id, sequenceNumber: SequenceNumber(try Self.number(fields.sequenceNumber, "number")),
                    timestamp: try Self.time(fields.timestamp),
                    manifest: fields.manifest ?? PersistedEvent.anyManifest, payload: try Self.bytes(fields.bytes),
                    encryptionKeyID: fields.encryptionKey ?? "", isEncrypted: fields.encrypted ?? false))
        case "state":
            self = .state(
                StoredState(
                    persistenceID: id,
                    version: SequenceNumber(try Self.number(fields.version, "version", isZeroAllowed: true)),
                    timestamp: try Self.time(fields.timestamp), shard: Shard(0),
                    manifest: fields.manifest ?? PersistedEvent.anyManifest, payload: try Self.bytes(fields.bytes),
                    encryptionKeyID: fields.encryptionKey ?? "", isEncrypted: fields.encrypted ?? false,
                    metadata: fields.metadata))
        default: throw ExportProblem("records of type \(fields.type) are not known")
        }
    }

    /// The fields of all records; which of them are there depends on the type.
    private struct Line {
        var type = ""
        var id = ""
        var sequenceNumber: String?
        var floor: String?
        var version: String?
        var timestamp: String?
        var shard: UInt64?
        var kind: String?
        var manifest: String?
        var bytes: String?
        var encrypted: Bool?
        var encryptionKey: String?
        var deleted: Bool?
        var unknownFields: String?
        var erasedAt: String?
        var commandID: String?
        var correlationID: String?
        var causationID: String?
        var traceContext: String?

        init(_ line: ArraySlice<UInt8>) throws(ExportProblem) {
            var fields = Line()
            try JSONLineReader.read(line) { name, value in fields.set(name, value) }
            self = fields
        }

        private init() {}

        private mutating func set(_ name: String, _ value: JSONLineReader.Value) {
            switch name {
            case "type": type = value.text ?? ""
            case "id": id = value.text ?? ""
            case "sequence_number": sequenceNumber = value.text
            case "floor": floor = value.text
            case "version": version = value.text
            case "timestamp": timestamp = value.text
            case "shard": shard = value.number
            case "kind": kind = value.text
            case "manifest": manifest = value.text
            case "bytes": bytes = value.text
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

        var metadata: EventMetadata {
            EventMetadata(
                commandID: commandID.flatMap { CommandID($0) }, correlationID: correlationID,
                causationID: causationID, traceContext: traceContext)
        }
    }

    private static func number(
        _ text: String?, _ what: String, isZeroAllowed: Bool = false
    ) throws(ExportProblem) -> UInt64 {
        guard let number = text.flatMap({ UInt64($0) }), number > 0 || isZeroAllowed,
            number <= SequenceNumber.largestAdded.rawValue
        else { throw ExportProblem("its \(what) is missing or out of range") }
        return number
    }

    private static func time(_ text: String?) throws(ExportProblem) -> Timestamp {
        guard let time = text.flatMap({ Int64($0) }) else { throw ExportProblem("its timestamp is missing") }
        return Timestamp(unixNanoseconds: time)
    }

    private static func bytes(_ text: String?) throws(ExportProblem) -> [UInt8] {
        guard let data = text.flatMap({ Data(base64Encoded: $0) }) else {
            throw ExportProblem("its bytes are missing or no base64")
        }
        return Array(data)
    }
}

/// Why a line or message of an export cannot be used; whoever reads it knows the place.
struct ExportProblem: Error {
    var message: String

    init(_ message: String) { self.message = message }
}

/// Writes one line of JSON, by hand: an encoder takes ten times as long, and its order of fields is not for people.
private struct JSONLineWriter {
    private var bytes: [UInt8] = [UInt8(ascii: "{")]

    init() { bytes.reserveCapacity(512) }

    mutating func finished() -> [UInt8] {
        bytes.append(UInt8(ascii: "}"))
        bytes.append(UInt8(ascii: "\n"))
        return bytes
    }

    mutating func raw(_ name: String, _ json: String) {
        key(name)
        bytes.append(contentsOf: json.utf8)
    }

    mutating func number(_ name: String, _ number: UInt64) { raw(name, String(number)) }

    mutating func text(_ name: String, _ text: String) {
        key(name)
        string(text)
    }

    mutating func bytes(_ name: String, _ data: [UInt8]) {
        key(name)
        bytes.append(UInt8(ascii: "\""))
        bytes.append(contentsOf: Data(data).base64EncodedData())
        bytes.append(UInt8(ascii: "\""))
    }

    /// The payload: its type, its JSON where that is known, and its bytes, which are what counts.
    mutating func payload(
        _ payload: [UInt8], _ manifest: String, isEncrypted: Bool, _ messages: MessageRegistry
    ) {
        if manifest != PersistedEvent.anyManifest { text("manifest", manifest) }
        if let any = try? AnyPayload(serialized: payload) {
            text("message", any.typeName)
            if !isEncrypted, let json = try? messages.decode(any).jsonString() { raw("payload", json) }
        }
        bytes("bytes", payload)
    }

    mutating func encryption(_ isEncrypted: Bool, _ key: String) {
        if isEncrypted { raw("encrypted", "true") }
        if !key.isEmpty { text("encryption_key", key) }
    }

    mutating func metadata(_ metadata: EventMetadata) {
        if let id = metadata.commandID { text("command_id", id.rawValue) }
        if let id = metadata.correlationID { text("correlation_id", id) }
        if let id = metadata.causationID { text("causation_id", id) }
        if let context = metadata.traceContext { text("trace_context", context) }
    }

    private mutating func key(_ name: String) {
        if bytes.count > 1 { bytes.append(UInt8(ascii: ",")) }
        string(name)
        bytes.append(UInt8(ascii: ":"))
    }

    /// A JSON string; everything but quotation marks, backslashes and control characters is there as it is.
    private mutating func string(_ text: String) {
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                bytes.append(UInt8(ascii: "\\"))
                bytes.append(byte)
            case 0..<0x20, 0x7f:
                let digits = String(byte, radix: 16)
                bytes.append(contentsOf: "\\u00\(digits.count == 1 ? "0" : "")\(digits)".utf8)
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}
