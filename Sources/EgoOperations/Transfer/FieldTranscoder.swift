import EgoCore
import SwiftProtobuf

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Writes the fields of one message as they are read: generated code, which takes this for its decoder, says what each of
/// them is.
///
/// Values are kept only where generated code looks whether there is one: to find two members of a oneof.
struct FieldTranscoder: Decoder {
    // Not retained: the writer has itself, its buffer and its plans while it writes.
    private unowned(unsafe) let writer: MessageJSONWriter
    private let buffer: Unmanaged<TransferBuffer>
    private unowned(unsafe) let plan: MessagePlan
    private let names: UnsafeMutableBufferPointer<UnsafeBufferPointer<UInt8>?>
    private let wire: UnsafeRawBufferPointer
    private let depth: Int
    private var reader: WireReader
    /// The field that is being read, and where it begins.
    private var field = (number: 0, value: WireReader.Value.varint(0), start: 0)
    /// The last field that was written.
    private var last = 0
    private var isInList = false
    /// Whether nothing was written.
    private(set) var isEmpty = true

    init(
        _ writer: MessageJSONWriter, _ buffer: TransferBuffer, _ plan: MessagePlan, _ wire: UnsafeRawBufferPointer,
        depth: Int
    ) {
        (self.writer, self.plan, self.wire, self.depth) = (writer, plan, wire, depth)
        (reader, names) = (WireReader(wire), plan.firstNames)
        self.buffer = .passUnretained(buffer)
    }

    mutating func nextFieldNumber() throws -> Int? {
        let start = reader.offset
        guard let next = try reader.next() else { return nil }
        field = (next.field, next.value, start)
        return next.field
    }

    /// Writes what comes before the value of a field.
    private mutating func begin() throws {
        // JSON has fields in the order of their numbers, and each once.
        if field.number <= last { throw Untold.message }
        endList()
        last = field.number
        defer { isEmpty = false }
        if case .wrapper = plan.form { return }
        if !isEmpty { put { $0.append(UInt8(ascii: ",")) } }
        if field.number < names.count, let name = names[field.number] { return put { $0.append(name) } }
        let name = try plan.name(of: field.number, UnsafeRawBufferPointer(rebasing: wire[field.start..<reader.offset]))
        put { $0.append(name) }
    }

    /// Writes something, without counting a reference to the buffer.
    @inline(__always)
    private func put(_ body: (TransferBuffer) -> Void) { buffer._withUnsafeGuaranteedRef(body) }

    /// Passes over the value that a field has when it is not set.
    private func leaveOut() throws { if field.number <= last { throw Untold.message } }

    /// Writes what comes before a value of a list.
    private mutating func beginItem() throws {
        if isInList, field.number == last {
            put { $0.append(UInt8(ascii: ",")) }
            return
        }
        try begin()
        put { $0.append(UInt8(ascii: "[")) }
        isInList = true
    }

    /// Writes what comes after the last value of a list.
    mutating func endList() {
        if isInList { put { $0.append(UInt8(ascii: "]")) } }
        isInList = false
    }

    mutating func handleConflictingOneOf() throws { throw Untold.message }

    // MARK: Numbers

    private func bits(_ width: WireWidth) throws -> UInt64 {
        switch (width, field.value) {
        case (.varint, .varint(let bits)), (.eight, .fixed64(let bits)): return bits
        case (.four, .fixed32(let bits)): return UInt64(bits)
        default: throw Untold.message
        }
    }

    /// A field that is written unless it is zero.
    private mutating func number<Value>(_ kind: WireNumber<Value>) throws {
        let bits = try bits(kind.width)
        let value = kind.value(bits)
        if value == kind.value(0) {
            // Whether a negative zero is written is up to the version of the generated code.
            if kind.width != .varint, bits != 0 { throw Untold.message }
            return try leaveOut()
        }
        try begin()
        put { kind.append($0, value) }
    }

    private mutating func number<Value>(_ kind: WireNumber<Value>, _ kept: inout Value?) throws {
        let value = kind.value(try bits(kind.width))
        kept = value
        try begin()
        put { kind.append($0, value) }
    }

    private mutating func numbers<Value>(_ kind: WireNumber<Value>) throws {
        guard case .bytes(let range) = field.value else {
            let value = kind.value(try bits(kind.width))
            try beginItem()
            put { kind.append($0, value) }
            return
        }
        var packed = WireReader(UnsafeRawBufferPointer(rebasing: wire[range]))
        while packed.offset < range.count {
            let value = kind.value(try Self.bits(kind.width, &packed))
            try beginItem()
            put { kind.append($0, value) }
        }
    }

