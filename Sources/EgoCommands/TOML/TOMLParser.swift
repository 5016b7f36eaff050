/// Reads TOML 1.0 (toml.io/en/v1.0.0), but for dates.
///
/// The library that was used before (toml++ 3 through TOMLKit 0.6) ends the process on texts such as `a = [}]`, and does
/// not tell where a key stands.
struct TOMLParser {
    private let text: [Unicode.Scalar]
    private var index = 0
    private var line = 1
    private var lineStart = 0
    private var depth = 0
    private let root = TOMLTableBuilder(.header)

    /// Nothing that people write is nested deeper.
    private static let maximumDepth = 64

    private init(_ text: String) {
        self.text = Array(text.unicodeScalars)
    }

    /// Reads a document.
    static func parse(_ text: String) throws(TOMLError) -> TOMLTable {
        var parser = TOMLParser(text)
        try parser.document()
        return parser.root.table
    }

    // MARK: Scanning

    private var place: TOMLPlace { TOMLPlace(line: line, column: index - lineStart + 1) }
    private var next: Unicode.Scalar? { index < text.count ? text[index] : nil }

    private func error(_ message: String) -> TOMLError { TOMLError(place: place, message: message) }

    /// What stands here instead of what was expected.
    private func expected(_ what: String) -> TOMLError {
        let found =
            switch next {
            case nil: "the end of the file"
            case "\n"?, "\r"?: "the end of the line"
            case let scalar? where scalar.value < 0x20 || scalar.value == 0x7f: "a control character"
            case let scalar?: "\"\(scalar)\""
            }
        return error("expected \(what), found \(found)")
    }

