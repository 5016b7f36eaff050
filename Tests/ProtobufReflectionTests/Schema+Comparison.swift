import SwiftProtobuf

/// How far the generated code's reading of a message's bytes can be followed.
enum Comparison: Int {
    /// It reads them as the format says.
    case exact
    /// It may accept what is malformed.
    case lenient
    /// What it makes of them is not what the format says.
    case none
}

extension Schema {
    /// Where the generated code reads well-formed or malformed bytes in a way of its own.
    ///
    /// Where a key or a value of a map has another wire type than declared, it takes the value's bytes for the next tag. It
    /// does not look at what follows an unknown number of a closed enum in a map. Its string keys are equal when they are
    /// canonically equivalent, so only keys without combining characters can be compared. A group that does not end is
    /// accepted when an unknown group of the same number ended in it last.
    func comparison(_ bytes: ArraySlice<UInt8>, of name: String) -> Comparison {
        let type = message(name)
        guard let fields = WireReader.fields(bytes) else {
            let hasOddities = type.fields.contains { $0.type == .group || mapEntry($0) != nil }
            return hasOddities ? .lenient : inner(WireReader.prefix(bytes), of: type)
        }
        return inner(fields, of: type)
    }

    private func inner(_ fields: [WireReader.Field], of type: Message) -> Comparison {
        var worst = Comparison.exact
        for field in fields {
            guard let declared = type.field(field.number) else { continue }
            var found = Comparison.exact
            if let (key, value) = mapEntry(declared) {
                if field.kind == .delimited { found = entry(field.content, key: key, value: value) }
            } else if declared.type == .message && field.kind == .delimited
                || declared.type == .group && field.kind == .startGroup
            {
                found = comparison(field.content, of: declared.typeName)
            }
            if found.rawValue > worst.rawValue { worst = found }
        }
        return worst
    }

    private func entry(_ bytes: ArraySlice<UInt8>, key: Field, value: Field) -> Comparison {
        guard let fields = WireReader.fields(bytes) else { return .lenient }
        var worst = Comparison.exact
        for field in fields where field.number == 1 || field.number == 2 {
            let declared = field.number == 1 ? key : value
            guard field.kind == WireWriter.Kind(declared.type) else { return .none }
            if field.number == 1, key.type == .string, !isPlain(field.content) { return .none }
            if field.number == 2, value.type == .message {
                let found = comparison(field.content, of: value.typeName)
                if found.rawValue > worst.rawValue { worst = found }
            }
        }
        return worst
    }

    /// Whether all characters are of those that generators use, which have one spelling only.
    private func isPlain(_ bytes: ArraySlice<UInt8>) -> Bool {
        String(decoding: bytes, as: UTF8.self).unicodeScalars.allSatisfy {
            $0.isASCII || "é日本😀\u{85}\u{fffd}\u{10000}".unicodeScalars.contains($0)
        }
    }
}

extension WireWriter.Kind {
    /// How a field's values stand on the wire when they are not packed.
    init(_ type: Schema.Field.TypeEnum) {
        self =
            switch type {
            case .double, .fixed64, .sfixed64: .fixed64
            case .float, .fixed32, .sfixed32: .fixed32
            case .string, .bytes, .message: .delimited
            case .group: .startGroup
            case .int32, .int64, .uint32, .uint64, .sint32, .sint64, .bool, .enum: .varint
            }
    }
}
