/// A value of a TOML document, and where it stands.
struct TOMLNode: Sendable, Hashable {
    var value: TOMLValue
    /// Where its key stands, or the value itself in an array.
    var place: TOMLPlace
}

/// What a TOML document holds. Dates are not among it: no setting is one.
indirect enum TOMLValue: Sendable, Hashable {
    case string(String)
    case integer(Int64)
    case float(Double)
    case boolean(Bool)
    case array([TOMLNode])
    case table(TOMLTable)

    /// What it is, in words.
    var kind: String {
        switch self {
        case .string: "a string"
        case .integer: "a whole number"
        case .float: "a number"
        case .boolean: "a boolean"
        case .array: "an array"
        case .table: "a table"
        }
    }
}

/// Keys and their values, in the order in which they stand in the document.
struct TOMLTable: Sendable, Hashable {
    struct Entry: Sendable, Hashable {
        var key: String
        var node: TOMLNode
    }

    var entries: [Entry] = []

    subscript(_ key: String) -> TOMLNode? { entries.first { $0.key == key }?.node }
}

/// A line and a column, counted from 1; a column is a Unicode scalar.
struct TOMLPlace: Sendable, Hashable {
    var line: Int
    var column: Int

    var description: String { "line \(line), column \(column)" }
}

/// Why a text is no TOML.
struct TOMLError: Error, Hashable {
    var place: TOMLPlace
    /// What is wrong, and what was expected.
    var message: String
}
