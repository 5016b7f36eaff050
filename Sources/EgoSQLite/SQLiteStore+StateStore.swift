public import EgoCore

extension SQLiteStore {
    private static let insertState = """
        INSERT INTO ego_states (entity, version, timestamp, manifest, metadata, payload, checksum, flags, encryption_key)
        VALUES (?1, ?2 + 1, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
        ON CONFLICT (entity) DO UPDATE SET version = excluded.version, timestamp = excluded.timestamp,
            manifest = excluded.manifest, metadata = excluded.metadata, payload = excluded.payload,
            checksum = excluded.checksum, flags = excluded.flags, encryption_key = excluded.encryption_key
            WHERE ego_states.version = ?2
        """
    private static let updateState = """
        UPDATE ego_states SET version = ?2 + 1, timestamp = ?3, manifest = ?4, metadata = ?5, payload = ?6,
            checksum = ?7, flags = ?8, encryption_key = ?9
        WHERE entity = ?1 AND version = ?2
        """
    private static let selectVersion = "SELECT version FROM ego_states WHERE entity = ?1"
    private static let insertCommand =
        "INSERT INTO ego_commands (entity, command_id, before, after) VALUES (?1, ?2, ?3, ?4)"
    private static let selectState = """
        SELECT s.version, s.timestamp, e.shard, s.manifest, s.payload, s.metadata, s.checksum, s.flags,
            s.encryption_key
        FROM ego_states s JOIN ego_entities e ON e.id = s.entity
        WHERE e.persistence_id = ?1
        """

    public func save(_ group: [StateWrite]) async throws(StoreError) -> [StateOutcome] {
        if group.isEmpty { return [] }
        let shardCount = shardCount
        return try await write { (connection) throws(StoreError) in
            try connection.run("save state") { () throws(SQLiteError) in
                var failed: Set<PersistenceID> = []
                var outcomes: [StateOutcome] = []
                for write in group {
                    let poisoned = failed.contains(write.persistenceID)
                    let outcome = try Self.save(write, on: connection, shardCount: shardCount, poisoned: poisoned)
                    if case .saved = outcome {} else { failed.insert(write.persistenceID) }
                    outcomes.append(outcome)
                }
                return outcomes
            }
        }
    }

    private static func save(
        _ write: StateWrite, on connection: SQLiteConnection, shardCount: UInt32, poisoned: Bool
    ) throws(SQLiteError) -> StateOutcome {
        let entity = try connection.entity(making: write.persistenceID, kind: write.kind, shardCount: shardCount)
        if entity.isErased { return .erased }
        let commandID = write.metadata.commandID
        if let commandID, let record = try connection.command(commandID, ofEntity: entity.id) {
            return .duplicate(record)
        }
        let expected = write.expectedVersion
        let actual = SequenceNumber(
            UInt64(try connection.first(selectVersion, [.integer(entity.id)], { $0.integer(0) }) ?? 0))
        if poisoned { return .conflict(actual: actual) }
        var after = expected
        if let payload = write.payload {
            // Decided by the write itself: it touches a row only when the version is the expected one.
            let changed = try connection.execute(
                expected == .zero ? insertState : updateState,
                [
                    .integer(entity.id), .sequence(expected), .time(write.timestamp),
                    .integer(try connection.nameID(PersistedEvent.anyManifest)),
                    .bytes(orNull: write.metadata.encoded), .blob(payload), .integer(payload.payloadChecksum),
                    .integer(EventFlags(isEncrypted: write.isEncrypted, isDeleted: false).rawValue),
                    try connection.keyName(write.encryptionKeyID),
                ])
            if changed == 0 { return .conflict(actual: actual) }
            after = expected.next
        } else if actual != expected {
            return .conflict(actual: actual)
        }
        if let commandID {
            try connection.execute(
                insertCommand,
                [.integer(entity.id), .text(commandID.rawValue), .sequence(expected), .sequence(after)])
        }
        return .saved(version: after)
    }

    public func state(of id: PersistenceID) async throws(StoreError) -> StoredState? {
        try await read { (connection) throws(StoreError) in
            try connection.run("read state") { () throws(SQLiteError) in
                var found: StoredState?
                try connection.query(Self.selectState, [.text(id.rawValue)]) { (row) throws(SQLiteError) in
                    let payload = row.blob(4)
                    found = StoredState(
                        persistenceID: id, version: SequenceNumber(UInt64(bitPattern: row.integer(0))),
                        timestamp: Timestamp(unixNanoseconds: row.integer(1)),
                        shard: Shard(UInt64(bitPattern: row.integer(2))), manifest: try connection.name(row.integer(3)),
                        payload: payload, encryptionKeyID: row.isNull(8) ? "" : try connection.name(row.integer(8)),
                        isEncrypted: EventFlags(rawValue: row.integer(7)).isEncrypted,
                        isDamaged: !row.isNull(6) && row.integer(6) != payload.payloadChecksum,
                        metadata: (try? EventMetadata(encoded: row.blob(5))) ?? .none)
                    return false
                }
                return found
            }
        }
    }
}

extension SQLiteConnection {
    private static let addState = """
        INSERT INTO ego_states (entity, version, timestamp, manifest, metadata, payload, checksum, flags, encryption_key)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (entity) DO NOTHING
        """
    private static let addCommand = """
        INSERT INTO ego_commands (entity, command_id, before, after) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (entity, command_id) DO NOTHING
        """

    /// Saves a state with its own version, unless its entity has one or was erased. In a write transaction only.
    func add(_ state: StoredState, shardCount: UInt32) throws(SQLiteError) -> Int {
        let entity = try entity(making: state.persistenceID, kind: nil, shardCount: shardCount)
        if entity.isErased { return 0 }
        let added = try execute(
            Self.addState,
            [
                .integer(entity.id), .sequence(state.version), .time(state.timestamp),
                .integer(try nameID(state.manifest)), .bytes(orNull: state.metadata.encoded), .blob(state.payload),
                .integer(state.payload.payloadChecksum),
                .integer(EventFlags(isEncrypted: state.isEncrypted, isDeleted: false).rawValue),
                try keyName(state.encryptionKeyID),
            ])
        if added == 1, let commandID = state.metadata.commandID {
            let before = SequenceNumber(max(state.version.rawValue, 1) - 1)
            try execute(
                Self.addCommand,
                [.integer(entity.id), .text(commandID.rawValue), .sequence(before), .sequence(state.version)])
        }
        return added
    }
}
