/// Wire bytes put together by hand, well-formed or not.
struct WireWriter {
    enum Kind: Int {
        case varint, fixed64, delimited, startGroup, endGroup, fixed32
    }

    private(set) var bytes: [UInt8] = []

    init() {}

    init(_ build: (inout Self) -> Void) { build(&self) }

    mutating func raw(_ more: [UInt8]) { bytes += more }

    /// A varint, longer by zero bits where padding is asked for.
    mutating func varint(_ value: UInt64, padding: Int = 0) {
        var rest = value
        while rest > 127 {
            bytes.append(UInt8(truncatingIfNeeded: rest & 0x7f | 0x80))
            rest >>= 7
        }
        if padding == 0 {
            bytes.append(UInt8(rest))
        } else {
            bytes.append(UInt8(rest) | 0x80)
            bytes += [UInt8](repeating: 0x80, count: padding - 1) + [0]
        }
    }

    mutating func tag(_ number: Int32, _ kind: Kind, padding: Int = 0) {
        varint(UInt64(UInt32(bitPattern: number)) << 3 | UInt64(kind.rawValue), padding: padding)
    }

    mutating func fixed32(_ value: UInt32) {
        for shift in stride(from: 0, to: 32, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value >> shift)) }
    }

    mutating func fixed64(_ value: UInt64) {
        for shift in stride(from: 0, to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value >> shift)) }
    }

    mutating func delimited(_ content: [UInt8]) {
        varint(UInt64(content.count))
        bytes += content
    }

    mutating func field(_ number: Int32, varint value: UInt64) {
        tag(number, .varint)
        varint(value)
    }

    mutating func field(_ number: Int32, delimited content: [UInt8]) {
        tag(number, .delimited)
        delimited(content)
    }

    mutating func field(_ number: Int32, group content: [UInt8]) {
        tag(number, .startGroup)
        bytes += content
        tag(number, .endGroup)
    }
}