    private static func bits(_ width: WireWidth, _ packed: inout WireReader) throws -> UInt64 {
        switch width {
        case .varint: try packed.varint()
        case .four: UInt64(try packed.fixed32())
        case .eight: try packed.fixed64()
        }
    }

    mutating func decodeSingularFloatField(value: inout Float) throws { try number(.float) }
    mutating func decodeSingularFloatField(value: inout Float?) throws { try number(.float, &value) }
    mutating func decodeRepeatedFloatField(value: inout [Float]) throws { try numbers(.float) }

    mutating func decodeSingularDoubleField(value: inout Double) throws { try number(.double) }
    mutating func decodeSingularDoubleField(value: inout Double?) throws { try number(.double, &value) }
    mutating func decodeRepeatedDoubleField(value: inout [Double]) throws { try numbers(.double) }

    mutating func decodeSingularInt32Field(value: inout Int32) throws { try number(.int32) }
    mutating func decodeSingularInt32Field(value: inout Int32?) throws { try number(.int32, &value) }
    mutating func decodeRepeatedInt32Field(value: inout [Int32]) throws { try numbers(.int32) }

    mutating func decodeSingularInt64Field(value: inout Int64) throws { try number(.int64) }
    mutating func decodeSingularInt64Field(value: inout Int64?) throws { try number(.int64, &value) }
    mutating func decodeRepeatedInt64Field(value: inout [Int64]) throws { try numbers(.int64) }

    mutating func decodeSingularUInt32Field(value: inout UInt32) throws { try number(.uint32) }
    mutating func decodeSingularUInt32Field(value: inout UInt32?) throws { try number(.uint32, &value) }
    mutating func decodeRepeatedUInt32Field(value: inout [UInt32]) throws { try numbers(.uint32) }

    mutating func decodeSingularUInt64Field(value: inout UInt64) throws { try number(.uint64) }
    mutating func decodeSingularUInt64Field(value: inout UInt64?) throws { try number(.uint64, &value) }
    mutating func decodeRepeatedUInt64Field(value: inout [UInt64]) throws { try numbers(.uint64) }

    mutating func decodeSingularSInt32Field(value: inout Int32) throws { try number(.sint32) }
    mutating func decodeSingularSInt32Field(value: inout Int32?) throws { try number(.sint32, &value) }
    mutating func decodeRepeatedSInt32Field(value: inout [Int32]) throws { try numbers(.sint32) }

    mutating func decodeSingularSInt64Field(value: inout Int64) throws { try number(.sint64) }
    mutating func decodeSingularSInt64Field(value: inout Int64?) throws { try number(.sint64, &value) }
    mutating func decodeRepeatedSInt64Field(value: inout [Int64]) throws { try numbers(.sint64) }

    mutating func decodeSingularFixed32Field(value: inout UInt32) throws { try number(.fixed32) }
    mutating func decodeSingularFixed32Field(value: inout UInt32?) throws { try number(.fixed32, &value) }
    mutating func decodeRepeatedFixed32Field(value: inout [UInt32]) throws { try numbers(.fixed32) }

    mutating func decodeSingularFixed64Field(value: inout UInt64) throws { try number(.fixed64) }
    mutating func decodeSingularFixed64Field(value: inout UInt64?) throws { try number(.fixed64, &value) }
    mutating func decodeRepeatedFixed64Field(value: inout [UInt64]) throws { try numbers(.fixed64) }

    mutating func decodeSingularSFixed32Field(value: inout Int32) throws { try number(.sfixed32) }
    mutating func decodeSingularSFixed32Field(value: inout Int32?) throws { try number(.sfixed32, &value) }
    mutating func decodeRepeatedSFixed32Field(value: inout [Int32]) throws { try numbers(.sfixed32) }

    mutating func decodeSingularSFixed64Field(value: inout Int64) throws { try number(.sfixed64) }
    mutating func decodeSingularSFixed64Field(value: inout Int64?) throws { try number(.sfixed64, &value) }
    mutating func decodeRepeatedSFixed64Field(value: inout [Int64]) throws { try numbers(.sfixed64) }

    mutating func decodeSingularBoolField(value: inout Bool) throws { try number(.bool) }
    mutating func decodeSingularBoolField(value: inout Bool?) throws { try number(.bool, &value) }
    mutating func decodeRepeatedBoolField(value: inout [Bool]) throws { try numbers(.bool) }

    // MARK: Strings and bytes

    private func bytes() throws -> UnsafeBufferPointer<UInt8> {
        guard case .bytes(let range) = field.value else { throw Untold.message }
        return UnsafeRawBufferPointer(rebasing: wire[range]).assumingMemoryBound(to: UInt8.self)
    }

