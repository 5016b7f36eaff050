import EgoTestKit
import SwiftProtobuf
import Testing

@Suite("A message of a descriptor writes the bytes that generated code writes")
struct WireRoundTripTests {
    let fixture: DescribedFixture

    init() throws { fixture = try DescribedFixture.reflection() }

    @Test("for messages within their schema", arguments: Subject.everything)
    func plain(_ subject: Subject) throws { try compare(subject, .plain, count: 80) }

    @Test("for messages that use the liberties of the wire format", arguments: Subject.everything)
    func wild(_ subject: Subject) throws { try compare(subject, .wild, count: 150) }

    private func compare(_ subject: Subject, _ style: WireGenerator.Style, count: Int) throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        let twin = try fixture.twin(subject)
        var generator = WireGenerator(seed: seed, schema: fixture.schema, style: style)
        var accepted = 0
        for _ in 0..<count {
            let bytes = generator.message(subject.name)
            let expected = twin.generatedOutcome(wire: bytes)
            try #require(twin.describedOutcome(wire: bytes) == expected, "seed \(seed), \(hex(bytes))")
            if case .accepted = expected { accepted += 1 }
        }
        #expect(accepted > count / 5, "seed \(seed)")
    }

    @Test("twice the same, and again from its own bytes", arguments: Subject.all)
    func stable(_ subject: Subject) throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        let twin = try fixture.twin(subject)
        var generator = WireGenerator(seed: seed, schema: fixture.schema, style: .wild)
        for _ in 0..<50 {
            let bytes = generator.message(subject.name)
            guard let once = twin.describedOutcome(wire: bytes).value else { continue }
            try #require(twin.describedOutcome(wire: bytes) == .accepted(once), "seed \(seed), \(hex(bytes))")
            try #require(twin.describedOutcome(wire: once) == .accepted(once), "seed \(seed), \(hex(bytes))")
        }
    }
}
