public import EgoCore

extension SQLiteStore {
    private static let insertCommand =
        "INSERT INTO ego_commands (entity, command_id, before, after) VALUES (?1, ?2, ?3, ?4)"

    /// The largest group, in events and payload bytes, that is committed on its caller's thread.
    private static let shortGroup = (events: 512, bytes: 1 << 18)

    public func append(_ group: [AppendRequest]) async throws(StoreError) -> [AppendOutcome] {
        if group.isEmpty { return [] }
        let shardCount = shardCount
        let outcomes = try await write(keepsEntities: true, isShort: Self.isShort(group)) {
            (connection) throws(StoreError) in
            try connection.run("append") { () throws(SQLiteError) in
                try connection.forgetEntitiesOfOthers()
                var failed: Set<PersistenceID> = []
                var outcomes: [AppendOutcome] = []
                outcomes.reserveCapacity(group.count)
                for request in group {
                    let poisoned = !failed.isEmpty && failed.contains(request.persistenceID)
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

    private static func isShort(_ group: [AppendRequest]) -> Bool {
        if group.count > shortGroup.events { return false }
        var (events, bytes) = (0, 0)
        for request in group {
            events += request.events.count
            if events > shortGroup.events { return false }
            for event in request.events { bytes += event.payload.count }
        }
        return bytes <= shortGroup.bytes
    }

    private static func append(
        _ request: AppendRequest, on connection: SQLiteConnection, shardCount: UInt32, poisoned: Bool
    ) throws(SQLiteError) -> AppendOutcome {
        let known = try connection.knownEntity(
            making: request.persistenceID, kind: request.kind, shardCount: shardCount)
        let entity = known.row
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
        let metadata = request.metadata.encoded
        var number = entity.last
        for event in request.events {
            number += 1
            try connection.insert(
                EventRow(
                    entity: entity.id, number: number, timestamp: event.timestamp, shard: entity.shard,
                    manifest: event.manifest, flags: EventFlags(isEncrypted: event.isEncrypted, isDeleted: false),
                    encryptionKeyID: event.encryptionKeyID, metadata: metadata, unknownFields: event.unknownFields,
                    payload: event.payload))
        }
        let position = request.events.isEmpty ? 0 : connection.lastInsertedRow
        let after = last.advanced(by: request.events.count)
        if let commandID {
            try connection.execute(
                insertCommand,
                [.integer(entity.id), .text(commandID.rawValue), .sequence(last), .sequence(after)])
        }
        known.row.last = number
        return .appended(last: after, offset: Offset(position: Position(position)))
    }

    public func stream(of id: PersistenceID) async throws(StoreError) -> StreamInfo? {
        try await read { (connection) throws(StoreError) in
            try connection.run("read entity") { () throws(SQLiteError) in
                try connection.stream(of: id) { (_, stream) in stream }
            }
        }
    }

    public func history(
        of id: PersistenceID, through last: SequenceNumber, limit: PageLimit
    ) async throws(StoreError) -> EntityHistory? {
        try await read { (connection) throws(StoreError) in
            try connection.run("read entity") { () throws(SQLiteError) in
                try connection.stream(of: id) { (entity, stream) throws(SQLiteError) in
                    var history = EntityHistory(stream: stream)
                    if stream.isErased { return history }
                    let last = min(last, stream.last)
                    history.snapshot = try connection.latestSnapshot(of: id, entity, through: last)
                    let first = history.snapshot?.sequenceNumber.next ?? 1
                    history.events = try connection.events(of: id, entity, from: first, through: last, limit)
                    return history
                }
            }
        }
    }

    public func events(
        of id: PersistenceID, from first: SequenceNumber, through last: SequenceNumber, limit: PageLimit
    ) async throws(StoreError) -> [PersistedEvent] {
        try await read { (connection) throws(StoreError) in
            try connection.run("read events") { () throws(SQLiteError) in
                guard let entity = try connection.entityID(id) else { return [] }
                return try connection.events(of: id, entity, from: first, through: last, limit)
            }
        }
    }

    private static let selectJournal = OwnSQL(selectJournal(where: EventSink.condition("v.entity")))
    private static let selectJournalOfShard = OwnSQL(
        selectJournal(where: "CASE WHEN v.shard = ?2 THEN \(EventSink.condition("v.entity")) END"))
    private static let selectJoined = OwnSQL(selectJoined(where: EventSink.condition(joined)))
    private static let selectJoinedOfShard = OwnSQL(
        selectJoined(where: "CASE WHEN v.shard = ?2 THEN \(EventSink.condition(joined)) END"))
    private static let joined = "v.entity, e.persistence_id, t.entity IS NOT NULL"

    private static func selectJournal(where condition: String) -> String {
        "SELECT 1 FROM ego_events v WHERE v.position > ?1 AND \(condition) ORDER BY v.position"
    }

    /// For entities of which few are known. The joins are crossed, which keeps them in this order.
    private static func selectJoined(where condition: String) -> String {
        """
        SELECT 1 FROM ego_events v CROSS JOIN ego_entities e ON e.id = v.entity
            LEFT JOIN ego_tombstones t ON t.entity = v.entity
        WHERE v.position > ?1 AND \(condition) ORDER BY v.position
        """
    }

    public func journal(
        after offset: Offset, shard: Shard?, limit: PageLimit
    ) async throws(StoreError) -> JournalPage {
        try await read { (connection) throws(StoreError) in
            // One view for all reads: a record that is committed between them must not be stepped over.
            try connection.transaction(.read) { () throws(StoreError) in
                try connection.run("read the journal") { () throws(SQLiteError) in
                    try Self.journal(on: connection, after: offset, shard: shard, limit: limit)
                }
            }
        }
    }

    private static func journal(
        on connection: SQLiteConnection, after offset: Offset, shard: Shard?, limit: PageLimit
    ) throws(SQLiteError) -> JournalPage {
        try connection.readErasures()
        let isJoined = connection.erased.areTooMany || !connection.ids.isWorthwhile
        connection.ids.startCounting()
        let sink = try connection.sink()
        let statement = try connection.statement(
            isJoined
                ? shard == nil ? selectJoined : selectJoinedOfShard
                : shard == nil ? selectJournal : selectJournalOfShard)
        defer { statement.rewind() }
        try statement.bind(offset.position.rawValue, at: 1)
        if let shard { try statement.bind(Int64(bitPattern: shard.rawValue), at: 2) }
        let (events, isFull) = try sink.page(
            statement, isJoined ? .joined : .journal, limit: limit, expecting: min(limit.rows, 1_000))
        let head = try connection.head()
        let next = isFull ? (events.last?.offset ?? offset) : max(head, offset)
        return JournalPage(events: events, next: next, reachedHead: !isFull || next >= head)
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
    private static let selectStream = OwnSQL(
        """
        SELECT e.id, e.floor, (SELECT max(sequence_number) FROM ego_events WHERE entity = e.id), e.kind,
            (SELECT sequence_number FROM ego_tombstones WHERE entity = e.id)
        FROM ego_entities e WHERE e.persistence_id = ?1
        """)

    /// What is known of an entity's events, for `body`, with its number: what that reads is of the same moment.
    fileprivate func stream<Value>(
        of id: PersistenceID, _ body: (Int64, StreamInfo) throws(SQLiteError) -> Value
    ) throws(SQLiteError) -> Value? {
        let row = try statement(Self.selectStream)
        // Until this statement is over, all others of the connection see what it sees.
        defer { row.reset() }
        try row.bind(id.rawValue, at: 1)
        guard try row.step() else { return nil }
        let entity = row.integer(0)
        ids.setLast(id, entity: entity)
        let floor = row.integer(1)
        let stream = StreamInfo(
            last: SequenceNumber(UInt64(max(floor, row.integer(2), row.integer(4)))),
            floor: SequenceNumber(UInt64(floor)), kind: row.isNull(3) ? nil : try name(row.integer(3)),
            isErased: !row.isNull(4))
        return try body(entity, stream)
    }

    private static let selectEvents = OwnSQL(
        """
        SELECT 1 FROM ego_events v WHERE v.entity = ?1 AND v.sequence_number BETWEEN ?2 AND ?3
            AND \(EventSink.condition()) ORDER BY v.sequence_number
        """)

    fileprivate func events(
        of id: PersistenceID, _ entity: Int64, from first: SequenceNumber, through last: SequenceNumber,
        _ limit: PageLimit
    ) throws(SQLiteError) -> [PersistedEvent] {
        guard first <= last else { return [] }
        let sink = try sink()
        let statement = try statement(Self.selectEvents)
        defer { statement.rewind() }
        try statement.bind(entity, at: 1)
        try statement.bind(Int64(clamping: first.rawValue), at: 2)
        try statement.bind(Int64(clamping: last.rawValue), at: 3)
        // Who asks for all knows no better than we how many there are.
        let span = Int(clamping: last.rawValue - first.rawValue)
        let count = span < limit.rows ? span + 1 : min(limit.rows, 1_000)
        return try sink.page(statement, .stream(id), limit: limit, expecting: count).events
    }
}
