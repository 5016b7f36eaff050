public import EgoCore

extension PostgresStore {
    private static let columns = "name, mode, active_version, shadow_version, previous_version, revision, details"

    public func projections() async throws(StoreError) -> [ProjectionRecord] {
        if !layout.isAdopted { return [] }
        return try await read("read projections") { (connection) throws(PostgresError) in
            try connection.all("SELECT \(Self.columns) FROM ego_projections ORDER BY name", [], Self.projection)
        }
    }

    public func projection(_ name: String) async throws(StoreError) -> ProjectionRecord? {
        if !layout.isAdopted { return nil }
        return try await read("read projection") { (connection) throws(PostgresError) in
            try connection.first(
                "SELECT \(Self.columns) FROM ego_projections WHERE name = $1", [.text(name)], Self.projection)
        }
    }

    private static func projection(_ row: PostgresRow) -> ProjectionRecord {
        var record = ProjectionRecord(name: row.text(0))
        record.mode = ProjectionRecord.Mode(rawValue: row.text(1)) ?? .paused
        record.activeVersion = Int(row.integer(2))
        record.shadowVersion = row.optionalInteger(3).map(Int.init)
        record.previousVersion = row.optionalInteger(4).map(Int.init)
        record.revision = UInt64(bitPattern: row.integer(5))
        record.restore(details: row.bytes(6))
        return record
    }

    public func offsets(of projection: String, version: Int) async throws(StoreError) -> [CommittedOffset] {
        if !layout.isAdopted { return [] }
        return try await read("read offsets") { (connection) throws(PostgresError) in
            try connection.all(
                """
                SELECT shard, transaction_id, position, committed_at, event_timestamp FROM ego_offsets
                WHERE projection = $1 AND version = $2 ORDER BY shard
                """, [.text(projection), .integer(Int64(version))]
            ) { row in
                CommittedOffset(
                    shard: Shard(UInt64(bitPattern: row.integer(0))),
                    offset: Offset(transactionID: row.transactionID(1), position: Position(row.integer(2))),
                    committedAt: Timestamp(unixNanoseconds: row.integer(3)),
                    eventTimestamp: row.optionalInteger(4).map(Timestamp.init(unixNanoseconds:)))
            }
        }
    }

    public func deadLetters(_ query: DeadLetterQuery) async throws(StoreError) -> [DeadLetter] {
        if !layout.isAdopted { return [] }
        return try await read("read dead letters") { (connection) throws(PostgresError) in
            try connection.all(
                """
                SELECT d.projection, d.version, d.transaction_id, d.position, d.shard, d.persistence_id,
                    d.sequence_number, d.type, d.error, d.attempts, d.failed_at
                FROM ego_dead_letters d LEFT JOIN ego_projections p ON p.name = d.projection
                WHERE ($1::text IS NULL OR d.projection = $1) AND d.version = coalesce($2, p.active_version, 1)
                    AND (d.projection, d.transaction_id, d.position) > ($3, $4, $5)
                ORDER BY d.projection, d.transaction_id, d.position LIMIT $6
                """,
                [
                    .optional(query.projection), query.version.map { .integer(Int64($0)) } ?? .null,
                    .text(query.after?.projection ?? ""),
                    .transactionID(query.after?.offset.transactionID ?? 0),
                    .integer(query.after?.offset.position.rawValue ?? 0), .integer(Int64(query.limit)),
                ]
            ) { row in
                DeadLetter(
                    projection: row.text(0), version: Int(row.integer(1)),
                    offset: Offset(transactionID: row.transactionID(2), position: Position(row.integer(3))),
                    shard: Shard(UInt64(bitPattern: row.integer(4))), persistenceID: PersistenceID(stored: row.text(5)),
                    sequenceNumber: SequenceNumber(UInt64(clamping: row.integer(6))), type: row.text(7),
                    error: row.text(8), attempts: Int(row.integer(9)),
                    failedAt: Timestamp(unixNanoseconds: row.integer(10)))
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
            // Beside projections of eGo for Go the whole journal is read, which has no index by time.
            let isAny = try connection.first("SELECT 1 FROM offsets_store LIMIT 1") { _ in true }
            if isAny == nil { return [] }
            return try connection.all(Self.selectTimestampOffsets) { row in
                TimestampOffset(
                    projection: row.text(0), shard: Shard(UInt64(bitPattern: row.integer(1))),
                    stored: row.optionalInteger(2), committedAt: row.optionalInteger(3).map(Timestamp.init(stored:)),
                    eventsBehind: Int(row.integer(4)), storedHead: row.optionalInteger(5))
            }
        }
    }
}

extension PostgresConnection {
    private static let upsertOffsets = """
        INSERT INTO ego_offsets (projection, version, shard, transaction_id, position, committed_at, event_timestamp)
        SELECT $1, $2, u.shard, u.transaction_id::text::xid8, u.position, u.committed_at, nullif(u.event_timestamp, -1)
        FROM unnest($3::int8[], $4::int8[], $5::int8[], $6::int8[], $7::int8[])
            AS u(shard, transaction_id, position, committed_at, event_timestamp)
        ON CONFLICT (projection, version, shard) DO UPDATE SET transaction_id = excluded.transaction_id,
            position = excluded.position, committed_at = excluded.committed_at,
            event_timestamp = excluded.event_timestamp
        """
    private static let upsertDeadLetter = """
        INSERT INTO ego_dead_letters (projection, version, transaction_id, position, shard, persistence_id,
            sequence_number, type, error, attempts, failed_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        ON CONFLICT (projection, version, transaction_id, position) DO UPDATE SET error = excluded.error,
            attempts = excluded.attempts, failed_at = excluded.failed_at
        """

