/// Reads one line of an export, a JSON object of strings, numbers and booleans, by hand: a decoder takes ten times as
/// long. What is nested in it, a payload as people read it, is stepped over.
struct JSONLineReader {
    /// A string where it lies, between its quotation marks; it is UTF-8, and its escapes are sound.
    struct Text {
        fileprivate let bytes: UnsafeBufferPointer<UInt8>
        fileprivate let isEscaped: Bool

        /// What it says.
        var string: String {
            isEscaped ? JSONLineReader.unescaped(bytes) ?? "" : String(decoding: bytes, as: UTF8.self)
        }

        /// Hands over the bytes of what it says.
        func withBytes<Result>(_ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
            if !isEscaped { return body(bytes) }
            var string = string
            return string.withUTF8(body)
        }

        /// Whether it says so, in letters that nobody would escape.
        static func ~= (literal: StaticString, text: Text) -> Bool {
            if text.isEscaped { return text.withBytes { equal(literal, $0) } }
            return equal(literal, text.bytes)
        }

        private static func equal(_ literal: StaticString, _ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
            guard bytes.count == literal.utf8CodeUnitCount else { return false }
            for index in bytes.indices where bytes[index] != literal.utf8Start[index] { return false }
            return true
        }
    }

    /// A value of the object.
    enum Value {
        case text(Text)
        case number(UInt64)
        case bool(Bool)
        case other

        var text: Text? {
            if case .text(let text) = self { return text }
            return nil
        }

        var number: UInt64? {
            if case .number(let number) = self { return number }
            return nil
        }

        var bool: Bool? {
            if case .bool(let isOn) = self { return isOn }
            return nil
        }
    }

    private let bytes: UnsafeBufferPointer<UInt8>
    private var index = 0

    private init(_ bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

    /// Hands each member of the object to `member`, in order; its texts are there as long as the line is.
    static func read(
        _ line: UnsafeBufferPointer<UInt8>, _ member: (Text, Value) -> Void
    ) throws(ExportProblem) {
        var reader = JSONLineReader(line)
        if !reader.object(member) { throw ExportProblem("it is no record of an export") }
    }

    private mutating func object(_ member: (Text, Value) -> Void) -> Bool {
        guard take("{") else { return false }
        if take("}") { return isAtEnd() }
        repeat {
            skipSpace()
            guard let name = string(), take(":"), let value = value() else { return false }
            member(name, value)
        } while take(",")
        return take("}") && isAtEnd()
    }

    private mutating func value() -> Value? {
        skipSpace()
        guard index < bytes.count else { return nil }
        switch bytes[index] {
        case UInt8(ascii: "\""): return string().map(Value.text)
        case UInt8(ascii: "{"), UInt8(ascii: "["): return skipNested() ? .other : nil
        case UInt8(ascii: "t"): return take(word: "true") ? .bool(true) : nil
        case UInt8(ascii: "f"): return take(word: "false") ? .bool(false) : nil
        case UInt8(ascii: "n"): return take(word: "null") ? .other : nil
        default: return number()
        }
    }

    private mutating func number() -> Value? {
        let start = index
        while index < bytes.count, Self.isNumeric(bytes[index]) { index += 1 }
        if index == start { return nil }
        let digits = UnsafeBufferPointer(rebasing: bytes[start..<index])
        return (digits.plainDecimal ?? UInt64(String(decoding: digits, as: UTF8.self))).map(Value.number) ?? .other
    }

    private static func isNumeric(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."),
            UInt8(ascii: "e"), UInt8(ascii: "E"):
            true
        default: false
        }
    }

    // MARK: Strings

    /// A string; nil when it is none, or no UTF-8.
    private mutating func string() -> Text? {
        guard index < bytes.count, bytes[index] == UInt8(ascii: "\"") else { return nil }
        index += 1
        let start = index
        var (isEscaped, isASCII) = (false, true)
        while true {
            goToMark(stopsAtControl: true, &isASCII)
            guard index < bytes.count else { return nil }
            if bytes[index] == UInt8(ascii: "\"") { break }
            guard bytes[index] == UInt8(ascii: "\\"), index + 1 < bytes.count else { return nil }
            // Whatever is escaped, it does not end the string.
            isEscaped = true
            index += 2
        }
        let text = Text(bytes: UnsafeBufferPointer(rebasing: bytes[start..<index]), isEscaped: isEscaped)
        index += 1
        if isEscaped { return Self.unescaped(text.bytes) == nil ? nil : text }
        return isASCII || String(validating: text.bytes, as: UTF8.self) != nil ? text : nil
    }

