public import EgoCore

extension PostgresStore {
    // MARK: Streams

    /// What is known of the events of entity `$1`: nothing of value where it was never heard of.
    private var selectStream: String {
        """
        SELECT greatest(x.floor, \(trimmed("i.id"))) AS floor, x.kind, t.sequence_number AS erased,
            (SELECT v.sequence_number FROM events_store v WHERE v.persistence_id = i.id
                ORDER BY v.sequence_number DESC LIMIT 1) AS last,
            x.persistence_id IS NOT NULL
                OR EXISTS (SELECT 1 FROM states_store WHERE persistence_id = i.id)
                OR EXISTS (SELECT 1 FROM snapshots_store WHERE persistence_id = i.id) AS is_known
        FROM (SELECT $1::text AS id) i
        LEFT JOIN ego_entities x ON x.persistence_id = i.id LEFT JOIN ego_tombstones t ON t.persistence_id = i.id
        """
    }

    public func stream(of id: PersistenceID) async throws(StoreError) -> StreamInfo? {
        let sql = layout.statement([], selectStream)
        return try await read("read entity") { (connection) throws(PostgresError) in
            try connection.first(sql, [.id(id)]) { row in
                row.stream(floor: 0, kind: 1, erased: 2, last: 3, isKnown: row.bool(4))
            } ?? nil
        }
    }

    public func history(
        of id: PersistenceID, through last: SequenceNumber, limit: PageLimit
    ) async throws(StoreError) -> EntityHistory? {
        // What is known of the entity and its snapshot stand in the first row, in columns of an event: one statement sees
        // one moment, and is one round trip.
        let sql = layout.statement(
            [
                "entity AS MATERIALIZED (\(selectStream))",
                """
                snapshot AS MATERIALIZED (
                    SELECT * FROM snapshots_store WHERE persistence_id = $1 AND sequence_number <= (
                            SELECT least($2, coalesce(greatest(floor, last), 0)) FROM entity WHERE erased IS NULL)
                        ORDER BY sequence_number DESC LIMIT 1)
                """,
            ],
            """
            SELECT NULL::xid8, e.floor, e.kind, e.last, s."timestamp", e.erased, s.state_payload,
                CASE WHEN s.checksum_at = s."timestamp" THEN s.checksum END,
                ROW(e.is_known, s.state_manifest, s.is_encrypted, s.encryption_key_id), s.sequence_number
            FROM entity e LEFT JOIN snapshot s ON true
            UNION ALL
            (SELECT \(layout.eventColumns), NULL::bigint FROM events_store v
                WHERE v.persistence_id = $1 AND v.sequence_number > coalesce((SELECT sequence_number FROM snapshot), 0)
                    AND v.sequence_number <= $2
                ORDER BY v.sequence_number LIMIT $3)
            """)
        let event = eventOfStream
        let clock = clock
        return try await read("read entity") { (connection) throws(PostgresError) in
            var history: EntityHistory?
            var isFirst = true
            var bytes = 0
            try connection.query(
                sql, [.id(id), .sequence(last), .integer(Int64(limit.rows))]
            ) { (row) throws(PostgresError) in
                if isFirst {
                    isFirst = false
                    history = row.history(of: id, clock)
                    return true
                }
                if history?.stream.isErased != false { return true }
                let event = event(row, id)
                bytes += event.payload.count
                history?.events.append(event)
                return bytes < limit.bytes
            }
            return history
        }
    }

    public func events(
        of id: PersistenceID, from first: SequenceNumber, through last: SequenceNumber, limit: PageLimit
    ) async throws(StoreError) -> [PersistedEvent] {
        let sql = layout.statement(
            [],
            """
            SELECT \(layout.eventColumns) FROM events_store v
            WHERE v.persistence_id = $1 AND v.sequence_number BETWEEN $2 AND $3
            ORDER BY v.sequence_number LIMIT $4
            """)
        let event = eventOfStream
        return try await read("read events") { (connection) throws(PostgresError) in
            var events: [PersistedEvent] = []
            var bytes = 0
            try connection.query(
                sql, [.id(id), .sequence(first), .sequence(last), .integer(Int64(limit.rows))]
            ) { (row) throws(PostgresError) in
                let event = event(row, id)
                bytes += event.payload.count
                events.append(event)
                return bytes < limit.bytes
            }
            return events
        }
    }

