import CPostgreSQL

/// What a connection has found out about its server, and what it has to set there.
struct PostgresSession {
    /// Whether a proxy gives each transaction another session: nothing may be left behind in one then.
    let isPooled: Bool
    /// Tells the server and its database from any other, also from itself before it was started anew.
    let server: String
    /// Whether the server takes no writes, because it is a replica.
    let isReplica: Bool
    /// The statement timeout in milliseconds; nil for the server's own.
    let timeout: Int64?
    /// Whether the server would acknowledge a commit before it is on disk, if this session did not ask for more.
    let setsSynchronousCommit: Bool
    /// Set once, after connecting.
    let settings: [PostgresStatement]
    /// Set at the beginning of every transaction.
    let localSettings: [PostgresStatement]

    private static let look = """
        SELECT pg_backend_pid(), pg_is_in_recovery()::int, current_setting('synchronous_commit'),
            current_setting('default_transaction_isolation'),
            concat_ws(' ', (SELECT oid FROM pg_database WHERE datname = current_database()), inet_server_addr(),
                inet_server_port(), extract(epoch FROM pg_postmaster_start_time()))
        """

    init(_ handle: OpaquePointer, options: PostgresStoreOptions) throws(PostgresError) {
        guard let raw = PQexec(handle, Self.look) else {
            throw PostgresError(connection: handle, isConnectionLost: true)
        }
        let result = PostgresResult(raw)
        guard result.status == PGRES_TUPLES_OK, result.rowCount == 1 else {
            throw PostgresError(result, isConnectionLost: PQstatus(handle) != CONNECTION_OK)
        }
        func text(_ column: Int32) -> String { String(cString: PQgetvalue(raw, 0, column)) }
        // A proxy makes up a process number of its own for whoever connects to it.
        let isPooled = options.isPooled ?? (Int32(text(0)) != PQbackendPID(handle))
        self.isPooled = isPooled
        server = text(4)
        isReplica = text(1) == "1"
        timeout = options.statementTimeout.map { Int64(min(max($0 / .milliseconds(1), 1), Double(Int32.max) - 1_000)) }
        var statements: [PostgresStatement] = []
        func set(_ name: String, _ value: String) {
            statements.append(
                PostgresStatement("SELECT set_config($1, $2, $3)", [.text(name), .text(value), .bool(isPooled)]))
        }
        // An acknowledged append is durable, whatever this role or database is set to (law 3).
        // A notification is a transaction too; nothing is lost with one, and appends have the disk to themselves.
        let isForNotices = options.purpose == .notifications
        setsSynchronousCommit = text(2) == "off" && !isForNotices
        if setsSynchronousCommit { set("synchronous_commit", "on") }
        if isForNotices { set("synchronous_commit", "off") }
        if options.purpose == .appends, !isPooled {
            // Several statements that are sent together are a transaction without saying so, and have to see what was
            // committed while the first of them waited for its lock.
            if text(3) != "read committed" { set("default_transaction_isolation", "read committed") }
            // Few statements, which look rows up by key: planning one takes longer than running it, and a plan that reads a
            // table from end to end because there was nothing in it would still do so when there is.
            set("plan_cache_mode", "force_generic_plan")
            set("enable_seqscan", "off")
        }
        if let schema = options.schema { set("search_path", schema) }
        if let timeout {
            // A lock that is waited for is told from work that takes long.
            set("statement_timeout", String(timeout + 200))
            set("lock_timeout", String(timeout))
        }
        settings = isPooled ? [] : statements
        localSettings = isPooled ? statements : []
    }
}
