/// What travels beside an event: which command made it, and how it belongs to other work.
public struct EventMetadata: Sendable, Hashable {
    /// Nil for nothing known. Most events have no metadata, and all are copied many times: one reference is what they carry.
    private var parts: Parts?

    /// The command that made the event, where its sender named one.
    public var commandID: CommandID? {
        get { parts?.fields.commandID }
        set { change { $0.commandID = newValue } }
    }

    /// Whether its sender named the command.
    package var hasCommandID: Bool { parts?.fields.commandID != nil }

    /// What the sender groups related work by.
    public var correlationID: String? {
        get { parts?.fields.correlationID }
        set { change { $0.correlationID = newValue } }
    }

    /// What caused the command.
    public var causationID: String? {
        get { parts?.fields.causationID }
        set { change { $0.causationID = newValue } }
    }

    /// The W3C `traceparent` of the command.
    public var traceContext: String? {
        get { parts?.fields.traceContext }
        set { change { $0.traceContext = newValue } }
    }

    /// Nothing known.
    public static var none: EventMetadata { EventMetadata(parts: nil) }

    private init(parts: Parts?) { self.parts = parts }

    /// Metadata with the given parts.
    public init(
        commandID: CommandID? = nil, correlationID: String? = nil, causationID: String? = nil,
        traceContext: String? = nil
    ) {
        change { fields in
            fields = Fields(
                commandID: commandID, correlationID: correlationID, causationID: causationID,
                traceContext: traceContext)
        }
    }

    /// The stored form: a protobuf message with the four parts as string fields 1 to 4; empty when there are none.
    package var encoded: [UInt8] {
        guard let fields = parts?.fields else { return [] }
        var writer = WireWriter(reserving: 64)
        writer.string(fields.commandID?.rawValue ?? "", field: 1)
        writer.string(fields.correlationID ?? "", field: 2)
        writer.string(fields.causationID ?? "", field: 3)
        writer.string(fields.traceContext ?? "", field: 4)
        return writer.bytes
    }

    /// Reads the stored form; unknown fields are left out.
    package init(encoded: [UInt8]) throws(WireFormatError) {
        self.init()
        if encoded.isEmpty { return }
        let fields = try encoded.withRawBytes { (bytes) throws(WireFormatError) in
            var fields = Fields()
            var reader = WireReader(bytes)
            while let (field, value) = try reader.next() {
                guard case .bytes(let range) = value else { continue }
                let text = try bytes.string(range)
                switch field {
                case 1: fields.commandID = CommandID(stored: text)
                case 2: fields.correlationID = text
                case 3: fields.causationID = text
                case 4: fields.traceContext = text
                default: break
                }
            }
            return fields
        }
        parts = fields == Fields() ? nil : Parts(fields)
    }

    // MARK: Storage

    private struct Fields: Hashable {
        var commandID: CommandID?
        var correlationID: String?
        var causationID: String?
        var traceContext: String?
    }

    /// Never changed once it is shared.
    private final class Parts: Sendable, Hashable {
        let fields: Fields

        init(_ fields: Fields) { self.fields = fields }

        static func == (one: Parts, other: Parts) -> Bool { one === other || one.fields == other.fields }
        func hash(into hasher: inout Hasher) { hasher.combine(fields) }
    }

    /// Fields of which none is known are not kept, so that equal metadata is equal.
    private mutating func change(_ body: (inout Fields) -> Void) {
        var fields = parts?.fields ?? Fields()
        body(&fields)
        parts = fields == Fields() ? nil : Parts(fields)
    }
}
