public import EgoCore

extension SQLiteStore {
    private static let selectOffsets =
        "SELECT shard, position, generation, timestamp FROM ego_offsets WHERE projection = ?1 ORDER BY shard"
    private static let selectProjections = "SELECT DISTINCT projection FROM ego_offsets ORDER BY projection"
    private static let upsertOffset = """
        INSERT INTO ego_offsets (projection, shard, position, generation, timestamp) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (projection, shard) DO UPDATE SET position = excluded.position, generation = excluded.generation,
            timestamp = excluded.timestamp
            WHERE ego_offsets.generation <= excluded.generation
        """
    private static let deleteOffsets = "DELETE FROM ego_offsets WHERE projection = ?1"

    public func offsets(of projection: String) async throws(StoreError) -> [CommittedOffset] {
        try await read { (connection) throws(StoreError) in
            try connection.run("read offsets") { () throws(SQLiteError) in
                try connection.all(Self.selectOffsets, [.text(projection)]) { row in
                    CommittedOffset(
                        shard: Shard(UInt64(bitPattern: row.integer(0))),
                        offset: Offset(position: Position(row.integer(1))),
                        generation: UInt64(bitPattern: row.integer(2)),
                        timestamp: Timestamp(unixNanoseconds: row.integer(3)))
                }
            }
        }
    }

    public func projections() async throws(StoreError) -> [String] {
        try await read { (connection) throws(StoreError) in
            try connection.run("read projections") { () throws(SQLiteError) in
                try connection.all(Self.selectProjections) { $0.text(0) }
            }
        }
    }

    public func commit(_ commit: OffsetCommit, with work: ReadModelWork?) async throws(StoreError) {
        try await write { (connection) throws(StoreError) in
            let changed = try connection.run("commit offset") { () throws(SQLiteError) in
                try connection.execute(
                    Self.upsertOffset,
                    [
                        .text(commit.projection), .integer(Int64(bitPattern: commit.committed.shard.rawValue)),
                        .integer(commit.committed.offset.position.rawValue),
                        .integer(Int64(bitPattern: commit.committed.generation)),
                        .time(commit.committed.timestamp),
                    ])
            }
            if changed == 0 {
                throw StoreError(
                    .fenced, "projection \(commit.projection): a newer runner has committed, this one may not")
            }
            guard let work else { return }
            let transaction = SQLiteTransaction(connection)
            defer { transaction.end() }
            do {
                try work(transaction)
            } catch {
                throw StoreError(
                    .invalid, "projection \(commit.projection): the read model's change failed", cause: error)
            }
        }
    }

    public func timestampOffsets() async throws(StoreError) -> [TimestampOffset] {
        _ = try await read { _ in 0 }  // closed is closed
        return []
    }

    public func forgetOffsets(of projection: String) async throws(StoreError) {
        _ = try await write { (connection) throws(StoreError) in
            try connection.run("forget offsets") { () throws(SQLiteError) in
                try connection.execute(Self.deleteOffsets, [.text(projection)])
            }
        }
    }
}

/// The transaction in which a projection's offset is committed; a read model in the same file changes with it.
///
/// Valid only during the call that it is passed to; later use throws ``StoreError/Code/closed``.
public final class SQLiteTransaction: ReadModelTransaction {
    private var connection: SQLiteConnection?

    init(_ connection: SQLiteConnection) {
        self.connection = connection
    }

    func end() { connection = nil }

    /// Runs one statement with bound parameters; returns how many rows it changed.
    ///
    /// - Throws: ``StoreError`` with SQLite's error as its cause.
    @discardableResult
    public func execute(_ sql: String, _ parameters: [SQLiteValue] = []) throws(StoreError) -> Int {
        let connection = try current()
        return try connection.run("change the read model") { () throws(SQLiteError) in
            try connection.execute(sql, parameters)
        }
    }

    /// Runs one query with bound parameters; returns its rows.
    ///
    /// - Throws: ``StoreError`` with SQLite's error as its cause.
    public func rows(_ sql: String, _ parameters: [SQLiteValue] = []) throws(StoreError) -> [[SQLiteValue]] {
        let connection = try current()
        return try connection.run("read the read model") { () throws(SQLiteError) in
            try connection.all(sql, parameters) { row in (0..<row.columnCount).map { row.value($0) } }
        }
    }

    private func current() throws(StoreError) -> SQLiteConnection {
        guard let connection, connection.isInTransaction else {
            throw StoreError(.closed, "the transaction has ended")
        }
        return connection
    }
}
