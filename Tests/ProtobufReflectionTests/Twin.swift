import ProtobufReflection
import SwiftProtobuf
import Testing

/// What came of decoding or encoding: errors are alike, values are compared.
enum Outcome<Value: Equatable>: Equatable, CustomStringConvertible {
    case refused
    case accepted(Value)

    var description: String {
        switch self {
        case .refused: "refused"
        case .accepted(let bytes as [UInt8]): "accepted \(hex(bytes))"
        case .accepted(let value): "accepted \(value)"
        }
    }

    var value: Value? {
        if case .accepted(let value) = self { value } else { nil }
    }
}

/// A message type twice: as generated code has it, and as its descriptor tells it.
struct Twin {
    let generated: any Message.Type
    let described: MessageDescriptor

    private static let extensions = Reflection_Closed_Closed_Extensions

    private static let deterministic: BinaryEncodingOptions = {
        var options = BinaryEncodingOptions()
        options.useDeterministicOrdering = true
        return options
    }()

    // MARK: Generated code

    func generated(wire bytes: [UInt8]) throws -> any Message {
        try generated.init(serializedBytes: bytes, extensions: Self.extensions)
    }

    func generated(json: String) throws -> any Message {
        try generated.init(jsonString: json, extensions: Self.extensions)
    }

    func generated(text: String, ignoringUnknown: Bool = false) throws -> any Message {
        var options = TextFormatDecodingOptions()
        options.ignoreUnknownFields = ignoringUnknown
        options.ignoreUnknownExtensionFields = ignoringUnknown
        if generated == Google_Protobuf_Any.self {
            return try Google_Protobuf_Any(textFormatString: text, options: options, extensions: Self.extensions)
        }
        return try generated.init(textFormatString: text, options: options, extensions: Self.extensions)
    }

    /// The bytes of a generated message, map entries sorted by key.
    static func bytes(_ message: any Message, partial: Bool = false) throws -> [UInt8] {
        try message.serializedBytes(partial: partial, options: deterministic)
    }

    func generatedOutcome(wire bytes: [UInt8]) -> Outcome<[UInt8]> {
        Self.outcome { try Self.bytes(try generated(wire: bytes)) }
    }

    func generatedOutcome(json: String) -> Outcome<[UInt8]> {
        Self.outcome { try Self.bytes(try generated(json: json)) }
    }

    /// Whether the generated code can write what it reads: it takes any number for an open enum, measures it as one that
    /// fits, and then writes beyond its buffer. Its text format refuses such numbers.
    func hasEnumNumbersThatFit(json: String) -> Bool {
        guard let message = try? generated(json: json) else { return true }
        return (try? generated(text: message.textFormatString())) != nil
    }

    func generatedOutcome(text: String) -> Outcome<[UInt8]> {
        Self.outcome { try Self.bytes(try generated(text: text)) }
    }

    func generatedJSON(wire bytes: [UInt8]) -> Outcome<String> {
        Self.outcome { try generated(wire: bytes).jsonString() }
    }

    // MARK: The descriptor

    func describedOutcome(wire bytes: [UInt8]) -> Outcome<[UInt8]> {
        Self.reflectionOutcome { try DynamicMessage(described, serialized: bytes).serialized() }
    }

    func describedOutcome(json: String) -> Outcome<[UInt8]> {
        Self.reflectionOutcome { try DynamicMessage(described, json: json).serialized() }
    }

    func describedOutcome(text: String) -> Outcome<[UInt8]> {
        Self.reflectionOutcome { try DynamicMessage(described, text: text).serialized() }
    }

    func describedJSON(wire bytes: [UInt8]) -> Outcome<String> {
        Self.reflectionOutcome { try DynamicMessage(described, serialized: bytes).json() }
    }

    // MARK: Errors

    private static func outcome<Value>(_ body: () throws -> Value) -> Outcome<Value> {
        do { return .accepted(try body()) } catch { return .refused }
    }

    /// As the other, but no error may be of another type than the module's.
    private static func reflectionOutcome<Value>(_ body: () throws -> Value) -> Outcome<Value> {
        do {
            return .accepted(try body())
        } catch {
            #expect(error is ReflectionError)
            return .refused
        }
    }
}
