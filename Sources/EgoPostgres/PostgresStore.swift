public import EgoCore
import Synchronization

/// Every port on libpq, in a PostgreSQL database (13 or newer) that eGo for Go can read and write beside it.
///
/// Order (law 2): each event carries the ID of its transaction and a position, both by default of the table, so also
/// when other software inserts it. The order is (transaction, position), and readers stop before the oldest transaction
/// that is still running: what it has written may yet appear below.
///
/// A database of eGo for Go that `ego init` has not adopted can be opened for reading.
public final class PostgresStore: Store {
    /// Where the database is.
    public let url: PostgresURL
    let pool: PostgresPool
    /// The connections that appends go through.
    let appenders: PostgresPool
    /// With two, the server works on one group while another one's commands are answered and decided. With more the groups
    /// become smaller, and the server spends its time on transactions.
    public let concurrentCommits: Int
    /// Whether an append finds no other transaction under way.
    let calm = Calm()
    let writtenEvents = WrittenEvents()
    let layout: PostgresLayout
    let shardCount: UInt32
    let isReadOnly: Bool
    /// What the numbers of this database's timestamps mean.
    let clock: StoredClock
    let notifier: PostgresNotifier
    /// Whether eGo for Go writes here. It deletes events that a snapshot covers without recording that it did.
    var hasOtherWriters: Bool { storeMetadata.origin != .ego }
    private let storeMetadata: StoreMetadata
    /// How many calls have found the connection to the server lost so far; most of them were repeated on a new one.
    public var lostConnections: Int { pool.losses + appenders.losses }

    /// Opens a store that is there and up to date; for reading also one of eGo for Go.
    ///
    /// - Throws: ``StoreError/Code/notAStore``, ``StoreError/Code/notInitialized``, ``StoreError/Code/newerSchema``,
    ///   ``StoreError/Code/corrupt`` where a column is missing, ``StoreError/Code/permission``,
    ///   ``StoreError/Code/readOnly`` for writing on a replica, or ``StoreError/Code/unavailable``.
    public init(url: PostgresURL, options: PostgresStoreOptions = PostgresStoreOptions()) async throws(StoreError) {
        let pool = PostgresPool(url, options)
        let opened: Opened
        do throws(StoreError) {
            opened = try await pool.run(.again) { (connection) throws(StoreError) in
                try Opened(connection, at: url, options)
            }
        } catch {
            await pool.close()
            throw error
        }
        self.url = url
        self.pool = pool
        var appending = options
        appending.purpose = .appends
        self.appenders = PostgresPool(url, appending, wasConnected: true)
        self.concurrentCommits = min(2, options.connections)
        self.isReadOnly = options.readOnly
        self.layout = opened.layout
        self.storeMetadata = opened.metadata
        self.shardCount = opened.metadata.shardCount
        self.clock = opened.clock
        self.notifier = PostgresNotifier(url, options, isSilent: options.readOnly)
    }

    /// What opening a store finds out.
    private struct Opened: Sendable {
        var layout: PostgresLayout
        var metadata: StoreMetadata
        var clock = StoredClock.nanoseconds

        init(
            _ connection: PostgresConnection, at url: PostgresURL, _ options: PostgresStoreOptions
        ) throws(StoreError) {
            let state = try PostgresSchemaState.look(connection, at: url)
            switch state.kind {
            case .current(let metadata): self.metadata = metadata
            case .egoGo(let metadata) where options.readOnly: self.metadata = metadata
            case .unordered(let metadata) where options.isAdopting: self.metadata = metadata
            default: throw state.openError(url)
            }
            layout = state.layout
            if !options.readOnly, connection.session.isReplica {
                throw StoreError(.readOnly, "\(url) is a replica, which takes no writes")
            }
            if metadata.origin != .ego {
                clock = .egoGo
                // Who only reads tells the unit of each timestamp by itself.
                if options.readOnly || options.isAdopting { return }
                let newest = try connection.run("read the newest event") { () throws(PostgresError) in
                    try connection.first(
                        "SELECT \"timestamp\" FROM events_store ORDER BY transaction_id DESC, position DESC LIMIT 1"
                    ) { $0.optionalInteger(0) } ?? nil
                }
                let isInSeconds = newest.map { $0 < 100_000_000_000 } ?? (metadata.origin == .egoGoV3)
                if isInSeconds { clock = .egoGoInSeconds }
            }
        }
    }

