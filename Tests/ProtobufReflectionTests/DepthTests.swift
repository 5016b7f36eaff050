import ProtobufReflection
import SwiftProtobuf
import Testing

@Suite("Nesting is limited where generated code limits it, and never runs out of stack")
struct DepthTests {
    let fixture: DescribedFixture

    init() throws { fixture = try DescribedFixture.reflection() }

    private static let depths = [1, 2, 49, 50, 51, 97, 98, 99, 100, 101, 102, 10_000]

    /// A message in a field of a message in a field, so often.
    private func nested(_ depth: Int, in wrap: (Int) -> (before: [UInt8], after: [UInt8])) -> [UInt8] {
        // From the inside: what stands before is put in backwards.
        var before: [UInt8] = []
        var after: [UInt8] = []
        for _ in 0..<depth {
            let layer = wrap(before.count + after.count)
            before += layer.before.reversed()
            after += layer.after
        }
        return before.reversed() + after
    }

    private func fields(_ number: Int32) -> (Int) -> (before: [UInt8], after: [UInt8]) {
        { count in
            let before = WireWriter {
                $0.tag(number, .delimited)
                $0.varint(UInt64(count))
            }
            return (before.bytes, [])
        }
    }

    private func groups(_ number: Int32) -> (Int) -> (before: [UInt8], after: [UInt8]) {
        { _ in
            (WireWriter { $0.tag(number, .startGroup) }.bytes, WireWriter { $0.tag(number, .endGroup) }.bytes)
        }
    }

    private func compare(_ type: any Message.Type, _ bytes: [UInt8], _ depth: Int) throws {
        let twin = try fixture.twin(Subject(type: type))
        #expect(twin.describedOutcome(wire: bytes) == twin.generatedOutcome(wire: bytes), "\(depth) deep")
        guard let message = try? DynamicMessage(twin.described, serialized: bytes) else { return }
        _ = message.text()
        _ = try? message.json()
    }

    @Test("of messages", arguments: depths)
    func messages(_ depth: Int) throws {
        try compare(Reflection_Open_Tree.self, nested(depth, in: fields(2)), depth)
        try compare(Reflection_Open_Tree.self, nested(depth, in: fields(3)), depth)
        try compare(Reflection_Closed_Required.self, nested(depth, in: fields(3)), depth)
        try compare(Reflection_Open_Choice.self, nested(depth, in: fields(20)), depth)
    }

    @Test("of map values", arguments: depths)
    func mapValues(_ depth: Int) throws {
        let entries = nested(depth) { count in
            let value = fields(2)(count).before
            return (fields(4)(count + value.count).before + value, [])
        }
        try compare(Reflection_Open_Tree.self, entries, depth)
    }

    @Test("of extensions", arguments: depths)
    func extensions(_ depth: Int) throws {
        try compare(Reflection_Closed_Extensible.self, nested(depth, in: fields(1000)), depth)
    }

    @Test("of groups, known and unknown", arguments: depths)
    func groups(_ depth: Int) throws {
        let known = nested(depth) { count in
            let inner = fields(5)(count)
            let outer = groups(4)(0)
            return (outer.before + inner.before, outer.after)
        }
        try compare(Reflection_Closed_Groups.self, known, depth)
        try compare(Reflection_Closed_Groups.self, nested(depth, in: groups(900)), depth)
        let open = [UInt8](repeating: 0x0b, count: depth)
        try compare(Reflection_Closed_Groups.self, open, depth)
        _ = WireDump.text(open)
        _ = WireDump.text(nested(depth, in: groups(1)))
        _ = WireDump.text(nested(depth, in: fields(1)))
    }

    @Test("of structures and lists", arguments: depths)
    func wellKnown(_ depth: Int) throws {
        let lists = nested(depth) { count in
            let values = fields(1)(count).before
            return (fields(6)(count + values.count).before + values, [])
        }
        try compare(Google_Protobuf_Value.self, lists, depth)
    }

