public import EgoCore

extension PostgresStore {
    private static let columns = """
        s.sequence_number, s."timestamp", s.state_manifest, s.is_encrypted, s.encryption_key_id, s.state_payload,
        CASE WHEN s.checksum_at = s."timestamp" THEN s.checksum END
        """

    public func save(_ snapshot: StoredSnapshot) async throws(StoreError) {
        try checkWritable()
        let statement = upsert(snapshot)
        // The same snapshot saved twice is the same snapshot.
        _ = try await pool.run(.again) { (connection) throws(StoreError) in
            try connection.run("save snapshot") { () throws(PostgresError) in
                _ = try connection.pipeline([Self.lockShared, statement])
            }
        }
    }

    /// Saves a snapshot, replacing one at the same number, unless its entity was erased.
    func upsert(_ snapshot: StoredSnapshot) -> PostgresStatement {
        PostgresStatement(
            """
            INSERT INTO snapshots_store AS s (persistence_id, sequence_number, state_payload, state_manifest, "timestamp",
                encryption_key_id, is_encrypted, checksum, checksum_at)
            SELECT $1, $2, $3, $4, $5, $6, $7, $8, $5
            WHERE NOT EXISTS (SELECT 1 FROM ego_tombstones WHERE persistence_id = $1)
            ON CONFLICT (persistence_id, sequence_number) DO UPDATE SET state_payload = excluded.state_payload,
                state_manifest = excluded.state_manifest, "timestamp" = excluded."timestamp",
                encryption_key_id = excluded.encryption_key_id, is_encrypted = excluded.is_encrypted,
                checksum = excluded.checksum, checksum_at = excluded.checksum_at
            """,
            [
                .id(snapshot.persistenceID), .sequence(snapshot.sequenceNumber), .bytes(snapshot.payload),
                .text(snapshot.manifest), .integer(clock.stored(snapshot.timestamp)), .text(snapshot.encryptionKeyID),
                .bool(snapshot.isEncrypted), .integer(snapshot.payload.payloadChecksum),
            ])
    }

    public func latestSnapshot(
        of id: PersistenceID, through last: SequenceNumber
    ) async throws(StoreError) -> StoredSnapshot? {
        let sql = layout.statement(
            [],
            """
            SELECT \(Self.columns) FROM snapshots_store s WHERE s.persistence_id = $1 AND s.sequence_number <= $2
            ORDER BY s.sequence_number DESC LIMIT 1
            """)
        let clock = clock
        return try await read("read snapshot") { (connection) throws(PostgresError) in
            try connection.first(sql, [.id(id), .sequence(last)]) { Self.snapshot($0, of: id, clock) }
        }
    }

    public func snapshots(
        of id: PersistenceID, from first: SequenceNumber, limit: PageLimit
    ) async throws(StoreError) -> [StoredSnapshot] {
        let sql = layout.statement(
            [],
            """
            SELECT \(Self.columns) FROM snapshots_store s WHERE s.persistence_id = $1 AND s.sequence_number >= $2
            ORDER BY s.sequence_number LIMIT $3
            """)
        let clock = clock
        return try await read("read snapshots") { (connection) throws(PostgresError) in
            var found: [StoredSnapshot] = []
            var bytes = 0
            try connection.query(
                sql, [.id(id), .sequence(first), .integer(Int64(limit.rows))]
            ) { (row) throws(PostgresError) in
                let snapshot = Self.snapshot(row, of: id, clock)
                bytes += snapshot.payload.count
                found.append(snapshot)
                return bytes < limit.bytes
            }
            return found
        }
    }

    private static func snapshot(_ row: PostgresRow, of id: PersistenceID, _ clock: StoredClock) -> StoredSnapshot {
        row.snapshot(
            of: id, number: 0, timestamp: 1, manifest: row.text(2), isEncrypted: row.bool(3), key: row.text(4),
            payload: 5,
            checksum: 6, clock)
    }
}
