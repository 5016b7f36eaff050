/// What a ``ReadModel`` changes its tables through, for the duration of one transaction.
public struct ReadModelWriter {
    /// The store's transaction.
    public let transaction: any ReadModelTransaction
    /// Which version of the tables is written.
    public let version: Int
    private let tables: Set<String>

    /// A writer of one version of a read model's tables.
    public init(_ transaction: any ReadModelTransaction, tables: [ReadModelTable], version: Int) {
        self.transaction = transaction
        self.version = version
        self.tables = Set(tables.map(\.name))
    }

    /// Runs one statement, in which `{balances}` stands for a table and `:owner` for a value; returns how many rows it
    /// changed.
    ///
    /// - Throws: ``ReadModelStatement/Problem`` when the statement names an unknown table or value; the database's error,
    ///   which is dealt with as any other of the handler's.
    @discardableResult
    public func change(_ sql: String, _ values: [String: ReadModelValue] = [:]) throws -> Int {
        try change(ReadModelStatement(sql)) { values[$0] }
    }

    /// Runs one query; returns its rows.
    public func rows(_ sql: String, _ values: [String: ReadModelValue] = [:]) throws -> [[ReadModelValue]] {
        let bound = try ReadModelStatement(sql).bound(transaction.dialect, table, { values[$0] })
        return try transaction.query(bound.sql, bound.values)
    }

    /// Runs a statement that was read before.
    @discardableResult
    public func change(
        _ statement: ReadModelStatement, _ value: (String) throws -> ReadModelValue?
    ) throws -> Int {
        let bound = try statement.bound(transaction.dialect, table, value)
        return try transaction.change(bound.sql, bound.values)
    }

    private func table(_ name: String) -> String? {
        tables.contains(name) ? ReadModelTable(name, columns: "").name(ofVersion: version) : nil
    }
}
