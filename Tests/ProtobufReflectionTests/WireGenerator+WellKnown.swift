import EgoTestKit
import SwiftProtobuf

extension WireGenerator {
    /// The bytes of a well-known type whose values have rules of their own, nil for every other type.
    mutating func wellKnown(_ name: String, depth: Int) -> [UInt8]? {
        switch name.drop(while: { $0 == "." }) {
        case "google.protobuf.Timestamp":
            pair(
                seconds: Int64.random(in: -62_135_596_800...253_402_300_799, using: &random),
                nanoseconds: liberty(10) ? pick([-1, 1_000_000_000]) : pick(Self.nanoseconds))
        case "google.protobuf.Duration": duration()
        case "google.protobuf.FieldMask": mask()
        case "google.protobuf.Value": value(depth: depth)
        case "google.protobuf.Any": any(depth: depth)
        default: nil
        }
    }

    private static let nanoseconds: [Int32] = [0, 1, 1_000, 1_000_000, 120_000_000, 999_999_999]

    private func pair(seconds: Int64, nanoseconds: Int32) -> [UInt8] {
        WireWriter {
            if seconds != 0 { $0.field(1, varint: UInt64(bitPattern: seconds)) }
            if nanoseconds != 0 { $0.field(2, varint: UInt64(bitPattern: Int64(nanoseconds))) }
        }.bytes
    }

    private mutating func duration() -> [UInt8] {
        let seconds: Int64 = pick([0, 1, 59, 86_400, 315_576_000_000])
        let nanoseconds = pick(Self.nanoseconds)
        let sign: Int64 = pick([1, -1])
        if liberty(10) { return pair(seconds: seconds * sign + 1, nanoseconds: nanoseconds * Int32(-sign)) }
        return pair(seconds: seconds * sign, nanoseconds: nanoseconds * Int32(sign))
    }

    private mutating func mask() -> [UInt8] {
        var writer = WireWriter()
        for _ in 0..<pick([0, 1, 2, 3]) {
            let paths = liberty(10) ? ["Upper", "a__b", "end_", "né", ""] : ["a", "a.b", "foo_bar.baz_qux", "x1"]
            let path = pick(paths)
            writer.field(1, delimited: Array(path.utf8))
        }
        return writer.bytes
    }

    private mutating func value(depth: Int) -> [UInt8] {
        var writer = WireWriter()
        switch liberty(4) ? 6 : Int.random(in: 0...(depth > 0 ? 5 : 3), using: &random) {
        case 0: writer.field(1, varint: 0)
        case 1:
            let number = double()
            writer.tag(2, .fixed64)
            writer.fixed64((number.isFinite || style == .wild && chance(20) ? number : 7.25).bitPattern)
        case 2: writer.field(3, delimited: Array(text().utf8))
        case 3: writer.field(4, varint: pick([0, 1]))
        case 4: writer.field(5, delimited: message("google.protobuf.Struct", depth: depth - 1))
        case 5: writer.field(6, delimited: message("google.protobuf.ListValue", depth: depth - 1))
        default: break
        }
        return writer.bytes
    }

    private mutating func any(depth: Int) -> [UInt8] {
        if chance(5) { return [] }
        let wasInAny = isInAny
        isInAny = true
        defer { isInAny = wasInAny }
        var name = pick(depth > 0 ? Self.contents : ["google.protobuf.Duration", "reflection.open.Leaf"])
        var content = message(name, depth: depth - 1)
        // The generated code cannot read what it writes for an empty well-known type.
        if content.isEmpty, name.hasPrefix("google") { name = "google.protobuf.Empty" }
        if liberty(5) { content = [0xff] }
        if liberty(5) { name = "nowhere.Missing" }
        let prefix = liberty(5) ? "a/b/" : "type.googleapis.com/"
        // The value is written also where it is empty, or a merged Any would keep what another type left.
        return WireWriter {
            $0.field(1, delimited: Array((prefix + name).utf8))
            $0.field(2, delimited: content)
        }.bytes
    }

    /// What an Any may hold: messages without extensions, which the generated code does not know there.
    private static let contents = [
        "reflection.open.Scalars", "reflection.open.Optionals", "reflection.open.Lists", "reflection.open.Maps",
        "reflection.open.Choice", "reflection.open.Tree", "reflection.open.Known", "reflection.open.Holder",
        "reflection.closed.Scalars", "reflection.closed.Required", "reflection.closed.Packed",
        "reflection.closed.Groups", "google.protobuf.Any", "google.protobuf.Duration", "google.protobuf.Empty",
        "google.protobuf.FieldMask", "google.protobuf.Int64Value", "google.protobuf.ListValue",
        "google.protobuf.StringValue", "google.protobuf.Struct", "google.protobuf.Timestamp", "google.protobuf.Value",
    ]
}
