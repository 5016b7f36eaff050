import ProtobufReflection
import SwiftProtobuf
import Testing

@Suite("Rules of the wire format hold as they do in generated code")
struct WireRuleTests {
    let fixture: DescribedFixture

    init() throws { fixture = try DescribedFixture.reflection() }

    private func check(
        _ type: any Message.Type, _ build: (inout WireWriter) -> Void, gives expect: (inout WireWriter) -> Void,
        _ location: SourceLocation = #_sourceLocation
    ) throws {
        let twin = try fixture.twin(Subject(type: type))
        let bytes = WireWriter(build).bytes
        let expected = WireWriter(expect).bytes
        #expect(twin.generatedOutcome(wire: bytes) == .accepted(expected), sourceLocation: location)
        #expect(twin.describedOutcome(wire: bytes) == .accepted(expected), sourceLocation: location)
    }

    private func refused(
        _ type: any Message.Type, _ location: SourceLocation = #_sourceLocation, _ build: (inout WireWriter) -> Void
    ) throws {
        let twin = try fixture.twin(Subject(type: type))
        #expect(twin.generatedOutcome(wire: WireWriter(build).bytes) == .refused, sourceLocation: location)
        #expect(twin.describedOutcome(wire: WireWriter(build).bytes) == .refused, sourceLocation: location)
    }

    /// A message of one field.
    private func field(_ number: Int32, varint: UInt64) -> [UInt8] {
        WireWriter { $0.field(number, varint: varint) }.bytes
    }

    private func field(_ number: Int32, delimited: [UInt8]) -> [UInt8] {
        WireWriter { $0.field(number, delimited: delimited) }.bytes
    }

    @Test("the last of a scalar wins, zero of an implicit one is absence")
    func scalars() throws {
        try check(Reflection_Open_Leaf.self) {
            $0.field(1, varint: 5)
            $0.field(2, delimited: Array("a".utf8))
            $0.field(1, varint: 0)
        } gives: {
            $0.field(2, delimited: Array("a".utf8))
        }
        try check(Reflection_Open_Optionals.self) {
            $0.field(3, varint: 0)
        } gives: {
            $0.field(3, varint: 0)
        }
        try check(Reflection_Closed_Scalars.self) {
            $0.field(3, varint: 0)
        } gives: {
            $0.field(3, varint: 0)
        }
    }

    @Test("negative zero is present")
    func negativeZero() throws {
        try check(Reflection_Open_Scalars.self) {
            $0.tag(1, .fixed64)
            $0.fixed64((-0.0).bitPattern)
        } gives: {
            $0.tag(1, .fixed64)
            $0.fixed64((-0.0).bitPattern)
        }
    }

    @Test("messages are merged, also in a oneof; another member puts the first aside")
    func merging() throws {
        let size = field(1, varint: 1)
        let color = field(2, delimited: [0x61])
        try check(Reflection_Open_Choice.self) {
            $0.field(18, delimited: size)
            $0.field(18, delimited: color)
        } gives: {
            $0.field(18, delimited: size + color)
        }
        try check(Reflection_Open_Choice.self) {
            $0.field(18, delimited: size)
            $0.field(4, varint: 0)
            $0.field(18, delimited: color)
        } gives: {
            $0.field(18, delimited: color)
        }
        try check(Reflection_Open_Choice.self) {
            $0.field(18, delimited: size)
            $0.field(4, varint: 0)
        } gives: {
            $0.field(4, varint: 0)
        }
    }

    @Test("of map entries with one key the last stays whole; what is missing is zero; keys are sorted")
    func maps() throws {
        let size = field(1, varint: 1)
        let color = field(2, delimited: [0x61])
        let key = field(1, delimited: [0x6b])
        try check(Reflection_Open_Maps.self) {
            $0.field(13, delimited: key + field(2, delimited: size))
            $0.field(13, delimited: field(2, delimited: color) + key)
        } gives: {
            $0.field(13, delimited: key + field(2, delimited: color))
        }
        try check(Reflection_Open_Maps.self) {
            $0.field(13, delimited: [])
        } gives: {
            $0.field(13, delimited: [0x0a, 0, 0x12, 0])
        }
        let numbers: [Int32] = [3, -1, 0, 1]
        try check(Reflection_Open_Maps.self) { writer in
            for number in numbers {
                let key = UInt64(bitPattern: Int64(number))
                writer.field(16, delimited: field(1, varint: key))
            }
        } gives: { writer in
            for number in numbers.sorted() {
                let entry = WireWriter {
                    $0.field(1, varint: UInt64(bitPattern: Int64(number)))
                    $0.tag(2, .fixed32)
                    $0.fixed32(0)
                }
                writer.field(16, delimited: entry.bytes)
            }
        }
    }

