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
    private let readers: [SQLiteWorker]
    private let nextReader = Atomic<Int>(0)
    private let storeMetadata: StoreMetadata
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
        var readers = [SQLiteWorker(label: "ego.sqlite.reader", connection: first)]
        for _ in 1..<max(options.readers, 1) {
            readers.append(
                SQLiteWorker(
                    label: "ego.sqlite.reader", connection: try Self.connect(path, mode: mode, options: options)))
        }
        self.readers = readers
        if options.readOnly {
            self.writer = nil
        } else {
            try SQLiteFile.checkWritable(path)
            self.writer = SQLiteWorker(
                label: "ego.sqlite.writer",
                connection: try Self.connect(path, mode: .readWrite, options: options))
        }
    }

    public func close() async {
        // The writer last: the last connection that closes checkpoints the log, which a reader cannot.
        for reader in readers { await reader.close() }
        await writer?.close()
    }

    public func metadata() async throws(StoreError) -> StoreMetadata { storeMetadata }

    /// Runs `body` on one of the reading connections, inside a transaction when it reads more than once.
    func read<Value: Sendable>(
        _ body: @escaping @Sendable (SQLiteConnection) throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        let index = nextReader.add(1, ordering: .relaxed).oldValue
        return try await readers[abs(index % readers.count)].run(body)
    }

    /// Runs `body` in a write transaction.
    func write<Value: Sendable>(
        _ body: @escaping @Sendable (SQLiteConnection) throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        guard let writer else { throw StoreError(.readOnly, "the store was opened for reading only") }
        return try await writer.run { (connection) throws(StoreError) in
            try connection.transaction(.write) { () throws(StoreError) in try body(connection) }
        }
    }

    static func connect(
        _ path: String, mode: SQLiteConnection.Mode, options: SQLiteStoreOptions
    ) throws(StoreError) -> SQLiteConnection {
        do throws(SQLiteError) {
            let connection = try SQLiteConnection(path: path, mode: mode, busyTimeout: options.busyTimeout)
            // What is deleted is overwritten, always: an erasure later on cannot reach what lies about in free pages.
            // 8,000 pages between checkpoints: with the default of 1,000 large transactions wait for them.
            try connection.script(
                """
                PRAGMA synchronous = FULL;
                PRAGMA wal_autocheckpoint = 8000;
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