    /// The generated code has no limit in the other forms, and takes twice as long for each level when it writes bytes.
    @Test("of contents of Any", arguments: depths)
    func contents(_ depth: Int) throws {
        let url = WireWriter { $0.field(1, delimited: Array("a/google.protobuf.Any".utf8)) }.bytes
        try compare(Google_Protobuf_Any.self, nested(depth) { (url + fields(2)($0).before, []) }, depth)

        let twin = try fixture.twin(Subject(type: Google_Protobuf_Any.self))
        let start = String(repeating: #"{"@type":"a/google.protobuf.Any","value":"#, count: depth)
        let json = start + "{}" + String(repeating: "}", count: depth)
        let text =
            String(repeating: "[a/google.protobuf.Any] {", count: depth) + String(repeating: "}", count: depth)
        let found = (json: twin.describedOutcome(json: json), text: twin.describedOutcome(text: text))
        guard depth < 5 else { return }
        #expect(found.json == twin.generatedOutcome(json: json), "\(depth) deep")
        #expect(found.text == twin.generatedOutcome(text: text), "\(depth) deep")
    }

    @Test("of JSON", arguments: depths)
    func json(_ depth: Int) throws {
        func repeated(_ before: String, _ after: String) -> String {
            String(repeating: before, count: depth) + String(repeating: after, count: depth)
        }
        let texts: [(any Message.Type, String)] = [
            (Reflection_Open_Tree.self, repeated(#"{"left":"#, "}").replacing(#""left":}"#, with: "}")),
            (Reflection_Open_Tree.self, "{" + repeated(#""children":[{"#, "}]") + "}"),
            (Reflection_Open_Tree.self, "{" + repeated(#""named":{"a":{"#, "}}") + "}"),
            (Google_Protobuf_Value.self, repeated("[", "]")), (Google_Protobuf_ListValue.self, repeated("[", "]")),
            (Google_Protobuf_Value.self, repeated(#"{"a":"#, "}").replacing(#""a":}"#, with: "}")),
            (Google_Protobuf_Any.self, String(repeating: "[", count: depth)),
            (Reflection_Open_Lists.self, #"{"unknown":"# + repeated("[", "]") + "}"),
            (Google_Protobuf_Struct.self, String(repeating: #"{"a":"#, count: depth)),
        ]
        for (type, json) in texts {
            let twin = try fixture.twin(Subject(type: type))
            #expect(
                twin.describedOutcome(json: json) == twin.generatedOutcome(json: json),
                "\(depth) deep in \(type): \(json.prefix(60))")
        }
    }

    @Test("of text format", arguments: depths)
    func text(_ depth: Int) throws {
        func repeated(_ before: String, _ after: String) -> String {
            String(repeating: before, count: depth) + String(repeating: after, count: depth)
        }
        let texts: [(any Message.Type, String)] = [
            (Reflection_Open_Tree.self, repeated("left {", "}")),
            (Reflection_Open_Tree.self, repeated("children <", ">")),
            (Reflection_Open_Tree.self, repeated("children: [{", "}]")),
            (Reflection_Open_Tree.self, repeated("named { key: 'a' value {", "} }")),
            (Reflection_Closed_Groups.self, repeated("ManyTimes { groups {", "} }")),
            (Reflection_Closed_Extensible.self, repeated("[reflection.closed.self_extension] {", "}")),
            (Reflection_Closed_Reserved.self, "gone " + repeated("{ a ", "}").replacing("a }", with: "}")),
            (Reflection_Closed_Reserved.self, "gone: " + String(repeating: "[", count: depth)),
            (Reflection_Open_Tree.self, String(repeating: "left {", count: depth)),
        ]
        for (type, text) in texts {
            let twin = try fixture.twin(Subject(type: type))
            #expect(
                twin.describedOutcome(text: text) == twin.generatedOutcome(text: text),
                "\(depth) deep in \(type): \(text.prefix(60))")
        }
    }
}
