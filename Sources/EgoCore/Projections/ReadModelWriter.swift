/// What a ``ReadModel`` changes its tables through, for the duration of one transaction.
public struct ReadModelWriter {
    /// The store's transaction.
    public let transaction: any ReadModelTransaction
    /// Which version of the tables is written.
    public let version: Int
    private let tables: Set<String>
    /// The index of the event in its page.
    private let step: Int
    private let known: KnownStatements

    /// What was read of statements, for as long as the writer is used: handlers run the same ones for event after event.
    private final class KnownStatements {
        var bySource: [String: ReadModelStatement.Prepared] = [:]
        var byStatement: [ReadModelStatement: ReadModelStatement.Prepared] = [:]
        /// More are no few texts that come again and again.
        static let limit = 100
    }

    /// A writer of one version of a read model's tables.
    public init(_ transaction: any ReadModelTransaction, tables: [ReadModelTable], version: Int) {
        self.transaction = transaction
        self.version = version
        self.tables = Set(tables.map(\.name))
        step = 0
        known = KnownStatements()
    }

    private init(_ writer: ReadModelWriter, at step: Int) {
        (transaction, version, tables, known) = (writer.transaction, writer.version, writer.tables, writer.known)
        self.step = step
    }

    /// The same for another event of the page.
    package func at(_ step: Int) -> ReadModelWriter { ReadModelWriter(self, at: step) }

    /// Runs one statement, in which `{balances}` stands for a table and `:owner` for a value; returns how many rows it
    /// changed.
    ///
    /// - Throws: ``ReadModelStatement/Problem`` when the statement names an unknown table or value; the database's error,
    ///   which is dealt with as any other of the handler's.
    @discardableResult
    public func change(_ sql: String, _ values: [String: ReadModelValue] = [:]) throws -> Int {
        let prepared = try prepared(sql)
        return try transaction.change(prepared.sql, prepared.values { values[$0] })
    }

    /// Runs one statement like ``change(_:_:)``, of which nobody needs to know how many rows it changed. A database behind a
    /// network gets many of them at once, which takes a fraction of the time.
    ///
    /// Whatever is changed or read after it finds it done. Its error may come with a later statement, or after the handler
    /// has returned; it is dealt with as one of this event all the same.
    public func enqueue(_ sql: String, _ values: [String: ReadModelValue] = [:]) throws {
        let prepared = try prepared(sql)
        try transaction.enqueue(prepared.sql, prepared.values { values[$0] }, step: step)
    }

    /// The same with a statement that was read before.
    public func enqueue(_ statement: ReadModelStatement, _ value: (String) throws -> ReadModelValue?) throws {
        let prepared = try prepared(statement)
        try transaction.enqueue(prepared.sql, prepared.values(value), step: step)
    }

    /// Runs one query; returns its rows.
    public func rows(_ sql: String, _ values: [String: ReadModelValue] = [:]) throws -> [[ReadModelValue]] {
        let prepared = try prepared(sql)
        return try transaction.query(prepared.sql, prepared.values { values[$0] })
    }

    /// Runs a statement that was read before.
    @discardableResult
    public func change(
        _ statement: ReadModelStatement, _ value: (String) throws -> ReadModelValue?
    ) throws -> Int {
        let prepared = try prepared(statement)
        return try transaction.change(prepared.sql, prepared.values(value))
    }

    private func prepared(_ sql: String) throws -> ReadModelStatement.Prepared {
        if let prepared = known.bySource[sql] { return prepared }
        let prepared = try ReadModelStatement(sql).prepared(transaction.dialect, table)
        if known.bySource.count < KnownStatements.limit { known.bySource[sql] = prepared }
        return prepared
    }

    private func prepared(_ statement: ReadModelStatement) throws -> ReadModelStatement.Prepared {
        if let prepared = known.byStatement[statement] { return prepared }
        let prepared = try statement.prepared(transaction.dialect, table)
        if known.byStatement.count < KnownStatements.limit { known.byStatement[statement] = prepared }
        return prepared
    }

    private func table(_ name: String) -> String? {
        tables.contains(name) ? ReadModelTable(name, columns: "").name(ofVersion: version) : nil
    }
}
