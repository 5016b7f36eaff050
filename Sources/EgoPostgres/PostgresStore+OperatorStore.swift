public import EgoCore

extension PostgresStore {
    // MARK: Entities

    /// Walks from one persistence ID to the next through the indexes, so that the cost grows with the page and not with
    /// the events.
    private var entitiesSQL: String {
        func next(_ condition: (String) -> String) -> String {
            let tables = ["events_store", "states_store", "snapshots_store", "ego_entities"].map { table in
                """
                (SELECT persistence_id::text FROM \(table) WHERE \(condition("persistence_id"))
                    ORDER BY persistence_id LIMIT 1)
                """
            }
            return "least(\(tables.joined(separator: ", ")))"
        }
        // Where IDs are not ordered by their bytes, those of one prefix can be anywhere.
        let isRange = layout.isByteOrdered
        let ids = """
            ids(id) AS (
                SELECT \(next { "\($0) > $1" + (isRange ? " AND \($0) >= $2" : "") })
                UNION ALL
                SELECT \(next { "\($0) > ids.id" }) FROM ids
                WHERE ids.id IS NOT NULL \(isRange ? "AND starts_with(ids.id, $2)" : "")
            )
            """
        let page = """
            page AS MATERIALIZED (
                SELECT i.id, newest.* FROM ids i
                LEFT JOIN LATERAL (
                    SELECT sequence_number, shard_number, "timestamp", is_encrypted, transaction_id, position
                    FROM events_store WHERE persistence_id = i.id ORDER BY sequence_number DESC LIMIT 1) newest ON true
                WHERE i.id IS NOT NULL AND starts_with(i.id, $2)
                    AND ($3::text IS NULL OR $3 = (SELECT kind FROM ego_entities WHERE persistence_id = i.id LIMIT 1))
                    AND ($4::int8 IS NULL OR $4 = coalesce(
                        newest.shard_number,
                        (SELECT shard_number FROM states_store WHERE persistence_id = i.id LIMIT 1),
                        (SELECT shard FROM ego_entities WHERE persistence_id = i.id LIMIT 1)))
                    AND (newest.sequence_number IS NOT NULL
                        OR EXISTS (SELECT 1 FROM states_store WHERE persistence_id = i.id)
                        OR EXISTS (SELECT 1 FROM snapshots_store WHERE persistence_id = i.id)
                        OR EXISTS (SELECT 1 FROM ego_tombstones WHERE persistence_id = i.id)
                        OR EXISTS (SELECT 1 FROM ego_entities WHERE persistence_id = i.id AND floor > 0))
                LIMIT $5
            )
            """
        return layout.statement(
            recursive: true, [ids, page],
            """
            SELECT p.id, x.kind, greatest(x.floor, \(trimmed("p.id"))), coalesce(p.shard_number, s.shard_number, x.shard),
                p.sequence_number,
                CASE WHEN $6 THEN (SELECT count(*) FROM events_store WHERE persistence_id = p.id) END,
                CASE WHEN $6 THEN (SELECT "timestamp" FROM events_store WHERE persistence_id = p.id
                    ORDER BY sequence_number LIMIT 1) END,
                p."timestamp", p.is_encrypted, s.version_number, s."timestamp",
                t.sequence_number, t.erased_at, p.transaction_id, p.position,
                EXISTS (SELECT 1 FROM snapshots_store WHERE persistence_id = p.id)
            FROM page p
            LEFT JOIN LATERAL (SELECT * FROM ego_entities WHERE persistence_id = p.id LIMIT 1) x ON true
            LEFT JOIN LATERAL (SELECT * FROM states_store WHERE persistence_id = p.id LIMIT 1) s ON true
            LEFT JOIN LATERAL (SELECT * FROM ego_tombstones WHERE persistence_id = p.id LIMIT 1) t ON true
            ORDER BY p.id
            """)
    }

