import EgoTestKit
import ProtobufReflection
import SwiftProtobuf
import Testing

@Suite("A message of a descriptor writes and reads the JSON that generated code does")
struct JSONRoundTripTests {
    let fixture: DescribedFixture

    init() throws { fixture = try DescribedFixture.reflection() }

    @Test("writing it, for messages within their schema", arguments: Subject.everything)
    func writesPlain(_ subject: Subject) throws { try compareWritten(subject, .plain, count: 60) }

    @Test("writing it, for messages that use the liberties of the wire format", arguments: Subject.everything)
    func writesWild(_ subject: Subject) throws { try compareWritten(subject, .wild, count: 100) }

    private func compareWritten(_ subject: Subject, _ style: WireGenerator.Style, count: Int) throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        let twin = try fixture.twin(subject)
        var generator = WireGenerator(seed: seed, schema: fixture.schema, style: style)
        var accepted = 0
        for _ in 0..<count {
            let bytes = generator.message(subject.name)
            switch (twin.generatedJSON(wire: bytes), twin.describedJSON(wire: bytes)) {
            case (.accepted(let expected), .accepted(let json)):
                accepted += 1
                try #require(try JSONTree(json) == JSONTree(expected), "seed \(seed), \(hex(bytes))")
            case (let expected, let json):
                try #require(json == expected, "seed \(seed), \(hex(bytes))")
            }
        }
        #expect(accepted > 0, "seed \(seed)")
    }

    @Test("reading what generated code writes", arguments: Subject.everything)
    func reads(_ subject: Subject) throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        let twin = try fixture.twin(subject)
        var generator = WireGenerator(seed: seed, schema: fixture.schema, style: .plain)
        for _ in 0..<80 {
            guard let json = twin.generatedJSON(wire: generator.message(subject.name)).value else { continue }
            let expected = twin.generatedOutcome(json: json)
            try #require(twin.describedOutcome(json: json) == expected, "seed \(seed), \(json)")
        }
    }

    @Test("which generated code reads", arguments: Subject.everything)
    func isRead(_ subject: Subject) throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        let twin = try fixture.twin(subject)
        var generator = WireGenerator(seed: seed, schema: fixture.schema, style: .plain)
        for _ in 0..<60 {
            guard let json = twin.describedJSON(wire: generator.message(subject.name)).value else { continue }
            let again = twin.generatedOutcome(json: json)
            try #require(again == twin.describedOutcome(json: json), "seed \(seed), \(json)")
        }
    }

    @Test("not where an Any has a content and no type, or a type that nobody knows")
    func contents() throws {
        let twin = try fixture.twin(Subject(type: Google_Protobuf_Any.self))
        let urls = [
            "", "reflection.open.Leaf", "/nowhere.Missing", "a/nowhere.Missing", "a/reflection.open.Leaf/", "a/",
        ]
        for url in urls {
            for content: [UInt8] in [[], [0x08, 0x01], [0xff]] {
                let bytes = WireWriter {
                    $0.field(1, delimited: Array(url.utf8))
                    $0.field(2, delimited: content)
                }.bytes
                let expected = twin.generatedJSON(wire: bytes)
                #expect(twin.describedJSON(wire: bytes) == expected, "\(url), \(hex(content))")
                #expect((expected == .refused) == !(content.isEmpty && (url.isEmpty || url.contains("/"))))
            }
        }
    }

    @Test("but refuses enum numbers that do not fit, which generated code takes and cannot write")
    func wideEnumNumbers() throws {
        let twin = try fixture.twin(Subject(type: Reflection_Open_Scalars.self))
        for number in ["2147483648", "-2147483649", "9223372036854775807", "1e10"] {
            #expect(twin.describedOutcome(json: #"{"mood":\#(number)}"#) == .refused, "\(number)")
        }
        for number in ["2147483647", "-2147483648"] {
            let json = #"{"mood":\#(number)}"#
            #expect(twin.describedOutcome(json: json) == twin.generatedOutcome(json: json), "\(number)")
        }
    }

    @Test("with its own spellings of names, numbers and bytes", arguments: JSONSpelling.all)
    func spellings(_ spelling: JSONSpelling) throws {
        let twin = try fixture.twin(Subject(type: spelling.type))
        let expected = twin.generatedOutcome(json: spelling.json)
        #expect(twin.describedOutcome(json: spelling.json) == expected)
        #expect((expected != .refused) == spelling.isAccepted, "the generated code has changed")
    }
}
