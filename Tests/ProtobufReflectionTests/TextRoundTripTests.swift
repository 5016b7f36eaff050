import EgoTestKit
import ProtobufReflection
import SwiftProtobuf
import Testing

@Suite("A message of a descriptor writes and reads the text format that generated code does")
struct TextRoundTripTests {
    let fixture: DescribedFixture

    init() throws { fixture = try DescribedFixture.reflection() }

    @Test("writing what generated code reads as the same message", arguments: Subject.everything)
    func isRead(_ subject: Subject) throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        let twin = try fixture.twin(subject)
        var generator = WireGenerator(seed: seed, schema: fixture.schema, style: .plain)
        for _ in 0..<60 {
            let bytes = generator.message(subject.name)
            let text = try DynamicMessage(twin.described, serialized: bytes).text()
            // By way of the generated code's own text: an Any in it is written anew.
            let expected = twin.generatedOutcome(text: try twin.generated(wire: bytes).textFormatString())
            try #require(twin.generatedOutcome(text: text) == expected, "seed \(seed), \(hex(bytes)), \(text)")
        }
    }

    @Test("reading what generated code writes", arguments: Subject.everything)
    func reads(_ subject: Subject) throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        let twin = try fixture.twin(subject)
        var generator = WireGenerator(seed: seed, schema: fixture.schema, style: .plain)
        for _ in 0..<60 {
            let text = try twin.generated(wire: generator.message(subject.name)).textFormatString()
            let expected = twin.generatedOutcome(text: text)
            try #require(twin.describedOutcome(text: text) == expected, "seed \(seed), \(text)")
        }
    }

    @Test("with known fields whole beside unknown ones", arguments: Subject.all)
    func wild(_ subject: Subject) throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        let twin = try fixture.twin(subject)
        var generator = WireGenerator(seed: seed, schema: fixture.schema, style: .wild)
        for _ in 0..<60 {
            let bytes = generator.message(subject.name)
            guard let message = try? twin.generated(wire: bytes) else { continue }
            let text = try DynamicMessage(twin.described, serialized: bytes).text()
            let expected = try? twin.generated(text: message.textFormatString(), ignoringUnknown: true)
            let read = try? twin.generated(text: text, ignoringUnknown: true)
            let readBytes = try read.map { try Twin.bytes($0, partial: true) }
            let expectedBytes = try expected.map { try Twin.bytes($0, partial: true) }
            try #require(readBytes == expectedBytes, "seed \(seed), \(hex(bytes)), \(text)")
        }
    }

    @Test("with unknown fields by their numbers")
    func unknownFields() throws {
        let twin = try fixture.twin(Subject(type: Reflection_Open_Names.self))
        let bytes = WireWriter {
            $0.field(1, varint: 5)
            $0.field(900, varint: 300)
            $0.tag(901, .fixed32)
            $0.fixed32(0xdead_beef)
            $0.field(902, delimited: Array("text".utf8))
            $0.field(903, delimited: WireWriter { $0.field(1, varint: 7) }.bytes)
            $0.field(904, group: WireWriter { $0.field(2, varint: 8) }.bytes)
        }.bytes
        let text = try DynamicMessage(twin.described, serialized: bytes).text()
        let lines = text.split(separator: "\n").map { $0.drop { $0 == " " } }
        #expect(lines.first == "plain: 5")
        #expect(lines.contains("900: 300"))
        #expect(lines.contains { $0.lowercased() == "901: 0xdeadbeef" })
        #expect(lines.contains(#"902: "text""#))
        #expect(lines.contains("1: 7") && lines.contains("2: 8"))
        #expect(lines.contains { $0.hasPrefix("903") } && lines.contains { $0.hasPrefix("904") })
    }

    @Test("with its own spellings of values and separators", arguments: TextSpelling.all)
    func spellings(_ spelling: TextSpelling) throws {
        let twin = try fixture.twin(Subject(type: spelling.type))
        let expected = twin.generatedOutcome(text: spelling.text)
        #expect(twin.describedOutcome(text: spelling.text) == expected)
        #expect((expected != .refused) == spelling.isAccepted, "the generated code has changed")
    }
}
