/// How a SQLite store is opened.
public struct SQLiteStoreOptions: Sendable {
    /// Whether anything may be written. A store that is opened for reading never changes the file.
    public var readOnly: Bool
    /// How long a call waits for another process's lock before it fails as busy.
    public var busyTimeout: Duration
    /// How many connections read at once; at least 1.
    public var readers: Int
    /// The page cache of each connection, in bytes.
    public var cacheBytes: Int
    /// The largest size of the file, in pages of 4,096 bytes; nil for no limit.
    public var maximumPages: Int?

    /// Options with the given values.
    public init(
        readOnly: Bool = false, busyTimeout: Duration = .seconds(5), readers: Int = 2, cacheBytes: Int = 64 << 20,
        maximumPages: Int? = nil
    ) {
        self.readOnly = readOnly
        self.busyTimeout = busyTimeout
        self.readers = max(1, readers)
        self.cacheBytes = cacheBytes
        self.maximumPages = maximumPages
    }
}
