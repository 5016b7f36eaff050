/// JSON as text means it: members of objects in any order, numbers by their digits.
enum JSONTree: Equatable {
    case null
    case bool(Bool)
    case number(String)
    case string(String)
    case array([JSONTree])
    case object([String: JSONTree])

    /// What a text is not JSON for.
    struct Malformed: Error {
        let text: String
        let offset: Int
    }

    init(_ text: String) throws {
        var reader = Reader(bytes: Array(text.utf8))
        self = try reader.value()
        reader.skipSpace()
        guard reader.position == reader.bytes.count else { throw reader.malformed }
    }

    private struct Reader {
        let bytes: [UInt8]
        var position = 0

        var malformed: Malformed { Malformed(text: String(decoding: bytes, as: UTF8.self), offset: position) }
        var next: UInt8? { position < bytes.count ? bytes[position] : nil }

        mutating func skipSpace() {
            while let byte = next, [0x20, 0x09, 0x0a, 0x0d].contains(byte) { position += 1 }
        }

        mutating func take(_ text: String) -> Bool {
            guard bytes[position...].starts(with: text.utf8) else { return false }
            position += text.utf8.count
            return true
        }

        mutating func value() throws -> JSONTree {
            skipSpace()
            if take("null") { return .null }
            if take("true") { return .bool(true) }
            if take("false") { return .bool(false) }
            if take("[") { return .array(try list(until: "]") { try $0.value() }) }
            if take("{") { return try object() }
            if next == UInt8(ascii: "\"") { return .string(try string()) }
            return try number()
        }

        mutating func list<Element>(until end: String, _ read: (inout Self) throws -> Element) throws -> [Element] {
            skipSpace()
            if take(end) { return [] }
            var elements: [Element] = []
            repeat {
                elements.append(try read(&self))
                skipSpace()
            } while take(",")
            guard take(end) else { throw malformed }
            return elements
        }

        mutating func object() throws -> JSONTree {
            let members = try list(until: "}") { reader in
                reader.skipSpace()
                let name = try reader.string()
                reader.skipSpace()
                guard reader.take(":") else { throw reader.malformed }
                return (name, try reader.value())
            }
            let object = Dictionary(members) { first, _ in first }
            guard object.count == members.count else { throw malformed }
            return .object(object)
        }

        mutating func string() throws -> String {
            guard take("\"") else { throw malformed }
            var text: [UInt8] = []
            while let byte = next, byte != UInt8(ascii: "\"") {
                guard byte >= 0x20 else { throw malformed }
                position += 1
                if byte == UInt8(ascii: "\\") { text += try escaped() } else { text.append(byte) }
            }
            guard take("\"") else { throw malformed }
            return String(decoding: text, as: UTF8.self)
        }

        mutating func escaped() throws -> [UInt8] {
            let short: [String: String] = [
                "\"": "\"", "\\": "\\", "/": "/", "b": "\u{8}", "f": "\u{c}", "n": "\n", "r": "\r", "t": "\t",
            ]
            for (letter, meaning) in short where take(letter) { return Array(meaning.utf8) }
            guard take("u") else { throw malformed }
            var units = [try unit()]
            if UTF16.isLeadSurrogate(units[0]), take("\\u") { units.append(try unit()) }
            return Array(String(decoding: units, as: UTF16.self).utf8)
        }

        mutating func unit() throws -> UInt16 {
            let digits = String(decoding: bytes[position...].prefix(4), as: UTF8.self)
            guard digits.utf8.count == 4, let unit = UInt16(digits, radix: 16) else { throw malformed }
            position += 4
            return unit
        }

        mutating func number() throws -> JSONTree {
            let start = position
            while let byte = next, "+-.eE0123456789".utf8.contains(byte) { position += 1 }
            let digits = String(decoding: bytes[start..<position], as: UTF8.self)
            guard Double(digits) != nil else { throw malformed }
            return .number(digits)
        }
    }
}
