import SwiftProtobuf

/// What cannot be written but by SwiftProtobuf.
struct Unlearned: Error {}

/// What is known of a message type.
final class MessagePlan {
    enum Form: Equatable {
        /// An object of its fields.
        case object
        /// The value of its only field, or this when it is not set.
        case wrapper(StaticString)
        /// One that SwiftProtobuf writes.
        case own

        static func == (one: Form, other: Form) -> Bool {
            switch (one, other) {
            case (.object, .object), (.own, .own), (.wrapper, .wrapper): true
            default: false
            }
        }
    }

    @exclusivity(unchecked) var form: Form
    private let type: any Message.Type
    /// By field number: the name in quotation marks, and a colon.
    @exclusivity(unchecked) private var names: [Int: [UInt8]] = [:]
    @exclusivity(unchecked) private var cases: [Case: [UInt8]] = [:]

    private struct Case: Hashable {
        var field: Int
        var number: Int
    }

    init(_ type: any Message.Type) {
        self.type = type
        form =
            switch type {
            case is Google_Protobuf_BytesValue.Type, is Google_Protobuf_StringValue.Type: .wrapper("\"\"")
            case is Google_Protobuf_BoolValue.Type: .wrapper("false")
            case is Google_Protobuf_Int32Value.Type, is Google_Protobuf_UInt32Value.Type: .wrapper("0")
            case is Google_Protobuf_Int64Value.Type, is Google_Protobuf_UInt64Value.Type: .wrapper("\"0\"")
            case is Google_Protobuf_Any.Type, is Google_Protobuf_Duration.Type, is Google_Protobuf_Timestamp.Type,
                is Google_Protobuf_FieldMask.Type, is Google_Protobuf_Struct.Type, is Google_Protobuf_Value.Type,
                is Google_Protobuf_ListValue.Type, is Google_Protobuf_FloatValue.Type,
                is Google_Protobuf_DoubleValue.Type:
                .own
            default: .object
            }
    }

    /// - Parameter sample: the field as protobuf has it after its number, with a value that is written.
    func name(of field: Int, _ sample: @autoclosure () throws -> Sample) throws -> [UInt8] {
        if let known = names[field] { return known }
        let name = try learn(field, try sample()).name
        names[field] = name
        return name
    }

    func text(ofCase number: Int, of field: Int) throws -> [UInt8] {
        let name = Case(field: field, number: number)
        if let known = cases[name] { return known }
        var text = try learn(field, .number(UInt64(bitPattern: Int64(number)))).value
        // Of a repeated field.
        if text.first == UInt8(ascii: "[") { text = Array(text.dropFirst().dropLast()) }
        cases[name] = text
        return text
    }

    enum Sample {
        case number(UInt64)
        case four
        case eight
        case bytes([UInt8])
    }

    private func learn(_ field: Int, _ sample: Sample) throws -> (name: [UInt8], value: [UInt8]) {
        let wire = TransferBuffer(capacity: 64)
        func tag(_ type: UInt64) { wire.append(varint: UInt64(field) << 3 | type) }
        switch sample {
        case .number(let number):
            tag(0)
            wire.append(varint: number)
        case .four:
            tag(5)
            wire.append([1, 0, 0, 0])
        case .eight:
            tag(1)
            wire.append([1, 0, 0, 0, 0, 0, 0, 0])
        case .bytes(let bytes):
            tag(2)
            wire.append(varint: UInt64(bytes.count))
            wire.append(bytes)
        }
        let json: [UInt8] = try type.init(serializedBytes: Array(wire.bytes), partial: true).jsonUTF8Bytes()
        guard json.starts(with: "{\"".utf8) else { throw Unlearned() }
        var end = 2
        while end < json.count, json[end] != UInt8(ascii: "\"") { end += json[end] == UInt8(ascii: "\\") ? 2 : 1 }
        guard end + 2 < json.count, json[end + 1] == UInt8(ascii: ":") else { throw Unlearned() }
        return (Array(json[1...end + 1]), Array(json[(end + 2)...].dropLast()))
    }
}