    /// Reads an event that was found with its entity.
    private var eventOfStream: @Sendable (PostgresRow, PersistenceID) -> PersistedEvent {
        let (clock, isAdopted) = (clock, layout.isAdopted)
        return { row, id in
            var event = row.event(of: id, clock)
            if !isAdopted {
                event.offset = Offset(
                    transactionID: UInt64(clamping: row.integer(4)), position: Position(row.integer(3)))
            }
            return event
        }
    }

    // MARK: The journal

    public func journal(
        after offset: Offset, shard: Shard?, limit: PageLimit
    ) async throws(StoreError) -> JournalPage {
        if !layout.isAdopted { return try await journalByTime(after: offset, shard: shard, limit: limit) }
        // Most stores have no erased entities: that is looked at once, and not for each event.
        let sql = """
            SELECT \(layout.eventColumns),
                NULLIF((SELECT EXISTS (SELECT 1 FROM ego_tombstones))
                    AND EXISTS (SELECT 1 FROM ego_tombstones t WHERE t.persistence_id = v.persistence_id), false)
            FROM events_store v
            WHERE (v.transaction_id, v.position) > ($1, $2)
                AND v.transaction_id < pg_snapshot_xmin(pg_current_snapshot())
                \(shard == nil ? "" : "AND v.shard_number = $3")
            ORDER BY v.transaction_id, v.position LIMIT \(limit.rows)
            """
        var parameters: [PostgresValue] = [.transactionID(offset.transactionID), .integer(offset.position.rawValue)]
        if let shard { parameters.append(.shard(shard)) }
        let statement = PostgresStatement(sql, parameters)
        let clock = clock
        return try await read("read the journal") { (connection) throws(PostgresError) in
            // The head first: what is below it now is below it in the page too, so nothing is stepped over.
            var page = PageBuilder(after: offset, limit)
            let head = try connection.query(.head, and: statement) { (row) throws(PostgresError) in
                var event = row.event(of: PersistenceID(stored: row.text(2)), clock)
                event.isErased = row.bool(PostgresLayout.eventColumnCount)
                return page.add(event)
            }
            return page.finish(head: head?.first.map(PostgresConnection.place) ?? .start)
        }
    }

    public func head() async throws(StoreError) -> Offset {
        if !layout.isAdopted { return try await headByTime() }
        return try await read("read the head") { (connection) throws(PostgresError) in try connection.head() }
    }

    public func settle(timeout: Duration) async throws(StoreError) {
        if !layout.isAdopted { return }
        let deadline = ContinuousClock.now + timeout
        let wanted = try await read("look at the transactions") { (connection) throws(PostgresError) in
            try connection.first("SELECT pg_snapshot_xmax(pg_current_snapshot())") { $0.transactionID(0) } ?? 0
        }
        while true {
            let oldest = try await read("look at the transactions") { (connection) throws(PostgresError) in
                try connection.first("SELECT pg_snapshot_xmin(pg_current_snapshot())") { $0.transactionID(0) } ?? 0
            }
            if oldest >= wanted || ContinuousClock.now > deadline { return }
            do { try await Task.sleep(for: .milliseconds(5)) } catch {
                throw StoreError(.cancelled, "stopped while waiting for transactions to end")
            }
        }
    }

    public func offset(before moment: Timestamp) async throws(StoreError) -> Offset {
        let clock = clock
        if !layout.isAdopted {
            // Timestamps are the order there.
            return Offset(transactionID: UInt64(clamping: clock.stored(moment) - 1), position: Position(.max))
        }
        // eGo for Go may have written in two units, each told by its magnitude.
        let nanoseconds =
            clock == .nanoseconds
            ? "\"timestamp\""
            : """
            (CASE WHEN abs("timestamp") < 100000000000 THEN "timestamp"::numeric * 1000000000
                WHEN abs("timestamp") < 100000000000000 THEN "timestamp"::numeric * 1000000 ELSE "timestamp" END)
            """
        return try await read("find the moment") { (connection) throws(PostgresError) in
            let first = try connection.first(
                """
                SELECT transaction_id, position FROM events_store
                WHERE \(nanoseconds) >= $1 AND transaction_id < pg_snapshot_xmin(pg_current_snapshot())
                ORDER BY transaction_id, position LIMIT 1
                """, [.integer(moment.unixNanoseconds)]
            ) { Offset(transactionID: $0.transactionID(0), position: Position($0.integer(1) - 1)) }
            if let first { return first }
            return try connection.head()
        }
    }

