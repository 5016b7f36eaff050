/// A kind of number: how it lies on the wire, and how JSON has it.
struct WireNumber<Value: Equatable> {
    let width: WireWidth
    let value: (UInt64) -> Value
    let append: (TransferBuffer, Value) -> Void

    private init(
        _ width: WireWidth, _ value: @escaping (UInt64) -> Value, _ append: @escaping (TransferBuffer, Value) -> Void
    ) {
        (self.width, self.value, self.append) = (width, value, append)
    }
}

/// How much room a number takes on the wire.
enum WireWidth {
    case varint
    case four
    case eight
}

extension WireNumber<Int32> {
    static var int32: Self { Self(.varint, { Int32(truncatingIfNeeded: $0) }, Self.append) }
    static var sfixed32: Self { Self(.four, { Int32(truncatingIfNeeded: $0) }, Self.append) }
    static var sint32: Self {
        Self(
            .varint,
            {
                let bits = UInt32(truncatingIfNeeded: $0)
                return Int32(bitPattern: bits >> 1 ^ (0 &- (bits & 1)))
            }, Self.append)
    }

    private static func append(_ buffer: TransferBuffer, _ value: Int32) { buffer.append(decimal: Int64(value)) }
}

extension WireNumber<Int64> {
    static var int64: Self { Self(.varint, { Int64(bitPattern: $0) }, { $0.append(quoted: $1) }) }
    static var sfixed64: Self { Self(.eight, { Int64(bitPattern: $0) }, { $0.append(quoted: $1) }) }
    static var sint64: Self {
        Self(.varint, { Int64(bitPattern: $0 >> 1 ^ (0 &- ($0 & 1))) }, { $0.append(quoted: $1) })
    }
}

extension WireNumber<UInt32> {
    static var uint32: Self { Self(.varint, { UInt32(truncatingIfNeeded: $0) }, { $0.append(decimal: UInt64($1)) }) }
    static var fixed32: Self { Self(.four, { UInt32(truncatingIfNeeded: $0) }, { $0.append(decimal: UInt64($1)) }) }
}

extension WireNumber<UInt64> {
    static var uint64: Self { Self(.varint, { $0 }, { $0.append(quoted: $1) }) }
    static var fixed64: Self { Self(.eight, { $0 }, { $0.append(quoted: $1) }) }
}

extension WireNumber<Bool> {
    static var bool: Self { Self(.varint, { $0 != 0 }, { $0.append($1 ? "true" : "false") }) }
}

extension WireNumber<Float> {
    static var float: Self {
        Self(
            .four, { Float(bitPattern: UInt32(truncatingIfNeeded: $0)) },
            { $0.append(protobufJSON: $1, $1.debugDescription) })
    }
}

extension WireNumber<Double> {
    static var double: Self {
        Self(.eight, { Double(bitPattern: $0) }, { $0.append(protobufJSON: $1, $1.debugDescription) })
    }
}