    public func close() async {
        await notifier.close()
        await appenders.close()
        await pool.close()
    }

    public func metadata() async throws(StoreError) -> StoreMetadata { storeMetadata }

    /// Runs `body`, which only reads, on one of the connections; again when the connection is lost.
    func read<Value: Sendable>(
        _ what: String, _ body: @escaping @Sendable (PostgresConnection) throws(PostgresError) -> Value
    ) async throws(StoreError) -> Value {
        try await pool.run(.again) { (connection) throws(StoreError) in
            try connection.run(what) { () throws(PostgresError) in try body(connection) }
        }
    }

    /// Runs `body` in a transaction that may write.
    func write<Value: Sendable>(
        _ what: String, _ body: @escaping @Sendable (PostgresConnection) throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        try await write(what, opening: [], { (connection, _) throws(StoreError) in try body(connection) })
    }

    /// Runs `body` in a transaction that may write; see ``PostgresConnection/transaction(_:opening:_:closing:wrap:)``.
    func write<Value: Sendable>(
        _ what: String, opening: [PostgresStatement], closing: [PostgresStatement] = [],
        _ body: @escaping @Sendable (PostgresConnection, [PostgresResult]) throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        try checkWritable()
        return try await pool.run(.never) { (connection) throws(StoreError) in
            try connection.transaction(
                "BEGIN ISOLATION LEVEL READ COMMITTED", opening: opening,
                { (opened) throws(StoreError) in try body(connection, opened) }, closing: { _ in closing },
                wrap: { StoreError($0, during: what) })
        }
    }

    /// The number of the last event of the entity `id` that eGo for Go has deleted after its snapshot, as SQL; null
    /// where it deleted none, and in a store that only Ego writes.
    func trimmed(_ id: String) -> String {
        if !hasOtherWriters { return "NULL::bigint" }
        return """
            (SELECT CASE WHEN p.first IS NULL THEN p.newest WHEN p.first > 1 AND p.newest >= p.first - 1 THEN p.first - 1 END
            FROM (SELECT
                (SELECT sequence_number FROM events_store WHERE persistence_id = \(id)
                    ORDER BY sequence_number LIMIT 1) AS first,
                (SELECT sequence_number FROM snapshots_store WHERE persistence_id = \(id)
                    ORDER BY sequence_number DESC LIMIT 1) AS newest) p)
            """
    }

    func checkWritable() throws(StoreError) {
        if isReadOnly { throw StoreError(.readOnly, "the store was opened for reading only") }
    }
}

/// Whether an append can expect that no other transaction is under way.
final class Calm: Sendable {
    private let rest = Atomic<Int>(0)
    /// For how many appends one that found another transaction counts.
    private static let span = 8

    var isExpected: Bool {
        if rest.load(ordering: .relaxed) <= 0 { return true }
        rest.subtract(1, ordering: .relaxed)
        return false
    }

    func wasMissed() { rest.store(Self.span, ordering: .relaxed) }
}

/// What the numbers in timestamp columns mean.
enum StoredClock: Sendable {
    /// Nanoseconds since the Unix epoch, as Ego writes them.
    case nanoseconds
    /// eGo for Go has written here: the unit is told by the magnitude, and nanoseconds are written.
    case egoGo
    /// The same, by v3, v4.0 or v4.1, which count in seconds; so do we, or their projections would skip the rest.
    case egoGoInSeconds

    func moment(_ stored: Int64) -> Timestamp {
        self == .nanoseconds ? Timestamp(unixNanoseconds: stored) : Timestamp(stored: stored)
    }

    func stored(_ moment: Timestamp) -> Int64 {
        self == .egoGoInSeconds ? moment.unixNanoseconds / 1_000_000_000 : moment.unixNanoseconds
    }
}

extension PostgresConnection {
    /// Turns the server's errors into the port's.
    func run<Value>(
        _ what: String, _ body: () throws(PostgresError) -> Value
    ) throws(StoreError) -> Value {
        do { return try body() } catch { throw StoreError(error, during: what) }
    }
}
