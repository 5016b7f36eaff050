public import EgoCore

extension PostgresStore {
    private static let attempts = 20

    public func save(_ group: [StateWrite]) async throws(StoreError) -> [StateOutcome] {
        if group.isEmpty { return [] }
        try checkWritable()
        let ids = PostgresValue.texts(Set(group.map(\.persistenceID)).sorted().map(\.rawValue))
        let commands = group.compactMap { write in
            write.metadata.commandID.map { (write.persistenceID.rawValue, $0.rawValue) }
        }
        let look = [
            Self.lockShared,
            PostgresStatement(Self.lockRows, [ids]),
            PostgresStatement(Self.selectEntities, [ids]),
            PostgresStatement(Self.selectCommands, [.texts(commands.map(\.0)), .texts(commands.map(\.1))]),
        ]
        let (shardCount, clock) = (shardCount, clock)
        var losses = 0
        for _ in 0..<Self.attempts {
            do throws(StoreError) {
                return try await write("save state") { (connection) throws(StoreError) in
                    try connection.run("save state") { () throws(PostgresError) in
                        let found = try connection.batch(look).map(\.rows)
                        let plan = StatePlan(group, entities: found[2], commands: found[3])
                        try plan.write(on: connection, shardCount, clock)
                        return plan.outcomes
                    }
                }
            } catch {
                let cause = error.cause as? PostgresError
                if cause?.isConnectionLost == true {
                    // What is there now tells: a write with a command ID is a duplicate then, one without a conflict, and
                    // its state is compared by whoever loads it.
                    losses += 1
                    if losses > 3 || !group.allSatisfy({ $0.metadata.commandID != nil }) { throw error }
                    continue
                }
                // Two first versions of the same entity: the unique key has decided, and is seen now.
                if cause?.isUniqueViolation != true, cause?.isTransient != true { throw error }
            }
        }
        throw StoreError(.busy, "save state: other processes wrote the same entities \(Self.attempts) times")
    }

    /// Nobody else changes these versions until this transaction ends.
    private static let lockRows = """
        SELECT 1 FROM states_store WHERE persistence_id = ANY($1::text[]) ORDER BY persistence_id FOR UPDATE
        """
    private static let selectEntities = """
        SELECT u.id, s.version_number, erased.sequence_number IS NOT NULL
        FROM unnest($1::text[]) AS u(id)
        LEFT JOIN LATERAL (SELECT version_number FROM states_store WHERE persistence_id = u.id LIMIT 1) s ON true
        LEFT JOIN LATERAL (SELECT sequence_number FROM ego_tombstones WHERE persistence_id = u.id LIMIT 1) erased ON true
        """
    private static let selectCommands = """
        SELECT k.persistence_id, k.command_id, k.before, k.after
        FROM unnest($1::text[], $2::text[]) AS c(id, command_id)
        CROSS JOIN LATERAL (SELECT * FROM ego_commands
            WHERE persistence_id = c.id AND command_id = c.command_id LIMIT 1) k
        """

    public func state(of id: PersistenceID) async throws(StoreError) -> StoredState? {
        let sql = layout.statement(
            [],
            """
            SELECT s.version_number, s."timestamp", s.shard_number, s.state_manifest, s.state_payload, s.metadata,
                CASE WHEN s.checksum_at = s."timestamp" THEN s.checksum END,
                CASE WHEN s.checksum_at = s."timestamp" THEN s.encryption_key_id END
            FROM states_store s WHERE s.persistence_id = $1
            """)
        let clock = clock
        return try await read("read state") { (connection) throws(PostgresError) in
            try connection.first(sql, [.id(id)]) { row in
                let payload = row.bytes(4)
                return StoredState(
                    persistenceID: id, version: SequenceNumber(UInt64(clamping: row.integer(0))),
                    timestamp: clock.moment(row.integer(1)), shard: Shard(UInt64(bitPattern: row.integer(2))),
                    manifest: row.text(3), payload: payload, encryptionKeyID: row.optionalText(7) ?? "",
                    isEncrypted: !row.isNull(7),
                    isDamaged: !row.isNull(6) && row.integer(6) != payload.payloadChecksum,
                    metadata: (try? EventMetadata(encoded: row.bytes(5))) ?? .none)
            }
        }
    }
}

/// What a group of state writes comes to, given the rows of its entities, which are locked.
private struct StatePlan {
    private(set) var outcomes: [StateOutcome] = []
    private var states: [PersistenceID: (write: StateWrite, before: SequenceNumber, after: SequenceNumber)] = [:]
    private var made: [PersistenceID: String?] = [:]
    private var commands = CommandColumns()

