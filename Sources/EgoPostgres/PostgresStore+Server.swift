public import EgoCore

extension PostgresStore {
    /// What the server is that this store is on.
    public struct Server: Sendable, Hashable {
        /// As `15.4`.
        public var version: String
        /// Whether it takes no writes.
        public var isReplica: Bool
        /// Whether a proxy gives each transaction another session.
        public var isPooled: Bool
        /// Whether the connection is encrypted.
        public var isEncrypted: Bool
    }

    private static let selectServer = """
        SELECT current_setting('server_version'),
            coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false)
        """

    /// Looks at the server.
    public func server() async throws(StoreError) -> Server {
        try await read("look at the server") { (connection) throws(PostgresError) in
            let session = connection.session
            return try connection.first(Self.selectServer) { row in
                Server(
                    version: row.text(0).split(separator: " ").first.map(String.init) ?? row.text(0),
                    isReplica: session.isReplica, isPooled: session.isPooled, isEncrypted: row.bool(1))
            } ?? Server(version: "", isReplica: session.isReplica, isPooled: session.isPooled, isEncrypted: false)
        }
    }

    private static let selectPrivileges = """
        SELECT t.name || ' ' || p.name FROM unnest($1::text[]) AS t(name)
        CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS p(name)
        WHERE NOT has_table_privilege(t.name, p.name) ORDER BY 1
        """

    private static let mayCreate = "SELECT has_schema_privilege(current_schema(), 'CREATE')"

    /// What this role may not do with the store's tables, as `events_store INSERT`.
    public func missingPrivileges() async throws(StoreError) -> [String] {
        let isAdopted = layout.isAdopted
        let tables = layout.tables.keys.sorted().map { Optional("\(layout.schema).\($0)") }
        return try await read("look at the permissions") { (connection) throws(PostgresError) in
            var missing = try connection.all(Self.selectPrivileges, [.texts(tables)]) { $0.text(0) }
            if !isAdopted, try connection.first(Self.mayCreate, [], { $0.bool(0) }) != true {
                missing.append("CREATE in the schema")
            }
            return missing
        }
    }
}
