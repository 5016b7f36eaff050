/// A statement of a read model: SQL in which `{balances}` stands for a table and `:owner` for a value.
///
/// Values are bound, never spliced. Text in quotes, comments and casts (`::numeric`) are left as they are.
public struct ReadModelStatement: Sendable, Hashable {
    /// What is wrong with a statement.
    public struct Problem: Error, Sendable, Hashable, CustomStringConvertible {
        /// What, in a sentence.
        public let description: String
    }

    private enum Part: Sendable, Hashable {
        case text(String)
        case table(String)
        case value(Int)
    }

    private let parts: [Part]
    /// The names of the values, each once, in the order of their first use.
    public let values: [String]
    /// The names of the tables, each once.
    public let tables: Set<String>

    /// Reads a statement.
    ///
    /// - Throws: ``Problem`` when a quote, a comment or a brace is not closed, a name is empty, or the statement would end
    ///   the transaction that it is part of or outlast it.
    public init(_ sql: String) throws(Problem) {
        var scanner = Scanner(Array(sql.utf8))
        var parts: [Part] = []
        var values: [String] = []
        var tables: Set<String> = []
        var text: [UInt8] = []
        func flush() {
            if !text.isEmpty { parts.append(.text(String(decoding: text, as: UTF8.self))) }
            text = []
        }
        while let piece = try scanner.next() {
            switch piece {
            case .plain(let bytes): text += bytes
            case .table(let name):
                flush()
                parts.append(.table(name))
                tables.insert(name)
            case .value(let name):
                flush()
                let index = values.firstIndex(of: name) ?? values.count
                if index == values.count { values.append(name) }
                parts.append(.value(index))
            }
        }
        flush()
        if scanner.isAtStart { throw Problem(description: "the statement is empty") }
        if Self.foreign.contains(scanner.firstWord.uppercased()) {
            throw Problem(description: "\(scanner.firstWord.uppercased()) has no place in a read model's transaction")
        }
        (self.parts, self.values, self.tables) = (parts, values, tables)
    }

    /// What would end the transaction, or outlast it on a connection that others use after it.
    private static let foreign: Set = [
        "ABORT", "ATTACH", "BEGIN", "CHECKPOINT", "COMMIT", "COPY", "DETACH", "DISCARD", "END", "LISTEN", "LOAD",
        "PRAGMA", "PREPARE", "RELEASE", "RESET", "ROLLBACK", "SAVEPOINT", "SET", "START", "UNLISTEN", "VACUUM",
    ]

    /// A statement as a database takes it.
    struct Prepared {
        /// With placeholders for the values.
        let sql: String
        /// The names of the values, in the order of the placeholders' numbers.
        let names: [String]

        /// The values to be bound.
        ///
        /// - Parameter value: the value of a name; nil where there is none.
        func values(_ value: (String) throws -> ReadModelValue?) throws -> [ReadModelValue] {
            try names.map { name in
                guard let value = try value(name) else { throw Problem(description: "there is no value :\(name)") }
                return value
            }
        }
    }

    /// The statement as a database takes it.
    ///
    /// - Parameter table: the table that a name stands for; nil where there is none.
    func prepared(_ dialect: SQLDialect, _ table: (String) -> String?) throws(Problem) -> Prepared {
        var sql = ""
        for part in parts {
            switch part {
            case .text(let text): sql += text
            case .table(let name):
                guard let found = table(name) else {
                    throw Problem(description: "there is no table {\(name)} in this read model")
                }
                sql += found
            case .value(let index): sql += dialect.placeholder(index + 1)
            }
        }
        return Prepared(sql: sql, names: values)
    }

    /// Tells names from the SQL around them.
    private struct Scanner {
        enum Piece {
            case plain(ArraySlice<UInt8>)
            case table(String)
            case value(String)
        }

        private let bytes: [UInt8]
        private var index = 0
        /// The statement's first word; empty where it begins with something else.
        private(set) var firstWord = ""
        private(set) var isAtStart = true

        init(_ bytes: [UInt8]) { self.bytes = bytes }

        mutating func next() throws(Problem) -> Piece? {
            guard index < bytes.count else { return nil }
            let start = index
            if isAtStart {
                let word = takeName(with: [])
                if !word.isEmpty {
                    (firstWord, isAtStart) = (word, false)
                    return .plain(bytes[start..<index])
                }
                let isBlank = [
                    UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\n"), UInt8(ascii: "\r"), UInt8(ascii: ";"),
                ]
                .contains(bytes[index])
                let isComment = [UInt8(ascii: "-"), UInt8(ascii: "/")].contains(bytes[index]) && byte(1) != nil
                isAtStart = isBlank || isComment
            }
            switch bytes[index] {
            case UInt8(ascii: "'"): try skip(past: [UInt8(ascii: "'")], "a quote")
            case UInt8(ascii: "\""): try skip(past: [UInt8(ascii: "\"")], "a quote")
            case UInt8(ascii: "-") where byte(1) == UInt8(ascii: "-"):
                while index < bytes.count, bytes[index] != UInt8(ascii: "\n") { index += 1 }
            case UInt8(ascii: "/") where byte(1) == UInt8(ascii: "*"):
                index += 1
                try skip(past: [UInt8(ascii: "*"), UInt8(ascii: "/")], "a comment")
            case UInt8(ascii: "$"):
                try skipDollarQuote()
            case UInt8(ascii: ":") where byte(1) == UInt8(ascii: ":"): index += 2
            case UInt8(ascii: ":"):
                index += 1
                // A slice of an array, as in list[1:2].
                if let next = byte(0), (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(next) { break }
                let name = takeName(with: [UInt8(ascii: "."), UInt8(ascii: "@")])
                if !name.isEmpty { return .value(name) }
            case UInt8(ascii: "{"):
                index += 1
                let name = takeName(with: [])
                guard !name.isEmpty, index < bytes.count, bytes[index] == UInt8(ascii: "}") else {
                    throw Problem(description: "{ stands for a table, as {balances}")
                }
                index += 1
                return .table(name)
            default: index += 1
            }
            return .plain(bytes[start..<index])
        }

        private func byte(_ distance: Int) -> UInt8? {
            index + distance < bytes.count ? bytes[index + distance] : nil
        }

        private mutating func skip(past end: [UInt8], _ what: String) throws(Problem) {
            index += 1
            while index + end.count <= bytes.count {
                if bytes[index..<index + end.count].elementsEqual(end) {
                    index += end.count
                    return
                }
                index += 1
            }
            throw Problem(description: "\(what) is not closed")
        }

        /// PostgreSQL's `$tag$ ... $tag$`.
        private mutating func skipDollarQuote() throws(Problem) {
            let start = index
            index += 1
            _ = takeName(with: [])
            guard index < bytes.count, bytes[index] == UInt8(ascii: "$") else { return }
            let tag = Array(bytes[start...index])
            try skip(past: tag, "a quote")
        }

        private mutating func takeName(with extra: [UInt8]) -> String {
            let start = index
            while index < bytes.count {
                switch bytes[index] {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
                    index += 1
                    continue
                default: break
                }
                guard extra.contains(bytes[index]) else { break }
                index += 1
            }
            return String(decoding: bytes[start..<index], as: UTF8.self)
        }
    }
}
