import SwiftProtobuf

/// Writes messages as protobuf JSON, byte for byte what SwiftProtobuf writes, straight to where it goes.
///
/// SwiftProtobuf keeps to itself how fields and enum cases are called in JSON, so it is asked once for each: it writes a
/// message with nothing but that in it. What is rare it writes whole: maps, groups, extensions, and those of its own types
/// that have a form of their own.
///
/// Not shared between tasks.
final class MessageJSONWriter {
    private let buffer: TransferBuffer
    @exclusivity(unchecked) private var plans: [ObjectIdentifier: MessagePlan] = [:]

    init(_ buffer: TransferBuffer) { self.buffer = buffer }

    /// Appends a message; what is there of it when this throws is to be removed.
    ///
    /// - Throws: SwiftProtobuf's error for a message that has no JSON.
    func write(_ message: some Message) throws {
        let plan = plan(of: type(of: message))
        let start = buffer.count
        if plan.form != .own {
            do {
                try write(message, plan)
                return
            } catch is Unlearned {
                plan.form = .own
                buffer.remove(from: start)
            }
        }
        let json: [UInt8] = try message.jsonUTF8Bytes()
        buffer.append(json)
    }

    private func write(_ message: some Message, _ plan: MessagePlan) throws {
        var visitor = FieldVisitor(self, buffer, plan)
        switch plan.form {
        case .wrapper(let empty):
            try message.traverse(visitor: &visitor)
            if visitor.isFirst { buffer.append(empty) }
        case .object, .own:
            buffer.append(UInt8(ascii: "{"))
            try message.traverse(visitor: &visitor)
            buffer.append(UInt8(ascii: "}"))
        }
    }

    private func plan(of type: any Message.Type) -> MessagePlan {
        let id = ObjectIdentifier(type)
        if let known = plans[id] { return known }
        let plan = MessagePlan(type)
        plans[id] = plan
        return plan
    }
}