    public func command(
        _ commandID: CommandID, of id: PersistenceID
    ) async throws(StoreError) -> CommandRecord? {
        if !layout.isAdopted { return nil }
        return try await read("read command") { (connection) throws(PostgresError) in
            try connection.first(
                "SELECT before, after FROM ego_commands WHERE persistence_id = $1 AND command_id = $2",
                [.id(id), .text(commandID.rawValue)]
            ) { row in
                CommandRecord(
                    commandID: commandID, before: SequenceNumber(UInt64(clamping: row.integer(0))),
                    after: SequenceNumber(UInt64(clamping: row.integer(1))))
            }
        }
    }

    // MARK: A journal that has no order of its own

    /// Where a database was not adopted, an offset is a timestamp, as it is stored, and a number among the events of that
    /// timestamp; of an event that was read with its entity it is the sequence number. This is for looking: an event that is committed late, with an earlier timestamp, is not seen by a reader
    /// who has passed it (law 2 holds from adoption on).
    private func journalByTime(
        after offset: Offset, shard: Shard?, limit: PageLimit
    ) async throws(StoreError) -> JournalPage {
        let filter = shard == nil ? "" : "AND v.shard_number = $4"
        let order = "ORDER BY v.\"timestamp\", v.persistence_id, v.sequence_number"
        // Those of the same timestamp are counted, those after it are not.
        let sql = layout.statement(
            [],
            """
            (SELECT \(layout.eventColumns) FROM events_store v WHERE v."timestamp" = $1 \(filter) \(order) OFFSET $2)
            UNION ALL
            (SELECT \(layout.eventColumns) FROM events_store v WHERE v."timestamp" > $1 \(filter) \(order) LIMIT $3)
            LIMIT $3
            """)
        let time = Int64(clamping: offset.transactionID)
        var parameters: [PostgresValue] = [
            .integer(offset == .start ? .min : time), .integer(offset.position.rawValue), .integer(Int64(limit.rows)),
        ]
        if let shard { parameters.append(.shard(shard)) }
        let statement = PostgresStatement(sql, parameters)
        let clock = clock
        return try await read("read the journal") { (connection) throws(PostgresError) in
            var numbering = TimeNumbering(offset)
            var page = PageBuilder(after: offset, limit)
            try connection.query(statement.sql, statement.parameters) { (row) throws(PostgresError) in
                var event = row.event(of: PersistenceID(stored: row.text(2)), clock)
                event.offset = numbering.next(row.integer(4))
                return page.add(event)
            }
            return page.finish(head: nil)
        }
    }

    /// Numbers events of equal timestamps.
    private struct TimeNumbering {
        private var time: UInt64
        private var number: Int64

        init(_ offset: Offset) { (time, number) = (offset.transactionID, offset.position.rawValue) }

        mutating func next(_ stored: Int64) -> Offset {
            let stored = UInt64(clamping: stored)
            number = stored == time ? number + 1 : 1
            time = stored
            return Offset(transactionID: time, position: Position(number))
        }
    }

    private func headByTime() async throws(StoreError) -> Offset {
        let sql = """
            SELECT "timestamp", greatest(count(*), max(sequence_number)) FROM events_store
            WHERE "timestamp" = (SELECT max("timestamp") FROM events_store) GROUP BY 1
            """
        return try await read("read the head") { (connection) throws(PostgresError) in
            try connection.first(sql) { row in
                Offset(transactionID: UInt64(clamping: row.integer(0)), position: Position(row.integer(1)))
            } ?? .start
        }
    }
}

extension PostgresConnection {
    /// The last place that a reader may see, also of a record that was deleted since. What was deleted beside a transaction
    /// that is still running counts as the end of what came before that one.
    fileprivate static let selectHead = """
        SELECT transaction_id, position FROM (
            (SELECT transaction_id, position FROM events_store
                WHERE transaction_id < pg_snapshot_xmin(pg_current_snapshot())
                ORDER BY transaction_id DESC, position DESC LIMIT 1)
            UNION ALL
            SELECT CASE WHEN transaction_id < x.xmin THEN transaction_id
                    ELSE (x.xmin::text::bigint - 1)::text::xid8 END,
                CASE WHEN transaction_id < x.xmin THEN position ELSE 9223372036854775807 END
            FROM ego_trimmed, (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS xmin) x
        ) places ORDER BY transaction_id DESC, position DESC LIMIT 1
        """

    func head() throws(PostgresError) -> Offset {
        try first(Self.selectHead, [], Self.place) ?? .start
    }

    fileprivate static func place(_ row: PostgresRow) -> Offset {
        Offset(transactionID: row.transactionID(0), position: Position(row.integer(1)))
    }
}

