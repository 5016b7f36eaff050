import CSQLite
import EgoCore

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// One handle of libsqlite3. Belongs to the executor of its ``SQLiteWorker``, or to the call that
/// has taken it from ``SQLiteReaders``.
final class SQLiteConnection {
    /// For whoever uses the library without this class, which only a measurement does.
    let handle: OpaquePointer
    private var statements: [ExactText: SQLiteStatement] = [:]
    /// Interned names by number, as this connection has read them.
    var names: [Int64: String] = [:]
    /// Numbers of interned names, as this connection has read or written them.
    var nameIDs: [ExactText: Int64] = [:]
    /// Entities that this connection has appended to.
    var entities = KnownEntities()

    /// How a file is opened.
    enum Mode {
        case readOnly
        /// For a file whose folder cannot be written and that nobody else writes.
        case immutable
        case readWrite
        case create
    }

    init(path: String, mode: Mode, busyTimeout: Duration) throws(SQLiteError) {
        var flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_PRIVATECACHE
        var name = path
        switch mode {
        case .readOnly: flags |= SQLITE_OPEN_READONLY
        case .immutable:
            flags |= SQLITE_OPEN_READONLY | SQLITE_OPEN_URI
            name = "file:\(Self.percentEncoded(path))?immutable=1"
        case .readWrite: flags |= SQLITE_OPEN_READWRITE
        case .create: flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
        }
        var handle: OpaquePointer?
        let code = sqlite3_open_v2(name, &handle, flags, nil)
        guard code == SQLITE_OK, let handle else {
            let error = SQLiteError(handle, code: code)
            sqlite3_close_v2(handle)
            throw error
        }
        self.handle = handle
        let milliseconds = busyTimeout / .milliseconds(1)
        SQLiteBusyWait.set(on: handle, milliseconds: Int32(clamping: Int64(milliseconds)))
    }

    deinit {
        statements = [:]
        sqlite3_close_v2(handle)
    }

    /// Runs statements that return nothing and take no parameters, such as a schema.
    func script(_ sql: String) throws(SQLiteError) {
        let code = sqlite3_exec(handle, sql, nil, nil, nil)
        guard code == SQLITE_OK else { throw SQLiteError(handle, code: code) }
    }

    /// Runs one statement and hands each row to `row`, which returns false to stop.
    func query(
        _ sql: String, _ parameters: [SQLiteValue] = [], row: (SQLiteStatement) throws(SQLiteError) -> Bool
    ) throws(SQLiteError) {
        let statement = try prepared(sql)
        defer { statement.reset() }
        for (index, value) in parameters.enumerated() { try statement.bind(value, at: Int32(index + 1)) }
        while try statement.step() {
            if try !row(statement) { return }
        }
    }

    /// The first row of a statement, read by `read`; nil when there is none.
    func first<Value>(
        _ sql: String, _ parameters: [SQLiteValue] = [], _ read: (SQLiteStatement) -> Value
    ) throws(SQLiteError) -> Value? {
        var value: Value?
        try query(sql, parameters) { (statement) throws(SQLiteError) in
            value = read(statement)
            return false
        }
        return value
    }

    /// All rows of a statement, read by `read`.
    func all<Value>(
        _ sql: String, _ parameters: [SQLiteValue] = [], _ read: (SQLiteStatement) -> Value
    ) throws(SQLiteError) -> [Value] {
        var values: [Value] = []
        try query(sql, parameters) { (statement) throws(SQLiteError) in
            values.append(read(statement))
            return true
        }
        return values
    }

    /// Runs a statement to its end; returns how many rows it changed.
    @discardableResult
    func execute(_ sql: String, _ parameters: [SQLiteValue] = []) throws(SQLiteError) -> Int {
        try query(sql, parameters) { _ in true }
        return Int(sqlite3_changes64(handle))
    }

    var lastInsertedRow: Int64 { sqlite3_last_insert_rowid(handle) }

    /// Runs `body` in a transaction: committed when it returns, rolled back when it throws.
    func transaction<Value>(
        _ kind: TransactionKind, _ body: () throws(StoreError) -> Value
    ) throws(StoreError) -> Value {
        _ = try run("begin a transaction") { () throws(SQLiteError) in try execute(kind.rawValue) }
        do throws(StoreError) {
            let value = try body()
            _ = try run("commit") { () throws(SQLiteError) in try execute("COMMIT") }
            return value
        } catch {
            var error = error
            nameIDs = [:]  // some of them may have been made by this transaction
            entities.forget()
            // After some errors (a full disk among them) SQLite has rolled back by itself.
            if isInTransaction {
                do { try execute("ROLLBACK") } catch let second { error.secondary.append(second) }
            }
            throw error
        }
    }

    /// What a transaction takes when it begins.
    enum TransactionKind: String {
        /// A consistent view for several reads.
        case read = "BEGIN"
        /// The write lock, so that what is read cannot change before it is written.
        case write = "BEGIN IMMEDIATE"
    }

    /// Whether a transaction is open. SQLite ends one by itself after some errors, such as a full disk.
    var isInTransaction: Bool { sqlite3_get_autocommit(handle) == 0 }

    /// Turns the library's errors into the port's.
    func run<Value>(
        _ what: String, _ body: () throws(SQLiteError) -> Value
    ) throws(StoreError) -> Value {
        do { return try body() } catch { throw StoreError(error, during: what) }
    }

    private func prepared(_ sql: String) throws(SQLiteError) -> SQLiteStatement {
        let key = ExactText(sql)
        if let statement = statements[key] { return statement }
        let statement = try SQLiteStatement(sql, on: handle)
        // Handlers may bring any text; what is used often comes back by itself.
        if statements.count >= 500 { statements = [:] }
        statements[key] = statement
        return statement
    }

    private static func percentEncoded(_ path: String) -> String {
        path.utf8.map { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "/"), UInt8(ascii: "."), UInt8(ascii: "-"),
                UInt8(ascii: "_"):
                return String(UnicodeScalar(byte))
            default:
                let digits = String(byte, radix: 16, uppercase: true)
                return digits.count == 1 ? "%0" + digits : "%" + digits
            }
        }.joined()
    }
}

/// Text that equals other text when its bytes do: `String` takes different spellings of one character for the same.
struct ExactText: Hashable {
    private let text: String

    init(_ text: String) { self.text = text }

    static func == (left: Self, right: Self) -> Bool {
        var (left, right) = (left.text, right.text)
        return left.withUTF8 { left in
            right.withUTF8 { right in
                guard left.count == right.count, let a = left.baseAddress, let b = right.baseAddress else {
                    return left.count == right.count
                }
                return a == b || memcmp(a, b, left.count) == 0
            }
        }
    }

    /// Texts that are used as keys here differ in their length or their end; to read all of a long statement each time
    /// would take longer than some of the statements do.
    func hash(into hasher: inout Hasher) {
        var text = text
        text.withUTF8 { bytes in
            hasher.combine(bytes.count)
            hasher.combine(bytes: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(bytes).suffix(16)))
        }
    }
}
