public import EgoCore

extension SQLiteStore {
    private static let insertCommand =
        "INSERT INTO ego_commands (entity, command_id, before, after) VALUES (?1, ?2, ?3, ?4)"

    public func append(_ group: [AppendRequest]) async throws(StoreError) -> [AppendOutcome] {
        if group.isEmpty { return [] }
        let shardCount = shardCount
        let outcomes = try await write(keepsEntities: true) { (connection) throws(StoreError) in
            try connection.run("append") { () throws(SQLiteError) in
                try connection.forgetEntitiesOfOthers()
                var failed: Set<PersistenceID> = []
                var outcomes: [AppendOutcome] = []
                outcomes.reserveCapacity(group.count)
                for request in group {
                    let poisoned = failed.contains(request.persistenceID)
                    let outcome = try Self.append(request, on: connection, shardCount: shardCount, poisoned: poisoned)
                    if case .appended = outcome {} else { failed.insert(request.persistenceID) }
                    outcomes.append(outcome)
                }
                return outcomes
            }
        }
        appended.give()
        return outcomes
    }

    private static func append(
        _ request: AppendRequest, on connection: SQLiteConnection, shardCount: UInt32, poisoned: Bool
    ) throws(SQLiteError) -> AppendOutcome {
        var entity = try connection.knownEntity(
            making: request.persistenceID, kind: request.kind, shardCount: shardCount)
        defer { connection.entities[request.persistenceID] = entity }
        if entity.isErased { return .erased }
        let commandID = request.metadata.commandID
        if let commandID, let record = try connection.command(commandID, ofEntity: entity.id) {
            return .duplicate(record)
        }
        // The write lock is held, so `last` cannot change before the rows are in; the unique key on entity and sequence
        // number decides all the same, should this ever be wrong.
        let last = SequenceNumber(UInt64(entity.last))
        if poisoned { return .conflict(actual: last) }
        if let expected = request.expectedVersion.last, expected != last { return .conflict(actual: last) }
        let metadata = SQLiteValue.bytes(orNull: request.metadata.encoded)
        var position: Int64 = 0
        for (index, event) in request.events.enumerated() {
            let key = try connection.keyName(event.encryptionKeyID)
            try connection.execute(
                SQLiteConnection.insertEvent,
                [
                    .integer(entity.id), .integer(entity.last + Int64(index) + 1), .time(event.timestamp),
                    .integer(entity.shard), .integer(try connection.nameID(event.manifest)),
                    .integer(EventFlags(isEncrypted: event.isEncrypted, isDeleted: false).rawValue), key, metadata,
                    .bytes(orNull: event.unknownFields), .blob(event.payload),
                    .integer(event.payload.payloadChecksum),
                ])
            position = connection.lastInsertedRow
        }
        entity.last += Int64(request.events.count)
        let after = last.advanced(by: request.events.count)
        if let commandID {
            try connection.execute(
                insertCommand,
                [.integer(entity.id), .text(commandID.rawValue), .sequence(last), .sequence(after)])
        }
        return .appended(last: after, offset: Offset(position: Position(position)))
    }

    private static let selectStream = """
        SELECT e.floor, (SELECT max(sequence_number) FROM ego_events WHERE entity = e.id), n.name, t.sequence_number
        FROM ego_entities e LEFT JOIN ego_names n ON n.id = e.kind LEFT JOIN ego_tombstones t ON t.entity = e.id
        WHERE e.persistence_id = ?1
        """

    public func stream(of id: PersistenceID) async throws(StoreError) -> StreamInfo? {
        try await read { (connection) throws(StoreError) in
            try connection.run("read entity") { () throws(SQLiteError) in
                try connection.first(Self.selectStream, [.text(id.rawValue)]) { row in
                    StreamInfo(
                        last: SequenceNumber(UInt64(max(row.integer(0), row.integer(1), row.integer(3)))),
                        floor: SequenceNumber(UInt64(row.integer(0))), kind: row.optionalText(2),
                        isErased: !row.isNull(3))
                }
            }
        }
    }

    private static let selectEvents = """
        SELECT v.position, v.sequence_number, v.timestamp, v.shard, v.manifest, v.flags, v.encryption_key, v.metadata,
            v.unknown_fields, v.payload, v.checksum
        FROM ego_events v
        WHERE v.entity = (SELECT id FROM ego_entities WHERE persistence_id = ?1)
            AND v.sequence_number BETWEEN ?2 AND ?3
        ORDER BY v.sequence_number LIMIT ?4
        """