    @Test("packed and single values are one list, written as declared")
    func packing() throws {
        try check(Reflection_Open_Lists.self) {
            $0.field(3, varint: 1)
            $0.field(3, delimited: [2, 3])
            $0.field(18, delimited: [2, 3])
            $0.field(18, varint: 4)
        } gives: {
            $0.field(3, delimited: [1, 2, 3])
            for value: UInt64 in [2, 3, 4] { $0.field(18, varint: value) }
        }
    }

    @Test("an unknown number of a closed enum is an unknown field, of an open one a value")
    func enums() throws {
        try check(Reflection_Closed_Scalars.self) {
            $0.field(16, varint: 77)
            $0.field(17, varint: 77)
        } gives: {
            $0.field(17, varint: 77)
            $0.field(16, varint: 77)
        }
        try check(Reflection_Closed_Packed.self) {
            $0.field(7, delimited: [3, 77, 1, 78])
            $0.field(8, delimited: [77, 1])
        } gives: {
            $0.field(7, delimited: [3, 1])
            $0.field(8, delimited: [77, 1])
            $0.field(7, delimited: [77, 78])
        }
        try check(Reflection_Closed_Lists.self) {
            $0.field(8, varint: 77)
            $0.field(8, delimited: [3, 77])
            $0.field(8, varint: 1)
        } gives: {
            $0.field(8, varint: 3)
            $0.field(8, varint: 1)
            $0.field(8, varint: 77)
            $0.field(8, delimited: [77])
        }
        try check(Reflection_Closed_Maps.self) {
            $0.field(2, delimited: [0x08, 5, 0x10, 77])
            $0.field(2, delimited: [0x08, 5, 0x10, 2])
        } gives: {
            $0.field(2, delimited: [0x08, 5, 0x10, 2])
            $0.field(2, delimited: [0x08, 5, 0x10, 77])
        }
    }

    @Test("unknown fields stand last, in the order and with the bytes they came with")
    func unknownFields() throws {
        try check(Reflection_Open_Leaf.self) {
            $0.tag(9, .varint, padding: 1)
            $0.varint(5, padding: 2)
            $0.field(1, varint: 1)
            $0.field(8, group: [0x98, 0x00, 0x01])
            $0.tag(1, .fixed32)
            $0.fixed32(7)
        } gives: {
            $0.field(1, varint: 1)
            $0.tag(9, .varint, padding: 1)
            $0.varint(5, padding: 2)
            $0.field(8, group: [0x98, 0x00, 0x01])
            $0.tag(1, .fixed32)
            $0.fixed32(7)
        }
    }

    @Test("extensions stand at the place of their numbers")
    func extensions() throws {
        try check(Reflection_Closed_Extensible.self) {
            $0.field(1000, delimited: [])
            $0.field(200, varint: 1)
            $0.field(121, delimited: [1, 2])
            $0.field(102, varint: 1)
            $0.field(1, varint: 1)
            $0.field(500, varint: 1)
        } gives: {
            $0.field(1, varint: 1)
            $0.field(102, varint: 1)
            $0.field(121, delimited: [1, 2])
            $0.field(200, varint: 1)
            $0.field(1000, delimited: [])
            $0.field(500, varint: 1)
        }
    }

    @Test("values wider than their type are cut")
    func width() throws {
        try check(Reflection_Closed_Scalars.self) {
            $0.field(3, varint: 0x1_0000_0005)
            $0.field(5, varint: 0x1_0000_0006)
            $0.field(7, varint: 0x1_0000_0003)
            $0.field(13, varint: 0x1_0000_0000)
        } gives: {
            $0.field(3, varint: 5)
            $0.field(5, varint: 6)
            $0.field(7, varint: 3)
            $0.field(13, varint: 1)
        }
    }

    @Test("a required field that is missing is an error, wherever")
    func required() throws {
        let half = field(1, varint: 1)
        let whole = half + field(2, delimited: [])
        try check(Reflection_Closed_Required.self) {
            $0.raw(whole)
        } gives: {
            $0.raw(whole)
        }
        try refused(Reflection_Closed_Required.self) { $0.raw([]) }
        try refused(Reflection_Closed_Required.self) { $0.raw(half) }
        for number: Int32 in [3, 4, 6] {
            try refused(Reflection_Closed_Required.self) {
                $0.raw(whole)
                $0.field(number, delimited: half)
            }
        }
        try refused(Reflection_Closed_Required.self) {
            $0.raw(whole)
            $0.field(5, delimited: [])
        }
        let type = try #require(fixture.set.message(named: "reflection.closed.Required"))
        #expect(throws: ReflectionError.self) { try DynamicMessage(type, json: "{}").serialized() }
        #expect(throws: ReflectionError.self) { try DynamicMessage(type, text: "id: 1").serialized() }
        #expect(try DynamicMessage(type, json: "{}").text().isEmpty)
        #expect(try DynamicMessage(type, text: "id: 1").json() == #"{"id":1}"#)
    }
}
