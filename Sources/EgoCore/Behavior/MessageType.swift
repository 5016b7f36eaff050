public import SwiftProtobuf

/// A protobuf message type that is known at run time by its name.
public struct MessageType: Sendable {
    /// The full name, as `samplepb.Account`.
    public let name: String
    /// Reads a message of this type from its bytes.
    public let decode: @Sendable ([UInt8]) throws -> any Message
    /// Reads a message of this type from protobuf JSON.
    public let parseJSON: @Sendable (String) throws -> any Message
    /// Reads a message of this type from the text format.
    public let parseText: @Sendable (String) throws -> any Message
    /// The generated type.
    package let type: any Message.Type

    /// The type of a generated message.
    public init<M: Message>(_ type: M.Type) {
        self.name = M.protoMessageName
        self.type = type
        self.decode = { try M(serializedBytes: $0) }
        self.parseJSON = { try M(jsonString: $0) }
        self.parseText = { try M(textFormatString: $0) }
    }

    /// The name after the last dot, as `Account`.
    public var shortName: String {
        String(name.split(separator: ".").last ?? "")
    }

    /// The type URL, as `type.googleapis.com/samplepb.Account`.
    public var typeURL: String { AnyPayload.typeURLPrefix + name }
}

/// The message types that are known, by name.
public struct MessageRegistry: Sendable {
    private var types: [String: MessageType] = [:]

    /// A registry of the given types; a type that is there twice counts once.
    public init(_ types: [MessageType]) {
        for type in types { self.types[type.name] = type }
    }

    /// The type of a full name.
    public func type(named name: String) -> MessageType? { types[name] }

    /// Decodes a payload.
    ///
    /// - Throws: ``PayloadError/unknownType(_:)`` or ``PayloadError/undecodable(type:)``.
    public func decode(_ payload: AnyPayload) throws(PayloadError) -> any Message {
        guard let type = types[payload.typeName] else { throw .unknownType(payload.typeName) }
        do { return try type.decode(payload.value) } catch { throw .undecodable(type: type.name) }
    }
}

extension AnyPayload {
    /// Packs a message.
    ///
    /// - Throws: SwiftProtobuf's error when a required field of a proto2 message is missing.
    public init(packing message: any Message) throws {
        self.init(
            typeURL: Self.typeURLPrefix + type(of: message).protoMessageName, value: try message.serializedBytes())
    }
}
