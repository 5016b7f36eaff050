public import EgoCore
import Synchronization

/// A store in one SQLite file, in WAL mode: one writer, readers on connections of their own.
///
/// Several processes may open one file. What is acknowledged is on disk (`synchronous=FULL`).
public final class SQLiteStore: Store {
    /// The file.
    public let path: String
    let writer: SQLiteWorker?
    let shardCount: UInt32
    private let readers: SQLiteReaders
    private let storeMetadata: StoreMetadata
    public let concurrentCommits = 1
    /// Given after each append of this process.
    let appended = AppendSignal()

    /// Opens a store that is there and up to date.
    ///
    /// - Throws: ``StoreError/Code/notFound``, ``StoreError/Code/isDirectory``, ``StoreError/Code/notAStore``,
    ///   ``StoreError/Code/notInitialized``, ``StoreError/Code/newerSchema``, ``StoreError/Code/permission`` or
    ///   ``StoreError/Code/unavailable``.
    public init(path: String, options: SQLiteStoreOptions = SQLiteStoreOptions()) async throws(StoreError) {
        try SQLiteFile.check(path)
        self.path = path
        let mode = try SQLiteFile.readMode(path)
        let first = try Self.connect(path, mode: mode, options: options)
        let found = try SQLiteSchemaState(first, path: path)
        guard case .current(let metadata) = found else { throw found.openError(path) }
        self.storeMetadata = metadata
        self.shardCount = metadata.shardCount
        var connections = [first]
        for _ in 1..<max(options.readers, 1) {
            connections.append(try Self.connect(path, mode: mode, options: options))
        }
        self.readers = SQLiteReaders(connections)
        if options.readOnly {
            self.writer = nil
        } else {
            try SQLiteFile.checkWritable(path)
            let connection = try Self.connect(path, mode: .readWrite, options: options)
            connection.takeOverCheckpoints()
            self.writer = SQLiteWorker(label: "ego.sqlite.writer", connection: connection)
        }
    }

    public func close() async {
        // The writer last: the last connection that closes checkpoints the log, which a reader cannot.
        await readers.close()
        await writer?.close()
    }

    public func metadata() async throws(StoreError) -> StoreMetadata { storeMetadata }

    /// Reads a bounded number of rows that an index leads to. `body` opens a transaction when it reads more than once.
    func read<Value: Sendable>(
        _ body: @Sendable (SQLiteConnection) throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        try await readers.run(body)
    }

    /// Reads what may take long, such as a whole table.
    func readAtLength<Value: Sendable>(
        _ body: @escaping @Sendable (SQLiteConnection) throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        try await readers.runAtLength(body)
    }

    /// Runs `body` in a write transaction.
    ///
    /// - Parameters:
    ///   - keepsEntities: whether `body` keeps what the connection knows of entities up to date.
    ///   - isShort: whether `body` writes so little that a caller's own thread may do it, where nobody else writes.
    func write<Value: Sendable>(
        keepsEntities: Bool = false, isShort: Bool = false,
        _ body: @escaping @Sendable (SQLiteConnection) throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        guard let writer else { throw StoreError(.readOnly, "the store was opened for reading only") }
        if isShort {
            let value = try await writer.runHere { (connection) throws(StoreError) in
                if !keepsEntities { connection.entities.forget() }
                return try connection.transactionUnlessBusy { () throws(StoreError) in try body(connection) }
            }
            if let value { return value }
        }
        return try await writer.run { (connection) throws(StoreError) in
            if !keepsEntities { connection.entities.forget() }
            return try connection.transaction(.write) { () throws(StoreError) in try body(connection) }
        }
    }

    static func connect(
        _ path: String, mode: SQLiteConnection.Mode, options: SQLiteStoreOptions
    ) throws(StoreError) -> SQLiteConnection {
        do throws(SQLiteError) {
            let connection = try SQLiteConnection(path: path, mode: mode, busyTimeout: options.busyTimeout)
            // What is deleted is overwritten, always: an erasure later on cannot reach what lies about in free pages.
            try connection.script(
                """
                PRAGMA synchronous = FULL;
                PRAGMA wal_autocheckpoint = \(SQLiteConnection.checkpointPages);
                PRAGMA cache_size = -\(max(options.cacheBytes, 1 << 20) / 1024);
                PRAGMA temp_store = MEMORY;
                PRAGMA secure_delete = ON;
                """)
            if let pages = options.maximumPages { try connection.script("PRAGMA max_page_count = \(pages)") }
            return connection
        } catch {
            throw StoreError(error, during: "open \(path)")
        }
    }
}
