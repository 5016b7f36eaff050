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

    private func compare(_ subject: Subject, _ style: WireGenerator.Style, count: Int) throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var generator = WireGenerator(seed: seed, schema: fixture.schema, style: style)
        let buffer = TransferBuffer(capacity: 1)
        let writer = MessageJSONWriter(buffer)
        var accepted = 0
        for _ in 0..<count {
            let bytes = generator.message(subject.name)
            guard let message = try? subject.type.init(serializedBytes: bytes) else { continue }
            let expected: [UInt8]? = try? message.jsonUTF8Bytes()
            buffer.removeAll()
            var json: String?
            do {
                try writer.write(message)
                json = String(decoding: buffer.bytes, as: UTF8.self)
            } catch {}
            try #require(json == expected.map { String(decoding: $0, as: UTF8.self) }, "seed \(seed), \(hex(bytes))")
            if json != nil { accepted += 1 }
        }
        #expect(accepted > 0, "seed \(seed)")
    }
}
