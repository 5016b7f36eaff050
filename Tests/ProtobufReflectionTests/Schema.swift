import SwiftProtobuf

/// What generators and readers of wire bytes have to know of a descriptor set; the tests' own reading of it.
struct Schema: Sendable {
    typealias Field = Google_Protobuf_FieldDescriptorProto

    struct Message: Sendable {
        var fields: [Field] = []
        var isMapEntry = false

        func field(_ number: Int32) -> Field? { fields.first { $0.number == number } }
    }

    struct Enumeration: Sendable {
        var numbers: [Int32]
        /// Whether numbers that are not declared are unknown fields: so in proto2.
        var isClosed: Bool
    }

    private(set) var messages: [String: Message] = [:]
    private(set) var enums: [String: Enumeration] = [:]

    init(serialized bytes: [UInt8]) throws {
        let set = try Google_Protobuf_FileDescriptorSet(serializedBytes: bytes)
        var extensions: [Field] = []
        for file in set.file {
            let scope = file.package.isEmpty ? "" : "." + file.package
            let isClosed = file.syntax != "proto3"
            for type in file.enumType { add(type, in: scope, isClosed: isClosed) }
            for type in file.messageType { add(type, in: scope, isClosed: isClosed, extensions: &extensions) }
            extensions += file.extension
        }
        for field in extensions { messages[Self.name(field.extendee)]?.fields.append(field) }
    }

    private mutating func add(
        _ type: Google_Protobuf_DescriptorProto, in scope: String, isClosed: Bool, extensions: inout [Field]
    ) {
        let name = scope + "." + type.name
        messages[Self.name(name)] = Message(fields: type.field, isMapEntry: type.options.mapEntry)
        extensions += type.extension
        for nested in type.enumType { add(nested, in: name, isClosed: isClosed) }
        for nested in type.nestedType { add(nested, in: name, isClosed: isClosed, extensions: &extensions) }
    }

    private mutating func add(_ type: Google_Protobuf_EnumDescriptorProto, in scope: String, isClosed: Bool) {
        enums[Self.name(scope + "." + type.name)] = Enumeration(numbers: type.value.map(\.number), isClosed: isClosed)
    }

    private static func name(_ absolute: String) -> String { String(absolute.drop { $0 == "." }) }

    func message(_ name: String) -> Message { messages[Self.name(name)] ?? Message() }
    func enumeration(_ name: String) -> Enumeration {
        enums[Self.name(name)] ?? Enumeration(numbers: [0], isClosed: false)
    }

    /// The entry's key and value, where a field is a map.
    func mapEntry(_ field: Field) -> (key: Field, value: Field)? {
        guard field.type == .message, field.label == .repeated else { return nil }
        let entry = message(field.typeName)
        guard entry.isMapEntry, let key = entry.field(1), let value = entry.field(2) else { return nil }
        return (key, value)
    }
}