    private mutating func advance() {
        if next == "\n" {
            line += 1
            lineStart = index + 1
        }
        index += 1
    }

    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard next == scalar else { return false }
        advance()
        return true
    }

    private func starts(with word: String) -> Bool {
        text[index...].starts(with: word.unicodeScalars)
    }

    private mutating func take(word: String) -> Bool {
        guard starts(with: word) else { return false }
        for _ in word.unicodeScalars { advance() }
        return true
    }

    private mutating func skipBlanks() {
        while next == " " || next == "\t" { index += 1 }
    }

    private mutating func skipComment() throws(TOMLError) {
        guard next == "#" else { return }
        while let scalar = next, scalar != "\n", !(scalar == "\r" && starts(with: "\r\n")) {
            if scalar != "\t", scalar.value < 0x20 || scalar.value == 0x7f {
                throw error("a comment holds a control character")
            }
            index += 1
        }
    }

    private mutating func skipLineEnd() -> Bool { take(word: "\r\n") || take("\n") }

    /// Blanks, comments and ends of lines.
    private mutating func skipSpace() throws(TOMLError) {
        repeat {
            skipBlanks()
            try skipComment()
        } while skipLineEnd()
    }

    // MARK: Document

    private mutating func document() throws(TOMLError) {
        var current = root
        while true {
            try skipSpace()
            guard next != nil else { return }
            if next == "[" {
                current = try header()
            } else {
                try pair(in: current)
            }
            skipBlanks()
            try skipComment()
            if next != nil, !skipLineEnd() { throw expected("the end of the line") }
        }
    }

    private mutating func header() throws(TOMLError) -> TOMLTableBuilder {
        let start = place
        advance()
        let isList = take("[")
        let keys = try path()
        guard take("]"), !isList || take("]") else { throw expected(isList ? "]]" : "]") }
        var table = root
        for (key, place) in keys.dropLast() { table = try table.open(key, place, as: .implicit) }
        guard let (last, _) = keys.last else { throw TOMLError(place: start, message: "expected a name") }
        return isList ? try table.append(to: last, start) : try table.open(last, start, as: .header)
    }

    private mutating func pair(in table: TOMLTableBuilder) throws(TOMLError) {
        let keys = try path()
        guard take("=") else { throw expected("=") }
        skipBlanks()
        let value = try value()
        var target = table
        for (key, place) in keys.dropLast() { target = try target.open(key, place, as: .dotted) }
        if let (last, place) = keys.last { try target.set(last, value, place) }
    }

    /// A dotted name.
    private mutating func path() throws(TOMLError) -> [(String, TOMLPlace)] {
        var keys: [(String, TOMLPlace)] = []
        repeat {
            skipBlanks()
            let place = place
            keys.append((try key(), place))
            if keys.count > Self.maximumDepth { throw error("names are nested too deeply") }
            skipBlanks()
        } while take(".")
        return keys
    }

    private mutating func key() throws(TOMLError) -> String {
        if next == "\"" { return try basicString() }
        if next == "'" { return try literalString() }
        var name = ""
        while let scalar = next, Self.isBare(scalar) {
            name.unicodeScalars.append(scalar)
            index += 1
        }
        if name.isEmpty { throw expected("a name") }
        return name
    }

    private static func isBare(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "a"..."z", "A"..."Z", "0"..."9", "_", "-": true
        default: false
        }
    }

    // MARK: Values

    private mutating func value() throws(TOMLError) -> TOMLValue {
        depth += 1
        defer { depth -= 1 }
        if depth > Self.maximumDepth { throw error("values are nested too deeply") }
        switch next {
        case "\""?: return .string(starts(with: "\"\"\"") ? try longBasicString() : try basicString())
        case "'"?: return .string(starts(with: "'''") ? try longLiteralString() : try literalString())
        case "["?: return try array()
        case "{"?: return try inlineTable()
        default: return try bareValue()
        }
    }

    private mutating func array() throws(TOMLError) -> TOMLValue {
        advance()
        var nodes: [TOMLNode] = []
        while true {
            try skipSpace()
            if take("]") { return .array(nodes) }
            if next == nil { throw expected("]") }
            let place = place
            nodes.append(TOMLNode(value: try value(), place: place))
            try skipSpace()
            if take(",") { continue }
            guard take("]") else { throw expected(", or ]") }
            return .array(nodes)
        }
    }

    private mutating func inlineTable() throws(TOMLError) -> TOMLValue {
        advance()
        let table = TOMLTableBuilder(.inline)
        skipBlanks()
        if take("}") { return .table(table.table) }
        while true {
            try pair(in: table)
            skipBlanks()
            if take(",") { continue }
            guard take("}") else { throw expected(", or }") }
            return .table(table.table)
        }
    }

    private mutating func bareValue() throws(TOMLError) -> TOMLValue {
        let start = place
        var word = ""
        while let scalar = next, Self.isBare(scalar) || scalar == "+" || scalar == "." || scalar == ":" {
            word.unicodeScalars.append(scalar)
            index += 1
        }
        if word == "true" { return .boolean(true) }
        if word == "false" { return .boolean(false) }
        if let number = TOMLNumber.value(word) { return number }
        if word.isEmpty { throw expected("a value") }
        throw TOMLError(
            place: start, message: "expected a value, found \(word): a string has quotation marks, a date is not known")
    }

    // MARK: Strings

    private mutating func basicString() throws(TOMLError) -> String {
        advance()
        var string = ""
        while true {
            guard let scalar = next, scalar != "\n", scalar != "\r" else { throw expected("a closing quotation mark") }
            if take("\"") { return string }
            if take("\\") {
                string.unicodeScalars.append(try escape())
            } else {
                string.unicodeScalars.append(try plain(scalar))
            }
        }
    }

    private mutating func literalString() throws(TOMLError) -> String {
        advance()
        var string = ""
        while true {
            guard let scalar = next, scalar != "\n", scalar != "\r" else { throw expected("a closing '") }
            if take("'") { return string }
            string.unicodeScalars.append(try plain(scalar))
        }
    }

    private mutating func longBasicString() throws(TOMLError) -> String {
        _ = take(word: "\"\"\"")
        _ = skipLineEnd()
        var string = ""
        while true {
            guard let scalar = next else { throw expected("three closing quotation marks") }
            if let end = closing("\"") { return string + end }
            if skipLineEnd() {
                string += "\n"
            } else if take("\\") {
                // A backslash at the end of a line joins it with the next text.
                let (mark, markLine, markStart) = (index, line, lineStart)
                skipBlanks()
                if skipLineEnd() {
                    repeat { skipBlanks() } while skipLineEnd()
                } else {
                    (index, line, lineStart) = (mark, markLine, markStart)
                    string.unicodeScalars.append(try escape())
                }
            } else {
                string.unicodeScalars.append(try plain(scalar))
            }
        }
    }

    private mutating func longLiteralString() throws(TOMLError) -> String {
        _ = take(word: "'''")
        _ = skipLineEnd()
        var string = ""
        while true {
            guard let scalar = next else { throw expected("three closing '") }
            if let end = closing("'") { return string + end }
            if skipLineEnd() { string += "\n" } else { string.unicodeScalars.append(try plain(scalar)) }
        }
    }

    /// The end of a long string: three quotation marks, before which one or two more belong to the string.
    private mutating func closing(_ quote: Unicode.Scalar) -> String? {
        let count = text[index...].prefix { $0 == quote }.prefix(5).count
        guard count >= 3 else { return nil }
        index += count
        return String(repeating: String(quote), count: count - 3)
    }

    private mutating func plain(_ scalar: Unicode.Scalar) throws(TOMLError) -> Unicode.Scalar {
        if scalar != "\t", scalar.value < 0x20 || scalar.value == 0x7f {
            throw error("a string holds a control character; write it as an escape")
        }
        index += 1
        return scalar
    }

    private mutating func escape() throws(TOMLError) -> Unicode.Scalar {
        guard let scalar = next else { throw expected("an escape") }
        let simple: [Unicode.Scalar: Unicode.Scalar] = [
            "b": "\u{8}", "t": "\t", "n": "\n", "f": "\u{c}", "r": "\r", "\"": "\"", "\\": "\\",
        ]
        if let meant = simple[scalar] {
            index += 1
            return meant
        }
        guard scalar == "u" || scalar == "U" else { throw expected("an escape such as \\n, \\\" or \\u0041") }
        let digits = text[(index + 1)...].prefix(scalar == "u" ? 4 : 8)
        let hex = String(String.UnicodeScalarView(digits))
        guard digits.count == (scalar == "u" ? 4 : 8), hex.allSatisfy(\.isHexDigit),
            let number = UInt32(hex, radix: 16),
            let meant = Unicode.Scalar(number)
        else { throw error("expected \(scalar == "u" ? 4 : 8) hexadecimal digits of a character") }
        index += 1 + digits.count
        return meant
    }
}

