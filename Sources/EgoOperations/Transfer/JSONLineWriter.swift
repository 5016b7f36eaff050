import EgoCore
import SwiftProtobuf

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Writes records of an export as lines of JSON, by hand: an encoder takes ten times as long, and its order of fields is
/// not for people.
///
/// Not shared between tasks.
final class JSONLineWriter {
    /// What was written, and not taken out yet.
    let buffer: TransferBuffer
    private let messages: MessageRegistry
    private let json: MessageJSONWriter
    @exclusivity(unchecked) private var types: [KnownType] = []

    /// A writer that begins with nothing.
    ///
    /// - Parameters:
    ///   - buffer: where lines are appended.
    ///   - messages: the types whose payloads are shown as JSON too.
    init(_ buffer: TransferBuffer, _ messages: MessageRegistry) {
        self.buffer = buffer
        self.messages = messages
        json = MessageJSONWriter(buffer)
    }

    func write(_ event: PersistedEvent) {
        begin("event", event.persistenceID)
        number("sequence_number", event.sequenceNumber.rawValue)
        position(event.offset)
        time("timestamp", event.timestamp)
        buffer.append(#","shard":"#)
        buffer.append(decimal: event.shard.rawValue)
        payload(event.payload, event.manifest, isEncrypted: event.isEncrypted)
        encryption(event.isEncrypted, event.encryptionKeyID)
        if event.isDeleted { buffer.append(#","deleted":true"#) }
        metadata(event.metadata)
        if !event.unknownFields.isEmpty { bytes("unknown_fields", event.unknownFields) }
        end()
    }

    func write(_ entity: ExportedEntity) {
        begin("entity", entity.id)
        number("sequence_number", entity.sequenceNumber.rawValue)
        if entity.floor > .zero { number("floor", entity.floor.rawValue) }
        if let kind = entity.kind { text("kind", kind) }
        if let erasedAt = entity.erasedAt { time("erased_at", erasedAt) }
        end()
    }

    func write(_ snapshot: StoredSnapshot) {
        begin("snapshot", snapshot.persistenceID)
        number("sequence_number", snapshot.sequenceNumber.rawValue)
        time("timestamp", snapshot.timestamp)
        payload(snapshot.payload, snapshot.manifest, isEncrypted: snapshot.isEncrypted)
        encryption(snapshot.isEncrypted, snapshot.encryptionKeyID)
        end()
    }

    func write(_ state: StoredState) {
        begin("state", state.persistenceID)
        number("version", state.version.rawValue)
        time("timestamp", state.timestamp)
        payload(state.payload, state.manifest, isEncrypted: state.isEncrypted)
        encryption(state.isEncrypted, state.encryptionKeyID)
        metadata(state.metadata)
        end()
    }

    // MARK: Fields

    private func begin(_ type: StaticString, _ id: PersistenceID) {
        buffer.append(#"{"type":""#)
        buffer.append(type)
        buffer.append(#"","id":"#)
        buffer.append(quoted: id.rawValue)
    }

    private func end() { buffer.append("}\n") }

    private func key(_ name: StaticString) {
        buffer.append(#",""#)
        buffer.append(name)
        buffer.append(#"":"#)
    }

    private func text(_ name: StaticString, _ text: String) {
        key(name)
        buffer.append(quoted: text)
    }

    private func number(_ name: StaticString, _ number: UInt64) {
        key(name)
        buffer.append(UInt8(ascii: "\""))
        buffer.append(decimal: number)
        buffer.append(UInt8(ascii: "\""))
    }

    private func time(_ name: StaticString, _ time: Timestamp) {
        key(name)
        buffer.append(UInt8(ascii: "\""))
        buffer.append(decimal: time.unixNanoseconds)
        buffer.append(UInt8(ascii: "\""))
    }

    /// The text of ``Offset``.
    private func position(_ offset: Offset) {
        key("position")
        buffer.append(UInt8(ascii: "\""))
        if offset.transactionID != 0 {
            buffer.append(decimal: offset.transactionID)
            buffer.append(UInt8(ascii: ":"))
        }
        buffer.append(decimal: offset.position.rawValue)
        buffer.append(UInt8(ascii: "\""))
    }

    private func bytes(_ name: StaticString, _ bytes: [UInt8]) {
        key(name)
        buffer.append(UInt8(ascii: "\""))
        bytes.withUnsafeBufferPointer { buffer.append(base64: $0) }
        buffer.append(UInt8(ascii: "\""))
    }

    private func encryption(_ isEncrypted: Bool, _ key: String) {
        if isEncrypted { buffer.append(#","encrypted":true"#) }
        if !key.isEmpty { text("encryption_key", key) }
    }

    private func metadata(_ metadata: EventMetadata) {
        if metadata == .none { return }
        if let id = metadata.commandID { text("command_id", id.rawValue) }
        if let id = metadata.correlationID { text("correlation_id", id) }
        if let id = metadata.causationID { text("causation_id", id) }
        if let context = metadata.traceContext { text("trace_context", context) }
    }

    // MARK: Payloads

    /// The type of a payload, which most payloads have in common.
    private struct KnownType {
        /// As payloads have it.
        var url: [UInt8]
        /// The field that names it.
        var field: [UInt8]
        /// Nil for one that is not known.
        var type: (any Message.Type)?

        func isNamed(_ url: UnsafeBufferPointer<UInt8>) -> Bool {
            guard url.count == self.url.count, let start = url.baseAddress else { return false }
            return self.url.withUnsafeBytes { $0.baseAddress.map { memcmp($0, start, url.count) == 0 } ?? true }
        }
    }

    /// So many types are kept.
    private static let typeLimit = 64

    /// The payload: its type, its JSON where that is known, and its bytes, which are what counts.
    private func payload(_ payload: [UInt8], _ manifest: String, isEncrypted: Bool) {
        if manifest != PersistedEvent.anyManifest { text("manifest", manifest) }
        payload.withUnsafeBufferPointer { payload in
            if let any = try? AnyScan(UnsafeRawBufferPointer(payload)),
                let index = known(UnsafeBufferPointer(rebasing: payload[any.typeURL]))
            {
                buffer.append(types[index].field)
                if !isEncrypted, let type = types[index].type { show(payload[any.value], type) }
            }
            key("bytes")
            buffer.append(UInt8(ascii: "\""))
            buffer.append(base64: payload)
            buffer.append(UInt8(ascii: "\""))
        }
    }

    /// The message of a payload, where there is JSON of it.
    private func show(_ bytes: Slice<UnsafeBufferPointer<UInt8>>, _ type: any Message.Type) {
        let start = buffer.count
        key("payload")
        let wire = UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: bytes))
        do { try json.write(type, wire) } catch { buffer.remove(from: start) }
    }

    /// The place of a type among those that are kept; nil when what names it is no text.
    private func known(_ url: UnsafeBufferPointer<UInt8>) -> Int? {
        for index in types.indices where types[index].isNamed(url) { return index }
        guard let text = String(validating: url, as: UTF8.self) else { return nil }
        if types.count == Self.typeLimit { types = [] }
        let name = AnyPayload(typeURL: text, value: []).typeName
        let field = TransferBuffer(capacity: 64)
        field.append(#","message":"#)
        field.append(quoted: name)
        types.append(KnownType(url: Array(url), field: Array(field.bytes), type: messages.type(named: name)?.type))
        return types.count - 1
    }
}
