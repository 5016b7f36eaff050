/// A value that a command gives, independent of how it is shown.
public enum OutputValue: Sendable, Hashable {
    /// Unknown, or not applicable.
    case null
    case bool(Bool)
    /// A count, a number of seconds or bytes: a JSON number.
    case number(Int)
    case real(Double)
    /// A sequence number, position or offset: a JSON string, as protobuf's JSON has 64-bit integers.
    case identifier(String)
    case text(String)
    /// A moment in nanoseconds since the Unix epoch, shown as the user asked for.
    case time(Int64)
    /// JSON that is ready.
    case json(String)
    /// A protobuf message: its type URL, and its JSON. Tables leave the type out.
    case message(typeURL: String, json: String)
    case array([OutputValue])
    case object([Field])

    /// A named value of an object; objects keep their order.
    public struct Field: Sendable, Hashable {
        /// The name.
        public var name: String
        /// The value.
        public var value: OutputValue

        /// A field.
        public init(_ name: String, _ value: OutputValue) {
            self.name = name
            self.value = value
        }
    }

    /// A 64-bit integer that names something.
    public static func identifier(_ number: some BinaryInteger) -> OutputValue { .identifier(String(number)) }

    /// A text, or null.
    public static func optional(_ text: String?) -> OutputValue { text.map(OutputValue.text) ?? .null }

    /// A moment, or null.
    public static func optional(time: Int64?) -> OutputValue { time.map(OutputValue.time) ?? .null }

    /// The value of a field; null when there is none, or this is no object.
    public subscript(_ name: String) -> OutputValue {
        guard case .object(let fields) = self else { return .null }
        return fields.first { $0.name == name }?.value ?? .null
    }

    /// The value as JSON, without line breaks.
    public func json(_ times: TimeStyle) -> String {
        var text = ""
        write(to: &text, times)
        return text
    }

    private func write(to text: inout String, _ times: TimeStyle) {
        switch self {
        case .null: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .number(let value): text += String(value)
        case .real(let value): text += value.isFinite ? "\(value)" : "null"
        case .identifier(let value), .text(let value): Self.writeString(value, to: &text)
        case .time(let value):
            if case .unix = times { text += "\"\(value)\"" } else { Self.writeString(times.text(value), to: &text) }
        case .json(let value): text += value
        case .message(let typeURL, let json):
            text += "{\"@type\":"
            Self.writeString(typeURL, to: &text)
            text += (json == "{}" ? "" : ",") + json.dropFirst()
        case .array(let values):
            text += "["
            for (index, value) in values.enumerated() {
                if index > 0 { text += "," }
                value.write(to: &text, times)
            }
            text += "]"
        case .object(let fields):
            text += "{"
            for (index, field) in fields.enumerated() {
                if index > 0 { text += "," }
                Self.writeString(field.name, to: &text)
                text += ":"
                field.value.write(to: &text, times)
            }
            text += "}"
        }
    }

    /// Writes a JSON string (RFC 8259); what ``Escape`` holds for unsafe is escaped too.
    private static func writeString(_ value: String, to text: inout String) {
        text += "\""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            default:
                if scalar.value >= 0x20, !Escape.isUnsafe(scalar) {
                    text.unicodeScalars.append(scalar)
                } else {
                    for unit in String(scalar).utf16 {
                        let digits = String(unit, radix: 16)
                        text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                    }
                }
            }
        }
        text += "\""
    }

    /// The value in a cell of a table or a CSV file; null is empty.
    func cell(_ times: TimeStyle) -> String {
        switch self {
        case .null: ""
        case .bool(let value): value ? "true" : "false"
        case .number(let value): String(value)
        case .real(let value): "\(value)"
        case .identifier(let value), .text(let value): value
        case .time(let value): times.text(value)
        case .json(let value), .message(_, let value): value
        case .array(let values) where values.allSatisfy(\.isScalar):
            values.map { $0.cell(times) }.joined(separator: ", ")
        case .array, .object: json(times)
        }
    }

    private var isScalar: Bool {
        switch self {
        case .array, .object, .json, .message: false
        default: true
        }
    }
}
