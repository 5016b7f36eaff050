import SwiftProtobuf

/// The message types of a `google.protobuf.FileDescriptorSet`, checked and linked.
///
/// `protoc --include_imports --descriptor_set_out=FILE` makes one.
public struct DescriptorSet: Sendable {
    let schema: Schema

    /// Reads a serialized set.
    ///
    /// - Throws: ``DescriptorError`` when the bytes are no set, an import is missing or goes round in a circle, or a
    ///   declaration does not make sense.
    public init(serialized bytes: [UInt8]) throws(DescriptorError) {
        let set: Google_Protobuf_FileDescriptorSet
        do { set = try Google_Protobuf_FileDescriptorSet(serializedBytes: bytes) } catch {
            throw DescriptorError("it is no FileDescriptorSet")
        }
        if set.file.isEmpty { throw DescriptorError("it holds no file") }
        var linker = SchemaLinker()
        schema = try linker.link(set.file)
    }

    /// The full names of all messages, ascending; entries of maps are left out.
    public var messageNames: [String] {
        schema.messages.filter { !$0.isMapEntry }.map(\.fullName).sorted()
    }

    /// The message of a full name, as `samplepb.Account`.
    public func message(named name: String) -> MessageDescriptor? {
        schema.messageIndexes[name].map { MessageDescriptor(schema: schema, index: $0) }
    }
}

/// What is wrong with a descriptor set.
public struct DescriptorError: Error, Sendable, Hashable, CustomStringConvertible {
    /// What is wrong, in a sentence, with the name of the declaration.
    public let description: String

    init(_ description: String) { self.description = description }
}

/// One message type of a ``DescriptorSet``.
public struct MessageDescriptor: Sendable {
    let schema: Schema
    let index: Int

    var info: MessageInfo { schema.messages[index] }

    /// The full name, as `samplepb.Account`.
    public var fullName: String { info.fullName }

    /// The names of the fields, in the order of their numbers.
    public var fieldNames: [String] { info.fields.map(\.name) }

    func message(_ index: Int) -> MessageDescriptor { MessageDescriptor(schema: schema, index: index) }

    func message(named name: String) -> MessageDescriptor? { schema.messageIndexes[name].map(message) }

    /// A field or an extension of a number.
    func field(_ number: Int) -> FieldInfo? { info.fieldsByNumber[number] ?? info.extensions[number] }
}

/// Everything that a set declares, linked by indexes.
final class Schema: Sendable {
    let messages: [MessageInfo]
    let enums: [EnumInfo]
    let messageIndexes: [String: Int]
    /// Extensions by their full names, with the message that they extend.
    let extensionsByName: [String: (message: Int, field: FieldInfo)]

    init(messages: [MessageInfo], enums: [EnumInfo], extensions: [String: (message: Int, field: FieldInfo)]) {
        self.messages = messages
        self.enums = enums
        self.extensionsByName = extensions
        self.messageIndexes = Dictionary(
            messages.enumerated().map { ($0.element.fullName, $0.offset) }, uniquingKeysWith: { first, _ in first })
    }
}

/// One message type.
struct MessageInfo: Sendable {
    var fullName: String
    /// In the order of their numbers.
    var fields: [FieldInfo] = []
    var fieldsByNumber: [Int: FieldInfo] = [:]
    /// By the names that JSON may have: the JSON name, and the one of the declaration.
    var fieldsByJSONName: [String: FieldInfo] = [:]
    /// By the names that the text format has.
    var fieldsByTextName: [String: FieldInfo] = [:]
    var extensions: [Int: FieldInfo] = [:]
    var reservedNames: Set<String> = []
    var reservedNumbers: [Range<Int>] = []
    var extensionRanges: [Range<Int>] = []
    var isMapEntry = false
    /// The form of its own that the message has in JSON.
    var wellKnown: WellKnownType?
}

/// One enumeration.
struct EnumInfo: Sendable {
    var fullName: String
    /// Whether numbers that it does not name are unknown to it.
    var isClosed: Bool
    var numbers: [String: Int32] = [:]
    /// The first name of each number.
    var names: [Int32: String] = [:]
    /// The value that was declared first.
    var first: Int32
}

/// One field or extension.
struct FieldInfo: Sendable {
    var number: Int
    var name: String
    var fullName: String
    var jsonName: String
    var kind: FieldKind
    var isRepeated = false
    /// The entry's message, where the field is a map.
    var mapEntry: Int?
    var isPacked = false
    /// Whether the field tells absent from default.
    var hasPresence = false
    var isRequired = false
    /// The oneof that it is a member of, but for those that `optional` makes in proto3.
    var oneof: Int?
    var isExtension = false

    /// The name in the text format: a group goes by its type.
    var textName: String
}

/// What a field holds.
enum FieldKind: Sendable, Hashable {
    case double, float
    case int32, int64, uint32, uint64, sint32, sint64
    case fixed32, fixed64, sfixed32, sfixed64
    case bool, string, bytes
    case message(Int)
    case group(Int)
    case enumeration(Int)

    /// The wire type of one value.
    var wireType: UInt64 {
        switch self {
        case .int32, .int64, .uint32, .uint64, .sint32, .sint64, .bool, .enumeration: 0
        case .double, .fixed64, .sfixed64: 1
        case .string, .bytes, .message: 2
        case .group: 3
        case .float, .fixed32, .sfixed32: 5
        }
    }

    var isPackable: Bool { wireType != 2 && wireType != 3 }

    /// The message, where it is one.
    var messageIndex: Int? {
        switch self {
        case .message(let index), .group(let index): index
        default: nil
        }
    }
}

/// Messages that JSON writes in a form of their own (protobuf.dev/programming-guides/json).
enum WellKnownType: Sendable, Hashable {
    case any, timestamp, duration, fieldMask, structure, value, listValue
    case wrapper

    init?(_ message: MessageInfo) {
        guard message.fullName.hasPrefix("google.protobuf.") else { return nil }
        func has(_ wanted: [(Int, [FieldKind])]) -> Bool {
            message.fields.count == wanted.count
                && wanted.allSatisfy { number, kinds in
                    message.fieldsByNumber[number].map { kinds.isEmpty || kinds.contains($0.kind) } ?? false
                }
        }
        switch message.fullName.dropFirst("google.protobuf.".count) {
        case "Any" where has([(1, [.string]), (2, [.bytes])]): self = .any
        case "Timestamp" where has([(1, [.int64]), (2, [.int32])]): self = .timestamp
        case "Duration" where has([(1, [.int64]), (2, [.int32])]): self = .duration
        case "FieldMask" where has([(1, [.string])]) && message.fieldsByNumber[1]?.isRepeated == true: self = .fieldMask
        case "Struct" where has([(1, [])]) && message.fieldsByNumber[1]?.mapEntry != nil: self = .structure
        case "ListValue" where has([(1, [])]) && message.fieldsByNumber[1]?.isRepeated == true: self = .listValue
        case "Value"
        where has([(1, []), (2, [.double]), (3, [.string]), (4, [.bool]), (5, []), (6, [])]): self = .value
        case "DoubleValue" where has([(1, [.double])]), "FloatValue" where has([(1, [.float])]),
            "Int64Value" where has([(1, [.int64])]), "UInt64Value" where has([(1, [.uint64])]),
            "Int32Value" where has([(1, [.int32])]), "UInt32Value" where has([(1, [.uint32])]),
            "BoolValue" where has([(1, [.bool])]), "StringValue" where has([(1, [.string])]),
            "BytesValue" where has([(1, [.bytes])]):
            self = .wrapper
        default: return nil
        }
    }
}