    public func entities(_ query: EntityQuery) async throws(StoreError) -> [EntitySummary] {
        let (sql, shardCount, clock, isAdopted) = (entitiesSQL, shardCount, clock, layout.isAdopted)
        let parameters: [PostgresValue] = [
            .text(query.after?.rawValue ?? ""), .text(query.prefix ?? ""), .optional(query.kind),
            query.shard.map(PostgresValue.shard) ?? .null, .integer(Int64(query.limit)),
            .bool(query.countsEvents),
        ]
        return try await read("list entities") { (connection) throws(PostgresError) in
            try connection.all(sql, parameters) { Self.summary($0, shardCount, clock, isAdopted) }
        }
    }

    private static func summary(
        _ row: PostgresRow, _ shardCount: UInt32, _ clock: StoredClock, _ isAdopted: Bool
    ) -> EntitySummary {
        let id = PersistenceID(stored: row.text(0))
        let isDurableState = !row.isNull(9)
        let last = max(row.integer(2), row.integer(4), row.integer(11))
        let shard = row.optionalInteger(3).map { Shard(UInt64(bitPattern: $0)) } ?? Shard(of: id, count: shardCount)
        let stateTime = row.optionalInteger(10).map(clock.moment)
        return EntitySummary(
            persistenceID: id, kind: row.optionalText(1),
            sequenceNumber: SequenceNumber(UInt64(clamping: isDurableState && last == 0 ? row.integer(9) : last)),
            floor: SequenceNumber(UInt64(clamping: row.integer(2))), eventCount: row.optionalInteger(5).map { Int($0) },
            lastOffset: row.isNull(4) ? nil : lastOffset(row, isAdopted), hasSnapshots: row.bool(15),
            isDurableState: isDurableState, shard: shard,
            firstTimestamp: row.optionalInteger(6).map(clock.moment),
            lastTimestamp: row.optionalInteger(7).map(clock.moment) ?? stateTime,
            isEncrypted: row.bool(8), erasedAt: row.optionalInteger(12).map { Timestamp(unixNanoseconds: $0) })
    }

    /// The place of an entity's last event, as the event itself has it.
    private static func lastOffset(_ row: PostgresRow, _ isAdopted: Bool) -> Offset {
        if !isAdopted {
            return Offset(transactionID: UInt64(clamping: row.integer(7)), position: Position(row.integer(4)))
        }
        return row.isNull(13)
            ? .start : Offset(transactionID: row.transactionID(13), position: Position(row.integer(14)))
    }

    public func statistics() async throws(StoreError) -> StoreStatistics {
        let tables = layout.tables.keys.sorted().map { Optional("\(layout.schema).\($0)") }
        let sql = layout.statement(
            [],
            """
            SELECT
                (SELECT count(*) FROM (
                    SELECT persistence_id FROM events_store GROUP BY 1
                    UNION SELECT persistence_id FROM states_store
                    UNION SELECT persistence_id FROM snapshots_store
                    UNION SELECT persistence_id FROM ego_tombstones
                    UNION SELECT persistence_id FROM ego_entities WHERE floor > 0) ids),
                (SELECT count(*) FROM events_store), (SELECT count(*) FROM snapshots_store),
                (SELECT count(*) FROM states_store),
                (SELECT sum(pg_total_relation_size(to_regclass(t)))::bigint FROM unnest($1::text[]) AS t)
            """)
        let head = try await head()
        return try await read("count") { (connection) throws(PostgresError) in
            try connection.first(sql, [.texts(tables)]) { row in
                StoreStatistics(
                    entities: Int(row.integer(0)), events: Int(row.integer(1)), snapshots: Int(row.integer(2)),
                    durableStates: Int(row.integer(3)), head: head, bytes: Int(row.integer(4)))
            } ?? StoreStatistics(entities: 0, events: 0, snapshots: 0, durableStates: 0, head: head, bytes: nil)
        }
    }

    // MARK: Operators' records

    private static let jobColumns = "id, kind, state, arguments, checkpoint, created_at, updated_at"

