import EgoCore

/// Which of Ego's and eGo for Go's tables a database has, and what that means for the statements that read them.
struct PostgresLayout: Sendable, Hashable {
    /// The schema of the tables, quoted.
    let schema: String
    /// The columns of each table, as their names and types.
    let tables: [String: [String: String]]
    /// The collation of `events_store.persistence_id`, as `COLLATE` takes it; empty when there is no such table.
    let collation: String
    /// The indexes that can be used, by name.
    let indexes: Set<String>
    /// Whether a unique key keeps two events of an entity from having the same number.
    let hasEventKey: Bool

    private static let look = """
        SELECT quote_ident(n.nspname) FROM pg_namespace n
        WHERE n.oid = coalesce(
            (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('ego_metadata')),
            (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('events_store')),
            (SELECT oid FROM pg_namespace WHERE nspname = current_schema()))
        """
    private static let columns = """
        SELECT c.relname::text, a.attname::text, format_type(a.atttypid, NULL),
            CASE WHEN co.collname IS NULL THEN ''
                ELSE quote_ident(cn.nspname) || '.' || quote_ident(co.collname) END
        FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_collation co ON co.oid = a.attcollation LEFT JOIN pg_namespace cn ON cn.oid = co.collnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'f') AND quote_ident(c.relnamespace::regnamespace::name) = $1
            AND c.relname = ANY($2)
        """
    private static let selectKey = """
        SELECT count(*) FROM pg_index x
        WHERE x.indrelid = to_regclass($1) AND x.indisunique AND x.indisvalid AND x.indpred IS NULL
            AND ARRAY(SELECT a.attname::text FROM unnest(x.indkey::int2[]) k
                JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k ORDER BY 1)
                = ARRAY['persistence_id', 'sequence_number']
        """
    private static let usableIndexes = """
        SELECT i.relname::text FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
        WHERE quote_ident(i.relnamespace::regnamespace::name) = $1 AND x.indisvalid
        """

    init(_ connection: PostgresConnection) throws(PostgresError) {
        guard let schema = try connection.first(Self.look, [], { $0.text(0) }) else {
            throw PostgresError(sqlState: "3F000", message: "there is no schema in the search path")
        }
        let names = PostgresSchema.columns.map(\.table) + ["ego_older"]
        var tables: [String: [String: String]] = [:]
        var collation = ""
        for (table, column, type, order) in try connection.all(
            Self.columns, [.text(schema), .texts(names)], { ($0.text(0), $0.text(1), $0.text(2), $0.text(3)) })
        {
            tables[table, default: [:]][column] = type
            if table == "events_store", column == "persistence_id", !order.isEmpty { collation = "COLLATE \(order)" }
        }
        self.schema = schema
        self.tables = tables
        self.collation = collation
        self.hasEventKey =
            try connection.first(Self.selectKey, [.text("\(schema).events_store")], { $0.integer(0) > 0 }) ?? false
        self.indexes = Set(try connection.all(Self.usableIndexes, [.text(schema)]) { $0.text(0) })
    }

    func has(_ table: String, _ column: String? = nil) -> Bool {
        guard let columns = tables[table] else { return false }
        return column.map { columns[$0] != nil } ?? true
    }

    /// Whether Ego's own tables are there.
    var isAdopted: Bool { has("ego_metadata") }

    /// Whether the events have eGo v3's inline state.
    var hasInlineState: Bool { has("events_store", "state_payload") }

    /// Whether persistence IDs are ordered by their bytes.
    var isByteOrdered: Bool { collation == "COLLATE pg_catalog.\"C\"" || collation == "COLLATE pg_catalog.\"POSIX\"" }

    /// What is missing of the given tables, as `table` or `table.column`.
    func missing(of wanted: [(table: String, columns: [String])], ifPresent: Bool = false) -> [String] {
        wanted.flatMap { table, columns -> [String] in
            guard let found = tables[table] else { return ifPresent ? [] : [table] }
            return columns.filter { found[$0] == nil }.map { "\(table).\($0)" }
        }
    }

    /// The columns whose types are not those that eGo for Go gives them, as `table.column is TYPE`.
    var foreignTypes: [String] {
        let numbers = ["sequence_number", "timestamp", "shard_number", "version_number", "current_offset"]
        let bytes = ["event_payload", "state_payload"]
        let flags = ["is_deleted", "is_encrypted"]
        return PostgresSchema.recognized.flatMap { table, _ in
            (tables[table] ?? [:]).sorted { $0.key < $1.key }.compactMap { column, type in
                let isRight =
                    numbers.contains(column)
                    ? ["bigint", "integer"].contains(type)
                    : bytes.contains(column)
                        ? type == "bytea"
                        : flags.contains(column) ? type == "boolean" : true
                return isRight ? nil : "\(table).\(column) is \(type)"
            }
        }
    }