    public func events(
        of id: PersistenceID, from first: SequenceNumber, through last: SequenceNumber, limit: PageLimit
    ) async throws(StoreError) -> [PersistedEvent] {
        try await read { (connection) throws(StoreError) in
            try connection.run("read events") { () throws(SQLiteError) in
                var events: [PersistedEvent] = []
                var bytes = 0
                try connection.query(
                    Self.selectEvents,
                    [.text(id.rawValue), .sequence(first), .sequence(last), .integer(Int64(limit.rows))]
                ) { (row) throws(SQLiteError) in
                    let event = try connection.event(row, of: id)
                    bytes += event.payload.count
                    events.append(event)
                    return bytes < limit.bytes
                }
                return events
            }
        }
    }

    private static let selectJournal = selectJournal(where: "")
    private static let selectJournalOfShard = selectJournal(where: "AND v.shard = ?3")

    private static func selectJournal(where condition: String) -> String {
        """
        SELECT v.position, v.sequence_number, v.timestamp, v.shard, v.manifest, v.flags, v.encryption_key, v.metadata,
            v.unknown_fields, v.payload, v.checksum, e.persistence_id, t.entity IS NOT NULL
        FROM ego_events v JOIN ego_entities e ON e.id = v.entity LEFT JOIN ego_tombstones t ON t.entity = v.entity
        WHERE v.position > ?1 \(condition) ORDER BY v.position LIMIT ?2
        """
    }

    public func journal(
        after offset: Offset, shard: Shard?, limit: PageLimit
    ) async throws(StoreError) -> JournalPage {
        try await read { (connection) throws(StoreError) in
            // One view for both reads: a record that is committed between them must not be stepped over.
            try connection.transaction(.read) { () throws(StoreError) in
                try connection.run("read the journal") { () throws(SQLiteError) in
                    var events: [PersistedEvent] = []
                    events.reserveCapacity(min(limit.rows, 1_000))
                    var bytes = 0
                    var isFull = false
                    var parameters: [SQLiteValue] = [
                        .integer(offset.position.rawValue), .integer(Int64(limit.rows)),
                    ]
                    if let shard { parameters.append(.integer(Int64(bitPattern: shard.rawValue))) }
                    try connection.query(
                        shard == nil ? Self.selectJournal : Self.selectJournalOfShard, parameters
                    ) { (row) throws(SQLiteError) in
                        var event = try connection.event(row, of: PersistenceID(stored: row.text(11)))
                        event.isErased = row.integer(12) != 0
                        bytes += event.payload.count
                        events.append(event)
                        isFull = bytes >= limit.bytes || events.count == limit.rows
                        return !isFull
                    }
                    let head = try connection.head()
                    let next = isFull ? (events.last?.offset ?? offset) : max(head, offset)
                    return JournalPage(events: events, next: next, reachedHead: !isFull || next >= head)
                }
            }
        }
    }

    public func head() async throws(StoreError) -> Offset {
        try await read { (connection) throws(StoreError) in
            try connection.run("read the head") { () throws(SQLiteError) in try connection.head() }
        }
    }

    public func awaitAppend(after offset: Offset, timeout: Duration) async throws(StoreError) {
        let deadline = ContinuousClock.now + timeout
        // SQLite tells nobody of another process's commit; a look costs microseconds. This process is told.
        while true {
            let count = appended.count
            if try await head() > offset { return }
            let rest = deadline - .now
            if rest <= .zero { return }
            await appended.wait(after: count, timeout: min(rest, .milliseconds(10)))
            if Task.isCancelled { throw StoreError(.cancelled, "stopped while waiting for an append") }
        }
    }

    public func settle(timeout: Duration) async throws(StoreError) {
        _ = try await head()  // what is committed can be read
    }

    private static let selectPositionAt =
        "SELECT position FROM ego_events WHERE timestamp >= ?1 ORDER BY position LIMIT 1"

    public func offset(before moment: Timestamp) async throws(StoreError) -> Offset {
        try await readAtLength { (connection) throws(StoreError) in
            try connection.run("find the moment") { () throws(SQLiteError) in
                let first = try connection.first(Self.selectPositionAt, [.time(moment)]) { $0.integer(0) }
                if let first { return Offset(position: Position(first - 1)) }
                return try connection.head()
            }
        }
    }

