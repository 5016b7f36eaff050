/// One record of the journal, as bytes: nothing in it has been decoded.
public struct PersistedEvent: Sendable, Hashable {
    /// The entity.
    public var persistenceID: PersistenceID
    /// The event's place within the entity.
    public var sequenceNumber: SequenceNumber
    /// The event's place in the journal; ``Offset/start`` for a record that came from a file.
    public var offset: Offset
    /// When the event was written, by its writer's clock.
    public var timestamp: Timestamp
    /// The slice of the journal that the entity belongs to.
    public var shard: Shard
    /// The payload: a serialized `google.protobuf.Any`, whose value is ciphertext when ``isEncrypted``.
    public var payload: [UInt8]
    /// Whether the payload's value is ciphertext.
    public var isEncrypted: Bool
    /// eGo for Go's mark of a logically deleted event.
    public var isDeleted: Bool
    /// Whether its entity was erased: what is left of it is not to be used. Told by reads of the journal only.
    public var isErased: Bool
    /// Whether the payload is not the one that was written: the store keeps a checksum of it.
    public var isDamaged: Bool
    /// Nil for what nearly all events have.
    private var rarities: Rarities?

    /// What the payload is; `google.protobuf.Any` in everything that Ego and eGo for Go write.
    public var manifest: String {
        get { rarities?.fields.manifest ?? Self.anyManifest }
        set { change { $0.manifest = newValue } }
    }
    /// The key that the payload is encrypted with; empty when it is not.
    public var encryptionKeyID: String {
        get { rarities?.fields.encryptionKeyID ?? "" }
        set { change { $0.encryptionKeyID = newValue } }
    }
    /// What travels beside the event.
    public var metadata: EventMetadata {
        get { rarities?.fields.metadata ?? .none }
        set { change { $0.metadata = newValue } }
    }
    /// Fields of `egopb.Event` that its version 4 does not know, in wire format; field 5 is eGo v3's inline state.
    public var unknownFields: [UInt8] {
        get { rarities?.fields.unknownFields ?? [] }
        set { change { $0.unknownFields = newValue } }
    }

    /// Whether it has nothing that is rare: another manifest, a key, metadata or unknown fields.
    package var isUsual: Bool { rarities == nil }

    /// The manifest of everything that Ego writes.
    public static var anyManifest: String { "google.protobuf.Any" }

    /// A record with the given parts.
    public init(
        persistenceID: PersistenceID, sequenceNumber: SequenceNumber, offset: Offset = .start, timestamp: Timestamp,
        shard: Shard, manifest: String = Self.anyManifest, payload: [UInt8], encryptionKeyID: String = "",
        isEncrypted: Bool = false, isDeleted: Bool = false, isErased: Bool = false, isDamaged: Bool = false,
        metadata: EventMetadata = .none, unknownFields: [UInt8] = []
    ) {
        self.persistenceID = persistenceID
        self.sequenceNumber = sequenceNumber
        self.offset = offset
        self.timestamp = timestamp
        self.shard = shard
        self.payload = payload
        self.isEncrypted = isEncrypted
        self.isDeleted = isDeleted
        self.isErased = isErased
        self.isDamaged = isDamaged
        if manifest == Self.anyManifest, encryptionKeyID.isEmpty, metadata == .none, unknownFields.isEmpty { return }
        rarities = Rarities(
            Fields(
                manifest: manifest, encryptionKeyID: encryptionKeyID, metadata: metadata, unknownFields: unknownFields))
    }

    /// eGo v3's inline state, the content of unknown field 5; nil when there is none.
    ///
    /// - Throws: ``PayloadError/malformed`` when the unknown fields or the state are no protobuf.
    public func inlineState() throws(PayloadError) -> AnyPayload? {
        if unknownFields.isEmpty { return nil }
        let state: [UInt8]?
        do {
            state = try unknownFields.withRawBytes { (bytes) throws(WireFormatError) -> [UInt8]? in
                var found: [UInt8]?
                var reader = WireReader(bytes)
                while let (field, value) = try reader.next() {
                    if field == Self.inlineStateField, case .bytes(let range) = value { found = Array(bytes[range]) }
                }
                return found
            }
        } catch {
            throw .malformed
        }
        guard let state else { return nil }
        return try AnyPayload(serialized: state)
    }

    /// Whether there is an inline state, whatever it holds.
    package var hasInlineState: Bool { Self.withoutInlineState(unknownFields) != nil }

    /// Whether there is an inline state of no bytes, as eGo v3 writes for none.
    package var hasEmptyInlineState: Bool {
        let state = try? unknownFields.withRawBytes { (bytes) throws(WireFormatError) -> Int? in
            var found: Int?
            var reader = WireReader(bytes)
            while let (field, value) = try reader.next() {
                if field == Self.inlineStateField, case .bytes(let range) = value { found = range.count }
            }
            return found
        }
        return state.flatMap(\.self) == 0
    }

    /// The unknown fields without the inline state; nil when there is none in them. What cannot be read is kept.
    package static func withoutInlineState(_ fields: [UInt8]) -> [UInt8]? {
        let kept = try? fields.withRawBytes { (bytes) throws(WireFormatError) -> [UInt8] in
            var kept: [UInt8] = []
            var reader = WireReader(bytes)
            var start = 0
            while let (field, _) = try reader.next() {
                if field != inlineStateField { kept += bytes[start..<reader.offset] }
                start = reader.offset
            }
            return kept
        }
        guard let kept, kept.count < fields.count else { return nil }
        return kept
    }

    /// `egopb.Event.resulting_state` of eGo v3, reserved since.
    static let inlineStateField = 5

    /// The unknown fields that hold `state` as eGo v3's inline state.
    public static func unknownFields(inlineState state: AnyPayload) -> [UInt8] {
        unknownFields(serializedInlineState: state.serialized())
    }

    /// The same for a state as it is stored, which may be damaged.
    package static func unknownFields(serializedInlineState state: [UInt8]) -> [UInt8] {
        var writer = WireWriter()
        writer.data(state, field: inlineStateField)
        return writer.bytes
    }

    // MARK: Storage

    /// What most events have in common. Events are copied many times: one reference is what they carry of it.
    private struct Fields: Hashable {
        var manifest = PersistedEvent.anyManifest
        var encryptionKeyID = ""
        var metadata = EventMetadata.none
        var unknownFields: [UInt8] = []

        var areUsual: Bool {
            encryptionKeyID.isEmpty && unknownFields.isEmpty && metadata == .none
                && manifest == PersistedEvent.anyManifest
        }
    }

    /// Never changed once it is shared.
    private final class Rarities: Sendable, Hashable {
        let fields: Fields

        init(_ fields: Fields) { self.fields = fields }

        static func == (one: Rarities, other: Rarities) -> Bool { one === other || one.fields == other.fields }
        func hash(into hasher: inout Hasher) { hasher.combine(fields) }
    }

    /// Fields that are as usual are not kept, so that equal events are equal.
    private mutating func change(_ body: (inout Fields) -> Void) {
        var fields = rarities?.fields ?? Fields()
        body(&fields)
        rarities = fields.areUsual ? nil : Rarities(fields)
    }
}
