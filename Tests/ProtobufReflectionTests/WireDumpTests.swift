import EgoTestKit
import ProtobufReflection
import SwiftProtobuf
import Testing

@Suite("Bytes without a descriptor are shown by field numbers")
struct WireDumpTests {
    @Test("every field with its number and value")
    func fields() throws {
        let bytes = WireWriter {
            $0.field(1, varint: 300)
            $0.field(2, delimited: Array("text".utf8))
            $0.field(3, delimited: WireWriter { $0.field(4, varint: 7) }.bytes)
            $0.tag(5, .fixed32)
            $0.fixed32(1)
            $0.tag(6, .fixed64)
            $0.fixed64(2)
            $0.field(8, group: WireWriter { $0.field(9, varint: 10) }.bytes)
        }.bytes
        let text = try #require(WireDump.text(bytes))
        let lines = text.split(separator: "\n").map { $0.drop { $0 == " " } }
        #expect(lines.first == "1: 300")
        #expect(lines.contains { $0.hasPrefix("2") && $0.contains("text") })
        for number in 1...9 where number != 7 {
            #expect(lines.contains { $0.hasPrefix("\(number)") }, "\(number)")
        }
    }

    @Test("nothing where the bytes are no message")
    func malformed() {
        let malformed: [[UInt8]] = [
            [0x00], [0x07], [0x08], [0x0a, 0x05, 0x01], [0x0b], [0x0c], [0xff, 0xff], [0x0d, 0x01],
        ]
        for bytes in malformed {
            #expect(WireDump.text(bytes) == nil, "\(hex(bytes))")
        }
    }

    @Test("as messages wherever generated code takes them for one")
    func agreement() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SeededGenerator(seed: seed)
        for _ in 0..<2_000 {
            let bytes = random.bytes(1...24, small: 30)
            let isMessage = (try? Google_Protobuf_Empty(serializedBytes: bytes)) != nil
            try #require((WireDump.text(bytes) != nil) == isMessage, "seed \(seed), \(hex(bytes))")
        }
    }
}
