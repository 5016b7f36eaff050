import SwiftProtobuf
import Testing

@testable import EgoOperations

@Suite("A message in an export has the JSON that generated code writes, byte for byte")
struct ExportedJSONTests {
    let fixture: DescribedFixture

    init() throws { fixture = try DescribedFixture.reflection() }

    @Test("within its schema", arguments: Subject.everything)
    func plain(_ subject: Subject) throws { try compare(subject, .plain, count: 300) }

    @Test("where it uses the liberties of the wire format", arguments: Subject.everything)
    func wild(_ subject: Subject) throws { try compare(subject, .wild, count: 300) }

    @Test(
        "is as deep as generated code reads, and no deeper",
        arguments: [(98, true), (99, true), (100, false), (20_000, false)])
    func deep(_ levels: Int, _ isRead: Bool) throws {
        // Each level is a branch of the one around it, from the outside in.
        var sizes: [Int] = [0]
        for _ in 0..<levels { sizes.append(1 + varint(sizes[sizes.count - 1]).count + sizes[sizes.count - 1]) }
        let bytes: [UInt8] = sizes.dropLast().reversed().flatMap { size -> [UInt8] in [0x1a] + varint(size) }
        let type = Reflection_Open_Tree.self
        let expected: [UInt8]? = try? type.init(serializedBytes: bytes).jsonUTF8Bytes(
            options: MessageJSONWriter.options)
        #expect((expected != nil) == isRead)
        let buffer = TransferBuffer(capacity: 1)
        let writer = MessageJSONWriter(buffer)
        let plan = writer.plan(of: type)
        // What fields are called is found out from the first message that has them.
        try ([0x1a, 0] as [UInt8]).withUnsafeBytes { try writer.write(plan, $0) }
        buffer.removeAll()
        try? bytes.withUnsafeBytes { try writer.write(plan, $0) }
        #expect(Array(buffer.bytes) == expected ?? [])
    }

    private func varint(_ value: Int) -> [UInt8] {
        var (rest, bytes) = (value, [UInt8]())
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7f) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }

    /// The fields of a `google.protobuf.Struct` have another order each time it is read.
    private static let mayHoldStruct: Set = [
        "reflection.open.Known", "reflection.open.Holder", "google.protobuf.Struct", "google.protobuf.Value",
        "google.protobuf.ListValue", "google.protobuf.Any",
    ]

    private func compare(_ subject: Subject, _ style: WireGenerator.Style, count: Int) throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var generator = WireGenerator(seed: seed, schema: fixture.schema, style: style)
        let buffer = TransferBuffer(capacity: 1)
        let writer = MessageJSONWriter(buffer)
        let plan = writer.plan(of: subject.type)
        var accepted = 0
        for _ in 0..<count {
            let bytes = generator.message(subject.name)
            let message = try? subject.type.init(serializedBytes: bytes)
            let expected: [UInt8]? = try? message?.jsonUTF8Bytes(options: MessageJSONWriter.options)
            buffer.removeAll()
            var json: String?
            do {
                try bytes.withUnsafeBytes { try writer.write(plan, $0) }
                json = String(decoding: buffer.bytes, as: UTF8.self)
            } catch {}
            let wanted = expected.map { String(decoding: $0, as: UTF8.self) }
            let isSame =
                json == wanted || Self.mayHoldStruct.contains(subject.name) && json?.sorted() == wanted?.sorted()
            try #require(isSame, "seed \(seed), \(hex(bytes)): \(json ?? "nothing"), not \(wanted ?? "nothing")")
            if json != nil { accepted += 1 }
        }
        #expect(accepted > 0, "seed \(seed)")
    }
}
