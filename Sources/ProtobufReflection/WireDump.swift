/// Shows the fields of a message by their numbers, where its type is not known.
public enum WireDump {
    /// How deep bytes are tried as messages.
    static let levels = 10

    /// The fields, a line each, messages in braces; nil when the bytes are no message.
    public static func text(_ bytes: [UInt8]) -> String? { fields(bytes, indent: "", levels: levels) }

    static func fields(_ bytes: [UInt8], indent: String, levels: Int) -> String? {
        try? bytes.withBytes { (buffer) throws(ReflectionError) in
            var reader = FieldReader(buffer)
            return try fields(&reader, indent: indent, levels: levels, group: nil)
        }
    }

    private static func fields(
        _ reader: inout FieldReader, indent: String, levels: Int, group: Int?
    ) throws(ReflectionError) -> String {
        var text = ""
        while !reader.isAtEnd {
            let tag = try reader.tag()
            switch tag.wireType {
            case 0: text += "\(indent)\(tag.number): \(try reader.varint())\n"
            case 1: text += "\(indent)\(tag.number): 0x\(hexadecimal(try reader.fixed64(), 16))\n"
            case 5: text += "\(indent)\(tag.number): 0x\(hexadecimal(UInt64(try reader.fixed32()), 8))\n"
            case 2:
                let bytes = reader.bytes(try reader.delimited())
                let inner =
                    bytes.isEmpty || levels == 0 ? nil : fields(bytes, indent: indent + "  ", levels: levels - 1)
                if let inner {
                    text += "\(indent)\(tag.number) {\n\(inner)\(indent)}\n"
                } else {
                    text += "\(indent)\(tag.number): \(TextWriter.quoted(bytes))\n"
                }
            case 3:
                if levels == 0 { throw .tooDeep }
                let inner = try fields(&reader, indent: indent + "  ", levels: levels - 1, group: tag.number)
                text += "\(indent)\(tag.number) {\n\(inner)\(indent)}\n"
            default:
                guard tag.number == group else { throw .malformed }
                return text
            }
        }
        if group != nil { throw .truncated }
        return text
    }

    private static func hexadecimal(_ number: UInt64, _ count: Int) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: count - digits.count) + digits
    }
}
