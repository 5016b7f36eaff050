import EgoTestKit
import SwiftProtobuf

/// Generates wire bytes of messages that a schema describes.
struct WireGenerator {
    /// Which liberties of the wire format are taken.
    enum Style {
        /// Only what every form of a message can carry: known fields with values in range.
        case plain
        /// Also unknown fields and enum numbers, other wire types than declared, missing map keys, required fields left
        /// out, varints longer than they must be, and well-known types that have no JSON form.
        case wild
    }

    let schema: Schema
    let style: Style
    var random: SeededGenerator

    /// A map in an Any gets one entry, and nothing there is merged: the generated code does not sort in it.
    var isInAny = false

    init(seed: UInt64, schema: Schema, style: Style) {
        self.schema = schema
        self.style = style
        random = SeededGenerator(seed: seed)
    }

    mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }

    /// As chance, but never in plain bytes.
    mutating func liberty(_ percent: Int) -> Bool { style == .wild && chance(percent) }

    mutating func pick<Value>(_ values: [Value]) -> Value { values[Int.random(in: 0..<values.count, using: &random)] }

    /// The bytes of a message, its fields in any order and some of them more than once.
    mutating func message(_ name: String, depth: Int = 3) -> [UInt8] {
        if let bytes = wellKnown(name, depth: depth) { return bytes }
        let type = schema.message(name)
        var chosen: [Schema.Field] = type.fields.filter { $0.label == .required }
        if liberty(10) { chosen.removeAll() }
        if !type.fields.isEmpty {
            let upTo = depth > 0 ? 7 : 2
            for _ in 0..<Int.random(in: 0...upTo, using: &random) { chosen.append(pick(type.fields)) }
        }
        var taken: Set<Int32> = []
        var pieces: [[UInt8]] = []
        for field in chosen where mayStand(field, depth: depth, taken: &taken) {
            pieces.append(liberty(2) ? mistyped(field) : self.field(field, depth: depth))
        }
        while liberty(15) { pieces.append(unknownField(depth: depth)) }
        pieces.shuffle(using: &random)
        return pieces.flatMap { $0 }
    }

    private mutating func mayStand(_ field: Schema.Field, depth: Int, taken: inout Set<Int32>) -> Bool {
        if depth <= 0, field.type == .message || field.type == .group { return false }
        return !isInAny || taken.insert(field.number).inserted
    }

    private mutating func field(_ field: Schema.Field, depth: Int) -> [UInt8] {
        var writer = WireWriter()
        if let (key, value) = schema.mapEntry(field) {
            let count = isInAny ? 1 : Int.random(in: 1...4, using: &random)
            for _ in 0..<count {
                writer.field(field.number, delimited: entry(key: key, value: value, depth: depth))
            }
            return writer.bytes
        }
        guard field.label == .repeated else { return one(field, depth: depth) }
        let count = Int.random(in: 0...4, using: &random)
        let kind = WireWriter.Kind(field.type)
        if kind != .delimited, kind != .startGroup, chance(50) {
            writer.tag(field.number, .delimited)
            writer.delimited((0..<count).flatMap { _ in scalar(field) })
        } else {
            for _ in 0..<count { writer.raw(one(field, depth: depth)) }
        }
        return writer.bytes
    }

    /// A field with a tag of its own.
    private mutating func one(_ field: Schema.Field, depth: Int) -> [UInt8] {
        var writer = WireWriter()
        writer.tag(field.number, WireWriter.Kind(field.type), padding: liberty(2) && field.number < 1 << 20 ? 1 : 0)
        switch field.type {
        case .message: writer.delimited(message(field.typeName, depth: depth - 1))
        case .group:
            writer.raw(message(field.typeName, depth: depth - 1))
            writer.tag(field.number, .endGroup)
        default: writer.raw(scalar(field))
        }
        return writer.bytes
    }

    private mutating func entry(key: Schema.Field, value: Schema.Field, depth: Int) -> [UInt8] {
        var pieces: [[UInt8]] = []
        if !liberty(10) { pieces.append(one(key, depth: depth)) }
        if !liberty(10) { pieces.append(one(value, depth: depth)) }
        if liberty(5) { pieces.append(unknownField(depth: 0)) }
        if liberty(5) { pieces.append(one(key, depth: depth)) }
        if chance(50) { pieces.reverse() }
        return pieces.flatMap { $0 }
    }

    /// A known number with the wire type of something else.
    private mutating func mistyped(_ field: Schema.Field) -> [UInt8] {
        let kinds: [WireWriter.Kind] = [.varint, .fixed64, .fixed32, .startGroup]
        return unknown(field.number, pick(kinds), depth: 1)
    }

    private mutating func unknownField(depth: Int) -> [UInt8] {
        let kinds: [WireWriter.Kind] = [.varint, .fixed64, .delimited, .startGroup, .fixed32]
        return unknown(pick([900, 30_000, 70_000_000, 536_870_910]), pick(kinds), depth: depth)
    }

    private mutating func unknown(_ number: Int32, _ kind: WireWriter.Kind, depth: Int) -> [UInt8] {
        var writer = WireWriter()
        writer.tag(number, kind, padding: liberty(5) && number < 1 << 20 ? 1 : 0)
        switch kind {
        case .varint: writer.varint(random.next() >> UInt64.random(in: 0...63, using: &random))
        case .fixed64: writer.fixed64(random.next())
        case .delimited: writer.delimited(depth > 0 && chance(30) ? unknownField(depth: depth - 1) : Array(text().utf8))
        case .startGroup:
            if depth > 0 { for _ in 0..<pick([0, 1, 2]) { writer.raw(unknownField(depth: depth - 1)) } }
            writer.tag(number, .endGroup)
        case .fixed32, .endGroup: writer.fixed32(UInt32(truncatingIfNeeded: random.next()))
        }
        return writer.bytes
    }
}
