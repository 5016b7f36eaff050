public import EgoCore

extension PostgresStore {
    public func commit(
        _ changes: [OperatorChange], under lease: Lease?, with work: ReadModelWork?
    ) async throws(StoreError) -> [Int] {
        // Appends have looked at what these changes take away; they finish first, and new ones wait.
        var opening = [changes.contains(where: \.takesAway) ? PostgresStatement(Self.lockExclusive) : Self.lockShared]
        if let lease {
            // Nobody takes it over before this transaction ends; others of the same holder may commit beside it.
            opening.append(
                PostgresStatement(
                    "SELECT 1 FROM ego_leases WHERE name = $1 AND generation = $2 AND owner IS NOT NULL FOR SHARE",
                    [.text(lease.name), .integer(Int64(bitPattern: lease.generation))]))
        }
        // What a projection has come to, and nothing else, is said with the commit.
        let advances = changes.compactMap(\.advance)
        let isAdvance = work == nil && advances.count == changes.count
        let closing = isAdvance ? advances.flatMap(PostgresConnection.statements) : []
        return try await write("change the store", opening: opening, closing: closing) {
            (connection, opened) throws(StoreError) in
            if let lease, opened.last?.rowCount != 1 {
                throw StoreError(.fenced, "the lease on \(lease.name) was lost")
            }
            if isAdvance { return advances.map(\.count) }
            var counts: [Int] = []
            for change in changes {
                switch change {
                case .addEvents(let events): counts.append(try self.add(events, on: connection))
                case .saveProjection(let record):
                    let saved = try connection.run("save projection") { () throws(PostgresError) in
                        try connection.save(record)
                    }
                    if saved == 0 { throw .changedMeanwhile(record) }
                    counts.append(saved)
                default:
                    counts.append(
                        try connection.run("change the store") { () throws(PostgresError) in
                            try self.make(change, on: connection)
                        })
                }
            }
            if let work {
                let transaction = PostgresTransaction(connection)
                defer { transaction.end() }
                do {
                    try work(transaction)
                    try transaction.flush()
                } catch {
                    throw .ofReadModel(error)
                }
            }
            return counts
        }
    }

    public func inspect(_ work: @escaping ReadModelWork) async throws(StoreError) {
        try await pool.run(.again) { (connection) throws(StoreError) in
            try connection.transaction(
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
                { () throws(StoreError) in
                    let transaction = PostgresTransaction(connection)
                    defer { transaction.end() }
                    do {
                        try work(transaction)
                        try transaction.flush()
                    } catch {
                        throw .ofReadModel(error)
                    }
                }, wrap: { StoreError($0, during: "look at the read model") })
        }
    }

    // MARK: Changes

