public import EgoCore

extension PostgresStore {
    public func offsets(of projection: String) async throws(StoreError) -> [CommittedOffset] {
        if !layout.isAdopted { return [] }
        return try await read("read offsets") { (connection) throws(PostgresError) in
            try connection.all(
                """
                SELECT shard, transaction_id, position, generation, "timestamp" FROM ego_offsets
                WHERE projection = $1 ORDER BY shard
                """, [.text(projection)]
            ) { row in
                CommittedOffset(
                    shard: Shard(UInt64(bitPattern: row.integer(0))),
                    offset: Offset(transactionID: row.transactionID(1), position: Position(row.integer(2))),
                    generation: UInt64(bitPattern: row.integer(3)),
                    timestamp: Timestamp(unixNanoseconds: row.integer(4)))
            }
        }
    }

    public func projections() async throws(StoreError) -> [String] {
        if !layout.isAdopted { return [] }
        return try await read("read projections") { (connection) throws(PostgresError) in
            try connection.all("SELECT DISTINCT projection FROM ego_offsets ORDER BY projection") { $0.text(0) }
        }
    }

    private static let upsertOffset = """
        INSERT INTO ego_offsets AS o (projection, shard, transaction_id, position, generation, "timestamp")
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (projection, shard) DO UPDATE SET transaction_id = excluded.transaction_id,
            position = excluded.position, generation = excluded.generation, "timestamp" = excluded."timestamp"
            WHERE o.generation <= excluded.generation
        """

    public func commit(_ commit: OffsetCommit, with work: ReadModelWork?) async throws(StoreError) {
        try await write("commit offset") { (connection) throws(StoreError) in
            let committed = commit.committed
            let changed = try connection.run("commit offset") { () throws(PostgresError) in
                try connection.execute(
                    Self.upsertOffset,
                    [
                        .text(commit.projection), .shard(committed.shard),
                        .transactionID(committed.offset.transactionID), .integer(committed.offset.position.rawValue),
                        .integer(Int64(bitPattern: committed.generation)), .time(committed.timestamp),
                    ])
            }
            if changed == 0 {
                throw StoreError(
                    .fenced, "projection \(commit.projection): a newer runner has committed, this one may not")
            }
            guard let work else { return }
            let transaction = PostgresTransaction(connection)
            defer { transaction.end() }
            do {
                try work(transaction)
            } catch {
                // A lost connection or a collision is no fault of the handler's: the commit as a whole is tried again.
                if let error = error as? StoreError, (error.cause as? PostgresError)?.isCircumstance == true {
                    throw error
                }
                throw StoreError(
                    .invalid, "projection \(commit.projection): the read model's change failed", cause: error)
            }
        }
    }

    public func forgetOffsets(of projection: String) async throws(StoreError) {
        _ = try await write("forget offsets") { (connection) throws(StoreError) in
            try connection.run("forget offsets") { () throws(PostgresError) in
                try connection.execute("DELETE FROM ego_offsets WHERE projection = $1", [.text(projection)])
            }
        }
    }

    private static let selectTimestampOffsets = """
        WITH shards AS (
            SELECT shard_number, max("timestamp") AS head FROM events_store GROUP BY 1
        ), wanted AS (
            SELECT p.projection_name, s.shard_number
            FROM (SELECT DISTINCT projection_name FROM offsets_store) p CROSS JOIN shards s
            UNION SELECT projection_name, shard_number FROM offsets_store
        )
        SELECT w.projection_name, w.shard_number, o.current_offset, o."timestamp",
            (SELECT count(*) FROM events_store e WHERE e.shard_number = w.shard_number
                AND (o.current_offset IS NULL OR e."timestamp" > o.current_offset)),
            s.head
        FROM wanted w
        LEFT JOIN offsets_store o ON o.projection_name = w.projection_name AND o.shard_number = w.shard_number
        LEFT JOIN shards s ON s.shard_number = w.shard_number
        ORDER BY w.projection_name COLLATE "C", w.shard_number
        """

    public func timestampOffsets() async throws(StoreError) -> [TimestampOffset] {
        if !layout.has("offsets_store") { return [] }
        return try await read("read offsets") { (connection) throws(PostgresError) in
            try connection.all(Self.selectTimestampOffsets) { row in
                TimestampOffset(
                    projection: row.text(0), shard: Shard(UInt64(bitPattern: row.integer(1))),
                    stored: row.optionalInteger(2), committedAt: row.optionalInteger(3).map(Timestamp.init(stored:)),
                    eventsBehind: Int(row.integer(4)), storedHead: row.optionalInteger(5))
            }
        }
    }
}

/// The transaction in which a projection's offset is committed; a read model in the same database changes with it.
///
/// Valid only during the call that it is passed to; later use throws ``StoreError/Code/closed``.
public final class PostgresTransaction: ReadModelTransaction {
    private var connection: PostgresConnection?

    init(_ connection: PostgresConnection) {
        self.connection = connection
    }

    func end() { connection = nil }

    /// Runs one statement with bound parameters (`$1`, `$2`); returns how many rows it changed.
    ///
    /// - Throws: ``StoreError`` with PostgreSQL's error as its cause. The transaction cannot be committed after that.
    @discardableResult
    public func execute(_ sql: String, _ parameters: [PostgresValue] = []) throws(StoreError) -> Int {
        let connection = try current()
        return try connection.run("change the read model") { () throws(PostgresError) in
            try connection.execute(sql, parameters)
        }
    }

    /// Runs one query with bound parameters; returns its rows.
    ///
    /// - Throws: ``StoreError`` with PostgreSQL's error as its cause. The transaction cannot be committed after that.
    public func rows(_ sql: String, _ parameters: [PostgresValue] = []) throws(StoreError) -> [[PostgresValue]] {
        let connection = try current()
        return try connection.run("read the read model") { () throws(PostgresError) in
            try connection.all(sql, parameters) { row in (0..<row.columnCount).map { row.value($0) } }
        }
    }

    private func current() throws(StoreError) -> PostgresConnection {
        guard let connection, connection.isInTransaction else {
            throw StoreError(.closed, "the transaction has ended")
        }
        return connection
    }
}
