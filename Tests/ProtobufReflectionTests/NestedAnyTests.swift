import ProtobufReflection
import Testing

@Suite("An Any that holds an Any that holds an Any")
struct NestedAnyTests {
    private func nested(_ depth: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        for _ in 0..<depth {
            var outer = WireWriter()
            for (number, content) in [(1, Array("type.googleapis.com/google.protobuf.Any".utf8)), (2, bytes)] {
                outer.tag(Int32(number), .delimited)
                outer.varint(UInt64(content.count))
                outer.raw(content)
            }
            bytes = outer.bytes
        }
        return bytes
    }

    @Test("is shown up to a depth, and never ends the process", arguments: [1, 2, 50, 99, 1_000, 5_000])
    func ends(_ depth: Int) throws {
        let type = try #require(DescribedFixture().set.message(named: "google.protobuf.Any"))
        let message = try DynamicMessage(type, serialized: nested(depth))
        if depth < 100 {
            #expect(try message.json().count > depth * 20)
        } else {
            #expect(throws: ReflectionError.self) { try message.json() }
        }
        #expect(!message.text().isEmpty)
        let text =
            String(repeating: "[type.googleapis.com/google.protobuf.Any] {", count: depth)
            + String(repeating: "}", count: depth)
        #expect((try? DynamicMessage(type, text: text)) == nil || depth < 100)
        let json =
            String(repeating: #"{"@type":"type.googleapis.com/google.protobuf.Any","value":"#, count: depth) + "{}"
            + String(repeating: "}", count: depth)
        #expect((try? DynamicMessage(type, json: json)) == nil || depth < 100)
    }
}
