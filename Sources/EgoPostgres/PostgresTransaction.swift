public import EgoCore

/// The transaction in which a projection's offset is committed; a read model in the same database changes with it.
///
/// Valid only during the call that it is passed to; later use throws ``StoreError/Code/closed``.
public final class PostgresTransaction: ReadModelTransaction {
    private var connection: PostgresConnection?

    init(_ connection: PostgresConnection) {
        self.connection = connection
    }

    func end() { connection = nil }

    /// Runs one statement with bound parameters (`$1`, `$2`); returns how many rows it changed.
    ///
    /// - Throws: ``StoreError`` with PostgreSQL's error as its cause. The transaction cannot be committed after that.
    @discardableResult
    public func execute(_ sql: String, _ parameters: [PostgresValue] = []) throws(StoreError) -> Int {
        let connection = try current()
        return try connection.run("change the read model") { () throws(PostgresError) in
            try connection.execute(sql, parameters)
        }
    }

    /// Runs one query with bound parameters; returns its rows.
    ///
    /// - Throws: ``StoreError`` with PostgreSQL's error as its cause. The transaction cannot be committed after that.
    public func rows(_ sql: String, _ parameters: [PostgresValue] = []) throws(StoreError) -> [[PostgresValue]] {
        let connection = try current()
        return try connection.run("read the read model") { () throws(PostgresError) in
            try connection.all(sql, parameters) { row in (0..<row.columnCount).map { row.value($0) } }
        }
    }

    public var dialect: SQLDialect { .postgres }

    public var isUsable: Bool { connection?.canCommit ?? false }

    public func change(_ sql: String, _ values: [ReadModelValue]) throws(StoreError) -> Int {
        try execute(sql, values.map(PostgresValue.init))
    }

    public func query(_ sql: String, _ values: [ReadModelValue]) throws(StoreError) -> [[ReadModelValue]] {
        try rows(sql, values.map(PostgresValue.init)).map { $0.map(\.readModelValue) }
    }

    private func current() throws(StoreError) -> PostgresConnection {
        guard let connection, connection.isInTransaction else {
            throw StoreError(.closed, "the transaction has ended")
        }
        return connection
    }
}

extension PostgresValue {
    /// Numbers and truths travel as text, so that the server takes their types from where they are used.
    fileprivate init(_ value: ReadModelValue) {
        switch value {
        case .null: self = .null
        case .bool(let isTrue): self = .untyped(isTrue ? "true" : "false")
        case .integer(let number): self = .untyped(String(number))
        case .real(let number):
            self = .untyped(
                number.isNaN ? "NaN" : number.isInfinite ? (number > 0 ? "Infinity" : "-Infinity") : "\(number)")
        // In the text format a text ends at its first zero; the server refuses it then, as it should.
        case .text(let text): self = text.utf8.contains(0) ? .text(text) : .untyped(text)
        case .bytes(let bytes): self = .bytes(bytes)
        }
    }

    fileprivate var readModelValue: ReadModelValue {
        switch self {
        case .bool(let isTrue): .bool(isTrue)
        case .integer(let number): .integer(number)
        case .transactionID(let number): .integer(Int64(bitPattern: number))
        case .real(let number): .real(number)
        case .text(let text), .untyped(let text): .text(text)
        case .bytes(let bytes): .bytes(bytes)
        case .null, .integers, .bools, .texts, .blobs: .null
        }
    }
}
