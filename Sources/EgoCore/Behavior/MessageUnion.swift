public import SwiftProtobuf

/// A closed set of protobuf messages, written as an enum with one message for each case.
///
/// ```swift
/// enum AccountEvent: MessageUnion {
///     case created(AccountCreated)
///     case credited(AccountCredited)
///
///     static let members = MessageMembers(
///         MessageMember(AccountCreated.self, AccountEvent.created),
///         MessageMember(AccountCredited.self, AccountEvent.credited))
///
///     var message: any Message {
///         switch self {
///         case .created(let message): message
///         case .credited(let message): message
///         }
///     }
/// }
/// ```
public protocol MessageUnion: Sendable {
    /// One member for each case.
    static var members: MessageMembers<Self> { get }

    /// The message that this case holds.
    var message: any Message { get }
}

/// How one message type becomes one case of a union.
public struct MessageMember<Union: Sendable>: Sendable {
    /// The message's type.
    public let type: MessageType
    @usableFromInline let typeURL: [UInt8]
    @usableFromInline let decode: @Sendable (RawSpan) throws -> Union
    @usableFromInline let wrap: @Sendable (any Message) -> Union?

    /// The case `wrap` for messages of type `M`.
    @inlinable
    public init<M: Message>(_ type: M.Type, _ wrap: @escaping @Sendable (M) -> Union) {
        self.type = MessageType(type)
        self.typeURL = Array((AnyPayload.typeURLPrefix + M.protoMessageName).utf8)
        self.decode = { wrap(try M(serializedBytes: $0)) }
        self.wrap = { ($0 as? M).map(wrap) }
    }
}

/// The members of a union, found by type.
public struct MessageMembers<Union: Sendable>: Sendable {
    /// All members, in the order of their declaration.
    public let all: [MessageMember<Union>]

    /// The given members.
    public init(_ members: MessageMember<Union>...) {
        self.all = members
    }

    /// The types of all members.
    public var types: [MessageType] { all.map(\.type) }

    /// The case that holds `message`; nil when it is of no member's type.
    public func wrap(_ message: any Message) -> Union? {
        for member in all {
            if let union = member.wrap(message) { return union }
        }
        return nil
    }

    /// Decodes a payload.
    ///
    /// - Throws: ``PayloadError/unknownType(_:)`` or ``PayloadError/undecodable(type:)``.
    public func decode(_ payload: AnyPayload) throws(PayloadError) -> Union {
        let name = payload.typeName
        guard let member = all.first(where: { $0.type.name == name }) else { throw .unknownType(name) }
        do { return try member.decode(payload.value.span.bytes) } catch { throw .undecodable(type: name) }
    }

    /// Decodes a serialized `Any` without taking its type URL apart first.
    @inlinable
    func decode(serializedAny bytes: [UInt8]) throws(PayloadError) -> Union {
        let parts = try AnyScan(bytes)
        for index in all.indices where parts.hasTypeURL(all[index].typeURL, in: bytes) {
            do { return try all[index].decode(bytes.span.bytes.extracting(parts.value)) } catch {
                throw .undecodable(type: all[index].type.name)
            }
        }
        return try decode(AnyPayload(serialized: bytes))
    }
}
