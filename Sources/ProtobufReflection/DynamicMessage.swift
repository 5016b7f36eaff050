/// A message whose type is known by its descriptor only.
public struct DynamicMessage: Sendable {
    /// The message's type.
    public let type: MessageDescriptor
    /// What is set, by field number. A field without presence is there only when it is not its default.
    var values: [Int: Value] = [:]
    /// Fields that the type does not know, as they came.
    var unknownFields: [UInt8] = []

    /// How deep messages may be in one another; the outermost counts.
    static let depthLimit = 100

    /// A message without any field set.
    init(_ type: MessageDescriptor) { self.type = type }

    /// Reads a message from its bytes.
    ///
    /// - Throws: ``ReflectionError`` when they are not a message of this type, or a required field is missing.
    public init(_ type: MessageDescriptor, serialized bytes: [UInt8]) throws(ReflectionError) {
        self.init(type)
        try bytes.withBytes { (buffer) throws(ReflectionError) in
            var reader = FieldReader(buffer)
            try merge(&reader, depth: 1)
        }
        try checkRequired()
    }

    /// What a field holds.
    indirect enum Value: Sendable {
        /// `int32`, `int64`, their kin, and enums.
        case signed(Int64)
        /// `uint32`, `uint64` and their kin.
        case unsigned(UInt64)
        case bool(Bool)
        case float(Float)
        case double(Double)
        case string(String)
        case bytes([UInt8])
        case message(DynamicMessage)
        case list([Value])
        case map([MapKey: Value])
    }

    /// The key of a map's entry. Text is compared by its bytes.
    enum MapKey: Sendable, Hashable, Comparable {
        case signed(Int64)
        case unsigned(UInt64)
        case bool(Bool)
        case string([UInt8])

        init?(_ value: Value) {
            switch value {
            case .signed(let number): self = .signed(number)
            case .unsigned(let number): self = .unsigned(number)
            case .bool(let isTrue): self = .bool(isTrue)
            case .string(let text): self = .string(Array(text.utf8))
            default: return nil
            }
        }

        var value: Value {
            switch self {
            case .signed(let number): .signed(number)
            case .unsigned(let number): .unsigned(number)
            case .bool(let isTrue): .bool(isTrue)
            case .string(let bytes): .string(String(decoding: bytes, as: UTF8.self))
            }
        }

        static func < (left: Self, right: Self) -> Bool {
            switch (left, right) {
            case (.signed(let left), .signed(let right)): left < right
            case (.unsigned(let left), .unsigned(let right)): left < right
            case (.bool(let left), .bool(let right)): !left && right
            case (.string(let left), .string(let right)): left.lexicographicallyPrecedes(right)
            default: false
            }
        }
    }

    /// The value of a field; nil when it is not set.
    subscript(_ number: Int) -> Value? { values[number] }

    /// The fields that are set, in the order of their numbers, extensions among them.
    var setFields: [(field: FieldInfo, value: Value)] {
        values.keys.sorted().compactMap { number in
            guard let field = type.field(number), let value = values[number] else { return nil }
            return (field, value)
        }
    }

    // MARK: Setting

    /// Sets a field that is not repeated. A member of a oneof takes the place of the others; a default that cannot be
    /// told from absent is absent.
    mutating func set(_ value: Value, of field: FieldInfo) {
        if let oneof = field.oneof {
            for other in type.info.fields where other.oneof == oneof && other.number != field.number {
                values[other.number] = nil
            }
        }
        values[field.number] = !field.hasPresence && value.isZero ? nil : value
    }

    mutating func append(_ new: [Value], to field: FieldInfo) {
        guard !new.isEmpty else { return }
        guard case .list(var list)? = values[field.number] else {
            values[field.number] = .list(new)
            return
        }
        values[field.number] = nil  // so that the list is not copied
        list += new
        values[field.number] = .list(list)
    }

    mutating func put(_ value: Value, at key: MapKey, of field: FieldInfo) {
        var map: [MapKey: Value] = [:]
        if case .map(let known)? = values.removeValue(forKey: field.number) { map = known }
        map[key] = value
        values[field.number] = .map(map)
    }

    /// The message of a field, to be merged into; an empty one when it is not set.
    func message(of field: FieldInfo, _ index: Int) -> DynamicMessage {
        if case .message(let message)? = values[field.number] { return message }
        return DynamicMessage(type.message(index))
    }

    // MARK: Required fields

    func checkRequired() throws(ReflectionError) {
        for field in type.info.fields where field.isRequired && values[field.number] == nil {
            throw ReflectionError("\(field.fullName) is required and missing")
        }
        for value in values.values { try Self.checkRequired(value) }
    }

    private static func checkRequired(_ value: Value) throws(ReflectionError) {
        switch value {
        case .message(let message): try message.checkRequired()
        case .list(let list): for value in list { try checkRequired(value) }
        case .map(let map): for value in map.values { try checkRequired(value) }
        default: break
        }
    }
}

extension DynamicMessage.Value {
    /// Whether it is what a field without presence has when it is absent. A negative zero is not.
    var isZero: Bool {
        switch self {
        case .signed(let number): number == 0
        case .unsigned(let number): number == 0
        case .bool(let isTrue): !isTrue
        case .float(let number): number.bitPattern == 0
        case .double(let number): number.bitPattern == 0
        case .string(let text): text.isEmpty
        case .bytes(let bytes): bytes.isEmpty
        case .message, .list, .map: false
        }
    }
}

extension MessageDescriptor {
    /// The default of a kind; what a map's entry has for a key or value that is left out.
    func defaultValue(of kind: FieldKind) -> DynamicMessage.Value {
        switch kind {
        case .double: .double(0)
        case .float: .float(0)
        case .int32, .int64, .sint32, .sint64, .sfixed32, .sfixed64: .signed(0)
        case .uint32, .uint64, .fixed32, .fixed64: .unsigned(0)
        case .bool: .bool(false)
        case .string: .string("")
        case .bytes: .bytes([])
        case .message(let index), .group(let index): .message(DynamicMessage(message(index)))
        case .enumeration(let index): .signed(schema.enums[index].isClosed ? Int64(schema.enums[index].first) : 0)
        }
    }
}

/// Why bytes or a text are not a message of a type.
public struct ReflectionError: Error, Sendable, Hashable, CustomStringConvertible {
    /// What is wrong, in a sentence, without the message's content.
    public let description: String

    init(_ description: String) { self.description = description }

    static let truncated = ReflectionError("the bytes end in the middle of a field")
    static let malformed = ReflectionError("the bytes are no protobuf message")
    static let tooDeep = ReflectionError("messages are nested deeper than \(DynamicMessage.depthLimit)")
}

extension Array where Element == UInt8 {
    /// The bytes at an address, also when there are none.
    func withBytes<Result>(
        _ body: (UnsafeRawBufferPointer) throws(ReflectionError) -> Result
    ) throws(ReflectionError) -> Result {
        let result = withUnsafeBytes { buffer -> Swift.Result<Result, ReflectionError> in
            do throws(ReflectionError) { return .success(try body(buffer)) } catch { return .failure(error) }
        }
        return try result.get()
    }
}
