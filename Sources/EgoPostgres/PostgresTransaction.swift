public import EgoCore

/// The transaction in which a projection's offset is committed; a read model in the same database changes with it.
///
/// Valid only during the call that it is passed to; later use throws ``StoreError/Code/closed``.
public final class PostgresTransaction: ReadModelTransaction {
    private var connection: PostgresConnection?
    /// Statements that wait for others to travel with.
    private var queue: [PostgresStatement] = []
    private var steps: [Int] = []
    private var queuedBytes = 0
    public private(set) var failure: (step: Int, error: StoreError)?
    private static let queueLimit = 500
    private static let queueLimitBytes = 1 << 18

    init(_ connection: PostgresConnection) {
        self.connection = connection
    }

    func end() { connection = nil }

    /// Runs one statement with bound parameters (`$1`, `$2`); returns how many rows it changed.
    ///
    /// - Throws: ``StoreError`` with PostgreSQL's error as its cause. The transaction cannot be committed after that.
    @discardableResult
    public func execute(_ sql: String, _ parameters: [PostgresValue] = []) throws(StoreError) -> Int {
        let connection = try settled()
        return try connection.run("change the read model") { () throws(PostgresError) in
            try connection.execute(sql, parameters)
        }
    }

    /// Runs one query with bound parameters; returns its rows.
    ///
    /// - Throws: ``StoreError`` with PostgreSQL's error as its cause. The transaction cannot be committed after that.
    public func rows(_ sql: String, _ parameters: [PostgresValue] = []) throws(StoreError) -> [[PostgresValue]] {
        let connection = try settled()
        return try connection.run("read the read model") { () throws(PostgresError) in
            try connection.all(sql, parameters) { row in (0..<row.columnCount).map { row.value($0) } }
        }
    }

    public var dialect: SQLDialect { .postgres }

    public var isUsable: Bool { failure == nil && (connection?.canCommit ?? false) }

    public func enqueue(_ sql: String, _ values: [ReadModelValue], step: Int) throws(StoreError) {
        _ = try current()
        queue.append(PostgresStatement(sql, values.map(PostgresValue.init)))
        steps.append(step)
        queuedBytes += values.reduce(sql.utf8.count) { $0 + $1.size }
        if queue.count == Self.queueLimit || queuedBytes > Self.queueLimitBytes { try flush() }
    }

    public func flush() throws(StoreError) {
        let connection = try usable()
        if queue.isEmpty { return }
        let (statements, steps) = (queue, steps)
        (queue, self.steps, queuedBytes) = ([], [], 0)
        do throws(PostgresError) { _ = try connection.batch(statements) } catch {
            let failure = StoreError(error, during: "change the read model")
            let index = connection.failedIndex.map { min($0, steps.count - 1) } ?? 0
            self.failure = (steps[index], failure)
            throw failure
        }
        if !connection.canCommit {
            let failure = StoreError(.closed, "a statement has ended the transaction")
            self.failure = (steps[steps.count - 1], failure)
            throw failure
        }
    }

    public func change(_ sql: String, _ values: [ReadModelValue]) throws(StoreError) -> Int {
        try execute(sql, values.map(PostgresValue.init))
    }

    public func query(_ sql: String, _ values: [ReadModelValue]) throws(StoreError) -> [[ReadModelValue]] {
        try rows(sql, values.map(PostgresValue.init)).map { $0.map(\.readModelValue) }
    }

    /// The connection, with everything done that was asked for before.
    private func settled() throws(StoreError) -> PostgresConnection {
        try flush()
        return try current()
    }

    private func usable() throws(StoreError) -> PostgresConnection {
        if let failure { throw failure.error }
        return try current()
    }

    private func current() throws(StoreError) -> PostgresConnection {
        guard let connection, connection.isInTransaction else {
            throw StoreError(.closed, "the transaction has ended")
        }
        return connection
    }
}

extension ReadModelValue {
    /// About how many bytes it takes.
    fileprivate var size: Int {
        switch self {
        case .null, .bool, .integer, .real: 8
        case .text(let text): text.utf8.count
        case .bytes(let bytes): bytes.count
        }
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