/// Numbers of TOML.
private enum TOMLNumber {
    static func value(_ word: String) -> TOMLValue? {
        switch word {
        case "inf", "+inf": return .float(.infinity)
        case "-inf": return .float(-.infinity)
        case "nan", "+nan", "-nan": return .float(.nan)
        default: break
        }
        for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] where word.hasPrefix(prefix) {
            guard let digits = joined(word.dropFirst(2), radix: radix), digits.allSatisfy(\.isHexDigit) else {
                return nil
            }
            return Int64(digits, radix: radix).map(TOMLValue.integer)
        }
        let unsigned = word.hasPrefix("+") || word.hasPrefix("-") ? word.dropFirst() : word[...]
        guard let first = unsigned.first, first.isASCII, first.isNumber, let digits = joined(unsigned, radix: 10)
        else { return nil }
        let whole = digits.prefix { $0 != "." && $0 != "e" && $0 != "E" }
        if whole.count > 1, whole.first == "0" { return nil }
        let text = (word.hasPrefix("-") ? "-" : "") + digits
        if whole.count == digits.count { return Int64(text).map(TOMLValue.integer) }
        let fraction = digits.dropFirst(whole.count)
        // A dot has digits on both sides.
        if fraction.hasPrefix("."), fraction.dropFirst().first?.isNumber != true { return nil }
        return Double(text).map(TOMLValue.float)
    }

    /// The digits without the underscores between them; nil when one is not between two digits.
    private static func joined(_ digits: Substring, radix: Int) -> String? {
        func isDigit(_ character: Character?) -> Bool { character?.hexDigitValue.map { $0 < radix } ?? false }
        let parts = digits.split(separator: "_", omittingEmptySubsequences: false)
        let isRight = parts.enumerated().allSatisfy { index, part in
            (index == 0 || isDigit(part.first)) && (index == parts.count - 1 || isDigit(part.last))
        }
        return isRight && !digits.isEmpty ? parts.joined() : nil
    }
}