    /// A statement on the tables as they would be if the database were adopted. Where it is not, they are made up from
    /// those that are there.
    ///
    /// - Parameters:
    ///   - parts: named subqueries, as `name AS (...)`.
    ///   - body: what is selected from them.
    func statement(recursive: Bool = false, _ parts: [String] = [], _ body: String) -> String {
        let all = (isAdopted ? [] : relations) + parts
        if all.isEmpty { return body }
        return "WITH \(recursive ? "RECURSIVE " : "")\(all.joined(separator: ",\n"))\n\(body)"
    }

    /// The columns of an event, in the order in which ``PostgresRow`` reads them. What nearly every event has is not sent,
    /// and what few have is one column: each costs the server about as much as a comparison, and whoever reads it again.
    var eventColumns: String {
        let hasNoInlineState = isAdopted && !hasInlineState
        let inline = hasNoInlineState ? "NULL::bytea" : "v.state_payload"
        return """
            v.transaction_id, v.position, v.persistence_id, v.sequence_number, v."timestamp", v.shard_number,
            v.event_payload, v.checksum,
            CASE WHEN v.event_manifest <> '\(PersistedEvent.anyManifest)' OR v.is_encrypted OR v.is_deleted
                    OR v.encryption_key_id <> '' OR v.metadata IS NOT NULL OR v.unknown_fields IS NOT NULL
                    \(hasNoInlineState ? "" : "OR v.state_payload IS NOT NULL")
                THEN ROW(v.event_manifest, v.is_encrypted, v.is_deleted, v.encryption_key_id, v.metadata,
                    v.unknown_fields, \(inline)) END
            """
    }

    /// How many columns those of an event are.
    static let eventColumnCount: Int32 = 9

    /// The tables that a database of eGo for Go lacks, or has with fewer columns.
    private var relations: [String] {
        func relation(_ name: String, _ body: String) -> String { "\(name) AS NOT MATERIALIZED (\(body))" }
        func empty(_ name: String, _ columns: String) -> String {
            relation(name, "SELECT persistence_id, \(columns) FROM \(schema).events_store WHERE false")
        }
        let hasEncryption = has("events_store", "encryption_key_id")
        var all = [
            relation(
                "events_store",
                """
                SELECT persistence_id, sequence_number, is_deleted, event_payload, event_manifest, "timestamp",
                    shard_number, NULL::xid8 AS transaction_id, NULL::bigint AS position, NULL::bytea AS metadata,
                    NULL::bytea AS unknown_fields, NULL::bigint AS checksum,
                    \(hasEncryption ? "encryption_key_id, is_encrypted" : "''::text AS encryption_key_id, false AS is_encrypted"),
                    \(hasInlineState ? "state_payload" : "NULL::bytea AS state_payload")
                FROM \(schema).events_store
                """),
            empty("ego_entities", "NULL::text AS kind, NULL::bigint AS shard, 0::bigint AS floor"),
            empty("ego_tombstones", "0::bigint AS sequence_number, 0::bigint AS erased_at"),
        ]
        let checksums = "NULL::bigint AS checksum, NULL::bigint AS checksum_at"
        all.append(
            has("snapshots_store")
                ? relation("snapshots_store", "SELECT *, \(checksums) FROM \(schema).snapshots_store")
                : empty(
                    "snapshots_store",
                    """
                    0::bigint AS sequence_number, NULL::bytea AS state_payload, ''::text AS state_manifest,
                    0::bigint AS "timestamp", ''::text AS encryption_key_id, false AS is_encrypted, \(checksums)
                    """))
        let added = "NULL::bytea AS metadata, \(checksums), NULL::text AS encryption_key_id"
        all.append(
            has("states_store")
                ? relation("states_store", "SELECT *, \(added) FROM \(schema).states_store")
                : empty(
                    "states_store",
                    """
                    0::bigint AS version_number, NULL::bytea AS state_payload, ''::text AS state_manifest,
                    0::bigint AS "timestamp", 0::bigint AS shard_number, \(added)
                    """))
        return all
    }
}
