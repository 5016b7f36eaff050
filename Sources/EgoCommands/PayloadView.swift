import CommandLineKit
import EgoCore
import ProtobufReflection
import SwiftProtobuf

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// How messages and stored payloads are shown.
struct PayloadView: Sendable {
    private let domain: Domain
    private let descriptors: DescriptorSet?
    private let isDecrypting: Bool
    private let form: Form

    /// How a payload is written.
    enum Form: Sendable {
        /// Protobuf JSON with `@type`.
        case json
        /// Protobuf text format.
        case text
        /// The fields by their numbers, without asking what they mean.
        case raw
    }

    init(_ context: CommandContext, form: Form = .json) {
        domain = context.readingDomain
        descriptors = context.descriptors
        isDecrypting = context.global.isDecrypting
        self.form = form
    }

    /// A message as protobuf JSON with `@type`.
    static func json(_ message: any Message) throws -> OutputValue {
        .message(
            typeURL: AnyPayload.typeURLPrefix + Swift.type(of: message).protoMessageName,
            json: try message.jsonString())
    }

    /// The same for a message out of a history in which something is encrypted with a key.
    func json(_ message: any Message, key: String?) throws -> OutputValue {
        if let key, hides(key) { return Self.hidden(key) }
        return try Self.json(message)
    }

    /// Whether what is encrypted with this key is not shown.
    func hides(_ key: String?) -> Bool { key != nil && !isDecrypting }

    /// Whether this stands for a payload that is not shown.
    func isHidden(_ value: OutputValue) -> Bool {
        if case .text(let text) = value { return text.hasPrefix("<encrypted key=") }
        return false
    }

    private static func hidden(_ key: String) -> OutputValue { .text("<encrypted key=\(key)>") }

    /// What is stored with an event: its type, and its payload as far as it can be read.
    func stored(_ event: PersistedEvent) -> (type: OutputValue, payload: OutputValue) {
        let payload: AnyPayload
        do throws(PayloadError) { payload = try AnyPayload(serialized: event.payload) } catch {
            return (.null, opaque(nil, event.payload))
        }
        let type = OutputValue.text(payload.typeName)
        if event.isEncrypted {
            guard isDecrypting, let clear = try? domain.reader.clear(event) else {
                return (type, Self.hidden(event.encryptionKeyID))
            }
            return (type, shown(clear))
        }
        return (type, shown(payload))
    }

    /// A payload in the clear.
    func shown(_ payload: AnyPayload) -> OutputValue {
        let value: OutputValue? =
            switch form {
            case .json: json(payload)
            case .text: text(payload).map(OutputValue.text)
            case .raw: WireDump.text(payload.value).map(OutputValue.text)
            }
        return value ?? opaque(payload.typeURL, payload.value)
    }

    private func json(_ payload: AnyPayload) -> OutputValue? {
        if let message = try? domain.messages.decode(payload), let json = try? Self.json(message) { return json }
        guard let message = dynamic(payload), let json = try? message.json() else { return nil }
        return .message(typeURL: payload.typeURL, json: json)
    }

    private func text(_ payload: AnyPayload) -> String? {
        if let message = try? domain.messages.decode(payload) { return message.textFormatString() }
        return dynamic(payload)?.text()
    }

    private func dynamic(_ payload: AnyPayload) -> DynamicMessage? {
        guard let type = descriptors?.message(named: payload.typeName) else { return nil }
        return try? DynamicMessage(type, serialized: payload.value)
    }

    private func opaque(_ typeURL: String?, _ bytes: [UInt8]) -> OutputValue {
        .object([
            .init("@type", .optional(typeURL)), .init("size_bytes", .number(bytes.count)),
            .init("base64", .text(Data(bytes).base64EncodedString())),
        ])
    }
}

extension DescriptorSet {
    /// Whether a payload decodes as the message that it is said to be; nil when that is not described.
    func decodes(_ payload: AnyPayload) -> Bool? {
        guard let type = message(named: payload.typeName) else { return nil }
        return (try? DynamicMessage(type, serialized: payload.value)) != nil
    }
}

extension OutputValue {
    static func number(_ number: SequenceNumber) -> OutputValue { .identifier(number.rawValue) }

    static func moment(_ timestamp: Timestamp?) -> OutputValue { .optional(time: timestamp?.unixNanoseconds) }
}

extension OutputValue {
    /// JSON that this program stored; text that is none, because somebody changed it, is shown as text.
    static func storedJSON(_ text: String) -> OutputValue {
        (try? JSONDecoder().decode(AnyJSON.self, from: Data(text.utf8))) == nil ? .text(text) : .json(text)
    }

    /// Decodes whatever is JSON.
    private struct AnyJSON: Decodable {
        init(from decoder: any Decoder) throws {}
    }
}
