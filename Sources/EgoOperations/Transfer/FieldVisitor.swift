import SwiftProtobuf

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Writes the fields of one message.
struct FieldVisitor: Visitor {
    private let writer: MessageJSONWriter
    private let buffer: TransferBuffer
    private let plan: MessagePlan
    private(set) var isFirst = true

    init(_ writer: MessageJSONWriter, _ buffer: TransferBuffer, _ plan: MessagePlan) {
        (self.writer, self.buffer, self.plan) = (writer, buffer, plan)
    }

    private mutating func field(_ number: Int, _ sample: @autoclosure () throws -> MessagePlan.Sample) throws {
        if case .wrapper = plan.form {
            isFirst = false
            return
        }
        if !isFirst { buffer.append(UInt8(ascii: ",")) }
        isFirst = false
        buffer.append(try plan.name(of: number, try sample()))
    }

    /// What comes before a value of a list.
    private func next(_ index: Int) { buffer.append(index == 0 ? UInt8(ascii: "[") : UInt8(ascii: ",")) }

    private func end() { buffer.append(UInt8(ascii: "]")) }

    // MARK: Values

    private func quoted(_ number: Int64) {
        buffer.append(UInt8(ascii: "\""))
        buffer.append(decimal: number)
        buffer.append(UInt8(ascii: "\""))
    }

    private func quoted(_ number: UInt64) {
        buffer.append(UInt8(ascii: "\""))
        buffer.append(decimal: number)
        buffer.append(UInt8(ascii: "\""))
    }

    private func plain(_ number: Int32) { buffer.append(decimal: Int64(number)) }
    private func plain(_ number: UInt32) { buffer.append(decimal: UInt64(number)) }
    private func bool(_ isTrue: Bool) { buffer.append(isTrue ? "true" : "false") }
    private func string(_ text: String) { buffer.append(protobufJSON: text) }

    private func bytes(_ data: Data) {
        buffer.append(UInt8(ascii: "\""))
        data.withUnsafeBytes { buffer.append(base64: $0.assumingMemoryBound(to: UInt8.self)) }
        buffer.append(UInt8(ascii: "\""))
    }

    private func number(_ number: some BinaryFloatingPoint, _ text: String) {
        if number.isNaN {
            buffer.append("\"NaN\"")
        } else if number.isInfinite {
            buffer.append(number < 0 ? "\"-Infinity\"" : "\"Infinity\"")
        } else {
            var text = text
            text.withUTF8 { buffer.append($0) }
        }
    }

    private static func sample(_ message: some Message) throws -> MessagePlan.Sample {
        .bytes(try message.serializedBytes(partial: true))
    }

    private static let text = MessagePlan.Sample.bytes([UInt8(ascii: "a")])

    // MARK: Single fields

    mutating func visitSingularFloatField(value: Float, fieldNumber: Int) throws {
        try field(fieldNumber, .four)
        number(value, value.debugDescription)
    }

    mutating func visitSingularDoubleField(value: Double, fieldNumber: Int) throws {
        try field(fieldNumber, .eight)
        number(value, value.debugDescription)
    }

    mutating func visitSingularInt32Field(value: Int32, fieldNumber: Int) throws {
        try field(fieldNumber, .number(1))
        plain(value)
    }

    mutating func visitSingularInt64Field(value: Int64, fieldNumber: Int) throws {
        try field(fieldNumber, .number(1))
        quoted(value)
    }

    mutating func visitSingularUInt32Field(value: UInt32, fieldNumber: Int) throws {
        try field(fieldNumber, .number(1))
        plain(value)
    }

    mutating func visitSingularUInt64Field(value: UInt64, fieldNumber: Int) throws {
        try field(fieldNumber, .number(1))
        quoted(value)
    }

    mutating func visitSingularFixed32Field(value: UInt32, fieldNumber: Int) throws {
        try field(fieldNumber, .four)
        plain(value)
    }

    mutating func visitSingularFixed64Field(value: UInt64, fieldNumber: Int) throws {
        try field(fieldNumber, .eight)
        quoted(value)
    }

    mutating func visitSingularSFixed32Field(value: Int32, fieldNumber: Int) throws {
        try field(fieldNumber, .four)
        plain(value)
    }

