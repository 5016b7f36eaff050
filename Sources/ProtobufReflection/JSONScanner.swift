/// Takes JSON apart, token by token (RFC 8259).
struct JSONScanner {
    private let bytes: [UInt8]
    private(set) var position = 0
    private var depth = 0

    init(_ text: String) { bytes = Array(text.utf8) }

    static let malformed = ReflectionError("it is no JSON")

    // MARK: Nesting

    mutating func enter() throws(ReflectionError) {
        depth += 1
        if depth > DynamicMessage.depthLimit { throw .tooDeep }
    }

    mutating func leave() { depth -= 1 }

    // MARK: Tokens

    private mutating func skipSpace() {
        while position < bytes.count, [0x20, 0x09, 0x0a, 0x0d].contains(bytes[position]) { position += 1 }
    }

    /// The first byte of the next token; nil at the end.
    mutating func peek() -> UInt8? {
        skipSpace()
        return position < bytes.count ? bytes[position] : nil
    }

    mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard let next = peek(), UInt32(next) == character.value else { return false }
        position += 1
        return true
    }

    mutating func expect(_ character: Unicode.Scalar) throws(ReflectionError) {
        if !take(character) { throw Self.malformed }
    }

    mutating func take(word: String) -> Bool {
        skipSpace()
        guard bytes[position...].starts(with: word.utf8) else { return false }
        position += word.utf8.count
        return true
    }

    mutating func expectEnd() throws(ReflectionError) {
        if peek() != nil { throw ReflectionError("there is more after the JSON") }
    }

    /// Goes back to a place that was left.
    mutating func move(to place: Int) { position = place }

    /// The text of a number.
    mutating func number() throws(ReflectionError) -> String {
        skipSpace()
        let start = position
        func isDigit(_ place: Int) -> Bool {
            place < bytes.count && (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[place])
        }
        func has(_ place: Int, _ characters: [UInt8]) -> Bool {
            place < bytes.count && characters.contains(bytes[place])
        }
        if has(position, [UInt8(ascii: "-")]) { position += 1 }
        guard isDigit(position) else { throw Self.malformed }
        if bytes[position] == UInt8(ascii: "0") {
            position += 1
        } else {
            while isDigit(position) { position += 1 }
        }
        if has(position, [UInt8(ascii: ".")]) {
            position += 1
            guard isDigit(position) else { throw Self.malformed }
            while isDigit(position) { position += 1 }
        }
        if has(position, [UInt8(ascii: "e"), UInt8(ascii: "E")]) {
            position += 1
            if has(position, [UInt8(ascii: "+"), UInt8(ascii: "-")]) { position += 1 }
            guard isDigit(position) else { throw Self.malformed }
            while isDigit(position) { position += 1 }
        }
        if isDigit(position) { throw Self.malformed }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    mutating func string() throws(ReflectionError) -> String {
        try expect("\"")
        var text: [UInt8] = []
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let valid = String(validating: text, as: UTF8.self) else { throw Self.malformed }
                return valid
            case UInt8(ascii: "\\"): text += try escape()
            case 0..<0x20: throw Self.malformed
            default: text.append(byte)
            }
        }
        throw Self.malformed
    }

    private mutating func escape() throws(ReflectionError) -> [UInt8] {
        guard position < bytes.count else { throw Self.malformed }
        let byte = bytes[position]
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [byte]
        case UInt8(ascii: "b"): return [8]
        case UInt8(ascii: "f"): return [12]
        case UInt8(ascii: "n"): return [10]
        case UInt8(ascii: "r"): return [13]
        case UInt8(ascii: "t"): return [9]
        case UInt8(ascii: "u"):
            var code = try hexadecimal()
            if (0xd800..<0xdc00).contains(code) {
                guard bytes[position...].starts(with: "\\u".utf8) else { throw Self.malformed }
                position += 2
                let low = try hexadecimal()
                guard (0xdc00..<0xe000).contains(low) else { throw Self.malformed }
                code = 0x10000 + (code - 0xd800) << 10 + (low - 0xdc00)
            }
            guard let scalar = Unicode.Scalar(code), let encoded = UTF8.encode(scalar) else { throw Self.malformed }
            return Array(encoded)
        default: throw Self.malformed
        }
    }

    private mutating func hexadecimal() throws(ReflectionError) -> UInt32 {
        guard position + 4 <= bytes.count,
            bytes[position..<position + 4].allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit && $0 < 0x80 }),
            let code = UInt32(String(decoding: bytes[position..<position + 4], as: UTF8.self), radix: 16)
        else { throw Self.malformed }
        position += 4
        return code
    }

    /// Steps over a value of any kind.
    mutating func skip() throws(ReflectionError) {
        switch peek() {
        case UInt8(ascii: "{"):
            try object { (scanner, _) throws(ReflectionError) in try scanner.skip() }
        case UInt8(ascii: "["):
            try enter()
            try array { (scanner) throws(ReflectionError) in try scanner.skip() }
            leave()
        case UInt8(ascii: "\""): _ = try string()
        case UInt8(ascii: "t"), UInt8(ascii: "f"), UInt8(ascii: "n"):
            if !take(word: "true"), !take(word: "false"), !take(word: "null") { throw Self.malformed }
        default: _ = try number()
        }
    }

    /// Goes through an object; `member` reads each value.
    mutating func object(
        _ member: (inout JSONScanner, String) throws(ReflectionError) -> Void
    ) throws(ReflectionError) {
        try expect("{")
        try enter()
        defer { leave() }
        if take("}") { return }
        repeat {
            let key = try string()
            try expect(":")
            try member(&self, key)
        } while take(",")
        try expect("}")
    }

    /// Goes through an array; `element` reads each value.
    mutating func array(_ element: (inout JSONScanner) throws(ReflectionError) -> Void) throws(ReflectionError) {
        try expect("[")
        if take("]") { return }
        repeat { try element(&self) } while take(",")
        try expect("]")
    }
}
