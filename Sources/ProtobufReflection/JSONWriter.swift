extension DynamicMessage {
    /// The message as protobuf JSON. What the type does not know is left out.
    ///
    /// - Throws: ``ReflectionError`` where JSON has no form for it: an `Any` whose type is not in the set, a moment or a
    ///   duration out of range, a `Value` of no kind.
    public func json() throws(ReflectionError) -> String {
        var writer = JSONWriter()
        try writer.write(self)
        return String(decoding: writer.bytes, as: UTF8.self)
    }
}

/// Writes messages as protobuf JSON (protobuf.dev/programming-guides/json).
struct JSONWriter {
    private(set) var bytes: [UInt8] = []
    private var depth = 0

    /// A list or a map as JSON.
    static func text(
        _ value: DynamicMessage.Value?, of field: FieldInfo, in type: MessageDescriptor
    ) throws(ReflectionError) -> String {
        var writer = JSONWriter()
        if field.mapEntry != nil {
            try writer.map(value, field, in: type)
        } else {
            try writer.list(value, field, in: type)
        }
        return String(decoding: writer.bytes, as: UTF8.self)
    }

    mutating func write(_ message: DynamicMessage) throws(ReflectionError) {
        depth += 1
        defer { depth -= 1 }
        guard let wellKnown = message.type.info.wellKnown else {
            try object(message)
            return
        }
        switch wellKnown {
        case .any: try any(message)
        case .timestamp: string(try TimeText.timestamp(message.integer(1), message.integer(2)))
        case .duration: string(try TimeText.duration(message.integer(1), message.integer(2)))
        case .fieldMask: string(try fieldMask(message))
        case .structure:
            guard let field = message.type.field(1) else { return }
            try map(message[1], field, in: message.type)
        case .listValue:
            guard let field = message.type.field(1) else { return }
            try list(message[1], field, in: message.type)
        case .value: try value(message)
        case .wrapper:
            guard let field = message.type.field(1) else { return }
            try single(message[1] ?? message.type.defaultValue(of: field.kind), field.kind, in: message.type)
        }
    }

    // MARK: Messages

    private mutating func object(_ message: DynamicMessage, type: String? = nil) throws(ReflectionError) {
        add("{")
        var isFirst = true
        if let type {
            key("@type", &isFirst)
            string(type)
        }
        for (field, value) in message.setFields {
            key(field.isExtension ? "[\(field.fullName)]" : field.jsonName, &isFirst)
            if field.mapEntry != nil {
                try map(value, field, in: message.type)
            } else if field.isRepeated {
                try list(value, field, in: message.type)
            } else {
                try single(value, field.kind, in: message.type)
            }
        }
        add("}")
    }

    private mutating func any(_ message: DynamicMessage) throws(ReflectionError) {
        let url = message.text(1)
        var value: [UInt8] = []
        if case .bytes(let bytes)? = message[2] { value = bytes }
        if url.isEmpty, value.isEmpty {
            add("{}")
            return
        }
        guard let slash = url.lastIndex(of: "/") else { throw ReflectionError("an Any names no type") }
        if value.isEmpty {
            add("{\"@type\":")
            string(url)
            add("}")
            return
        }
        guard let type = message.type.message(named: String(url[url.index(after: slash)...])) else {
            throw ReflectionError("an Any holds a message whose type is not in the set")
        }
        // An `Any` can hold another one, and so on.
        if depth > DynamicMessage.depthLimit { throw .tooDeep }
        let content = try value.withBytes { (buffer) throws(ReflectionError) in
            var content = DynamicMessage(type)
            var reader = FieldReader(buffer)
            try content.merge(&reader, depth: 1)
            return content
        }
        if type.info.wellKnown == nil {
            try object(content, type: url)
        } else {
            add("{\"@type\":")
            string(url)
            add(",\"value\":")
            try write(content)
            add("}")
        }
    }