    init(_ group: [StateWrite], entities: [PostgresRow], commands known: [PostgresRow]) {
        var versions: [PersistenceID: SequenceNumber] = [:]
        var erased: Set<PersistenceID> = []
        var broken: Set<PersistenceID> = []
        var records: [PersistenceID: [CommandID: CommandRecord]] = [:]
        for row in entities {
            let id = PersistenceID(stored: row.text(0))
            versions[id] = SequenceNumber(UInt64(clamping: row.integer(1)))
            if row.bool(2) { erased.insert(id) }
        }
        for row in known {
            let command = CommandID(stored: row.text(1))
            records[PersistenceID(stored: row.text(0)), default: [:]][command] = CommandRecord(
                commandID: command, before: SequenceNumber(UInt64(clamping: row.integer(2))),
                after: SequenceNumber(UInt64(clamping: row.integer(3))))
        }
        for write in group {
            let id = write.persistenceID
            let actual = versions[id] ?? .zero
            if erased.contains(id) {
                outcomes.append(.erased)
            } else if let command = write.metadata.commandID, let record = records[id]?[command] {
                broken.insert(id)
                outcomes.append(.duplicate(record))
            } else if broken.contains(id) || write.expectedVersion != actual {
                broken.insert(id)
                outcomes.append(.conflict(actual: actual))
            } else {
                let after = write.payload == nil ? actual : actual.next
                if write.payload != nil { states[id] = (write, states[id]?.before ?? actual, after) }
                versions[id] = after
                if actual == .zero, made[id] == nil { made[id] = write.kind }
                if let command = write.metadata.commandID {
                    records[id, default: [:]][command] = CommandRecord(commandID: command, before: actual, after: after)
                    commands.add(id, command, actual, after)
                }
                outcomes.append(.saved(version: after))
            }
        }
    }

    /// Writes what is decided.
    ///
    /// - Throws: a serialization failure when somebody else has written an entity's first version meanwhile.
    func write(
        on connection: PostgresConnection, _ shardCount: UInt32, _ clock: StoredClock
    ) throws(PostgresError) {
        func shard(_ id: PersistenceID) -> PostgresValue { .shard(Shard(of: id, count: shardCount)) }
        var statements = states.sorted { $0.key < $1.key }.map { id, state in
            PostgresStatement(
                Self.upsertState,
                [
                    .id(id), .sequence(state.after), .bytes(state.write.payload ?? []),
                    .text(PersistedEvent.anyManifest), .integer(clock.stored(state.write.timestamp)), shard(id),
                    .bytes(orNull: state.write.metadata.encoded), .sequence(state.before),
                    .integer((state.write.payload ?? []).payloadChecksum),
                    .optional(state.write.isEncrypted ? state.write.encryptionKeyID : nil),
                ])
        }
        statements += made.sorted { $0.key < $1.key }.map { id, kind in
            PostgresStatement(Self.insertEntity, [.id(id), .optional(kind), shard(id)])
        }
        statements.append(PostgresStatement(Self.insertCommands, commands.values))
        let results = try connection.batch(statements)
        if results.prefix(states.count).contains(where: { $0.changedRows == 0 }) {
            throw PostgresError(sqlState: "40001", message: "another session wrote the same state")
        }
    }

    private static let insertEntity = """
        INSERT INTO ego_entities (persistence_id, kind, shard) VALUES ($1, $2, $3)
        ON CONFLICT (persistence_id) DO UPDATE SET kind = coalesce(ego_entities.kind, excluded.kind)
        """
    private static let upsertState = """
        INSERT INTO states_store AS s (persistence_id, version_number, state_payload, state_manifest, "timestamp",
            shard_number, metadata, checksum, checksum_at, encryption_key_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $9, $5, $10)
        ON CONFLICT (persistence_id) DO UPDATE SET version_number = excluded.version_number,
            state_payload = excluded.state_payload, state_manifest = excluded.state_manifest,
            "timestamp" = excluded."timestamp", metadata = excluded.metadata, checksum = excluded.checksum,
            checksum_at = excluded.checksum_at, encryption_key_id = excluded.encryption_key_id
            WHERE s.version_number = $8
        """
    private static let insertCommands = """
        INSERT INTO ego_commands (persistence_id, command_id, before, after)
        SELECT * FROM unnest($1::text[], $2::text[], $3::int8[], $4::int8[])
        """
}
