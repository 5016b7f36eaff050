/// Changes of a read model, made inside a store's transaction.
public typealias ReadModelWork = @Sendable (any ReadModelTransaction) throws -> Void

/// A transaction of the database that holds both the offsets and the read model.
///
/// Valid only during the call that it is passed to. A handler for one kind of database casts it to `SQLiteTransaction` or
/// `PostgresTransaction`, which take more types of values.
public protocol ReadModelTransaction {
    /// Which SQL the database speaks.
    var dialect: SQLDialect { get }

    /// Whether the transaction can still be committed: no statement has failed in it, or has ended it.
    var isUsable: Bool { get }

    /// Runs one statement; returns how many rows it changed.
    ///
    /// - Parameters:
    ///   - sql: with placeholders as ``SQLDialect/placeholder(_:)`` writes them.
    ///   - values: bound to the placeholders by number.
    /// - Throws: the database's error. The transaction cannot be committed after that.
    func change(_ sql: String, _ values: [ReadModelValue]) throws(StoreError) -> Int

    /// Runs one statement of which nobody needs to know how many rows it changed: now, or together with others that follow,
    /// at the latest before whatever else is asked of the transaction, and before it ends.
    ///
    /// - Parameter step: what tells this statement from others, should it fail.
    /// - Throws: the database's error, also that of a statement that waited; ``failure`` tells of which.
    func enqueue(_ sql: String, _ values: [ReadModelValue], step: Int) throws(StoreError)

    /// Runs the statements that wait.
    ///
    /// - Throws: as ``enqueue(_:_:step:)``.
    func flush() throws(StoreError)

    /// The statement that waited and then failed; nil when none has.
    var failure: (step: Int, error: StoreError)? { get }

    /// Runs one query; returns its rows.
    func query(_ sql: String, _ values: [ReadModelValue]) throws(StoreError) -> [[ReadModelValue]]
}

/// How a database writes what is not the same in all of them.
public enum SQLDialect: String, Sendable {
    case sqlite, postgres
    /// A store in memory: there is no SQL.
    case none

    /// The placeholder of the n-th value, counted from 1.
    public func placeholder(_ number: Int) -> String {
        switch self {
        case .sqlite, .none: "?\(number)"
        case .postgres: "$\(number)"
        }
    }
}

/// A value of a read model's column. PostgreSQL takes the type from where the value is used, SQLite stores it as it is.
public enum ReadModelValue: Sendable, Hashable {
    case null
    case bool(Bool)
    case integer(Int64)
    case real(Double)
    case text(String)
    case bytes([UInt8])
}
