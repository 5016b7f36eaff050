import EgoTestKit
import SwiftProtobuf

extension WireGenerator {
    private static let texts = [
        "", "a", "snake_case", "né", "日本", "😀", "\u{1}\u{7f}\u{85}", "\"\\/\n\t\r\u{8}\u{c}", "it's ?", "\u{fffd}",
        "\u{10000}", "nul\u{0}", "</b>", String(repeating: "long ", count: 40), "{}", "#", "true", "-1",
    ]

    /// A string; of characters that have one spelling only.
    mutating func text() -> String { pick(Self.texts) }

    /// The bytes of a value, without a tag.
    mutating func scalar(_ field: Schema.Field) -> [UInt8] {
        var writer = WireWriter()
        switch field.type {
        case .double: writer.fixed64(double().bitPattern)
        case .float: writer.fixed32(float().bitPattern)
        case .fixed64, .sfixed64: writer.fixed64(integer())
        case .fixed32, .sfixed32: writer.fixed32(UInt32(truncatingIfNeeded: integer()))
        case .string: writer.delimited(Array(text().utf8))
        case .bytes: writer.delimited(blob())
        case .enum: writer.varint(UInt64(bitPattern: Int64(number(of: field.typeName))))
        case .bool: writer.varint(liberty(10) ? integer() : pick([0, 1]))
        case .int32: writer.varint(UInt64(bitPattern: Int64(Int32(truncatingIfNeeded: integer()))))
        case .uint32, .sint32: writer.varint(liberty(10) ? integer() : integer() & 0xffff_ffff)
        case .int64, .uint64, .sint64:
            let value = integer()
            writer.varint(value, padding: value < 1 << 56 && liberty(5) ? 1 : 0)
        case .message, .group: break
        }
        return writer.bytes
    }

    /// Bits of an integer of any width; often of those on a border.
    mutating func integer() -> UInt64 {
        if chance(30) { return random.next() >> UInt64.random(in: 0...63, using: &random) }
        return pick([
            0, 1, 2, 127, 128, 300, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x1_0000_0000, 1 << 53, (1 << 53) + 1,
            UInt64(Int64.max), UInt64(bitPattern: .min), UInt64(bitPattern: -2), .max,
        ])
    }

    private mutating func blob() -> [UInt8] {
        if chance(30) { return Array(text().utf8) }
        return (0..<Int.random(in: 0...9, using: &random)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    }

    private mutating func number(of enumeration: String) -> Int32 {
        let type = schema.enumeration(enumeration)
        if enumeration.hasSuffix("google.protobuf.NullValue") { return liberty(10) ? 5 : 0 }
        let isUnknown = type.isClosed ? liberty(25) : chance(15)
        return isUnknown ? pick([7, -7, 100_000, .max - 1]) : pick(type.numbers)
    }

    mutating func double() -> Double {
        let value = pick([
            0, -0.0, 1, -1.5, 0.1, 1e20, 1e21, 123_456_789.123, .leastNonzeroMagnitude, .pi, .greatestFiniteMagnitude,
            .infinity, -.infinity, .nan, Double(bitPattern: random.next()),
        ])
        return style == .plain && value.isNaN ? .nan : value
    }

    private mutating func float() -> Float {
        let value = pick([
            0, -0.0, 1, -1.5, 0.1, 1e20, 16_777_216, .leastNonzeroMagnitude, .pi, .greatestFiniteMagnitude, .infinity,
            -.infinity, .nan, Float(bitPattern: UInt32(truncatingIfNeeded: random.next())),
        ])
        return style == .plain && value.isNaN ? .nan : value
    }
}