    private func append(string: UnsafeBufferPointer<UInt8>) throws {
        if !buffer._withUnsafeGuaranteedRef({ $0.append(protobufJSON: string) }) { throw Untold.message }
    }

    private func append(base64 bytes: UnsafeBufferPointer<UInt8>) {
        put {
            $0.append(UInt8(ascii: "\""))
            $0.append(base64: bytes)
            $0.append(UInt8(ascii: "\""))
        }
    }

    mutating func decodeSingularStringField(value: inout String) throws {
        let text = try bytes()
        if text.isEmpty { return try leaveOut() }
        try begin()
        try append(string: text)
    }

    mutating func decodeSingularStringField(value: inout String?) throws {
        let text = try bytes()
        value = ""
        try begin()
        try append(string: text)
    }

    mutating func decodeRepeatedStringField(value: inout [String]) throws {
        let text = try bytes()
        try beginItem()
        try append(string: text)
    }

    mutating func decodeSingularBytesField(value: inout Data) throws {
        let bytes = try bytes()
        if bytes.isEmpty { return try leaveOut() }
        try begin()
        append(base64: bytes)
    }

    mutating func decodeSingularBytesField(value: inout Data?) throws {
        let bytes = try bytes()
        value = Data()
        try begin()
        append(base64: bytes)
    }

    mutating func decodeRepeatedBytesField(value: inout [Data]) throws {
        let bytes = try bytes()
        try beginItem()
        append(base64: bytes)
    }

    // MARK: Enums

    private static func known<E: Enum>(_ bits: UInt64) throws -> E where E.RawValue == Int {
        guard let known = E(rawValue: Int(Int32(truncatingIfNeeded: bits))) else { throw Untold.message }
        return known
    }

    private func append(_ value: some Enum) throws {
        let text = try plan.text(ofCase: value.rawValue, of: field.number)
        put { $0.append(text) }
    }

    mutating func decodeSingularEnumField<E: Enum>(value: inout E) throws where E.RawValue == Int {
        let read: E = try Self.known(try bits(.varint))
        if read == E() { return try leaveOut() }
        try begin()
        try append(read)
    }

    mutating func decodeSingularEnumField<E: Enum>(value: inout E?) throws where E.RawValue == Int {
        let read: E = try Self.known(try bits(.varint))
        value = read
        try begin()
        try append(read)
    }

    mutating func decodeRepeatedEnumField<E: Enum>(value: inout [E]) throws where E.RawValue == Int {
        guard case .bytes(let range) = field.value else {
            let read: E = try Self.known(try bits(.varint))
            try beginItem()
            try append(read)
            return
        }
        var packed = WireReader(UnsafeRawBufferPointer(rebasing: wire[range]))
        while packed.offset < range.count {
            let read: E = try Self.known(try packed.varint())
            try beginItem()
            try append(read)
        }
    }

    // MARK: Messages

    private func append(_ type: (some Message).Type, _ bytes: UnsafeBufferPointer<UInt8>) throws {
        try writer.write(writer.plan(of: type), type, UnsafeRawBufferPointer(bytes), depth: depth + 1)
    }

    mutating func decodeSingularMessageField<M: Message>(value: inout M?) throws {
        let bytes = try bytes()
        value = M()
        try begin()
        try append(M.self, bytes)
    }

    mutating func decodeRepeatedMessageField<M: Message>(value: inout [M]) throws {
        let bytes = try bytes()
        try beginItem()
        try append(M.self, bytes)
    }

    // MARK: What SwiftProtobuf writes

    mutating func decodeSingularGroupField<G: Message>(value: inout G?) throws { throw Untold.type }
    mutating func decodeRepeatedGroupField<G: Message>(value: inout [G]) throws { throw Untold.type }

    mutating func decodeMapField<KeyType, ValueType: MapValueType>(
        fieldType: _ProtobufMap<KeyType, ValueType>.Type, value: inout _ProtobufMap<KeyType, ValueType>.BaseType
    ) throws { throw Untold.type }

    mutating func decodeMapField<KeyType, ValueType>(
        fieldType: _ProtobufEnumMap<KeyType, ValueType>.Type, value: inout _ProtobufEnumMap<KeyType, ValueType>.BaseType
    ) throws where ValueType.RawValue == Int { throw Untold.type }

    mutating func decodeMapField<KeyType, ValueType>(
        fieldType: _ProtobufMessageMap<KeyType, ValueType>.Type,
        value: inout _ProtobufMessageMap<KeyType, ValueType>.BaseType
    ) throws { throw Untold.type }

    mutating func decodeExtensionField(
        values: inout ExtensionFieldValueSet, messageType: any Message.Type, fieldNumber: Int
    ) throws { throw Untold.type }
}