    mutating func visitSingularSFixed64Field(value: Int64, fieldNumber: Int) throws {
        try field(fieldNumber, .eight)
        quoted(value)
    }

    mutating func visitSingularBoolField(value: Bool, fieldNumber: Int) throws {
        try field(fieldNumber, .number(1))
        bool(value)
    }

    mutating func visitSingularStringField(value: String, fieldNumber: Int) throws {
        try field(fieldNumber, Self.text)
        string(value)
    }

    mutating func visitSingularBytesField(value: Data, fieldNumber: Int) throws {
        try field(fieldNumber, Self.text)
        bytes(value)
    }

    mutating func visitSingularEnumField<E: Enum>(value: E, fieldNumber: Int) throws {
        try field(fieldNumber, .number(UInt64(bitPattern: Int64(value.rawValue))))
        buffer.append(try plan.text(ofCase: value.rawValue, of: fieldNumber))
    }

    mutating func visitSingularMessageField<M: Message>(value: M, fieldNumber: Int) throws {
        try field(fieldNumber, try Self.sample(value))
        try writer.write(value)
    }

    mutating func visitSingularGroupField<G: Message>(value: G, fieldNumber: Int) throws { throw Unlearned() }

    // MARK: Repeated fields, packed ones too

    mutating func visitRepeatedFloatField(value: [Float], fieldNumber: Int) throws {
        try field(fieldNumber, .four)
        for (index, item) in value.enumerated() {
            next(index)
            number(item, item.debugDescription)
        }
        end()
    }

    mutating func visitRepeatedDoubleField(value: [Double], fieldNumber: Int) throws {
        try field(fieldNumber, .eight)
        for (index, item) in value.enumerated() {
            next(index)
            number(item, item.debugDescription)
        }
        end()
    }

    mutating func visitRepeatedInt32Field(value: [Int32], fieldNumber: Int) throws {
        try field(fieldNumber, .number(1))
        for (index, item) in value.enumerated() {
            next(index)
            plain(item)
        }
        end()
    }

    mutating func visitRepeatedInt64Field(value: [Int64], fieldNumber: Int) throws {
        try field(fieldNumber, .number(1))
        for (index, item) in value.enumerated() {
            next(index)
            quoted(item)
        }
        end()
    }

    mutating func visitRepeatedUInt32Field(value: [UInt32], fieldNumber: Int) throws {
        try field(fieldNumber, .number(1))
        for (index, item) in value.enumerated() {
            next(index)
            plain(item)
        }
        end()
    }

    mutating func visitRepeatedUInt64Field(value: [UInt64], fieldNumber: Int) throws {
        try field(fieldNumber, .number(1))
        for (index, item) in value.enumerated() {
            next(index)
            quoted(item)
        }
        end()
    }

    mutating func visitRepeatedSInt32Field(value: [Int32], fieldNumber: Int) throws {
        try field(fieldNumber, .number(1))
        for (index, item) in value.enumerated() {
            next(index)
            plain(item)
        }
        end()
    }

    mutating func visitRepeatedSInt64Field(value: [Int64], fieldNumber: Int) throws {
        try field(fieldNumber, .number(1))
        for (index, item) in value.enumerated() {
            next(index)
            quoted(item)
        }
        end()
    }

    mutating func visitRepeatedFixed32Field(value: [UInt32], fieldNumber: Int) throws {
        try field(fieldNumber, .four)
        for (index, item) in value.enumerated() {
            next(index)
            plain(item)
        }
        end()
    }

    mutating func visitRepeatedFixed64Field(value: [UInt64], fieldNumber: Int) throws {
        try field(fieldNumber, .eight)
        for (index, item) in value.enumerated() {
            next(index)
            quoted(item)
        }
        end()
    }

    mutating func visitRepeatedSFixed32Field(value: [Int32], fieldNumber: Int) throws {
        try field(fieldNumber, .four)
        for (index, item) in value.enumerated() {
            next(index)
            plain(item)
        }
        end()
    }

    mutating func visitRepeatedSFixed64Field(value: [Int64], fieldNumber: Int) throws {
        try field(fieldNumber, .eight)
        for (index, item) in value.enumerated() {
            next(index)
            quoted(item)
        }
        end()
    }

    mutating func visitRepeatedBoolField(value: [Bool], fieldNumber: Int) throws {
        try field(fieldNumber, .number(1))
        for (index, item) in value.enumerated() {
            next(index)
            bool(item)
        }
        end()
    }

