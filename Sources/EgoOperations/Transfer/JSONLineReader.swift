/// Reads one line of an export, a JSON object of strings, numbers and booleans, by hand: a decoder takes ten times as
/// long. What is nested in it, a payload as people read it, is stepped over.
struct JSONLineReader {
    /// A value of the object.
    enum Value {
        case text(String)
        case number(UInt64)
        case bool(Bool)
        case other

        var text: String? {
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

    /// Hands each member of the object to `member`, in order.
    static func read(
        _ line: ArraySlice<UInt8>, _ member: (String, Value) -> Void
    ) throws(ExportProblem) {
        let isRead = line.withUnsafeBufferPointer { bytes in
            var reader = JSONLineReader(bytes)
            return reader.object(member)
        }
        if !isRead { throw ExportProblem("it is no record of an export") }
    }

    private mutating func object(_ member: (String, Value) -> Void) -> Bool {
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
        return UInt64(String(decoding: bytes[start..<index], as: UTF8.self)).map(Value.number) ?? .other
    }

    private static func isNumeric(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."),
            UInt8(ascii: "e"), UInt8(ascii: "E"):
            true
        default: false
        }
    }

    /// A string; nil when it is none, or no UTF-8.
    private mutating func string() -> String? {
        guard index < bytes.count, bytes[index] == UInt8(ascii: "\"") else { return nil }
        index += 1
        let start = index
        while index < bytes.count, bytes[index] != UInt8(ascii: "\"") {
            if bytes[index] < 0x20 { return nil }
            if bytes[index] == UInt8(ascii: "\\") { return escapedString(from: start) }
            index += 1
        }
        guard index < bytes.count else { return nil }
        defer { index += 1 }
        return String(validating: bytes[start..<index], as: UTF8.self)
    }

    /// The rest of a string in which something is escaped.
    private mutating func escapedString(from start: Int) -> String? {
        var text = Array(bytes[start..<index])
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            switch byte {
            case UInt8(ascii: "\""): return String(validating: text, as: UTF8.self)
            case 0..<0x20: return nil
            case UInt8(ascii: "\\"):
                guard let scalar = escape() else { return nil }
                text.append(contentsOf: String(scalar).utf8)
            default: text.append(byte)
            }
        }
        return nil
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

    /// Steps over an object or an array.
    private mutating func skipNested() -> Bool {
        var depth = 0
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            switch byte {
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                depth -= 1
                if depth == 0 { return true }
            case UInt8(ascii: "\""):
                while index < bytes.count, bytes[index] != UInt8(ascii: "\"") {
                    index += bytes[index] == UInt8(ascii: "\\") ? 2 : 1
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