    private func make(_ change: OperatorChange, on connection: PostgresConnection) throws(PostgresError) -> Int {
        switch change {
        case .addEvents, .saveProjection: return 0  // have errors of their own; see commit(_:under:with:)
        case .advance(let advance):
            _ = try connection.batch(PostgresConnection.statements(advance))
            return advance.count
        case .forgetVersion(let version, let name): return try connection.forgetVersion(version, of: name)
        case .forgetProjection(let name):
            return try connection.forgetVersion(nil, of: name)
                + connection.execute("DELETE FROM ego_projections WHERE name = $1", [.text(name)])
        case .deleteDeadLetter(let name, let version, let offset):
            return try connection.execute(
                """
                DELETE FROM ego_dead_letters
                WHERE projection = $1 AND version = $2 AND transaction_id = $3 AND position = $4
                """,
                [
                    .text(name), .integer(Int64(version)), .transactionID(offset.transactionID),
                    .integer(offset.position.rawValue),
                ])
        case .breakLease(let name):
            return try connection.execute(
                "UPDATE ego_leases SET generation = generation + 1 WHERE name = $1", [.text(name)])
        case .deleteEvents(let id, let number): return try delete(id, through: .sequence(number), on: connection)
        case .retireEvents(let id, let number):
            if try isHeld(id, on: connection) { return 0 }
            let passed = try connection.first(Self.selectPassed, [.id(id), .sequence(number)]) { $0.integer(0) }
            return try delete(id, through: .integer(passed ?? 0), on: connection)
        case .retireSnapshots(let id, let number):
            if try isHeld(id, on: connection) { return 0 }
            return try connection.execute(Self.retireSnapshots, [.id(id), .sequence(number)])
        case .deleteSnapshots(let id, let number):
            return try connection.execute(
                "DELETE FROM snapshots_store WHERE persistence_id = $1 AND sequence_number <= $2",
                [.id(id), .sequence(number)])
        case .eraseTraces(let id):
            return try connection.execute("DELETE FROM ego_dead_letters WHERE persistence_id = $1", [.id(id)])
                + connection.execute("DELETE FROM ego_commands WHERE persistence_id = $1", [.id(id)])
        case .dropInlineState(let id, let first, let last):
            return try dropInlineState(of: id, from: first, through: last, on: connection)
        case .saveSnapshot(let snapshot):
            let statement = upsert(snapshot)
            return try connection.execute(statement.sql, statement.parameters)
        case .recordKind(let kind, let id):
            return try connection.execute(Self.recordKind, [.id(id), .text(kind), shard(of: id)])
        case .raiseFloor(let id, let number):
            return try connection.execute(Self.raiseFloor, [.id(id), .sequence(number), shard(of: id)])
        case .addState(let state): return try add(state, on: connection)
        case .deleteState(let id):
            return try connection.execute("DELETE FROM states_store WHERE persistence_id = $1", [.id(id)])
        case .placeTombstone(let tombstone):
            let id = PostgresValue.id(tombstone.persistenceID)
            try connection.execute("DELETE FROM ego_commands WHERE persistence_id = $1", [id])
            return try connection.execute(
                """
                INSERT INTO ego_tombstones (persistence_id, sequence_number, erased_at, number)
                VALUES ($1, $2, $3, (SELECT coalesce(max(number), 0) + 1 FROM ego_tombstones))
                ON CONFLICT (persistence_id) DO NOTHING
                """, [id, .sequence(tombstone.sequenceNumber), .time(tombstone.erasedAt)])
        case .saveJob(let job): return try save(job, on: connection)
        case .audit(let entry): return try append(entry, on: connection)
        case .placeHold(let hold):
            return try connection.execute(
                """
                INSERT INTO ego_holds (persistence_id, reason, placed_at) VALUES ($1, $2, $3)
                ON CONFLICT (persistence_id) DO UPDATE SET reason = excluded.reason, placed_at = excluded.placed_at
                """, [.id(hold.persistenceID), .text(hold.reason), .time(hold.placedAt)])
        case .releaseHold(let id):
            return try connection.execute("DELETE FROM ego_holds WHERE persistence_id = $1", [.id(id)])
        case .orderOlderEvents(let limit): return try connection.orderOlderEvents(limit: limit)
        }
    }

    private func shard(of id: PersistenceID) -> PostgresValue { .shard(Shard(of: id, count: shardCount)) }

    private func isHeld(_ id: PersistenceID, on connection: PostgresConnection) throws(PostgresError) -> Bool {
        try connection.first("SELECT 1 FROM ego_holds WHERE persistence_id = $1", [.id(id)]) { _ in true } ?? false
    }

    // MARK: Deleting

