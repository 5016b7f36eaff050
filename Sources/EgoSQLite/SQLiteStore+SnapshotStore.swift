public import EgoCore

extension SQLiteStore {
    private static let selectSnapshots = """
        SELECT s.sequence_number, s.timestamp, s.manifest, s.flags, s.encryption_key, s.payload, s.checksum
        FROM ego_snapshots s
        WHERE s.entity = (SELECT id FROM ego_entities WHERE persistence_id = ?1) AND s.sequence_number >= ?2
        ORDER BY s.sequence_number LIMIT ?3
        """

    public func save(_ snapshot: StoredSnapshot) async throws(StoreError) {
        let shardCount = shardCount
        _ = try await write { (connection) throws(StoreError) in
            try connection.run("save snapshot") { () throws(SQLiteError) in
                try connection.save(snapshot, shardCount: shardCount)
            }
        }
    }

    public func latestSnapshot(
        of id: PersistenceID, through last: SequenceNumber
    ) async throws(StoreError) -> StoredSnapshot? {
        try await read { (connection) throws(StoreError) in
            try connection.run("read snapshot") { () throws(SQLiteError) in
                guard let entity = try connection.entityID(id) else { return nil }
                return try connection.latestSnapshot(of: id, entity, through: last)
            }
        }
    }

    public func snapshots(
        of id: PersistenceID, from first: SequenceNumber, limit: PageLimit
    ) async throws(StoreError) -> [StoredSnapshot] {
        try await read { (connection) throws(StoreError) in
            try connection.run("read snapshots") { () throws(SQLiteError) in
                var found: [StoredSnapshot] = []
                var bytes = 0
                try connection.query(
                    Self.selectSnapshots, [.text(id.rawValue), .sequence(first), .integer(Int64(limit.rows))]
                ) { (row) throws(SQLiteError) in
                    let snapshot = try connection.snapshot(row, of: id)
                    bytes += snapshot.payload.count
                    found.append(snapshot)
                    return bytes < limit.bytes
                }
                return found
            }
        }
    }
}

extension SQLiteConnection {
    private static let selectLatest = OwnSQL(
        """
        SELECT s.sequence_number, s.timestamp, s.manifest, s.flags, s.encryption_key, s.payload, s.checksum
        FROM ego_snapshots s WHERE s.entity = ?1 AND s.sequence_number <= ?2 ORDER BY s.sequence_number DESC LIMIT 1
        """)

    func latestSnapshot(
        of id: PersistenceID, _ entity: Int64, through last: SequenceNumber
    ) throws(SQLiteError) -> StoredSnapshot? {
        let row = try statement(Self.selectLatest)
        defer { row.rewind() }
        try row.bind(entity, at: 1)
        try row.bind(Int64(clamping: last.rawValue), at: 2)
        return try row.step() ? try snapshot(row, of: id) : nil
    }

    private static let upsertSnapshot = """
        INSERT INTO ego_snapshots (entity, sequence_number, timestamp, manifest, flags, encryption_key, payload,
            checksum)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
        ON CONFLICT (entity, sequence_number) DO UPDATE SET timestamp = excluded.timestamp,
            manifest = excluded.manifest, flags = excluded.flags, encryption_key = excluded.encryption_key,
            payload = excluded.payload, checksum = excluded.checksum
        """

    /// Saves a snapshot, unless its entity was erased; returns how many rows that made. In a write transaction only.
    func save(_ snapshot: StoredSnapshot, shardCount: UInt32) throws(SQLiteError) -> Int {
        let entity = try entity(making: snapshot.persistenceID, kind: nil, shardCount: shardCount)
        if entity.isErased { return 0 }
        let key = try keyName(snapshot.encryptionKeyID)
        return try execute(
            Self.upsertSnapshot,
            [
                .integer(entity.id), .sequence(snapshot.sequenceNumber), .time(snapshot.timestamp),
                .integer(try nameID(snapshot.manifest)),
                .integer(EventFlags(isEncrypted: snapshot.isEncrypted, isDeleted: false).rawValue), key,
                .blob(snapshot.payload), .integer(snapshot.payload.payloadChecksum),
            ])
    }

    fileprivate func snapshot(_ row: SQLiteStatement, of id: PersistenceID) throws(SQLiteError) -> StoredSnapshot {
        let payload = row.blob(5)
        let key = row.integer(4)  // 0 where it is NULL
        return StoredSnapshot(
            persistenceID: id, sequenceNumber: SequenceNumber(UInt64(bitPattern: row.integer(0))),
            timestamp: Timestamp(unixNanoseconds: row.integer(1)), manifest: try name(row.integer(2)),
            payload: payload, encryptionKeyID: key == 0 ? "" : try name(key),
            isEncrypted: EventFlags(rawValue: row.integer(3)).isEncrypted,
            isDamaged: row.integer(6) != payload.payloadChecksum && !row.isNull(6))
    }
}
