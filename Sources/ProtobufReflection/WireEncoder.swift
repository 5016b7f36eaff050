extension DynamicMessage {
    /// The message's bytes: fields in the order of their numbers, entries of maps in that of their keys, then what the
    /// type does not know.
    ///
    /// - Throws: ``ReflectionError`` when a required field is missing.
    public func serialized() throws(ReflectionError) -> [UInt8] {
        try checkRequired()
        var encoder = WireEncoder()
        encoder.write(self)
        return encoder.bytes
    }
}

/// Writes messages in wire format.
struct WireEncoder {
    private(set) var bytes: [UInt8] = []

    mutating func write(_ message: DynamicMessage) {
        for (field, value) in message.setFields { write(value, of: field, in: message.type) }
        bytes += message.unknownFields
    }

    private mutating func write(_ value: DynamicMessage.Value, of field: FieldInfo, in type: MessageDescriptor) {
        switch value {
        case .list(let list) where field.isPacked:
            var packed = WireEncoder()
            for value in list { packed.content(value, field.kind) }
            tag(field.number, 2)
            delimited(packed.bytes)
        case .list(let list): for value in list { single(value, field.kind, field.number) }
        case .map(let map):
            guard let index = field.mapEntry else { return }
            let entry = type.message(index)
            guard let keyField = entry.field(1), let valueField = entry.field(2) else { return }
            for (key, value) in map.sorted(by: { $0.key < $1.key }) {
                var encoder = WireEncoder()
                encoder.single(key.value, keyField.kind, 1)
                encoder.single(value, valueField.kind, 2)
                tag(field.number, 2)
                delimited(encoder.bytes)
            }
        default: single(value, field.kind, field.number)
        }
    }

    private mutating func single(_ value: DynamicMessage.Value, _ kind: FieldKind, _ number: Int) {
        tag(number, kind.wireType)
        content(value, kind)
        if case .group = kind { tag(number, 4) }
    }

    private mutating func content(_ value: DynamicMessage.Value, _ kind: FieldKind) {
        switch (value, kind) {
        case (.signed(let number), .sint32), (.signed(let number), .sint64):
            Self.append(varint: UInt64(bitPattern: number << 1 ^ number >> 63), to: &bytes)
        case (.signed(let number), .sfixed32): fixed(UInt32(truncatingIfNeeded: number))
        case (.signed(let number), .sfixed64): fixed(UInt64(bitPattern: number))
        case (.signed(let number), _): Self.append(varint: UInt64(bitPattern: number), to: &bytes)
        case (.unsigned(let number), .fixed32): fixed(UInt32(truncatingIfNeeded: number))
        case (.unsigned(let number), .fixed64): fixed(number)
        case (.unsigned(let number), _): Self.append(varint: number, to: &bytes)
        case (.bool(let isTrue), _): bytes.append(isTrue ? 1 : 0)
        case (.float(let number), _): fixed(number.bitPattern)
        case (.double(let number), _): fixed(number.bitPattern)
        case (.string(let text), _): delimited(Array(text.utf8))
        case (.bytes(let data), _): delimited(data)
        case (.message(let message), .group): write(message)
        case (.message(let message), _):
            var inner = WireEncoder()
            inner.write(message)
            delimited(inner.bytes)
        case (.list, _), (.map, _): break
        }
    }

    private mutating func tag(_ number: Int, _ wireType: UInt64) {
        Self.append(varint: UInt64(number) << 3 | wireType, to: &bytes)
    }

    private mutating func delimited(_ data: [UInt8]) {
        Self.append(varint: UInt64(data.count), to: &bytes)
        bytes += data
    }

    private mutating func fixed(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    static func append(varint: UInt64, to bytes: inout [UInt8]) {
        var rest = varint
        while rest > 0x7f {
            bytes.append(UInt8(rest & 0x7f) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }
}
