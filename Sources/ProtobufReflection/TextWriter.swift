extension DynamicMessage {
    /// The message in protobuf text format. Fields that the type does not know are shown by their numbers.
    public func text() -> String {
        var writer = TextWriter()
        writer.write(self)
        return writer.text
    }
}

/// Writes messages in text format (protobuf.dev/reference/protobuf/textformat-spec).
struct TextWriter {
    private(set) var text = ""
    private var indent = ""
    private var depth = 0

    mutating func write(_ message: DynamicMessage) {
        depth += 1
        defer { depth -= 1 }
        if message.type.info.wellKnown == .any, expand(message) { return }
        for (field, value) in message.setFields {
            let name = field.isExtension ? "[\(field.fullName)]" : field.textName
            switch value {
            case .list(let list) where field.isPacked:
                text +=
                    "\(indent)\(name): [\(list.map { Self.scalar($0, field.kind, message.type) }.joined(separator: ", "))]\n"
            case .list(let list): for value in list { single(name, value, field.kind, message.type) }
            case .map(let map): entries(name, map, field, message.type)
            default: single(name, value, field.kind, message.type)
            }
        }
        text += WireDump.fields(message.unknownFields, indent: indent, levels: WireDump.levels) ?? ""
    }

    /// An `Any` whose type is known, with the message that it holds.
    private mutating func expand(_ message: DynamicMessage) -> Bool {
        let url = message.text(1)
        let name = url.lastIndex(of: "/").map { String(url[url.index(after: $0)...]) } ?? url
        guard let type = message.type.message(named: name), message.unknownFields.isEmpty,
            // An `Any` can hold another one, and so on: what lies too deep is shown as bytes.
            depth <= DynamicMessage.depthLimit
        else { return false }
        var bytes: [UInt8] = []
        if case .bytes(let value)? = message[2] { bytes = value }
        let content = try? bytes.withBytes { (buffer) throws(ReflectionError) in
            var content = DynamicMessage(type)
            var reader = FieldReader(buffer)
            try content.merge(&reader, depth: 1)
            return content
        }
        guard let content else { return false }
        open("[\(url)]")
        write(content)
        close()
        return true
    }

    private mutating func entries(
        _ name: String, _ map: [DynamicMessage.MapKey: DynamicMessage.Value], _ field: FieldInfo,
        _ type: MessageDescriptor
    ) {
        guard let index = field.mapEntry else { return }
        let entry = type.message(index)
        guard let keyField = entry.field(1), let valueField = entry.field(2) else { return }
        for (key, value) in map.sorted(by: { $0.key < $1.key }) {
            open(name)
            single("key", key.value, keyField.kind, entry)
            single("value", value, valueField.kind, entry)
            close()
        }
    }

    private mutating func single(
        _ name: String, _ value: DynamicMessage.Value, _ kind: FieldKind, _ type: MessageDescriptor
    ) {
        if case .message(let message) = value {
            open(name)
            write(message)
            close()
        } else {
            text += "\(indent)\(name): \(Self.scalar(value, kind, type))\n"
        }
    }

    private mutating func open(_ name: String) {
        text += "\(indent)\(name) {\n"
        indent += "  "
    }

    private mutating func close() {
        indent.removeLast(2)
        text += "\(indent)}\n"
    }

    private static func scalar(
        _ value: DynamicMessage.Value, _ kind: FieldKind, _ type: MessageDescriptor
    ) -> String {
        switch value {
        case .signed(let number):
            if case .enumeration(let index) = kind,
                let name = type.schema.enums[index].names[Int32(truncatingIfNeeded: number)]
            {
                return name
            }
            return String(number)
        case .unsigned(let number): return String(number)
        case .bool(let isTrue): return String(isTrue)
        case .float(let number): return floatingPoint(Double(number), number.debugDescription)
        case .double(let number): return floatingPoint(number, number.debugDescription)
        case .string(let text): return quoted(text)
        case .bytes(let bytes): return quoted(bytes)
        case .message, .list, .map: return ""
        }
    }

    private static func floatingPoint(_ number: Double, _ text: String) -> String {
        if number.isNaN { return "nan" }
        return number.isInfinite ? (number < 0 ? "-inf" : "inf") : text
    }

    private static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            if let short = escape(scalar) {
                quoted += short
            } else if scalar.value < 32 || scalar.value == 127 {
                quoted += octal(UInt8(scalar.value))
            } else {
                quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }

    /// Bytes as a string, in which all but printable ASCII is octal.
    static func quoted(_ bytes: [UInt8]) -> String {
        var quoted = "\""
        for byte in bytes {
            if let short = escape(Unicode.Scalar(byte)) {
                quoted += short
            } else {
                quoted += (32...126).contains(byte) ? String(Unicode.Scalar(byte)) : octal(byte)
            }
        }
        return quoted + "\""
    }

    private static func escape(_ scalar: Unicode.Scalar) -> String? {
        switch scalar {
        case "\u{8}": "\\b"
        case "\t": "\\t"
        case "\n": "\\n"
        case "\u{b}": "\\v"
        case "\u{c}": "\\f"
        case "\r": "\\r"
        case "\"": "\\\""
        case "\\": "\\\\"
        default: nil
        }
    }

    private static func octal(_ byte: UInt8) -> String {
        let digits = String(byte, radix: 8)
        return "\\" + String(repeating: "0", count: 3 - digits.count) + digits
    }
}
