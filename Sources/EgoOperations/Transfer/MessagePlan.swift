import SwiftProtobuf

/// Why only SwiftProtobuf can write something.
enum Untold: Error {
    /// A message of this type may have what is not known here.
    case type
    /// These bytes have something that has to be put right first.
    case message
}

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
    let type: any Message.Type
    /// By field number: the name in quotation marks, and a colon. In memory of the plan's own, as each value that is written
    /// asks for its name, and would count a reference to it.
    @exclusivity(unchecked) private var names: [Int: UnsafeBufferPointer<UInt8>] = [:]
    /// Those of the first fields, which are nearly all there are: nil until one is asked for.
    let firstNames: UnsafeMutableBufferPointer<UnsafeBufferPointer<UInt8>?>
    @exclusivity(unchecked) private var cases: [Case: [UInt8]] = [:]

    private struct Case: Hashable {
        var field: Int
        var number: Int
    }

    init(_ type: any Message.Type) {
        self.type = type
        firstNames = .allocate(capacity: 32)
        firstNames.initialize(repeating: nil)
        form =
            switch type {
            // Only a message tells whether what it requires is there.
            case _ where !type.init().isInitialized: .own
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

    deinit {
        for name in firstNames { name?.deallocate() }
        for name in names.values { name.deallocate() }
        firstNames.deallocate()
    }

    /// The name of a field, which is there as long as this is.
    ///
    /// - Parameter sample: the field as it lies on the wire, with a value that is written.
    func name(of field: Int, _ sample: UnsafeRawBufferPointer) throws -> UnsafeBufferPointer<UInt8> {
        let isFirst = field < firstNames.count
        if let known = isFirst ? firstNames[field] : names[field] { return known }
        let learned = try learn(Array(sample)).name
        let bytes = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: learned.count)
        _ = bytes.initialize(from: learned)
        let name = UnsafeBufferPointer(bytes)
        if isFirst { firstNames[field] = name } else { names[field] = name }
        return name
    }

    func text(ofCase number: Int, of field: Int) throws -> [UInt8] {
        let name = Case(field: field, number: number)
        if let known = cases[name] { return known }
        let sample = TransferBuffer(capacity: 64)
        sample.append(varint: UInt64(field) << 3)
        sample.append(varint: UInt64(bitPattern: Int64(number)))
        var text = try learn(Array(sample.bytes)).value
        // Of a repeated field.
        if text.first == UInt8(ascii: "[") { text = Array(text.dropFirst().dropLast()) }
        cases[name] = text
        return text
    }

    private func learn(_ sample: [UInt8]) throws -> (name: [UInt8], value: [UInt8]) {
        let json: [UInt8] = try type.init(serializedBytes: sample, partial: true).jsonUTF8Bytes()
        guard json.starts(with: "{\"".utf8) else { throw Untold.type }
        var end = 2
        while end < json.count, json[end] != UInt8(ascii: "\"") { end += json[end] == UInt8(ascii: "\\") ? 2 : 1 }
        guard end + 2 < json.count, json[end + 1] == UInt8(ascii: ":") else { throw Untold.type }
        return (Array(json[1...end + 1]), Array(json[(end + 2)...].dropLast()))
    }
}