extension PostgresStatement {
    fileprivate static let head = PostgresStatement(PostgresConnection.selectHead)
}

/// A page of the journal while its rows arrive.
private struct PageBuilder {
    private let start: Offset
    private let limit: PageLimit
    private var events: [PersistedEvent] = []
    private var bytes = 0
    private var isFull = false

    init(after start: Offset, _ limit: PageLimit) { (self.start, self.limit) = (start, limit) }

    /// Adds an event; whether there is room for another one.
    mutating func add(_ event: PersistedEvent) -> Bool {
        bytes += event.payload.count
        events.append(event)
        isFull = bytes >= limit.bytes || events.count == limit.rows
        return bytes < limit.bytes
    }

    /// - Parameter head: what a page that is not full reaches at least; nil where the page's last event is the end.
    func finish(head: Offset?) -> JournalPage {
        let last = events.last?.offset ?? start
        let next = isFull ? last : max(head ?? last, last)
        return JournalPage(events: events, next: next, reachedHead: !isFull || (head.map { next >= $0 } ?? false))
    }
}

extension PostgresRow {
    /// What is known of an entity's events, from the given columns; nil when it was never heard of.
    fileprivate func stream(floor: Int32, kind: Int32, erased: Int32, last: Int32, isKnown: Bool) -> StreamInfo? {
        if isNull(floor), isNull(erased), isNull(last), !isKnown { return nil }
        return StreamInfo(
            last: SequenceNumber(UInt64(clamping: max(integer(floor), integer(erased), integer(last)))),
            floor: SequenceNumber(UInt64(clamping: integer(floor))), kind: optionalText(kind),
            isErased: !isNull(erased))
    }

    /// What is known of an entity and its last snapshot.
    fileprivate func history(of id: PersistenceID, _ clock: StoredClock) -> EntityHistory? {
        var rest = PostgresRecord(of: self, 8)
        let isKnown = rest.bool()
        guard let stream = stream(floor: 1, kind: 2, erased: 5, last: 3, isKnown: isKnown) else { return nil }
        var history = EntityHistory(stream: stream)
        if isNull(9) { return history }
        let (manifest, isEncrypted, key) = (rest.text(), rest.bool(), rest.text())
        history.snapshot = snapshot(
            of: id, number: 9, timestamp: 4, manifest: manifest, isEncrypted: isEncrypted, key: key, payload: 6,
            checksum: 7, clock)
        return history
    }

    /// A snapshot, from the given columns.
    func snapshot(
        of id: PersistenceID, number: Int32, timestamp: Int32, manifest: String, isEncrypted: Bool, key: String,
        payload: Int32, checksum: Int32, _ clock: StoredClock
    ) -> StoredSnapshot {
        let bytes = bytes(payload)
        return StoredSnapshot(
            persistenceID: id, sequenceNumber: SequenceNumber(UInt64(clamping: integer(number))),
            timestamp: clock.moment(integer(timestamp)), manifest: manifest, payload: bytes, encryptionKeyID: key,
            isEncrypted: isEncrypted, isDamaged: !isNull(checksum) && integer(checksum) != bytes.payloadChecksum)
    }

    /// Reads the columns of ``PostgresLayout/eventColumns``.
    func event(of id: PersistenceID, _ clock: StoredClock) -> PersistedEvent {
        let payload = bytes(6)
        var event = PersistedEvent(
            persistenceID: id, sequenceNumber: SequenceNumber(UInt64(clamping: integer(3))),
            offset: isNull(0) ? .start : Offset(transactionID: transactionID(0), position: Position(integer(1))),
            timestamp: clock.moment(integer(4)), shard: Shard(UInt64(bitPattern: integer(5))), payload: payload,
            isDamaged: !isNull(7) && integer(7) != payload.payloadChecksum)
        if !isNull(8) { addRest(to: &event) }
        return event
    }

    private func addRest(to event: inout PersistedEvent) {
        var rest = PostgresRecord(of: self, 8)
        event.manifest = rest.optionalText() ?? PersistedEvent.anyManifest
        event.isEncrypted = rest.bool()
        event.isDeleted = rest.bool()
        event.encryptionKeyID = rest.text()
        // What this program wrote decodes; metadata that somebody damaged is shown as none rather than hiding the event.
        if let metadata = rest.bytes() { event.metadata = (try? EventMetadata(encoded: metadata)) ?? .none }
        event.unknownFields = rest.bytes() ?? []
        if let state = rest.bytes() {
            event.unknownFields += PersistedEvent.unknownFields(serializedInlineState: state)
        }
    }
}
