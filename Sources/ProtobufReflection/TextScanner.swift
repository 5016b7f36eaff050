/// Takes protobuf text format apart, token by token.
struct TextScanner {
    private let bytes: [UInt8]
    private var position = 0
    private var depth = 0

    init(_ text: String) { bytes = Array(text.utf8) }

    static let malformed = ReflectionError("it is no protobuf text format")

    mutating func enter() throws(ReflectionError) {
        depth += 1
        if depth >= DynamicMessage.depthLimit { throw .tooDeep }
    }

    mutating func leave() { depth -= 1 }

    private mutating func skipSpace() {
        while position < bytes.count {
            if bytes[position] == UInt8(ascii: "#") {
                while position < bytes.count, ![0x0a, 0x0d].contains(bytes[position]) { position += 1 }
            } else if [0x20, 0x09, 0x0a, 0x0b, 0x0c, 0x0d].contains(bytes[position]) {
                position += 1
            } else {
                return
            }
        }
    }

    mutating func peek() -> UInt8? {
        skipSpace()
        return position < bytes.count ? bytes[position] : nil
    }

    mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard let next = peek(), UInt32(next) == character.value else { return false }
        position += 1
        return true
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
            true
        default: false
        }
    }

    /// A name, or the digits of a number.
    mutating func word() throws(ReflectionError) -> String {
        skipSpace()
        let start = position
        while position < bytes.count, Self.isWord(bytes[position]) { position += 1 }
        if start == position { throw Self.malformed }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    /// What stands in brackets: an extension's name, or a type URL. White space in it does not count.
    mutating func bracketed() throws(ReflectionError) -> String {
        guard take("[") else { throw Self.malformed }
        var name: [UInt8] = []
        while let byte = peek(), Self.isWord(byte) || Self.urlCharacters.contains(byte) {
            name.append(byte)
            position += 1
        }
        guard !name.isEmpty, take("]") else { throw Self.malformed }
        return String(decoding: name, as: UTF8.self)
    }

    private static let urlCharacters = Array("./-%~!$&()*=+,;".utf8)

    /// The word, sign and point of a value that is not quoted.
    mutating func bare() throws(ReflectionError) -> String {
        skipSpace()
        let start = position
        if position < bytes.count, bytes[position] == UInt8(ascii: "-") {
            position += 1
            skipSpace()
        }
        let sign = start < position ? "-" : ""
        let first = position
        while position < bytes.count {
            let byte = bytes[position]
            let isExponent = position > first && [UInt8(ascii: "e"), UInt8(ascii: "E")].contains(bytes[position - 1])
            let isSign = [UInt8(ascii: "+"), UInt8(ascii: "-")].contains(byte) && isExponent
            guard Self.isWord(byte) || byte == UInt8(ascii: ".") || isSign else { break }
            position += 1
        }
        if first == position { throw Self.malformed }
        return sign + String(decoding: bytes[first..<position], as: UTF8.self)
    }

    /// One or more quoted strings that stand side by side.
    mutating func quoted() throws(ReflectionError) -> [UInt8] {
        var text: [UInt8] = []
        var isAny = false
        while let quote = peek(), quote == UInt8(ascii: "\"") || quote == UInt8(ascii: "'") {
            position += 1
            isAny = true
            try part(until: quote, &text)
        }
        if !isAny { throw Self.malformed }
        return text
    }

    private mutating func part(until quote: UInt8, _ text: inout [UInt8]) throws(ReflectionError) {
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            if byte == quote { return }
            switch byte {
            case 0x0a, 0x0d: throw Self.malformed
            case UInt8(ascii: "\\"): text += try escape()
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
        case UInt8(ascii: "a"): return [7]
        case UInt8(ascii: "b"): return [8]
        case UInt8(ascii: "f"): return [12]
        case UInt8(ascii: "n"): return [10]
        case UInt8(ascii: "r"): return [13]
        case UInt8(ascii: "t"): return [9]
        case UInt8(ascii: "v"): return [11]
        case UInt8(ascii: "\\"), UInt8(ascii: "'"), UInt8(ascii: "\""), UInt8(ascii: "?"): return [byte]
        case UInt8(ascii: "0")...UInt8(ascii: "7"):
            position -= 1
            let code = digits(upTo: 3, radix: 8)
            guard let code, code < 256 else { throw Self.malformed }
            return [UInt8(code)]
        case UInt8(ascii: "x"):
            guard let code = digits(upTo: 2, radix: 16) else { throw Self.malformed }
            return [UInt8(code)]
        case UInt8(ascii: "u"), UInt8(ascii: "U"):
            let count = byte == UInt8(ascii: "u") ? 4 : 8
            let start = position
            guard let code = digits(upTo: count, radix: 16), position - start == count,
                let scalar = Unicode.Scalar(code), let encoded = UTF8.encode(scalar)
            else { throw Self.malformed }
            return Array(encoded)
        default: throw Self.malformed
        }
    }

    private mutating func digits(upTo count: Int, radix: UInt32) -> UInt32? {
        var number: UInt32 = 0
        let start = position
        while position < bytes.count, position - start < count,
            let digit = Character(Unicode.Scalar(bytes[position])).hexDigitValue, digit < Int(radix),
            bytes[position] < 0x80
        {
            number = number &* radix &+ UInt32(digit)
            position += 1
        }
        return position == start ? nil : number
    }

    /// Steps over the value of a field that is not read, with its colon.
    mutating func skipField() throws(ReflectionError) {
        let hasColon = take(":")
        switch peek() {
        case UInt8(ascii: "{"), UInt8(ascii: "<"): try skipMessage()
        case _ where hasColon: try skipValue(canBeList: true)
        default: throw Self.malformed
        }
    }

    private mutating func skipMessage() throws(ReflectionError) {
        let isBrace = take("{")
        guard isBrace || take("<") else { throw Self.malformed }
        try enter()
        while !take(isBrace ? "}" : ">") {
            if peek() == UInt8(ascii: "[") { _ = try bracketed() } else { _ = try word() }
            try skipField()
            if !take(",") { _ = take(";") }
        }
        leave()
    }

    private mutating func skipValue(canBeList: Bool) throws(ReflectionError) {
        switch peek() {
        case UInt8(ascii: "["):
            guard canBeList, take("[") else { throw Self.malformed }
            if take("]") { return }
            repeat {
                if peek() == UInt8(ascii: "{") || peek() == UInt8(ascii: "<") {
                    try skipMessage()
                } else {
                    try skipValue(canBeList: false)
                }
            } while take(",")
            if !take("]") { throw Self.malformed }
        case UInt8(ascii: "\""), UInt8(ascii: "'"): _ = try quoted()
        default: _ = try bare()
        }
    }
}
