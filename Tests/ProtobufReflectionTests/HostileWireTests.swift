import EgoTestKit
import ProtobufReflection
import SwiftProtobuf
import Testing

@Suite("Hostile wire bytes are refused where generated code refuses them, and otherwise read as it reads them")
struct HostileWireTests {
    let fixture: DescribedFixture

    init() throws { fixture = try DescribedFixture.reflection() }

    /// Compares what comes of bytes, and takes the other forms of what was accepted.
    private func compare(_ twin: Twin, _ name: String, _ bytes: [UInt8], _ origin: String) throws {
        let expected = twin.generatedOutcome(wire: bytes)
        let found = twin.describedOutcome(wire: bytes)
        if found != expected {
            let comparison = fixture.schema.comparison(bytes[...], of: name)
            let isExempt = comparison == .none || comparison == .lenient && found == .refused
            try #require(isExempt, "\(origin), \(hex(bytes)): \(found), not \(expected)")
        }
        if let message = try? DynamicMessage(twin.described, serialized: bytes) {
            _ = message.text()
            _ = try? message.json()
        }
        _ = WireDump.text(bytes)
    }

    @Test("cut off at every byte", arguments: Subject.all)
    func truncated(_ subject: Subject) throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        let twin = try fixture.twin(subject)
        var generator = WireGenerator(seed: seed, schema: fixture.schema, style: .wild)
        var whole: [UInt8] = []
        for _ in 0..<3 { whole += generator.message(subject.name, depth: 2) }
        for count in 0..<min(whole.count, 250) {
            try compare(twin, subject.name, Array(whole.prefix(count)), "seed \(seed)")
        }
    }

    @Test("with bits flipped and bytes changed", arguments: Subject.everything)
    func changed(_ subject: Subject) throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        let twin = try fixture.twin(subject)
        var generator = WireGenerator(seed: seed, schema: fixture.schema, style: .wild)
        for _ in 0..<100 {
            var bytes = generator.message(subject.name, depth: 2)
            guard !bytes.isEmpty else { continue }
            for _ in 0..<Int.random(in: 1...3, using: &generator.random) {
                generator.random.change(&bytes)
                if bytes.isEmpty { break }
            }
            try compare(twin, subject.name, bytes, "seed \(seed)")
        }
    }

    @Test("of chance", arguments: Subject.everything)
    func random(_ subject: Subject) throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        let twin = try fixture.twin(subject)
        var random = SeededGenerator(seed: seed)
        for _ in 0..<100 {
            let bytes = random.bytes(0...40, small: 40)
            try compare(twin, subject.name, bytes, "seed \(seed)")
        }
    }

    @Test("with lengths beyond the end, at every number a message has", arguments: Subject.all)
    func lengths(_ subject: Subject) throws {
        let twin = try fixture.twin(subject)
        let lengths: [UInt64] = [
            1, 127, 128, 0x7fff_fffe, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1 << 62, UInt64(Int64.max), 1 << 63, .max,
        ]
        for field in fixture.schema.message(subject.name).fields {
            for length in lengths {
                let bytes = WireWriter {
                    $0.tag(field.number, .delimited)
                    $0.varint(length)
                }.bytes
                try compare(twin, subject.name, bytes, "length \(length)")
                try compare(twin, subject.name, bytes + [0x08, 0x01], "length \(length)")
            }
        }
    }

    @Test("with varints as long as they may be, longer, and without an end", arguments: Subject.all)
    func varints(_ subject: Subject) throws {
        let twin = try fixture.twin(subject)
        let full = [UInt8](repeating: 0xff, count: 9)
        let varints: [[UInt8]] = [
            full + [0x01], full + [0x02], full + [0x7f], full + [0xff], full + [0xff, 0x01], full,
            [UInt8](repeating: 0x80, count: 9) + [0x00], [UInt8](repeating: 0x80, count: 10) + [0x00], [0x80],
            [0x80, 0x00],
        ]
        for field in fixture.schema.message(subject.name).fields {
            for varint in varints {
                for kind in [WireWriter.Kind.varint, .delimited] {
                    var writer = WireWriter()
                    writer.tag(field.number, kind)
                    writer.raw(varint)
                    try compare(twin, subject.name, writer.bytes, "varint")
                    let packed = WireWriter { $0.field(field.number, delimited: varint) }.bytes
                    try compare(twin, subject.name, packed, "packed varint")
                }
            }
        }
    }

    @Test("with tags that are none", arguments: Subject.all)
    func tags(_ subject: Subject) throws {
        let twin = try fixture.twin(subject)
        let tags: [[UInt8]] = [
            [0x00, 0x00], [0x01], [0x02, 0x00], [0x03, 0x04], [0x05], [0x06], [0x07], [0x0e, 0x00], [0x0f, 0x00],
            [0x88, 0x00, 0x01], [0x88, 0x80, 0x80, 0x80, 0x00, 0x01], [0x88, 0x80, 0x80, 0x80, 0x80, 0x00, 0x01],
            [0xf8, 0xff, 0xff, 0xff, 0x0f, 0x01], [0xf8, 0xff, 0xff, 0xff, 0x1f, 0x01], [0xff, 0xff, 0xff, 0xff, 0x0f],
            [0x80, 0x80, 0x00], [0x0c], [0xa4, 0x38], [0xa3, 0x38, 0x00, 0xa4, 0x38],
        ]
        for tag in tags { try compare(twin, subject.name, tag, "tag") }
    }

    @Test("with text that is not UTF-8", arguments: Subject.all)
    func badText(_ subject: Subject) throws {
        let twin = try fixture.twin(subject)
        let texts: [[UInt8]] = [
            [0x80], [0xc3], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xf8, 0x88, 0x80, 0x80, 0x80],
            [0xff], [0xe2, 0x82], [0x41, 0xc3, 0x28], [0x00], [0xef, 0xbf, 0xbd], [0xef, 0xbb, 0xbf],
        ]
        for field in fixture.schema.message(subject.name).fields {
            for text in texts {
                let plain = WireWriter { $0.field(field.number, delimited: text) }.bytes
                try compare(twin, subject.name, plain, "text")
                guard let entry = fixture.schema.mapEntry(field), entry.key.type == .string else { continue }
                let key = WireWriter { $0.field(1, delimited: text) }.bytes
                let keyed = WireWriter { $0.field(field.number, delimited: key) }.bytes
                try compare(twin, subject.name, keyed, "key")
            }
        }
    }

    @Test("with groups that do not end, end twice, or end as others", arguments: Subject.all)
    func groups(_ subject: Subject) throws {
        let twin = try fixture.twin(subject)
        for field in fixture.schema.message(subject.name).fields {
            let start = WireWriter { $0.tag(field.number, .startGroup) }.bytes
            let end = WireWriter { $0.tag(field.number, .endGroup) }.bytes
            let other = WireWriter { $0.tag(field.number == 1 ? 2 : field.number - 1, .endGroup) }.bytes
            for bytes in [
                start, end, start + end, start + end + end, start + other, start + start + end,
                start + start + end + end, start + other + end, start + [0x08, 0x01] + end, start + [0x08] + end,
                start + [0x00] + end, other,
            ] {
                try compare(twin, subject.name, bytes, "group")
                let inner = WireWriter { $0.field(field.number, delimited: bytes) }.bytes
                try compare(twin, subject.name, inner, "group in a message")
            }
        }
    }
}
