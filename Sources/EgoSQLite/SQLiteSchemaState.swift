import CSQLite
public import EgoCore

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// What of an Ego schema a file holds.
public enum SQLiteSchemaState: Sendable, Hashable {
    /// No file.
    case missing
    /// No table of Ego.
    case absent
    /// A schema of an older version.
    case older(version: Int)
    /// The schema of this program.
    case current(StoreMetadata)
    /// A schema of a newer version.
    case newer(version: Int)

    private static let hasMetadata = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'ego_metadata'"
    private static let selectMetadata = "SELECT key, value FROM ego_metadata"

    init(_ connection: SQLiteConnection, path: String) throws(StoreError) {
        let values = try connection.run("read the schema of \(path)") { () throws(SQLiteError) -> [String: String]? in
            guard try connection.first(Self.hasMetadata, [], { $0.integer(0) }) != nil else { return nil }
            let pairs = try connection.all(Self.selectMetadata) { ($0.text(0), $0.text(1)) }
            return Dictionary(pairs) { first, _ in first }
        }
        guard let values else {
            self = .absent
            return
        }
        guard let version = Int(values["schema_version"] ?? ""), version > 0,
            let shardCount = UInt32(values["shard_count"] ?? ""), shardCount > 0
        else { throw StoreError(.corrupt, "\(path) has damaged metadata: no schema version or no shard count") }
        if version > SQLiteSchema.version {
            self = .newer(version: version)
        } else if version < SQLiteSchema.version {
            self = .older(version: version)
        } else {
            self = .current(
                StoreMetadata(
                    storeID: values["store_id"] ?? "", schemaVersion: version, shardCount: shardCount, origin: .ego))
        }
    }

    func openError(_ path: String) -> StoreError {
        switch self {
        case .missing: StoreError(.notFound, "there is no store at \(path)")
        case .absent: StoreError(.notAStore, "\(path) is a SQLite database without an Ego store")
        case .older(let version):
            StoreError(
                .notInitialized,
                "\(path) has schema version \(version), this program wants \(SQLiteSchema.version)")
        case .newer(let version):
            StoreError(
                .newerSchema, "\(path) has schema version \(version), this program knows \(SQLiteSchema.version)")
        case .current: StoreError(.invalid, "\(path) is up to date")
        }
    }
}

extension SQLiteStore {
    /// The version of the schema that this program reads and writes.
    public static let schemaVersion = SQLiteSchema.version

    /// The version of libsqlite3 that this process runs with.
    public static var libraryVersion: String { String(cString: sqlite3_libversion()) }

    /// Looks at a file without changing it.
    public static func schema(
        path: String, options: SQLiteStoreOptions = SQLiteStoreOptions()
    ) throws(StoreError) -> SQLiteSchemaState {
        do throws(StoreError) { try SQLiteFile.check(path) } catch {
            if error.code == .notFound { return .missing }
            throw error
        }
        return try SQLiteSchemaState(connect(path, mode: SQLiteFile.readMode(path), options: options), path: path)
    }

    /// Creates the schema, or brings an older one up to date, in one transaction. Nothing happens when it is current.
    ///
    /// - Parameters:
    ///   - shardCount: how many shards a new store has, 1 to 65,536. Fixed from then on.
    ///   - storeID: what tells a new store from every other.
    /// - Returns: what was there before.
    public static func initialize(
        path: String, shardCount: UInt32 = 16, storeID: String, options: SQLiteStoreOptions = SQLiteStoreOptions()
    ) throws(StoreError) -> SQLiteSchemaState {
        var before = try schema(path: path, options: options)
        switch before {
        case .current: return before
        case .newer: throw before.openError(path)
        case .missing, .absent, .older: break
        }
        if case .missing = before {
            try SQLiteFile.checkFolder(of: path)
        } else {
            try SQLiteFile.checkWritable(path)
        }
        let connection = try connect(path, mode: .create, options: options)
        try switchToWriteAheadLog(connection, path: path, timeout: options.busyTimeout)
        try connection.transaction(.write) { () throws(StoreError) in
            // Again, now that nobody else can write: two processes may have begun at once.
            let found = try SQLiteSchemaState(connection, path: path)
            let from: Int
            switch found {
            case .missing, .absent: from = 0
            case .older(let version): from = version
            case .current:
                before = found
                return
            case .newer: throw found.openError(path)
            }
            try connection.run("write the schema of \(path)") { () throws(SQLiteError) in
                for step in SQLiteSchema.steps[from...] { try connection.script(step) }
                for (key, value) in [
                    ("schema_version", String(SQLiteSchema.version)), ("store_id", storeID),
                    ("shard_count", String(max(1, min(shardCount, 65_536)))),
                ] {
                    try connection.execute(
                        from == 0
                            ? "INSERT INTO ego_metadata (key, value) VALUES (?1, ?2)"
                            : "INSERT INTO ego_metadata (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO "
                                + "UPDATE SET value = excluded.value WHERE key = 'schema_version'",
                        [.text(key), .text(value)])
                }
            }
        }
        return before
    }

    /// Two processes may make a store at once; for this switch SQLite does not wait for a lock by itself.
    private static func switchToWriteAheadLog(
        _ connection: SQLiteConnection, path: String, timeout: Duration
    ) throws(StoreError) {
        let deadline = ContinuousClock.now + timeout
        while true {
            do throws(SQLiteError) {
                try connection.script("PRAGMA journal_mode = WAL")
                return
            } catch {
                let failure = StoreError(error, during: "switch \(path) to a write-ahead log")
                if failure.code != .busy || ContinuousClock.now > deadline { throw failure }
                usleep(10_000)
            }
        }
    }
}
