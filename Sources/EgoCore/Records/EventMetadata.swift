/// What travels beside an event: which command made it, and how it belongs to other work.
public struct EventMetadata: Sendable, Hashable {
    /// The command that made the event, where its sender named one.
    public var commandID: CommandID?
    /// What the sender groups related work by.
    public var correlationID: String?
    /// What caused the command.
    public var causationID: String?
    /// The W3C `traceparent` of the command.
    public var traceContext: String?

    /// Nothing known.
    public static let none = EventMetadata()

    /// Metadata with the given parts.
    public init(
        commandID: CommandID? = nil, correlationID: String? = nil, causationID: String? = nil,
        traceContext: String? = nil
    ) {
        self.commandID = commandID
        self.correlationID = correlationID
        self.causationID = causationID
        self.traceContext = traceContext
    }

    /// The stored form: a protobuf message with the four parts as string fields 1 to 4; empty when there are none.
    package var encoded: [UInt8] {
        if self == .none { return [] }
        var writer = WireWriter()
        writer.string(commandID?.rawValue ?? "", field: 1)
        writer.string(correlationID ?? "", field: 2)
        writer.string(causationID ?? "", field: 3)
        writer.string(traceContext ?? "", field: 4)
        return writer.bytes
    }

    /// Reads the stored form; unknown fields are left out.
    package init(encoded: [UInt8]) throws(WireFormatError) {
        self.init()
        if encoded.isEmpty { return }
        self = try encoded.withRawBytes { (bytes) throws(WireFormatError) in
            var metadata = EventMetadata()
            var reader = WireReader(bytes)
            while let (field, value) = try reader.next() {
                guard case .bytes(let range) = value else { continue }
                let text = try bytes.string(range)
                switch field {
                case 1: metadata.commandID = CommandID(stored: text)
                case 2: metadata.correlationID = text
                case 3: metadata.causationID = text
                case 4: metadata.traceContext = text
                default: break
                }
            }
            return metadata
        }
    }
}