    /// Goes to the next quotation mark or backslash, or also control character, or to the end; eight bytes at a time.
    private mutating func goToMark(stopsAtControl: Bool, _ isASCII: inout Bool) {
        func zeros(_ word: UInt64) -> UInt64 { (word &- Self.ones) & ~word & Self.highBits }
        let words = UnsafeRawBufferPointer(bytes)
        while index + 8 <= bytes.count {
            let word = UInt64(littleEndian: words.loadUnaligned(fromByteOffset: index, as: UInt64.self))
            if word & Self.highBits != 0 { isASCII = false }
            var marks = zeros(word ^ (Self.ones &* 0x22)) | zeros(word ^ (Self.ones &* 0x5c))
            if stopsAtControl { marks |= (word &- (Self.ones &* 0x20)) & ~word & Self.highBits }
            if marks != 0 {
                // The lowest mark is one; those above it may be none.
                index += marks.trailingZeroBitCount >> 3
                return
            }
            index += 8
        }
        while index < bytes.count {
            let byte = bytes[index]
            if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") || stopsAtControl && byte < 0x20 { return }
            if byte >= 0x80 { isASCII = false }
            index += 1
        }
    }

    private static let ones: UInt64 = 0x0101_0101_0101_0101
    private static let highBits: UInt64 = 0x8080_8080_8080_8080

    /// What a string says in which something is escaped; nil when an escape is none.
    private static func unescaped(_ bytes: UnsafeBufferPointer<UInt8>) -> String? {
        var reader = JSONLineReader(bytes)
        var text: [UInt8] = []
        text.reserveCapacity(bytes.count)
        while reader.index < bytes.count {
            let byte = bytes[reader.index]
            reader.index += 1
            if byte == UInt8(ascii: "\\") {
                guard let scalar = reader.escape() else { return nil }
                text.append(contentsOf: String(scalar).utf8)
            } else {
                text.append(byte)
            }
        }
        return String(validating: text, as: UTF8.self)
    }

    private mutating func escape() -> Unicode.Scalar? {
        guard index < bytes.count else { return nil }
        let byte = bytes[index]
        index += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{c}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"):
            guard let first = hexadecimal() else { return nil }
            if !(0xd800..<0xe000).contains(first) { return Unicode.Scalar(first) }
            // The second half of a pair has to follow.
            guard first < 0xdc00, take(word: "\\u"), let second = hexadecimal(), (0xdc00..<0xe000).contains(second)
            else { return nil }
            return Unicode.Scalar(0x10000 + (first - 0xd800) << 10 + (second - 0xdc00))
        default: return nil
        }
    }

    private mutating func hexadecimal() -> UInt32? {
        guard index + 4 <= bytes.count else { return nil }
        defer { index += 4 }
        let digits = String(decoding: bytes[index..<(index + 4)], as: UTF8.self)
        return digits.allSatisfy(\.isHexDigit) ? UInt32(digits, radix: 16) : nil
    }

    // MARK: Everything else

    /// Steps over an object or an array.
    private mutating func skipNested() -> Bool {
        var depth = 0
        var isASCII = true
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            switch byte {
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                depth -= 1
                if depth == 0 { return true }
            case UInt8(ascii: "\""):
                while true {
                    goToMark(stopsAtControl: false, &isASCII)
                    if index >= bytes.count || bytes[index] == UInt8(ascii: "\"") { break }
                    index += 2
                }
                index += 1
            default: break
            }
        }
        return false
    }

    private mutating func skipSpace() {
        while index < bytes.count {
            switch bytes[index] {
            case 0x20, 0x09, 0x0a, 0x0d: index += 1
            default: return
            }
        }
    }

    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        skipSpace()
        guard index < bytes.count, bytes[index] == UInt8(ascii: scalar) else { return false }
        index += 1
        return true
    }

    private mutating func take(word: StaticString) -> Bool {
        let count = word.utf8CodeUnitCount
        guard index + count <= bytes.count else { return false }
        for offset in 0..<count where bytes[index + offset] != word.utf8Start[offset] { return false }
        index += count
        return true
    }

    private mutating func isAtEnd() -> Bool {
        skipSpace()
        return index == bytes.count
    }
}

extension UnsafeBufferPointer<UInt8> {
    /// The number of 1 to 19 decimal digits; nil for anything else.
    var plainDecimal: UInt64? {
        guard (1...19).contains(count) else { return nil }
        var number: UInt64 = 0
        for byte in self {
            let digit = byte &- UInt8(ascii: "0")
            if digit > 9 { return nil }
            number = number &* 10 &+ UInt64(digit)
        }
        return number
    }
}
