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
    // One thread at a time uses a connection, and none of these is used while it is being changed: nothing has to look.
    @exclusivity(unchecked) private var statements: [ExactText: SQLiteStatement] = [:]
    /// The statements that were used last: a read model has a few that it runs for each event.
    @exclusivity(unchecked) private var recent: [(text: ExactText, statement: SQLiteStatement)] = []
    /// By the place of their ``OwnSQL``.
    @exclusivity(unchecked) private var own: [SQLiteStatement?] = []
    /// Interned names, as this connection has read or written them.
    @exclusivity(unchecked) var names = KnownNames()
    /// Entities that this connection has appended to.
    @exclusivity(unchecked) var entities = KnownEntities()
    /// Entities whose events this connection has read.
    @exclusivity(unchecked) var ids = KnownIDs()
    /// The erased entities, as this connection knows them.
    @exclusivity(unchecked) var erased = KnownErasures()
    private var eventSink: EventSink?
    /// Whether the log has become long; see ``takeOverCheckpoints()``.
    private(set) var isCheckpointDue = false
    private var isClosed = false
    private let busyMilliseconds: Int32

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
        busyMilliseconds = Int32(clamping: Int64(busyTimeout / .milliseconds(1)))
        SQLiteBusyWait.set(on: handle, milliseconds: busyMilliseconds)
    }

    deinit { close() }

    /// Closes the handle; nothing is to be called after it. In time, rather than when the last reference is given up: a
    /// connection for reading that closes after the one that writes leaves the log behind.
    func close() {
        if isClosed { return }
        isClosed = true
        (statements, recent, own) = ([:], [], [])
        sqlite3_close_v2(handle)
    }

    /// How many pages the log may have before it is copied into the file. With SQLite's default of 1,000 large
    /// transactions wait for that; with more, so does who reads what is in the log.
    static let checkpointPages: Int32 = 8_000

    /// Has ``isCheckpointDue`` told by each commit, where SQLite by itself would copy the log within the commit.
    func takeOverCheckpoints() {
        sqlite3_wal_hook(
            handle,
            { connection, _, _, pages in
                guard let connection, pages >= SQLiteConnection.checkpointPages else { return SQLITE_OK }
                Unmanaged<SQLiteConnection>.fromOpaque(connection)._withUnsafeGuaranteedRef {
                    $0.isCheckpointDue = true
                }
                return SQLITE_OK
            }, Unmanaged.passUnretained(self).toOpaque())
    }

    /// Copies the log into the file, as far as no reader needs what is there. Outside of transactions.
    func checkpoint() {
        isCheckpointDue = false
        // Another process may be at it, or the disk full: the log stays as it is, and the next commit asks again.
        _ = sqlite3_wal_checkpoint_v2(handle, "main", SQLITE_CHECKPOINT_PASSIVE, nil, nil)
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
        try run("begin a transaction") { () throws(SQLiteError) in try runOnce(kind.sql) }
        return try inTransaction(body)
    }

    /// Runs `body` in a transaction that writes, unless another connection is writing: nil then, and nothing was run.
    func transactionUnlessBusy<Value>(_ body: () throws(StoreError) -> Value) throws(StoreError) -> Value? {
        let hasBegun = try run("begin a transaction") { () throws(SQLiteError) in
            sqlite3_busy_timeout(handle, 0)
            defer { SQLiteBusyWait.set(on: handle, milliseconds: busyMilliseconds) }
            do throws(SQLiteError) {
                try runOnce(TransactionKind.write.sql)
                return true
            } catch {
                if error.primaryCode == SQLITE_BUSY { return false }
                throw error
            }
        }
        return hasBegun ? try inTransaction(body) : nil
    }

    private func inTransaction<Value>(_ body: () throws(StoreError) -> Value) throws(StoreError) -> Value {
        do throws(StoreError) {
            let value = try body()
            try run("commit") { () throws(SQLiteError) in try runOnce(Self.commit) }
            return value
        } catch {
            var error = error
            forget()  // some of it may have been made by this transaction
            // After some errors (a full disk among them) SQLite has rolled back by itself.
            if isInTransaction {
                do { try execute("ROLLBACK") } catch let second { error.secondary.append(second) }
            }
            throw error
        }
    }

    private static let commit = OwnSQL("COMMIT")

    /// What a transaction takes when it begins.
    enum TransactionKind {
        /// A consistent view for several reads.
        case read
        /// The write lock, so that what is read cannot change before it is written.
        case write

        private static let begin = OwnSQL("BEGIN")
        private static let beginImmediate = OwnSQL("BEGIN IMMEDIATE")

        fileprivate var sql: OwnSQL {
            switch self {
            case .read: Self.begin
            case .write: Self.beginImmediate
            }
        }
    }

    /// Forgets all that was read or written before.
    private func forget() {
        names = KnownNames()
        entities.forget()
        ids = KnownIDs()
        erased = KnownErasures()
    }

    /// Whether a transaction is open. SQLite ends one by itself after some errors, such as a full disk.
    var isInTransaction: Bool { sqlite3_get_autocommit(handle) == 0 }

    /// Turns the library's errors into the port's.
    func run<Value>(
        _ what: String, _ body: () throws(SQLiteError) -> Value
    ) throws(StoreError) -> Value {
        do { return try body() } catch { throw StoreError(error, during: what) }
    }

    /// A statement of this module, prepared once.
    func statement(_ sql: OwnSQL) throws(SQLiteError) -> SQLiteStatement {
        if sql.place < own.count, let statement = own[sql.place] { return statement }
        let statement = try SQLiteStatement(sql.text, on: handle)
        while own.count <= sql.place { own.append(nil) }
        own[sql.place] = statement
        return statement
    }

    /// Where statements leave events; made when it is first used, before any of them is prepared.
    func sink() throws(SQLiteError) -> EventSink {
        if let eventSink { return eventSink }
        let sink = try EventSink(self)
        eventSink = sink
        return sink
    }

    /// Runs a statement of this module without parameters to its end.
    private func runOnce(_ sql: OwnSQL) throws(SQLiteError) {
        let statement = try statement(sql)
        defer { statement.rewind() }
        while try statement.step() {}
    }

    /// The number in the first column of the first row of a statement of this module; nil where there is no row.
    func number(_ sql: OwnSQL) throws(SQLiteError) -> Int64? {
        let statement = try statement(sql)
        defer { statement.rewind() }
        return try statement.step() ? statement.integer(0) : nil
    }

    /// Runs a statement of a read model to its end; returns how many rows it changed.
    func change(_ sql: String, _ values: [ReadModelValue]) throws(SQLiteError) -> Int {
        let statement = try prepared(sql)
        defer { statement.reset() }
        return try statement.withBound(values[...]) { () throws(SQLiteError) in
            while try statement.step() {}
            return Int(sqlite3_changes64(handle))
        }
    }

    private func prepared(_ sql: String) throws(SQLiteError) -> SQLiteStatement {
        let key = ExactText(sql)
        for known in recent where known.text == key { return known.statement }
        let statement: SQLiteStatement
        if let known = statements[key] {
            statement = known
        } else {
            statement = try SQLiteStatement(sql, on: handle)
            // Handlers may bring any text; what is used often comes back by itself.
            if statements.count >= 500 { statements = [:] }
            statements[key] = statement
        }
        if recent.count >= 4 { recent.removeFirst() }
        recent.append((key, statement))
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
