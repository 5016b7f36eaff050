/// Reads wire bytes into fields, for tests that have to look into them.
struct WireReader {
    struct Field {
        var number: Int32
        var kind: WireWriter.Kind
        var value: UInt64 = 0
        /// Of a length-delimited field or a group.
        var content: ArraySlice<UInt8> = []
    }

    private var rest: ArraySlice<UInt8>

    /// The fields of a message, nil where they cannot be read to the end.
    static func fields(_ bytes: ArraySlice<UInt8>) -> [Field]? {
        var reader = WireReader(rest: bytes)
        let found = reader.wellFormed()
        return reader.rest.isEmpty ? found : nil
    }

    /// The fields of a message as far as they can be read.
    static func prefix(_ bytes: ArraySlice<UInt8>) -> [Field] {
        var reader = WireReader(rest: bytes)
        return reader.wellFormed()
    }

    /// Stops before the field that cannot be read.
    private mutating func wellFormed() -> [Field] {
        var found: [Field] = []
        while !rest.isEmpty {
            let start = rest
            guard let field = next(depth: 0), field.kind != .endGroup else {
                rest = start
                return found
            }
            found.append(field)
        }
        return found
    }

    private mutating func varint() -> UInt64? {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), through: 63, by: 7) {
            guard let byte = rest.popFirst() else { return nil }
            value |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return value }
        }
        return nil
    }

    private mutating func next(depth: Int) -> Field? {
        guard depth < 100, let tag = varint(), tag <= UInt64(UInt32.max), tag >> 3 > 0,
            let kind = WireWriter.Kind(rawValue: Int(tag & 7))
        else { return nil }
        var field = Field(number: Int32(tag >> 3), kind: kind)
        switch kind {
        case .varint:
            guard let value = varint() else { return nil }
            field.value = value
        case .fixed64, .fixed32:
            let count = kind == .fixed64 ? 8 : 4
            guard rest.count >= count else { return nil }
            rest.removeFirst(count)
        case .delimited:
            guard let count = varint(), count <= UInt64(rest.count) else { return nil }
            field.content = rest.prefix(Int(count))
            rest.removeFirst(Int(count))
        case .startGroup:
            let whole = rest
            while true {
                let end = rest.startIndex
                guard let inner = next(depth: depth + 1) else { return nil }
                if inner.kind == .endGroup {
                    guard inner.number == field.number else { return nil }
                    field.content = whole[..<end]
                    break
                }
            }
        case .endGroup: break
        }
        return field
    }
}
