public import EgoCore

extension PostgresStore {
    /// The version of the schema that this program reads and writes.
    public static let schemaVersion = PostgresSchema.version

    /// Looks at a database without changing it.
    public static func schema(
        url: PostgresURL, options: PostgresStoreOptions = PostgresStoreOptions()
    ) async throws(StoreError) -> PostgresSchemaState {
        try await withAdministrator(url, options) { (connection) throws(StoreError) in
            try PostgresSchemaState.look(connection, at: url)
        }
    }

    /// Creates the schema, or adopts that of eGo for Go: adds Ego's tables and columns, and touches no row. Nothing happens
    /// when it is current.
    ///
    /// Adoption takes the one lock that writers wait for when it can be had within half a second, and else tries again
    /// later. The rows that were there before get their place in the journal by a job (see ``prepareOrder(url:options:)``).
    ///
    /// - Parameters:
    ///   - shardCount: how many shards a new store has, 1 to 65,536; fixed from then on. Nil is 16, or what the events of
    ///     eGo for Go have.
    ///   - storeID: what tells a new store from every other.
    ///   - patience: how long to go on trying for the lock.
    /// - Returns: what was there before.
    public static func initialize(
        url: PostgresURL, shardCount: UInt32? = nil, storeID: String, patience: Duration = .seconds(60),
        options: PostgresStoreOptions = PostgresStoreOptions()
    ) async throws(StoreError) -> PostgresSchemaState {
        let deadline = ContinuousClock.now + patience
        while true {
            do throws(StoreError) {
                return try await withAdministrator(url, options) { (connection) throws(StoreError) in
                    try initialize(connection, url, shardCount, storeID)
                }
            } catch {
                guard (error.cause as? PostgresError)?.sqlState == "55P03" else { throw error }
                if ContinuousClock.now > deadline {
                    throw StoreError(
                        .busy, "another session has kept the table events_store locked for longer than \(patience)",
                        cause: error.cause)
                }
                // Writers that have queued up behind the request get their turn.
                do { try await Task.sleep(for: .milliseconds(Int.random(in: 500...1_000))) } catch {
                    throw StoreError(.cancelled, "stopped while waiting for the table events_store")
                }
            }
        }
    }

    private static func initialize(
        _ connection: PostgresConnection, _ url: PostgresURL, _ shardCount: UInt32?, _ storeID: String
    ) throws(StoreError) -> PostgresSchemaState {
        let before = try PostgresSchemaState.look(connection, at: url)
        switch before.kind {
        case .current, .unordered: return before
        case .newer, .unknown: throw before.openError(url)
        case .absent, .egoGo, .older: if let problem = before.adoptionError(url) { throw problem }
        }
        if connection.session.isReplica {
            throw StoreError(.readOnly, "\(url) is a replica, which takes no writes")
        }
        let what = "write the schema of \(url)"
        return try connection.transaction(
            "BEGIN ISOLATION LEVEL READ COMMITTED",
            { () throws(StoreError) in
                // Two processes may begin at once; the second finds what the first has made.
                try connection.run(what) { () throws(PostgresError) in
                    try connection.script("SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock(1162303264)")
                }
                let found = try PostgresSchemaState(connection, at: url)
                let metadata: StoreMetadata
                switch found.kind {
                case .absent:
                    metadata = StoreMetadata(
                        storeID: storeID, schemaVersion: PostgresSchema.version,
                        shardCount: max(1, min(shardCount ?? 16, 65_536)), origin: .ego)
                case .egoGo(let egoGo):
                    let counted = try connection.run(what) { () throws(PostgresError) in
                        try ShardCount.ofEgoGo(connection, largest: egoGo.shardCount)
                    }
                    metadata = StoreMetadata(
                        storeID: storeID, schemaVersion: PostgresSchema.version,
                        shardCount: max(1, min(shardCount ?? counted, 65_536)), origin: egoGo.origin)
                case .older(let version):
                    try connection.run(what) { () throws(PostgresError) in
                        try upgrade(from: version, on: connection, found.layout)
                    }
                    return before
                default: return found
                }
                try connection.run(what) { () throws(PostgresError) in
                    try write(metadata, on: connection, found.layout)
                }
                return before
            }, wrap: { StoreError($0, during: what) })
    }

    /// Nobody waits for long: eGo for Go's tables only get columns, last.
    private static func upgrade(
        from version: Int, on connection: PostgresConnection, _ layout: PostgresLayout
    ) throws(PostgresError) {
        try connection.script("SET LOCAL search_path TO \(layout.schema); SET LOCAL lock_timeout = '400ms'")
        for step in PostgresSchema.upgrades(collation: layout.collation)[(version - 1)...] {
            try connection.script(step)
        }
        if version < 3 { try connection.script(PostgresSchema.columnsOfVersion3) }
        try connection.execute(
            "UPDATE ego_metadata SET value = $1 WHERE key = 'schema_version'",
            [.text(String(PostgresSchema.version))])
    }