    public func command(
        _ commandID: CommandID, of id: PersistenceID
    ) async throws(StoreError) -> CommandRecord? {
        try await read { (connection) throws(StoreError) in
            try connection.run("read command") { () throws(SQLiteError) in
                guard let entity = try connection.entity(id) else { return nil }
                return try connection.command(commandID, ofEntity: entity.id)
            }
        }
    }
}

extension SQLiteConnection {
    private static let selectHead = "SELECT seq FROM sqlite_sequence WHERE name = 'ego_events'"
    static let insertEvent = """
        INSERT INTO ego_events (entity, sequence_number, timestamp, shard, manifest, flags, encryption_key, metadata,
            unknown_fields, payload, checksum)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
        """
    private static let selectCommand =
        "SELECT before, after FROM ego_commands WHERE entity = ?1 AND command_id = ?2"

    /// The last position that was ever committed, also of a record that was deleted since.
    func head() throws(SQLiteError) -> Offset {
        Offset(position: Position(try first(Self.selectHead) { $0.integer(0) } ?? 0))
    }

    /// Writes an event as it is, with a number of the caller's.
    func insert(_ event: PersistedEvent, number: Int64, of entity: EntityRow) throws(SQLiteError) {
        let key = try keyName(event.encryptionKeyID)
        try execute(
            Self.insertEvent,
            [
                .integer(entity.id), .integer(number), .time(event.timestamp), .integer(entity.shard),
                .integer(try nameID(event.manifest)),
                .integer(EventFlags(isEncrypted: event.isEncrypted, isDeleted: event.isDeleted).rawValue), key,
                .bytes(orNull: event.metadata.encoded), .bytes(orNull: event.unknownFields), .blob(event.payload),
                .integer(event.payload.payloadChecksum),
            ])
    }

    /// The number of a key's ID among the names; null for a record without one.
    func keyName(_ id: String) throws(SQLiteError) -> SQLiteValue {
        id.isEmpty ? .null : .integer(try nameID(id))
    }

    func command(_ commandID: CommandID, ofEntity entity: Int64) throws(SQLiteError) -> CommandRecord? {
        try first(Self.selectCommand, [.integer(entity), .text(commandID.rawValue)]) { row in
            CommandRecord(
                commandID: commandID, before: SequenceNumber(UInt64(row.integer(0))),
                after: SequenceNumber(UInt64(row.integer(1))))
        }
    }

    /// Reads the columns that both queries of events begin with.
    func event(_ row: SQLiteStatement, of id: PersistenceID) throws(SQLiteError) -> PersistedEvent {
        let flags = EventFlags(rawValue: row.integer(5))
        // What this program wrote decodes; metadata that somebody damaged is shown as none rather than hiding the event.
        let metadata = row.isNull(7) ? .none : (try? EventMetadata(encoded: row.blob(7))) ?? .none
        let payload = row.blob(9)
        return PersistedEvent(
            persistenceID: id, sequenceNumber: SequenceNumber(UInt64(bitPattern: row.integer(1))),
            offset: Offset(position: Position(row.integer(0))),
            timestamp: Timestamp(unixNanoseconds: row.integer(2)), shard: Shard(UInt64(bitPattern: row.integer(3))),
            manifest: try name(row.integer(4)), payload: payload,
            encryptionKeyID: row.isNull(6) ? "" : try name(row.integer(6)), isEncrypted: flags.isEncrypted,
            isDeleted: flags.isDeleted, isDamaged: !row.isNull(10) && row.integer(10) != payload.payloadChecksum,
            metadata: metadata, unknownFields: row.isNull(8) ? [] : row.blob(8))
    }
}

/// The booleans of a record in one column.
struct EventFlags {
    let rawValue: Int64

    init(rawValue: Int64) { self.rawValue = rawValue }

    init(isEncrypted: Bool, isDeleted: Bool) {
        self.rawValue = (isEncrypted ? 1 : 0) | (isDeleted ? 2 : 0)
    }

    var isEncrypted: Bool { rawValue & 1 != 0 }
    var isDeleted: Bool { rawValue & 2 != 0 }
}