    private mutating func value(_ message: DynamicMessage) throws(ReflectionError) {
        guard let (field, value) = message.setFields.last else { throw ReflectionError("a Value is of no kind") }
        if field.number == 1 {
            add("null")
            return
        }
        if case .double(let number) = value, !number.isFinite {
            throw ReflectionError("a Value is a number that JSON does not have")
        }
        try single(value, field.kind, in: message.type)
    }

    private func fieldMask(_ message: DynamicMessage) throws(ReflectionError) -> String {
        guard case .list(let paths)? = message[1] else { return "" }
        var names: [String] = []
        for case .string(let path) in paths {
            guard let name = FieldPath.camelCase(path) else {
                throw ReflectionError("a FieldMask has a path that JSON has not")
            }
            names.append(name)
        }
        return names.joined(separator: ",")
    }

    // MARK: Values

    private mutating func list(
        _ value: DynamicMessage.Value?, _ field: FieldInfo, in type: MessageDescriptor
    ) throws(ReflectionError) {
        add("[")
        if case .list(let list)? = value {
            for (index, value) in list.enumerated() {
                if index > 0 { add(",") }
                try single(value, field.kind, in: type)
            }
        }
        add("]")
    }

    private mutating func map(
        _ value: DynamicMessage.Value?, _ field: FieldInfo, in type: MessageDescriptor
    ) throws(ReflectionError) {
        guard let index = field.mapEntry, let valueField = type.message(index).field(2) else { return }
        add("{")
        if case .map(let map)? = value {
            var isFirst = true
            for (mapKey, value) in map.sorted(by: { $0.key < $1.key }) {
                let text: String =
                    switch mapKey {
                    case .signed(let number): String(number)
                    case .unsigned(let number): String(number)
                    case .bool(let isTrue): String(isTrue)
                    case .string(let bytes): String(decoding: bytes, as: UTF8.self)
                    }
                key(text, &isFirst)
                try single(value, valueField.kind, in: type.message(index))
            }
        }
        add("}")
    }

    private mutating func single(
        _ value: DynamicMessage.Value, _ kind: FieldKind, in type: MessageDescriptor
    ) throws(ReflectionError) {
        switch (value, kind) {
        case (.signed(let number), .enumeration(let index)):
            let known = type.schema.enums[index]
            if known.fullName == "google.protobuf.NullValue" {
                add("null")
            } else if let name = known.names[Int32(truncatingIfNeeded: number)] {
                string(name)
            } else {
                add(String(number))
            }
        case (.signed(let number), .int64), (.signed(let number), .sint64), (.signed(let number), .sfixed64):
            add("\"\(number)\"")
        case (.unsigned(let number), .uint64), (.unsigned(let number), .fixed64): add("\"\(number)\"")
        case (.signed(let number), _): add(String(number))
        case (.unsigned(let number), _): add(String(number))
        case (.bool(let isTrue), _): add(isTrue ? "true" : "false")
        case (.float(let number), _): add(Self.number(number, number.debugDescription))
        case (.double(let number), _): add(Self.number(number, number.debugDescription))
        case (.string(let text), _): string(text)
        case (.bytes(let data), _): add("\"\(Base64.encode(data))\"")
        case (.message(let message), _): try write(message)
        case (.list, _), (.map, _): break
        }
    }

    private static func number(_ number: some BinaryFloatingPoint, _ text: String) -> String {
        if number.isNaN { return "\"NaN\"" }
        if number.isInfinite { return number < 0 ? "\"-Infinity\"" : "\"Infinity\"" }
        return text
    }

    // MARK: Text

    private mutating func add(_ text: String) { bytes += text.utf8 }

    private mutating func key(_ name: String, _ isFirst: inout Bool) {
        if !isFirst { add(",") }
        isFirst = false
        string(name)
        add(":")
    }

