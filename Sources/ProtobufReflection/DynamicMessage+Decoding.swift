extension DynamicMessage {
    /// Adds the fields of a message in wire format to this one.
    ///
    /// - Parameters:
    ///   - depth: how deep this message is; the outermost is 1.
    ///   - group: the number whose end ends the message, where it is a group.
    mutating func merge(_ reader: inout FieldReader, depth: Int, group: Int? = nil) throws(ReflectionError) {
        if depth > Self.depthLimit { throw .tooDeep }
        while !reader.isAtEnd {
            let start = reader.position
            let tag = try reader.tag()
            if tag.wireType == 4 {
                guard tag.number == group else { throw .malformed }
                return
            }
            let content = reader.position
            if let field = type.field(tag.number), try take(field, tag, &reader, depth) { continue }
            // Not known, or not as the field is declared: kept as it is.
            reader.move(to: content)
            try reader.skip(tag, depth: depth)
            unknownFields += reader.raw(from: start)
        }
        if group != nil { throw .truncated }
    }

    /// Reads a field that is known; false when it is to be kept as it is.
    private mutating func take(
        _ field: FieldInfo, _ tag: FieldReader.Tag, _ reader: inout FieldReader, _ depth: Int
    ) throws(ReflectionError) -> Bool {
        if field.mapEntry != nil {
            return tag.wireType == 2 ? try takeEntry(field, &reader, depth) : false
        }
        if field.isRepeated, field.kind.isPackable, tag.wireType == 2 {
            let range = try reader.delimited()
            try takePacked(field, reader.part(range))
            return true
        }
        guard tag.wireType == field.kind.wireType else { return false }
        if let index = field.kind.messageIndex {
            var message = field.isRepeated ? DynamicMessage(type.message(index)) : self.message(of: field, index)
            try Self.read(&message, field.kind, tag, &reader, depth)
            if field.isRepeated { append([.message(message)], to: field) } else { set(.message(message), of: field) }
            return true
        }
        guard let value = try type.value(field.kind, &reader) else { return false }
        if field.isRepeated { append([value], to: field) } else { set(value, of: field) }
        return true
    }

    private static func read(
        _ message: inout DynamicMessage, _ kind: FieldKind, _ tag: FieldReader.Tag, _ reader: inout FieldReader,
        _ depth: Int
    ) throws(ReflectionError) {
        if case .group = kind {
            try message.merge(&reader, depth: depth + 1, group: tag.number)
        } else {
            var part = reader.part(try reader.delimited())
            try message.merge(&part, depth: depth + 1)
        }
    }

    /// Reads values that stand close together. Numbers that a closed enum does not name become one unknown field.
    private mutating func takePacked(_ field: FieldInfo, _ part: FieldReader) throws(ReflectionError) {
        var part = part
        var values: [Value] = []
        var unnamed: [UInt8] = []
        while !part.isAtEnd {
            if case .enumeration(let index) = field.kind, type.schema.enums[index].isClosed {
                let number = Int64(Int32(truncatingIfNeeded: try part.varint()))
                if type.schema.enums[index].names[Int32(number)] == nil {
                    WireEncoder.append(varint: UInt64(bitPattern: number), to: &unnamed)
                } else {
                    values.append(.signed(number))
                }
            } else if let value = try type.value(field.kind, &part) {
                values.append(value)
            }
        }
        append(values, to: field)
        if unnamed.isEmpty { return }
        WireEncoder.append(varint: UInt64(field.number) << 3 | 2, to: &unknownFields)
        WireEncoder.append(varint: UInt64(unnamed.count), to: &unknownFields)
        unknownFields += unnamed
    }

    private mutating func takeEntry(
        _ field: FieldInfo, _ reader: inout FieldReader, _ depth: Int
    ) throws(ReflectionError) -> Bool {
        guard let index = field.mapEntry else { return false }
        let entry = type.message(index)
        guard let keyField = entry.field(1), let valueField = entry.field(2) else { return false }
        var part = reader.part(try reader.delimited())
        var key: Value?
        var value: Value?
        while !part.isAtEnd {
            let tag = try part.tag()
            if tag.wireType == 4 { throw .malformed }
            if tag.number == 1, tag.wireType == keyField.kind.wireType {
                key = try entry.value(keyField.kind, &part)
            } else if tag.number == 2, tag.wireType == valueField.kind.wireType {
                if let message = valueField.kind.messageIndex {
                    var merged = DynamicMessage(entry.message(message))
                    if case .message(let known)? = value { merged = known }
                    try Self.read(&merged, valueField.kind, tag, &part, depth)
                    value = .message(merged)
                } else if let read = try entry.value(valueField.kind, &part) {
                    value = read
                } else if value == nil {
                    return false  // the number of no value of a closed enum: the whole entry is unknown
                }
            } else {
                try part.skip(tag, depth: depth)
            }
        }
        let found = key ?? entry.defaultValue(of: keyField.kind)
        if let mapKey = MapKey(found) {
            put(value ?? entry.defaultValue(of: valueField.kind), at: mapKey, of: field)
        }
        return true
    }
}

extension MessageDescriptor {
    /// Reads a value that is no message; nil for a number that a closed enum does not name.
    func value(_ kind: FieldKind, _ reader: inout FieldReader) throws(ReflectionError) -> DynamicMessage.Value? {
        func zigzag(_ value: UInt64) -> Int64 { Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1) }
        switch kind {
        case .double: return .double(Double(bitPattern: try reader.fixed64()))
        case .float: return .float(Float(bitPattern: try reader.fixed32()))
        case .int32: return .signed(Int64(Int32(truncatingIfNeeded: try reader.varint())))
        case .int64: return .signed(Int64(bitPattern: try reader.varint()))
        case .uint32: return .unsigned(UInt64(UInt32(truncatingIfNeeded: try reader.varint())))
        case .uint64: return .unsigned(try reader.varint())
        case .sint32: return .signed(zigzag(UInt64(UInt32(truncatingIfNeeded: try reader.varint()))))
        case .sint64: return .signed(zigzag(try reader.varint()))
        case .fixed32: return .unsigned(UInt64(try reader.fixed32()))
        case .fixed64: return .unsigned(try reader.fixed64())
        case .sfixed32: return .signed(Int64(Int32(bitPattern: try reader.fixed32())))
        case .sfixed64: return .signed(Int64(bitPattern: try reader.fixed64()))
        case .bool: return .bool(try reader.varint() != 0)
        case .string: return .string(try reader.text(try reader.delimited()))
        case .bytes: return .bytes(reader.bytes(try reader.delimited()))
        case .enumeration(let index):
            let number = Int32(truncatingIfNeeded: try reader.varint())
            let known = schema.enums[index]
            return known.isClosed && known.names[number] == nil ? nil : .signed(Int64(number))
        case .message, .group: return nil
        }
    }
}