    /// The last event up to a number that every projection of the shard has passed, ours and those of eGo for Go.
    private static let selectPassed = """
        SELECT max(v.sequence_number) FROM events_store v
        WHERE v.persistence_id = $1 AND v.sequence_number <= $2
            AND NOT EXISTS (SELECT 1 FROM ego_offsets o
                WHERE (o.shard = v.shard_number OR NOT EXISTS (SELECT 1 FROM ego_offsets s
                        WHERE s.projection = o.projection AND s.version = o.version AND s.shard = v.shard_number))
                    AND (o.transaction_id, o.position) < (v.transaction_id, v.position))
            AND NOT EXISTS (SELECT 1 FROM (SELECT DISTINCT projection_name FROM offsets_store) p
                WHERE NOT EXISTS (SELECT 1 FROM offsets_store o WHERE o.projection_name = p.projection_name
                    AND o.shard_number = v.shard_number AND o.current_offset >= v."timestamp"))
        """
    private static let retireSnapshots = """
        DELETE FROM snapshots_store s WHERE s.persistence_id = $1 AND s.sequence_number <= $2
            AND NOT (EXISTS (SELECT 1 FROM ego_entities WHERE persistence_id = $1 AND floor > 0)
                AND s.sequence_number = (SELECT max(sequence_number) FROM snapshots_store WHERE persistence_id = $1))
        """
    private static let deleteEvents = """
        WITH deleted AS (
            DELETE FROM events_store WHERE persistence_id = $1 AND sequence_number <= $2
            RETURNING transaction_id, position
        )
        SELECT count(*) OVER (), transaction_id, position FROM deleted
        ORDER BY transaction_id DESC NULLS LAST, position DESC LIMIT 1
        """
    /// The head is kept only where the journal's last event goes: the row would else be one that every deletion waits for.
    /// The next event is asked for in order, so that the index is taken, not the rows from end to end.
    private static let keepHead = """
        UPDATE ego_trimmed SET transaction_id = $1, position = $2
        WHERE (transaction_id, position) < ($1, $2)
            AND (SELECT position FROM events_store WHERE (transaction_id, position) > ($1, $2)
                AND transaction_id < pg_snapshot_xmin(pg_current_snapshot())
                ORDER BY transaction_id, position LIMIT 1) IS NULL
        """
    private static let selectLast = """
        SELECT greatest((SELECT max(sequence_number) FROM events_store WHERE persistence_id = $1),
            (SELECT floor FROM ego_entities WHERE persistence_id = $1), 0)
        """
    private static let setFloor = """
        INSERT INTO ego_entities AS e (persistence_id, shard, floor) VALUES ($1, $3, $2)
        ON CONFLICT (persistence_id) DO UPDATE SET floor = greatest(e.floor, excluded.floor)
        """

    private func delete(
        _ id: PersistenceID, through number: PostgresValue, on connection: PostgresConnection
    ) throws(PostgresError) -> Int {
        guard case .integer(let wanted) = number else { return 0 }
        let last = try connection.first(Self.selectLast, [.id(id)]) { $0.integer(0) } ?? 0
        let through = min(wanted, last)
        if through <= 0 { return 0 }
        // Not while somebody makes marks, who may count these events yet.
        try connection.execute("SELECT pg_advisory_xact_lock_shared(\(PostgresConnection.marksLock))")
        try connection.execute(PostgresConnection.lowerMarks, [.id(id), .integer(through)])
        let deleted = try connection.first(Self.deleteEvents, [.id(id), .integer(through)]) { row in
            (
                count: Int(row.integer(0)), transaction: row.isNull(1) ? nil : row.transactionID(1),
                position: row.integer(2)
            )
        }
        if let deleted, let transaction = deleted.transaction {
            try connection.execute(Self.keepHead, [.transactionID(transaction), .integer(deleted.position)])
        }
        try connection.execute(Self.setFloor, [.id(id), .integer(through), shard(of: id)])
        return deleted?.count ?? 0
    }

    // MARK: Adding

    private static let recordKind = """
        INSERT INTO ego_entities AS e (persistence_id, kind, shard) VALUES ($1, $2, $3)
        ON CONFLICT (persistence_id) DO UPDATE SET kind = excluded.kind WHERE e.kind IS NULL
        """
    private static let raiseFloor = """
        INSERT INTO ego_entities AS e (persistence_id, floor, shard)
        SELECT $1, $2, $3
        WHERE NOT EXISTS (SELECT 1 FROM events_store WHERE persistence_id = $1)
            AND NOT EXISTS (SELECT 1 FROM ego_tombstones WHERE persistence_id = $1)
        ON CONFLICT (persistence_id) DO UPDATE SET floor = excluded.floor WHERE e.floor < excluded.floor
        """
    static let upsertCommands = """
        INSERT INTO ego_commands AS k (persistence_id, command_id, before, after)
        SELECT id, command_id, min(before), max(after)
        FROM unnest($1::text[], $2::text[], $3::int8[], $4::int8[]) AS c(id, command_id, before, after) GROUP BY 1, 2
        ON CONFLICT (persistence_id, command_id) DO UPDATE SET after = greatest(k.after, excluded.after)
        """

