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

    // In the loop over a page, where an event need not be taken out of the page to be handed over.
    @inline(__always)
    func write(_ event: PersistedEvent) {
        begin(#"{"type":"event","id":"#, event.persistenceID)
        number(#","sequence_number":""#, event.sequenceNumber.rawValue)
        position(event.offset)
        time(event.timestamp)
        buffer.append(#","shard":"#)
        buffer.append(decimal: event.shard.rawValue)
        payload(event.payload, event.manifest, isEncrypted: event.isEncrypted)
        if event.isEncrypted { buffer.append(#","encrypted":true"#) }
        if !event.isUsual { key(event.encryptionKeyID) }
        if event.isDeleted { buffer.append(#","deleted":true"#) }
        if !event.isUsual { rest(of: event) }
        end()
    }

    @inline(never)
    private func rest(of event: PersistedEvent) {
        metadata(event.metadata)
        if event.unknownFields.isEmpty { return }
        buffer.append(#","unknown_fields":""#)
        event.unknownFields.withUnsafeBufferPointer { buffer.append(base64: $0) }
        buffer.append(UInt8(ascii: "\""))
    }

    func write(_ entity: ExportedEntity) {
        begin(#"{"type":"entity","id":"#, entity.id)
        number(#","sequence_number":""#, entity.sequenceNumber.rawValue)
        if entity.floor > .zero { number(#","floor":""#, entity.floor.rawValue) }
        if let kind = entity.kind { text(#","kind":"#, kind) }
        if let erasedAt = entity.erasedAt { number(#","erased_at":""#, erasedAt.unixNanoseconds) }
        end()
    }

    func write(_ snapshot: StoredSnapshot) {
        begin(#"{"type":"snapshot","id":"#, snapshot.persistenceID)
        number(#","sequence_number":""#, snapshot.sequenceNumber.rawValue)
        time(snapshot.timestamp)
        payload(snapshot.payload, snapshot.manifest, isEncrypted: snapshot.isEncrypted)
        if snapshot.isEncrypted { buffer.append(#","encrypted":true"#) }
        key(snapshot.encryptionKeyID)
        end()
    }

    func write(_ state: StoredState) {
        begin(#"{"type":"state","id":"#, state.persistenceID)
        number(#","version":""#, state.version.rawValue)
        time(state.timestamp)
        payload(state.payload, state.manifest, isEncrypted: state.isEncrypted)
        if state.isEncrypted { buffer.append(#","encrypted":true"#) }
        key(state.encryptionKeyID)
        metadata(state.metadata)
        end()
    }

    // MARK: Fields

    @inline(__always)
    private func begin(_ start: StaticString, _ id: PersistenceID) {
        buffer.append(start)
        buffer.append(quoted: id.rawValue)
    }

    private func end() { buffer.append("}\n") }

    private func text(_ key: StaticString, _ text: String) {
        buffer.append(key)
        buffer.append(quoted: text)
    }

    @inline(__always)
    private func number(_ start: StaticString, _ number: UInt64) {
        buffer.append(start)
        buffer.append(decimal: number)
        buffer.append(UInt8(ascii: "\""))
    }

    @inline(__always)
    private func number(_ start: StaticString, _ number: Int64) {
        buffer.append(start)
        buffer.append(decimal: number)
        buffer.append(UInt8(ascii: "\""))
    }

    @inline(__always)
    private func time(_ time: Timestamp) { number(#","timestamp":""#, time.unixNanoseconds) }

    /// The text of ``Offset``.
    @inline(__always)
    private func position(_ offset: Offset) {
        buffer.append(#","position":""#)
        if offset.transactionID != 0 {
            buffer.append(decimal: offset.transactionID)
            buffer.append(UInt8(ascii: ":"))
        }
        buffer.append(decimal: offset.position.rawValue)
        buffer.append(UInt8(ascii: "\""))
    }

    private func key(_ id: String) { if !id.isEmpty { text(#","encryption_key":"#, id) } }

    private func metadata(_ metadata: EventMetadata) {
        if metadata == .none { return }
        if let id = metadata.commandID { text(#","command_id":"#, id.rawValue) }
        if let id = metadata.correlationID { text(#","correlation_id":"#, id) }
        if let id = metadata.causationID { text(#","causation_id":"#, id) }
        if let context = metadata.traceContext { text(#","trace_context":"#, context) }
    }

    // MARK: Payloads

    /// The type of a payload, which most payloads have in common.
    private struct KnownType {
        /// As payloads have it.
        var url: [UInt8]
        /// The field that names it.
        var field: [UInt8]
        /// Nil for one that is not known.
        var plan: MessagePlan?

        func isNamed(_ url: UnsafeBufferPointer<UInt8>) -> Bool {
            guard url.count == self.url.count, let start = url.baseAddress else { return false }
            return self.url.withUnsafeBytes { $0.baseAddress.map { memcmp($0, start, url.count) == 0 } ?? true }
        }
    }

    /// So many types are kept.
    private static let typeLimit = 64

    /// The payload: its type, its JSON where that is known, and its bytes, which are what counts.
    private func payload(_ payload: [UInt8], _ manifest: String, isEncrypted: Bool) {
        if manifest != PersistedEvent.anyManifest { text(#","manifest":"#, manifest) }
        payload.withUnsafeBufferPointer { payload in
            if let any = try? AnyScan(UnsafeRawBufferPointer(payload)),
                let index = known(UnsafeBufferPointer(rebasing: payload[any.typeURL]))
            {
                buffer.append(types[index].field)
                if !isEncrypted, let plan = types[index].plan { show(payload[any.value], plan) }
            }
            buffer.append(#","bytes":""#)
            buffer.append(base64: payload)
            buffer.append(UInt8(ascii: "\""))
        }
    }

    /// The message of a payload, where there is JSON of it.
    private func show(_ bytes: Slice<UnsafeBufferPointer<UInt8>>, _ plan: MessagePlan) {
        let start = buffer.count
        buffer.append(#","payload":"#)
        let wire = UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: bytes))
        do { try json.write(plan, wire) } catch { buffer.remove(from: start) }
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
        let plan = messages.type(named: name).map { json.plan(of: $0.type) }
        types.append(KnownType(url: Array(url), field: Array(field.bytes), plan: plan))
        return types.count - 1
    }
}