    public func job(_ id: String) async throws(StoreError) -> Job? {
        if !layout.isAdopted { return nil }
        return try await read("read job") { (connection) throws(PostgresError) in
            try connection.first("SELECT \(Self.jobColumns) FROM ego_jobs WHERE id = $1", [.text(id)], Self.job)
        }
    }

    public func jobs() async throws(StoreError) -> [Job] {
        if !layout.isAdopted { return [] }
        return try await read("read jobs") { (connection) throws(PostgresError) in
            try connection.all("SELECT \(Self.jobColumns) FROM ego_jobs ORDER BY created_at DESC, id", [], Self.job)
        }
    }

    private static func job(_ row: PostgresRow) -> Job {
        Job(
            id: row.text(0), kind: row.text(1), state: Job.State(rawValue: row.text(2)) ?? .failed,
            arguments: row.text(3), checkpoint: row.text(4), createdAt: Timestamp(unixNanoseconds: row.integer(5)),
            updatedAt: Timestamp(unixNanoseconds: row.integer(6)))
    }

    public func audit(after number: UInt64, limit: Int) async throws(StoreError) -> [AuditRecord] {
        if !layout.isAdopted { return [] }
        return try await read("read audit log") { (connection) throws(PostgresError) in
            try connection.all(
                """
                SELECT number, "timestamp", actor, action, arguments, reason, result, previous_hash, hash
                FROM ego_audit WHERE number > $1 ORDER BY number LIMIT $2
                """, [.integer(Int64(clamping: number)), .integer(Int64(max(1, limit)))]
            ) { row in
                AuditRecord(
                    number: UInt64(bitPattern: row.integer(0)),
                    entry: AuditEntry(
                        timestamp: Timestamp(unixNanoseconds: row.integer(1)), actor: row.text(2),
                        action: row.text(3), arguments: row.text(4), reason: row.text(5), result: row.text(6)),
                    previousHash: row.text(7), hash: row.text(8))
            }
        }
    }

    public func deadLetterCount(of id: PersistenceID) async throws(StoreError) -> Int {
        if !layout.isAdopted { return 0 }
        return try await read("count dead letters") { (connection) throws(PostgresError) in
            Int(
                try connection.first(
                    "SELECT count(*) FROM ego_dead_letters WHERE persistence_id = $1", [.id(id)]
                ) { $0.integer(0) } ?? 0)
        }
    }

    public func erasures(after number: UInt64, limit: Int) async throws(StoreError) -> [Erasure] {
        if !layout.isAdopted { return [] }
        return try await read("read erasures") { (connection) throws(PostgresError) in
            try connection.all(
                "SELECT number, persistence_id FROM ego_tombstones WHERE number > $1 ORDER BY number LIMIT $2",
                [.integer(Int64(clamping: number)), .integer(Int64(max(1, limit)))]
            ) { row in
                Erasure(number: UInt64(row.integer(0)), persistenceID: PersistenceID(stored: row.text(1)))
            }
        }
    }

    public func tombstone(of id: PersistenceID) async throws(StoreError) -> Tombstone? {
        if !layout.isAdopted { return nil }
        return try await read("read tombstone") { (connection) throws(PostgresError) in
            try connection.first(
                "SELECT sequence_number, erased_at FROM ego_tombstones WHERE persistence_id = $1", [.id(id)]
            ) { row in
                Tombstone(
                    persistenceID: id, sequenceNumber: SequenceNumber(UInt64(bitPattern: row.integer(0))),
                    erasedAt: Timestamp(unixNanoseconds: row.integer(1)))
            }
        }
    }

    public func holds() async throws(StoreError) -> [LegalHold] {
        if !layout.isAdopted { return [] }
        return try await read("read holds") { (connection) throws(PostgresError) in
            try connection.all("SELECT persistence_id, reason, placed_at FROM ego_holds ORDER BY persistence_id") {
                row in
                LegalHold(
                    persistenceID: PersistenceID(stored: row.text(0)), reason: row.text(1),
                    placedAt: Timestamp(unixNanoseconds: row.integer(2)))
            }
        }
    }
}
