extension DynamicMessage {
    /// A field's value for those who know its name only.
    public enum FieldValue: Sendable, Hashable {
        /// Not set, where the field tells that from its default.
        case null
        case bool(Bool)
        case integer(Int64)
        /// An unsigned number that is greater than any signed one.
        case unsigned(UInt64)
        case real(Double)
        /// A string, the name of an enum's value, or a well-known type's text form such as a moment's.
        case text(String)
        case bytes([UInt8])
        /// A message, a list or a map as protobuf JSON.
        case json(String)
    }

    /// The value of a field, or of one in a message in it, as `owner.address.city`; names are those of the declaration or
    /// of JSON. A message on the way that is not set makes it null.
    ///
    /// - Throws: ``ReflectionError`` when there is no such field, or its value has no form in JSON.
    public func field(_ path: String) throws(ReflectionError) -> FieldValue {
        var message = self
        let names = path.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        for (index, name) in names.enumerated() {
            guard let field = message.type.info.fieldsByJSONName[name] else {
                throw ReflectionError("\(message.type.fullName) has no field \(name)")
            }
            if index == names.count - 1 { return try message.value(of: field) }
            guard !field.isRepeated, field.mapEntry == nil, let inner = field.kind.messageIndex else {
                throw ReflectionError("\(field.fullName) is no message")
            }
            guard case .message(let next)? = message[field.number] else {
                // The rest of the path has to make sense all the same.
                try message.type.message(inner).checkField(names[(index + 1)...].joined(separator: "."))
                return .null
            }
            message = next
        }
        return .null
    }

    private func value(of field: FieldInfo) throws(ReflectionError) -> FieldValue {
        let stored = self[field.number]
        if field.isRepeated || field.mapEntry != nil {
            return .json(try JSONWriter.text(stored, of: field, in: type))
        }
        if stored == nil, field.hasPresence || field.kind.messageIndex != nil { return .null }
        return try Self.scalar(stored ?? type.defaultValue(of: field.kind), field.kind, in: type)
    }

    private static func scalar(
        _ value: Value, _ kind: FieldKind, in type: MessageDescriptor
    ) throws(ReflectionError) -> FieldValue {
        switch value {
        case .signed(let number):
            if case .enumeration(let index) = kind,
                let name = type.schema.enums[index].names[Int32(truncatingIfNeeded: number)]
            {
                return .text(name)
            }
            return .integer(number)
        case .unsigned(let number): return Int64(exactly: number).map { .integer($0) } ?? .unsigned(number)
        case .bool(let isTrue): return .bool(isTrue)
        // The shortest decimal that gives the same number.
        case .float(let number): return .real(Double("\(number)") ?? Double(number))
        case .double(let number): return .real(number)
        case .string(let text): return .text(text)
        case .bytes(let bytes): return .bytes(bytes)
        case .message(let message):
            switch message.type.info.wellKnown {
            case .wrapper:
                guard let field = message.type.field(1) else { return .null }
                return try scalar(message[1] ?? message.type.defaultValue(of: field.kind), field.kind, in: message.type)
            case .timestamp, .duration, .fieldMask: return .text(String(try message.json().dropFirst().dropLast()))
            default: return .json(try message.json())
            }
        case .list, .map: return .null
        }
    }
}

extension MessageDescriptor {
    /// Refuses a path that leads to no field, as ``DynamicMessage/field(_:)`` takes it.
    ///
    /// - Throws: ``ReflectionError``.
    public func checkField(_ path: String) throws(ReflectionError) {
        _ = try DynamicMessage(self).field(path)
    }
}