    mutating func visitRepeatedStringField(value: [String], fieldNumber: Int) throws {
        try field(fieldNumber, Self.text)
        for (index, item) in value.enumerated() {
            next(index)
            string(item)
        }
        end()
    }

    mutating func visitRepeatedBytesField(value: [Data], fieldNumber: Int) throws {
        try field(fieldNumber, Self.text)
        for (index, item) in value.enumerated() {
            next(index)
            bytes(item)
        }
        end()
    }

    mutating func visitRepeatedEnumField<E: Enum>(value: [E], fieldNumber: Int) throws {
        guard let first = value.first else { return }
        try field(fieldNumber, .number(UInt64(bitPattern: Int64(first.rawValue))))
        for (index, item) in value.enumerated() {
            next(index)
            buffer.append(try plan.text(ofCase: item.rawValue, of: fieldNumber))
        }
        end()
    }

    mutating func visitRepeatedMessageField<M: Message>(value: [M], fieldNumber: Int) throws {
        guard let first = value.first else { return }
        try field(fieldNumber, try Self.sample(first))
        for (index, item) in value.enumerated() {
            next(index)
            try writer.write(item)
        }
        end()
    }

    mutating func visitRepeatedGroupField<G: Message>(value: [G], fieldNumber: Int) throws { throw Unlearned() }

    // MARK: What SwiftProtobuf writes

    mutating func visitMapField<KeyType, ValueType: MapValueType>(
        fieldType: _ProtobufMap<KeyType, ValueType>.Type, value: _ProtobufMap<KeyType, ValueType>.BaseType,
        fieldNumber: Int
    ) throws { throw Unlearned() }

    mutating func visitMapField<KeyType, ValueType>(
        fieldType: _ProtobufEnumMap<KeyType, ValueType>.Type, value: _ProtobufEnumMap<KeyType, ValueType>.BaseType,
        fieldNumber: Int
    ) throws where ValueType.RawValue == Int { throw Unlearned() }

    mutating func visitMapField<KeyType, ValueType>(
        fieldType: _ProtobufMessageMap<KeyType, ValueType>.Type,
        value: _ProtobufMessageMap<KeyType, ValueType>.BaseType, fieldNumber: Int
    ) throws { throw Unlearned() }

    mutating func visitExtensionFields(fields: ExtensionFieldValueSet, start: Int, end: Int) throws {
        throw Unlearned()
    }

    mutating func visitExtensionFieldsAsMessageSet(fields: ExtensionFieldValueSet, start: Int, end: Int) throws {
        throw Unlearned()
    }

    /// JSON has no form for it.
    mutating func visitUnknown(bytes: Data) throws {}
}

extension TransferBuffer {
    /// A string as protobuf JSON has it.
    func append(protobufJSON text: String) {
        var text = text
        text.withUTF8 { bytes in
            append(UInt8(ascii: "\""))
            var first = 0
            for (index, byte) in bytes.enumerated() {
                let short: UInt8
                switch byte {
                case 0x20...0x21, 0x23...0x5b, 0x5d...0x7e, 0x80...0xc1, 0xc3...: continue
                // U+0080 to U+009F are control characters.
                case 0xc2 where bytes[index + 1] > 0x9f: continue
                case 0x08: short = UInt8(ascii: "b")
                case 0x09: short = UInt8(ascii: "t")
                case 0x0a: short = UInt8(ascii: "n")
                case 0x0c: short = UInt8(ascii: "f")
                case 0x0d: short = UInt8(ascii: "r")
                case UInt8(ascii: "\""), UInt8(ascii: "\\"): short = byte
                default: short = UInt8(ascii: "u")
                }
                append(UnsafeBufferPointer(rebasing: bytes[first..<index]))
                append(UInt8(ascii: "\\"))
                append(short)
                first = index + 1
                if short != UInt8(ascii: "u") { continue }
                let code = byte == 0xc2 ? bytes[index + 1] : byte
                if byte == 0xc2 { first += 1 }
                append("00")
                for digit in [code >> 4, code & 15] {
                    append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "A") - 10 + digit)
                }
            }
            append(UnsafeBufferPointer(rebasing: bytes[first...]))
            append(UInt8(ascii: "\""))
        }
    }
}