    private func add(_ state: StoredState, on connection: PostgresConnection) throws(PostgresError) -> Int {
        let id = state.persistenceID
        let added = try connection.execute(
            """
            INSERT INTO states_store (persistence_id, version_number, state_payload, state_manifest, "timestamp",
                shard_number, metadata, checksum, checksum_at, encryption_key_id)
            SELECT $1, $2, $3, $4, $5, $6, $7, $8, $5, $9
            WHERE NOT EXISTS (SELECT 1 FROM ego_tombstones WHERE persistence_id = $1)
            ON CONFLICT (persistence_id) DO NOTHING
            """,
            [
                .id(id), .sequence(state.version), .bytes(state.payload), .text(state.manifest),
                .integer(clock.stored(state.timestamp)), shard(of: id), .bytes(orNull: state.metadata.encoded),
                .integer(state.payload.payloadChecksum), .optional(state.isEncrypted ? state.encryptionKeyID : nil),
            ])
        if added == 1, let commandID = state.metadata.commandID {
            var commands = CommandColumns()
            commands.add(id, commandID, SequenceNumber(max(state.version.rawValue, 1) - 1), state.version)
            try connection.execute(Self.upsertCommands, commands.values)
        }
        return added
    }

    // MARK: Operators' records

    private func save(_ job: Job, on connection: PostgresConnection) throws(PostgresError) -> Int {
        try connection.execute(
            """
            INSERT INTO ego_jobs (id, kind, state, arguments, checkpoint, created_at, updated_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            ON CONFLICT (id) DO UPDATE SET state = excluded.state, checkpoint = excluded.checkpoint,
                updated_at = excluded.updated_at
            """,
            [
                .text(job.id), .text(job.kind), .text(job.state.rawValue), .text(job.arguments),
                .text(job.checkpoint), .time(job.createdAt), .time(job.updatedAt),
            ])
    }

    private func append(_ entry: AuditEntry, on connection: PostgresConnection) throws(PostgresError) -> Int {
        // One at a time: each record holds the hash of the one before. Readers are not held up.
        try connection.execute("LOCK TABLE ego_audit IN EXCLUSIVE MODE")
        let last = try connection.first("SELECT number, hash FROM ego_audit ORDER BY number DESC LIMIT 1") {
            (UInt64(bitPattern: $0.integer(0)), $0.text(1))
        }
        let record = AuditRecord(
            number: (last?.0 ?? 0) + 1, entry: entry, previousHash: last?.1 ?? AuditRecord.firstPreviousHash)
        return try connection.execute(
            """
            INSERT INTO ego_audit (number, "timestamp", actor, action, arguments, reason, result, previous_hash, hash)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
            """,
            [
                .integer(Int64(bitPattern: record.number)), .time(entry.timestamp), .text(entry.actor),
                .text(entry.action), .text(entry.arguments), .text(entry.reason), .text(entry.result),
                .text(record.previousHash), .text(record.hash),
            ])
    }
}

extension OperatorChange {
    /// Whether an append that has looked at the entity must not commit after this.
    fileprivate var takesAway: Bool {
        switch self {
        case .placeTombstone, .raiseFloor, .addState, .addEvents, .placeHold: true
        default: false
        }
    }
}

extension PostgresConnection {
    private static let selectNextOlder = "SELECT value::bigint FROM ego_metadata WHERE key = 'ordered_through'"
    private static let orderOlder = """
        UPDATE events_store e SET transaction_id = '0', position = o.number
        FROM ego_older o
        WHERE o.number > $1 AND o.number <= $1 + $2
            AND e.persistence_id = o.persistence_id AND e.sequence_number = o.sequence_number
            AND e.transaction_id IS NULL
        """
    private static let saveOlder = """
        INSERT INTO ego_metadata (key, value) VALUES ('ordered_through', $1)
        ON CONFLICT (key) DO UPDATE SET value = excluded.value
        """
    private static let selectLastOlder = "SELECT coalesce(max(number), 0) FROM ego_older"

    /// Gives the next of the older rows their place; the list of them is made when the database is adopted.
    ///
    /// - Returns: how many rows of the list were gone through; some of them may have been deleted meanwhile.
    func orderOlderEvents(limit: Int) throws(PostgresError) -> Int {
        let isListed = try first("SELECT to_regclass('ego_older') IS NOT NULL") { $0.bool(0) } ?? false
        if !isListed { return 0 }
        let from = try first(Self.selectNextOlder) { $0.integer(0) } ?? 0
        let last = try first(Self.selectLastOlder) { $0.integer(0) } ?? 0
        let through = min(from + Int64(limit), last)
        if through <= from { return 0 }
        try execute(Self.orderOlder, [.integer(from), .integer(through - from)])
        try execute(Self.saveOlder, [.text(String(through))])
        return Int(through - from)
    }
}
