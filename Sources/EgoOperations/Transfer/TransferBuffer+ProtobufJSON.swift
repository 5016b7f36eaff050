extension TransferBuffer {
    func append(quoted number: Int64) {
        append(UInt8(ascii: "\""))
        append(decimal: number)
        append(UInt8(ascii: "\""))
    }

    func append(quoted number: UInt64) {
        append(UInt8(ascii: "\""))
        append(decimal: number)
        append(UInt8(ascii: "\""))
    }

    /// A number as protobuf JSON has it; `text` is how Swift describes it.
    func append(protobufJSON number: some BinaryFloatingPoint, _ text: String) {
        if number.isNaN {
            append("\"NaN\"")
        } else if number.isInfinite {
            append(number < 0 ? "\"-Infinity\"" : "\"Infinity\"")
        } else {
            var text = text
            text.withUTF8 { append($0) }
        }
    }

    /// A string as protobuf JSON has it; false, and nothing, when the bytes are no UTF-8.
    func append(protobufJSON bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        // Nearly all text is ASCII, and nothing of it needs a closer look.
        if bytes.contains(where: { $0 >= 0x80 }), String(validating: bytes, as: UTF8.self) == nil { return false }
        append(UInt8(ascii: "\""))
        var first = 0
        for (index, byte) in bytes.enumerated() {
            let short: UInt8
            switch byte {
            case 0x20...0x21, 0x23...0x5b, 0x5d...0x7e, 0x80...0xc1, 0xc3...: continue
            // U+0080 to U+009F are control characters.
            case 0xc2 where bytes[index + 1] > 0x9f: continue
            case 0x08: short = UInt8(ascii: "b")
            case 0x09: short = UInt8(ascii: "t")
            case 0x0a: short = UInt8(ascii: "n")
            case 0x0c: short = UInt8(ascii: "f")
            case 0x0d: short = UInt8(ascii: "r")
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): short = byte
            default: short = UInt8(ascii: "u")
            }
            append(UnsafeBufferPointer(rebasing: bytes[first..<index]))
            append(UInt8(ascii: "\\"))
            append(short)
            first = index + 1
            if short != UInt8(ascii: "u") { continue }
            let code = byte == 0xc2 ? bytes[index + 1] : byte
            if byte == 0xc2 { first += 1 }
            append("00")
            for digit in [code >> 4, code & 15] {
                append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "A") - 10 + digit)
            }
        }
        append(UnsafeBufferPointer(rebasing: bytes[first...]))
        append(UInt8(ascii: "\""))
        return true
    }
}
