import SwiftProtobuf

/// Writes messages as protobuf JSON, byte for byte what SwiftProtobuf writes, from where they lie to where they go.
///
/// SwiftProtobuf keeps to itself how fields and enum cases are called in JSON, so it is asked once for each: it writes a
/// message with nothing but that in it. What is rare it writes whole: maps, groups, extensions, required fields, those of
/// its own types that have a form of their own, and bytes that take the wire format's liberties.
///
/// Not shared between tasks.
final class MessageJSONWriter {
    private let buffer: TransferBuffer
    @exclusivity(unchecked) private var plans: [ObjectIdentifier: MessagePlan] = [:]
    /// How many messages may be within each other: each takes some of the stack.
    private let depthLimit = BinaryDecodingOptions().messageDepthLimit

    init(_ buffer: TransferBuffer) { self.buffer = buffer }

    /// Appends a message of the plan's type that is in wire format; nothing when this throws.
    ///
    /// - Throws: SwiftProtobuf's error for bytes that are no such message, or one that has no JSON.
    func write(_ plan: MessagePlan, _ wire: UnsafeRawBufferPointer) throws {
        let start = buffer.count
        do { try write(plan, plan.type, wire, depth: 0) } catch {
            buffer.remove(from: start)
            buffer.append(try Self.json(plan.type, wire, depth: 0))
        }
    }

    /// The same for a message within so many others. What is there of it when this throws is to be removed.
    func write<M: Message>(
        _ plan: MessagePlan, _ type: M.Type, _ wire: UnsafeRawBufferPointer, depth: Int
    ) throws {
        if depth >= depthLimit { throw Untold.message }
        var fields = FieldTranscoder(self, buffer, plan, wire, depth: depth)
        // What decodes itself into this leaves next to nothing in it: the fields have gone where they belong.
        var message = M()
        do {
            switch plan.form {
            case .own: buffer.append(try Self.json(type, wire, depth: depth))
            case .wrapper(let empty):
                try message.decodeMessage(decoder: &fields)
                if fields.isEmpty { buffer.append(empty) }
            case .object:
                buffer.append(UInt8(ascii: "{"))
                try message.decodeMessage(decoder: &fields)
                fields.endList()
                buffer.append(UInt8(ascii: "}"))
            }
        } catch Untold.type {
            plan.form = .own
            throw Untold.message
        }
    }

    /// Of maps, which have no order, an export that is made again has the same bytes.
    static let options: JSONEncodingOptions = {
        var options = JSONEncodingOptions()
        options.useDeterministicOrdering = true
        return options
    }()

    private static func json(_ type: any Message.Type, _ wire: UnsafeRawBufferPointer, depth: Int) throws -> [UInt8] {
        var options = BinaryDecodingOptions()
        options.messageDepthLimit -= depth
        return try type.init(serializedBytes: Array(wire), options: options).jsonUTF8Bytes(options: Self.options)
    }

    /// What is known of a message type; the same as long as this is.
    func plan(of type: any Message.Type) -> MessagePlan {
        let id = ObjectIdentifier(type)
        if let known = plans[id] { return known }
        let plan = MessagePlan(type)
        plans[id] = plan
        return plan
    }
}
