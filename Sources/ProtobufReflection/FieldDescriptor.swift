/// One field of a message, as somebody who fills it in sees it.
public struct FieldDescriptor: Sendable {
    /// The name in the text format.
    public let name: String
    /// The name in JSON.
    public let jsonName: String
    /// The number on the wire.
    public let number: Int
    /// What it holds, as a `.proto` file has it: `string`, `repeated samplepb.Account`, `map<string, int32>`.
    public let typeName: String
    /// Whether it holds a list; a map is none.
    public let isRepeated: Bool
    /// What the keys of a map hold; nil when it is none.
    public let mapKey: Scalar?
    /// What it holds, each element of it, or each value of a map.
    public let value: Scalar
    /// The message that it holds, each element of it, or each value of a map.
    public let message: MessageDescriptor?
    /// The oneof that it is a member of, within its message.
    public let oneof: Int?
    /// Whether a message without it is none.
    public let isRequired: Bool

    /// What a single value is.
    public enum Scalar: Sendable, Hashable {
        case integer, real, bool, string, bytes
        /// The names: those of zero, which is the default, and then the others in the order of their numbers.
        case enumeration([String])
        case message
    }
}

extension MessageDescriptor {
    /// The fields, in the order of their numbers.
    public var fields: [FieldDescriptor] { info.fields.map(describe) }

    /// Whether JSON has a form of its own for it, as for `google.protobuf.Timestamp`.
    public var hasOwnJSON: Bool { info.wellKnown != nil }

    private func describe(_ field: FieldInfo) -> FieldDescriptor {
        var (key, kind): (FieldInfo?, FieldKind) = (nil, field.kind)
        if let entry = field.mapEntry {
            let fields = schema.messages[entry].fieldsByNumber
            key = fields[1]
            kind = fields[2]?.kind ?? field.kind
        }
        let label = field.isRepeated && field.mapEntry == nil ? "repeated " : ""
        let typeName = key.map { "map<\(name(of: $0.kind)), \(name(of: kind))>" } ?? label + name(of: kind)
        return FieldDescriptor(
            name: field.textName, jsonName: field.jsonName, number: field.number, typeName: typeName,
            isRepeated: field.isRepeated && field.mapEntry == nil, mapKey: key.map { scalar($0.kind) },
            value: scalar(kind), message: kind.messageIndex.map(message), oneof: field.oneof,
            isRequired: field.isRequired)
    }

    private func scalar(_ kind: FieldKind) -> FieldDescriptor.Scalar {
        switch kind {
        case .double, .float: .real
        case .bool: .bool
        case .string: .string
        case .bytes: .bytes
        case .message, .group: .message
        case .enumeration(let index):
            .enumeration(
                schema.enums[index].numbers
                    .sorted { ($0.value == 0 ? 0 : 1, $0.value, $0.key) < ($1.value == 0 ? 0 : 1, $1.value, $1.key) }
                    .map(\.key))
        default: .integer
        }
    }

    private func name(of kind: FieldKind) -> String {
        switch kind {
        case .message(let index), .group(let index): schema.messages[index].fullName
        case .enumeration(let index): schema.enums[index].fullName
        default: "\(kind)"
        }
    }
}
