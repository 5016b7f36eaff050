/// Bytes as text (RFC 4648, section 4), without a copy of either in between.
enum Base64 {
    private static let alphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

    /// What stands for each twelve bits. Never given back.
    private nonisolated(unsafe) static let pairs: UnsafePointer<UInt16> = {
        let pairs = UnsafeMutablePointer<UInt16>.allocate(capacity: 1 << 12)
        let letters = alphabet.utf8Start
        for bits in 0..<1 << 12 {
            pairs[bits] = (UInt16(letters[bits & 63]) << 8 | UInt16(letters[bits >> 6])).littleEndian
        }
        return UnsafePointer(pairs)
    }()

    /// Writes the text of `bytes`, four for each three or less; returns how much that is.
    static func encode(_ bytes: UnsafeRawBufferPointer, to text: UnsafeMutableRawPointer) -> Int {
        guard let source = bytes.baseAddress else { return 0 }
        let pairs = pairs
        var (index, place) = (0, 0)
        while index + 3 <= bytes.count {
            let bits =
                Int(source.load(fromByteOffset: index, as: UInt8.self)) << 16
                | Int(source.load(fromByteOffset: index + 1, as: UInt8.self)) << 8
                | Int(source.load(fromByteOffset: index + 2, as: UInt8.self))
            text.storeBytes(of: pairs[bits >> 12], toByteOffset: place, as: UInt16.self)
            text.storeBytes(of: pairs[bits & 0xfff], toByteOffset: place + 2, as: UInt16.self)
            index += 3
            place += 4
        }
        let left = bytes.count - index
        if left == 0 { return place }
        let bits =
            Int(source.load(fromByteOffset: index, as: UInt8.self)) << 16
            | (left == 2 ? Int(source.load(fromByteOffset: index + 1, as: UInt8.self)) << 8 : 0)
        text.storeBytes(of: pairs[bits >> 12], toByteOffset: place, as: UInt16.self)
        let third = left == 2 ? alphabet.utf8Start[bits >> 6 & 63] : UInt8(ascii: "=")
        text.storeBytes(of: third, toByteOffset: place + 2, as: UInt8.self)
        text.storeBytes(of: UInt8(ascii: "="), toByteOffset: place + 3, as: UInt8.self)
        return place + 4
    }

    /// What each letter stands for in each place of four. Never given back.
    private nonisolated(unsafe) static let values: UnsafePointer<UInt32> = {
        let values = UnsafeMutablePointer<UInt32>.allocate(capacity: 4 << 8)
        values.update(repeating: .max, count: 4 << 8)
        for (value, letter) in UnsafeBufferPointer(start: alphabet.utf8Start, count: 64).enumerated() {
            for place in 0..<4 { values[(place << 8) + Int(letter)] = UInt32(value) << UInt32(18 - 6 * place) }
        }
        return UnsafePointer(values)
    }()

    /// Writes what a text stands for, three bytes for each four letters or less; returns how much that is, or nil when it
    /// is no such text. Bits that stand for nothing need not be zero.
    static func decode(_ text: UnsafeBufferPointer<UInt8>, to bytes: UnsafeMutablePointer<UInt8>) -> Int? {
        guard text.count.isMultiple(of: 4) else { return nil }
        if text.isEmpty { return 0 }
        let values = values
        let last = text.count - 4
        let missing = text[last + 3] != padding ? 0 : text[last + 2] != padding ? 1 : 2
        let whole = missing == 0 ? text.count : last
        var (index, place) = (0, 0)
        while index < whole {
            let bits =
                values[Int(text[index])] | values[(1 << 8) + Int(text[index + 1])]
                | values[(2 << 8) + Int(text[index + 2])] | values[(3 << 8) + Int(text[index + 3])]
            if bits > 0xff_ffff { return nil }
            bytes[place] = UInt8(truncatingIfNeeded: bits >> 16)
            bytes[place + 1] = UInt8(truncatingIfNeeded: bits >> 8)
            bytes[place + 2] = UInt8(truncatingIfNeeded: bits)
            index += 4
            place += 3
        }
        if missing == 0 { return place }
        let bits =
            values[Int(text[last])] | values[(1 << 8) + Int(text[last + 1])]
            | (missing == 1 ? values[(2 << 8) + Int(text[last + 2])] : 0)
        if bits > 0xff_ffff { return nil }
        bytes[place] = UInt8(truncatingIfNeeded: bits >> 16)
        if missing == 1 { bytes[place + 1] = UInt8(truncatingIfNeeded: bits >> 8) }
        return place + 3 - missing
    }

    private static let padding = UInt8(ascii: "=")
}
