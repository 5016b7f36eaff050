public import EgoCore

extension SQLiteStore {
    private static let selectEntities = """
        SELECT e.persistence_id, k.name, e.floor, e.shard, l.sequence_number,
            CASE WHEN ?6 THEN (SELECT count(*) FROM ego_events WHERE entity = e.id) END,
            CASE WHEN ?6 THEN (SELECT timestamp FROM ego_events WHERE entity = e.id ORDER BY sequence_number LIMIT 1) END,
            l.timestamp, l.flags, s.version, s.timestamp, t.sequence_number, t.erased_at, l.position,
            EXISTS (SELECT 1 FROM ego_snapshots WHERE entity = e.id)
        FROM ego_entities e
        LEFT JOIN ego_names k ON k.id = e.kind
        LEFT JOIN ego_states s ON s.entity = e.id
        LEFT JOIN ego_tombstones t ON t.entity = e.id
        LEFT JOIN ego_events l ON l.position =
            (SELECT position FROM ego_events WHERE entity = e.id ORDER BY sequence_number DESC LIMIT 1)
        WHERE e.persistence_id > ?1 AND e.persistence_id >= ?2
            AND (?3 IS NULL OR k.name = ?3) AND (?4 IS NULL OR e.shard = ?4)
            AND (l.position IS NOT NULL OR s.version IS NOT NULL OR t.entity IS NOT NULL OR e.floor > 0
                OR EXISTS (SELECT 1 FROM ego_snapshots WHERE entity = e.id))
        ORDER BY e.persistence_id LIMIT ?5
        """

    public func entities(_ query: EntityQuery) async throws(StoreError) -> [EntitySummary] {
        try await readAtLength { (connection) throws(StoreError) in
            try connection.run("list entities") { () throws(SQLiteError) in
                var found: [EntitySummary] = []
                try connection.query(
                    Self.selectEntities,
                    [
                        .text(query.after?.rawValue ?? ""), .text(query.prefix ?? ""), .optional(query.kind),
                        query.shard.map { .integer(Int64(bitPattern: $0.rawValue)) } ?? .null,
                        .integer(Int64(query.limit)), .integer(query.countsEvents ? 1 : 0),
                    ]
                ) { (row) throws(SQLiteError) in
                    let summary = Self.summary(row)
                    if let prefix = query.prefix, !summary.persistenceID.rawValue.utf8.starts(with: prefix.utf8) {
                        return false  // sorted by ID: what follows does not start with the prefix either
                    }
                    found.append(summary)
                    return true
                }
                return found
            }
        }
    }

    private static func summary(_ row: SQLiteStatement) -> EntitySummary {
        let isDurableState = !row.isNull(9)
        let last = max(row.integer(2), row.integer(4), row.integer(11))
        return EntitySummary(
            persistenceID: PersistenceID(stored: row.text(0)), kind: row.optionalText(1),
            sequenceNumber: SequenceNumber(UInt64(isDurableState && last == 0 ? row.integer(9) : last)),
            floor: SequenceNumber(UInt64(clamping: row.integer(2))),
            eventCount: row.isNull(5) ? nil : Int(row.integer(5)),
            lastOffset: row.isNull(13) ? nil : Offset(position: Position(row.integer(13))),
            hasSnapshots: row.integer(14) != 0, isDurableState: isDurableState,
            shard: Shard(UInt64(bitPattern: row.integer(3))),
            firstTimestamp: row.isNull(6) ? nil : Timestamp(unixNanoseconds: row.integer(6)),
            lastTimestamp: row.isNull(7)
                ? (isDurableState ? Timestamp(unixNanoseconds: row.integer(10)) : nil)
                : Timestamp(unixNanoseconds: row.integer(7)),
            isEncrypted: EventFlags(rawValue: row.integer(8)).isEncrypted,
            erasedAt: row.isNull(12) ? nil : Timestamp(unixNanoseconds: row.integer(12)))
    }

    private static let selectStatistics = """
        SELECT
            (SELECT count(*) FROM ego_entities e WHERE e.floor > 0
                OR EXISTS (SELECT 1 FROM ego_events WHERE entity = e.id)
                OR EXISTS (SELECT 1 FROM ego_states WHERE entity = e.id)
                OR EXISTS (SELECT 1 FROM ego_snapshots WHERE entity = e.id)
                OR EXISTS (SELECT 1 FROM ego_tombstones WHERE entity = e.id)),
            (SELECT count(*) FROM ego_events), (SELECT count(*) FROM ego_snapshots), (SELECT count(*) FROM ego_states),
            (SELECT page_count FROM pragma_page_count()) * (SELECT page_size FROM pragma_page_size())
        """

