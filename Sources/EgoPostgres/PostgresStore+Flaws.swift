public import EgoCore

extension PostgresStore {
    private static let selectDefaults = """
        SELECT count(*) FROM pg_attrdef d
        JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
        WHERE d.adrelid = 'events_store'::regclass AND a.attname IN ('transaction_id', 'position')
        """
    private static let selectUnplaced = "SELECT count(*) FROM events_store WHERE transaction_id IS NULL"
    /// Every unique index that must be there, by its table and columns.
    private static let selectKeys = """
        SELECT c.relname::text, array_to_string(ARRAY(
            SELECT a.attname FROM unnest(x.indkey::int2[]) WITH ORDINALITY AS k(number, n)
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number ORDER BY k.n), ',')
        FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid
        WHERE x.indisunique AND x.indisvalid AND c.oid IN (
            'events_store'::regclass, 'snapshots_store'::regclass, 'states_store'::regclass,
            'ego_commands'::regclass, 'ego_offsets'::regclass, 'ego_entities'::regclass, 'ego_audit'::regclass)
        """
    private static let wantedKeys = [
        ("events_store", "persistence_id,sequence_number"), ("events_store", "transaction_id,position"),
        ("snapshots_store", "persistence_id,sequence_number"), ("states_store", "persistence_id"),
        ("ego_commands", "persistence_id,command_id"), ("ego_offsets", "projection,version,shard"),
        ("ego_entities", "persistence_id"), ("ego_audit", "number"),
    ]
    private static let selectInvalid = """
        SELECT i.relname::text FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
        WHERE NOT x.indisvalid AND x.indrelid = 'events_store'::regclass
        """
    private static let selectChecker =
        "SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE extname = 'amcheck'"

    public func flaws(isThorough: Bool) async throws(StoreError) -> [StorageFlaw] {
        if !layout.isAdopted { return [] }
        return try await read("inspect the store") { (connection) throws(PostgresError) in
            var flaws: [StorageFlaw] = []
            let keys = try connection.all(Self.selectKeys) { "\($0.text(0))(\($0.text(1)))" }
            for (table, columns) in Self.wantedKeys where !keys.contains("\(table)(\(columns))") {
                flaws.append(
                    StorageFlaw(
                        subject: table, message: "the unique index of \(table) on \(columns) is missing",
                        remedy: "make it again: CREATE UNIQUE INDEX CONCURRENTLY ON \(table) (\(columns))"))
            }
            for index in try connection.all(Self.selectInvalid, [], { $0.text(0) }) {
                flaws.append(
                    StorageFlaw(
                        subject: "events_store", message: "the index \(index) was never finished and is not used",
                        remedy: "make it again: REINDEX INDEX CONCURRENTLY \(index)"))
            }
            if try connection.first(Self.selectDefaults, [], { $0.integer(0) }) != 2 {
                flaws.append(
                    StorageFlaw(
                        subject: "events_store", message: "new events do not get a place in the journal by default",
                        remedy: """
                            ALTER TABLE events_store ALTER transaction_id SET DEFAULT pg_current_xact_id(), \
                            ALTER position SET DEFAULT nextval('ego_position')
                            """))
            }
            if let count = try connection.first(Self.selectUnplaced, [], { $0.integer(0) }), count > 0 {
                flaws.append(
                    StorageFlaw(
                        subject: "events_store",
                        message: "\(count) events have no place in the journal: no reader sees them",
                        remedy:
                            "UPDATE events_store SET transaction_id = DEFAULT, position = DEFAULT WHERE transaction_id IS NULL"
                    ))
            }
            if isThorough { flaws += try Self.damaged(connection) }
            return flaws
        }
    }

    /// What the server's own checker finds, where it is installed.
    private static func damaged(_ connection: PostgresConnection) throws(PostgresError) -> [StorageFlaw] {
        guard let schema = try connection.first(selectChecker, [], { $0.text(0) }) else { return [] }
        var flaws: [StorageFlaw] = []
        for index in ["events_store_pkey", PostgresSchema.orderIndexName] {
            do throws(PostgresError) {
                _ = try connection.rows(
                    PostgresStatement("SELECT \(schema).bt_index_check(to_regclass($1), true)::text", [.text(index)]))
            } catch {
                guard error.sqlState == "XX002" || error.sqlState == "XX001" else { throw error }
                flaws.append(
                    StorageFlaw(
                        subject: index, message: error.message,
                        remedy: "REINDEX INDEX CONCURRENTLY \(index); if that fails, restore a backup"))
            }
        }
        return flaws
    }
}
