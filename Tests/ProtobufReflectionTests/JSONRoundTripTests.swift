import EgoTestKit
import ProtobufReflection
import SwiftProtobuf
import Testing

@Suite("A message of a descriptor writes and reads the JSON that generated code does")
struct JSONRoundTripTests {
    let fixture: DescribedFixture

    init() throws { fixture = try DescribedFixture() }

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
        #expect(accepted > count / 5, "seed \(seed)")
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

    @Test("with its own spellings of names, numbers and bytes", arguments: JSONSpelling.all)
    func spellings(_ spelling: JSONSpelling) throws {
        let twin = try fixture.twin(Subject(type: spelling.type))
        let expected = twin.generatedOutcome(json: spelling.json)
        #expect(twin.describedOutcome(json: spelling.json) == expected)
        #expect((expected != .refused) == spelling.isAccepted, "the generated code has changed")
    }
}