    public func statistics() async throws(StoreError) -> StoreStatistics {
        try await readAtLength { (connection) throws(StoreError) in
            try connection.transaction(.read) { () throws(StoreError) in
                try connection.run("count") { () throws(SQLiteError) in
                    let head = try connection.head()
                    return try connection.first(Self.selectStatistics) { row in
                        StoreStatistics(
                            entities: Int(row.integer(0)), events: Int(row.integer(1)),
                            snapshots: Int(row.integer(2)), durableStates: Int(row.integer(3)), head: head,
                            bytes: Int(row.integer(4)))
                    }
                        ?? StoreStatistics(
                            entities: 0, events: 0, snapshots: 0, durableStates: 0, head: head, bytes: nil)
                }
            }
        }
    }

    private static let selectJobs =
        "SELECT id, kind, state, arguments, checkpoint, created_at, updated_at FROM ego_jobs"

    public func job(_ id: String) async throws(StoreError) -> Job? {
        try await read { (connection) throws(StoreError) in
            try connection.run("read job") { () throws(SQLiteError) in
                try connection.first(Self.selectJobs + " WHERE id = ?1", [.text(id)], Self.job)
            }
        }
    }

    public func jobs() async throws(StoreError) -> [Job] {
        try await read { (connection) throws(StoreError) in
            try connection.run("read jobs") { () throws(SQLiteError) in
                try connection.all(Self.selectJobs + " ORDER BY created_at DESC, id", [], Self.job)
            }
        }
    }

    private static func job(_ row: SQLiteStatement) -> Job {
        Job(
            id: row.text(0), kind: row.text(1), state: Job.State(rawValue: row.text(2)) ?? .failed,
            arguments: row.text(3), checkpoint: row.text(4), createdAt: Timestamp(unixNanoseconds: row.integer(5)),
            updatedAt: Timestamp(unixNanoseconds: row.integer(6)))
    }

    private static let selectAudit = """
        SELECT number, timestamp, actor, action, arguments, reason, result, previous_hash, hash
        FROM ego_audit WHERE number > ?1 ORDER BY number LIMIT ?2
        """

    public func audit(after number: UInt64, limit: Int) async throws(StoreError) -> [AuditRecord] {
        try await read { (connection) throws(StoreError) in
            try connection.run("read audit log") { () throws(SQLiteError) in
                try connection.all(
                    Self.selectAudit, [.integer(Int64(clamping: number)), .integer(Int64(max(1, limit)))]
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
    }

    private static let selectTombstone = """
        SELECT t.sequence_number, t.erased_at FROM ego_tombstones t JOIN ego_entities e ON e.id = t.entity
        WHERE e.persistence_id = ?1
        """

    private static let selectErasures = """
        SELECT t.number, e.persistence_id FROM ego_tombstones t JOIN ego_entities e ON e.id = t.entity
        WHERE t.number > ?1 ORDER BY t.number LIMIT ?2
        """

    private static let countDeadLetters = "SELECT count(*) FROM ego_dead_letters WHERE persistence_id = ?1"

    public func deadLetterCount(of id: PersistenceID) async throws(StoreError) -> Int {
        try await readAtLength { (connection) throws(StoreError) in
            try connection.run("count dead letters") { () throws(SQLiteError) in
                Int(try connection.first(Self.countDeadLetters, [.text(id.rawValue)]) { $0.integer(0) } ?? 0)
            }
        }
    }

    public func erasures(after number: UInt64, limit: Int) async throws(StoreError) -> [Erasure] {
        try await read { (connection) throws(StoreError) in
            try connection.run("read erasures") { () throws(SQLiteError) in
                try connection.all(
                    Self.selectErasures, [.integer(Int64(clamping: number)), .integer(Int64(max(1, limit)))]
                ) { row in
                    Erasure(number: UInt64(row.integer(0)), persistenceID: PersistenceID(stored: row.text(1)))
                }
            }
        }
    }

    public func tombstone(of id: PersistenceID) async throws(StoreError) -> Tombstone? {
        try await read { (connection) throws(StoreError) in
            try connection.run("read tombstone") { () throws(SQLiteError) in
                try connection.first(Self.selectTombstone, [.text(id.rawValue)]) { row in
                    Tombstone(
                        persistenceID: id, sequenceNumber: SequenceNumber(UInt64(bitPattern: row.integer(0))),
                        erasedAt: Timestamp(unixNanoseconds: row.integer(1)))
                }
            }
        }
    }

    private static let selectHolds = "SELECT persistence_id, reason, placed_at FROM ego_holds ORDER BY persistence_id"

    public func holds() async throws(StoreError) -> [LegalHold] {
        try await read { (connection) throws(StoreError) in
            try connection.run("read holds") { () throws(SQLiteError) in
                try connection.all(Self.selectHolds) { row in
                    LegalHold(
                        persistenceID: PersistenceID(stored: row.text(0)), reason: row.text(1),
                        placedAt: Timestamp(unixNanoseconds: row.integer(2)))
                }
            }
        }
    }
}