    /// The statements that say how far a projection has come.
    static func statements(_ advance: ProjectionAdvance) -> [PostgresStatement] {
        let (name, version) = (PostgresValue.text(advance.projection), PostgresValue.integer(Int64(advance.version)))
        var statements: [PostgresStatement] = []
        if !advance.offsets.isEmpty {
            // In one order, so that two who move the same offsets wait for each other and do not collide.
            let offsets = advance.offsets.sorted { $0.shard < $1.shard }
            statements.append(
                PostgresStatement(
                    upsertOffsets,
                    [
                        name, version, .integers(offsets.map { Int64(bitPattern: $0.shard.rawValue) }),
                        .integers(offsets.map { Int64(bitPattern: $0.offset.transactionID) }),
                        .integers(offsets.map { $0.offset.position.rawValue }),
                        .integers(offsets.map { $0.committedAt.unixNanoseconds }),
                        .integers(offsets.map { $0.eventTimestamp?.unixNanoseconds ?? -1 }),
                    ]))
        }
        for letter in advance.deadLetters {
            statements.append(
                PostgresStatement(
                    upsertDeadLetter,
                    [
                        name, version, .transactionID(letter.offset.transactionID),
                        .integer(letter.offset.position.rawValue), .shard(letter.shard), .id(letter.persistenceID),
                        .sequence(letter.sequenceNumber), .text(letter.type), .text(letter.error),
                        .integer(Int64(letter.attempts)), .time(letter.failedAt),
                    ]))
        }
        return statements
    }

    /// Returns how many rows were changed: none when the revision is not the stored one.
    func save(_ record: ProjectionRecord) throws(PostgresError) -> Int {
        func version(_ number: Int?) -> PostgresValue { number.map { .integer(Int64($0)) } ?? .null }
        var parameters: [PostgresValue] = [
            .text(record.name), .text(record.mode.rawValue), version(record.activeVersion),
            version(record.shadowVersion), version(record.previousVersion), .bytes(record.encodedDetails),
        ]
        if record.revision == 0 {
            return try execute(
                """
                INSERT INTO ego_projections (name, mode, active_version, shadow_version, previous_version, details,
                    revision)
                VALUES ($1, $2, $3, $4, $5, $6, 1) ON CONFLICT (name) DO NOTHING
                """, parameters)
        }
        parameters.append(.integer(Int64(bitPattern: record.revision)))
        return try execute(
            """
            UPDATE ego_projections SET mode = $2, active_version = $3, shadow_version = $4, previous_version = $5,
                details = $6, revision = revision + 1
            WHERE name = $1 AND revision = $7
            """, parameters)
    }

    func forgetVersion(_ version: Int?, of projection: String) throws(PostgresError) -> Int {
        var count = 0
        for table in ["ego_offsets", "ego_dead_letters"] {
            count += try execute(
                "DELETE FROM \(table) WHERE projection = $1 AND ($2::int8 IS NULL OR version = $2)",
                [.text(projection), version.map { .integer(Int64($0)) } ?? .null])
        }
        return count
    }
}

extension ProjectionAdvance {
    /// How many rows it changes.
    var count: Int { offsets.count + deadLetters.count }
}

extension OperatorChange {
    /// How far a projection has come, where the change is that.
    var advance: ProjectionAdvance? { if case .advance(let advance) = self { advance } else { nil } }
}