    private mutating func string(_ text: String) {
        bytes.append(UInt8(ascii: "\""))
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\u{8}": add("\\b")
            case "\t": add("\\t")
            case "\n": add("\\n")
            case "\u{c}": add("\\f")
            case "\r": add("\\r")
            case "\"": add("\\\"")
            case "\\": add("\\\\")
            case "\u{0}"..."\u{1f}", "\u{7f}"..."\u{9f}":
                let digits = String(scalar.value, radix: 16, uppercase: true)
                add("\\u00" + (digits.count == 1 ? "0" : "") + digits)
            default: bytes += UTF8.encode(scalar).map { Array($0) } ?? []
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}

extension DynamicMessage {
    /// The integer of a field; 0 when it is not set.
    func integer(_ number: Int) -> Int64 {
        if case .signed(let value)? = values[number] { return value }
        return 0
    }

    /// The text of a field; empty when it is not set.
    func text(_ number: Int) -> String {
        if case .string(let value)? = values[number] { return value }
        return ""
    }
}

/// Paths of a `FieldMask`: `lower_snake` in a message, `lowerCamel` in JSON.
enum FieldPath {
    static func camelCase(_ path: String) -> String? {
        var text: [UInt8] = []
        var isAfterUnderscore = false
        for byte in path.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"):
                text.append(isAfterUnderscore ? byte - 32 : byte)
                isAfterUnderscore = false
            case _ where isAfterUnderscore: return nil
            case UInt8(ascii: "_"): isAfterUnderscore = true
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "("), UInt8(ascii: ")"):
                text.append(byte)
            default: return nil
            }
        }
        return isAfterUnderscore ? nil : String(decoding: text, as: UTF8.self)
    }

    static func snakeCase(_ name: String) -> String? {
        var text: [UInt8] = []
        for byte in name.utf8 {
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): text += [UInt8(ascii: "_"), byte + 32]
            case UInt8(ascii: "_"): return nil
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."),
                UInt8(ascii: "("), UInt8(ascii: ")"):
                text.append(byte)
            default: return nil
            }
        }
        return text.isEmpty ? nil : String(decoding: text, as: UTF8.self)
    }
}

/// Bytes in base64 (RFC 4648).
enum Base64 {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    static func encode(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count + 2) / 3 * 4)
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let count = min(3, bytes.count - start)
            var bits = 0
            for index in 0..<3 { bits = bits << 8 | (index < count ? Int(bytes[start + index]) : 0) }
            for index in 0..<4 {
                text.append(index <= count ? alphabet[bits >> (18 - 6 * index) & 63] : UInt8(ascii: "="))
            }
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// Reads either alphabet, but not both in one text; spaces do not count, padding has to be exact where there is any.
    static func decode(_ text: some Sequence<UInt8>) -> [UInt8]? {
        var bytes: [UInt8] = []
        var (bits, count, padding) = (0, 0, 0)
        var isURL: Bool?
        var isEmpty = true
        for byte in text {
            isEmpty = false
            let digit: Int
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): digit = Int(byte) - 65
            case UInt8(ascii: "a")...UInt8(ascii: "z"): digit = Int(byte) - 71
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = Int(byte) + 4
            case UInt8(ascii: "+"), UInt8(ascii: "/"):
                if isURL == true { return nil }
                isURL = false
                digit = byte == UInt8(ascii: "+") ? 62 : 63
            case UInt8(ascii: "-"), UInt8(ascii: "_"):
                if isURL == false { return nil }
                isURL = true
                digit = byte == UInt8(ascii: "-") ? 62 : 63
            case UInt8(ascii: " "): continue
            case UInt8(ascii: "="):
                padding += 1
                continue
            default: return nil
            }
            if padding > 0 { return nil }
            bits = bits << 6 | digit
            count += 1
            if count.isMultiple(of: 4) {
                bytes += [UInt8(bits >> 16 & 255), UInt8(bits >> 8 & 255), UInt8(bits & 255)]
                bits = 0
            }
        }
        switch count % 4 {
        case 0: return padding == 0 && (count > 0 || isEmpty) ? bytes : nil
        case 2 where padding == 0 || padding == 2: return bytes + [UInt8(bits >> 4 & 255)]
        case 3 where padding == 0 || padding == 1: return bytes + [UInt8(bits >> 10 & 255), UInt8(bits >> 2 & 255)]
        default: return nil
        }
    }
}