    private static func write(
        _ metadata: StoreMetadata, on connection: PostgresConnection, _ layout: PostgresLayout
    ) throws(PostgresError) {
        let isNew = metadata.origin == .ego
        let collation = isNew ? "COLLATE \"C\"" : layout.collation
        try connection.script("SET LOCAL search_path TO \(layout.schema)")
        if isNew { try connection.script(PostgresSchema.egoGoTables) }
        try connection.script(PostgresSchema.missingTables(collation: collation))
        try connection.script(PostgresSchema.ownTables(collation: collation))
        for step in PostgresSchema.upgrades(collation: collation) { try connection.script(step) }
        for (key, value) in [
            ("schema_version", String(PostgresSchema.version)), ("store_id", metadata.storeID),
            ("shard_count", String(metadata.shardCount)), ("origin", metadata.origin.rawValue),
            ("ordered", String(isNew)),
        ] {
            try connection.execute(
                "INSERT INTO ego_metadata (key, value) VALUES ($1, $2)", [.text(key), .text(value)])
        }
        // Last, and for a moment: from here on writers wait.
        try connection.script("SET LOCAL lock_timeout = '400ms'")
        try connection.script("LOCK TABLE snapshots_store IN ACCESS EXCLUSIVE MODE")
        try connection.script("LOCK TABLE states_store IN ACCESS EXCLUSIVE MODE")
        try connection.script("LOCK TABLE events_store IN ACCESS EXCLUSIVE MODE")
        if layout.hasInlineState { try connection.script(PostgresSchema.relaxedInlineState) }
        try connection.script(PostgresSchema.addedColumns)
        try connection.script(PostgresSchema.columnsOfVersion3)
        if isNew { try connection.script(PostgresSchema.orderIndex) }
    }

    // MARK: The older rows of an adopted database

    /// Lists the rows that were there before adoption, in the order that they will have. Nothing happens when they are
    /// listed. It reads the whole table and takes minutes for many millions of rows; nobody waits for it.
    ///
    /// - Returns: how many there are.
    public static func prepareOrder(
        url: PostgresURL, options: PostgresStoreOptions = PostgresStoreOptions()
    ) async throws(StoreError) -> Int {
        try await withAdministrator(url, options) { (connection) throws(StoreError) in
            let state = try PostgresSchemaState.look(connection, at: url)
            guard case .unordered = state.kind else { return 0 }
            if !state.layout.has("ego_older") {
                try connection.transaction(
                    "BEGIN ISOLATION LEVEL READ COMMITTED",
                    { () throws(StoreError) in
                        try connection.run("list the older events") { () throws(PostgresError) in
                            // Two processes may be at it; the second finds the list of the first.
                            try connection.script("SELECT pg_advisory_xact_lock(1162303264)")
                            let isListed = try connection.first("SELECT to_regclass('ego_older') IS NOT NULL") {
                                $0.bool(0)
                            }
                            if isListed == true { return }
                            try connection.script("SET LOCAL search_path TO \(state.layout.schema)")
                            try connection.script("SET LOCAL statement_timeout = 0; SET LOCAL work_mem = '64MB'")
                            try connection.script(PostgresSchema.olderRows)
                            try connection.script(PostgresSchema.olderRowsKey)
                        }
                    }, wrap: { StoreError($0, during: "list the older events") })
                try connection.run("list the older events") { () throws(PostgresError) in
                    try connection.script("ANALYZE ego_older")
                }
            }
            return try connection.run("count the older events") { () throws(PostgresError) in
                try connection.first("SELECT coalesce(max(number), 0) FROM ego_older") { Int($0.integer(0)) } ?? 0
            }
        }
    }

    /// Ends an adoption once all rows have their place: makes the index of the journal, beside writers, and declares the
    /// store current. Nothing happens when it is.
    public static func finishOrder(
        url: PostgresURL, options: PostgresStoreOptions = PostgresStoreOptions()
    ) async throws(StoreError) {
        try await withAdministrator(url, options) { (connection) throws(StoreError) in
            let state = try PostgresSchemaState.look(connection, at: url)
            guard case .unordered = state.kind else { return }
            try connection.run("order the journal") { () throws(PostgresError) in
                if !connection.session.isPooled { try connection.script("SET statement_timeout = 0") }
                if !state.layout.indexes.contains(PostgresSchema.orderIndexName) {
                    // One that was interrupted is there and not valid.
                    try connection.script("DROP INDEX CONCURRENTLY IF EXISTS \(PostgresSchema.orderIndexName)")
                    try connection.script(PostgresSchema.orderIndexConcurrently)
                }
                try connection.transaction { () throws(PostgresError) in
                    try connection.script("DROP TABLE IF EXISTS ego_older")
                    try connection.script("DELETE FROM ego_metadata WHERE key = 'ordered_through'")
                    try connection.script("UPDATE ego_metadata SET value = 'true' WHERE key = 'ordered'")
                }
                try connection.script("ANALYZE events_store")
            }
        }
    }

    /// Runs `body` on a connection of its own.
    static func withAdministrator<Value: Sendable>(
        _ url: PostgresURL, _ options: PostgresStoreOptions,
        _ body: @escaping @Sendable (PostgresConnection) throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        var options = options
        options.connections = 1
        let pool = PostgresPool(url, options)
        do throws(StoreError) {
            let value = try await pool.run(.never, body)
            await pool.close()
            return value
        } catch {
            await pool.close()
            throw error
        }
    }
}

/// How many shards the events of eGo for Go are spread over.
private enum ShardCount {
    /// What a cluster of eGo for Go has unless it is told otherwise.
    private static let standard: UInt32 = 271

    private static let sample = """
        SELECT DISTINCT ON (persistence_id) persistence_id, shard_number FROM (
            SELECT persistence_id, shard_number FROM events_store LIMIT 100000) s LIMIT 1000
        """

    /// Tells by the function that a cluster uses; where that does not fit, the shards that are there count.
    static func ofEgoGo(_ connection: PostgresConnection, largest: UInt32) throws(PostgresError) -> UInt32 {
        if largest <= 1 || largest > standard { return largest }
        let entities = try connection.all(sample) {
            (PersistenceID(stored: $0.text(0)), UInt64(clamping: $0.integer(1)))
        }
        let fits = entities.allSatisfy { Shard(of: $0.0, count: standard).rawValue == $0.1 }
        return fits ? standard : largest
    }
}
