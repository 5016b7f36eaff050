import EgoCore

extension PostgresStore {
    private var selectEntities: String {
        """
        SELECT u.id, greatest(newest.sequence_number, known.floor, trimmed.number, 0), erased.sequence_number IS NOT NULL,
            coalesce(newest.shard_number, known.shard), known.is_known
        FROM unnest($1::text[]) AS u(id)
        LEFT JOIN LATERAL (SELECT sequence_number, shard_number FROM events_store
            WHERE persistence_id = u.id ORDER BY sequence_number DESC LIMIT 1) newest ON true
        LEFT JOIN LATERAL (SELECT floor, shard, true AS is_known FROM ego_entities
            WHERE persistence_id = u.id LIMIT 1) known ON true
        LEFT JOIN LATERAL (SELECT sequence_number FROM ego_tombstones WHERE persistence_id = u.id LIMIT 1) erased ON true
        \(trimmedJoin(of: "u", unless: "newest"))
        """
    }
    private static let insertEntities = """
        INSERT INTO ego_entities AS e (persistence_id, shard, floor)
        SELECT * FROM unnest($1::text[], $2::int8[], $3::int8[])
        ON CONFLICT (persistence_id) DO UPDATE SET floor = excluded.floor WHERE excluded.floor > e.floor
        """
    private static let copyEvents = """
        COPY events_store (\(AppendStatements.columns), is_deleted) FROM STDIN (FORMAT binary)
        """

    /// What is known of an entity that events are added to, as far as they have come.
    private struct Target {
        var last: Int64
        var shard: Int64
        /// Whether anything is recorded of the entity.
        var isRecorded: Bool
        var floor: Int64?
    }

    /// Adds events as they are.
    func add(_ events: [PersistedEvent], on connection: PostgresConnection) throws(StoreError) -> Int {
        if events.isEmpty { return 0 }
        let ids = Set(events.map(\.persistenceID)).sorted()
        let found = try connection.run("add events") { () throws(PostgresError) in
            try connection.rows(PostgresStatement(selectEntities, [.texts(ids.map(\.rawValue))]))
        }
        var targets: [PersistenceID: Target] = [:]
        var order: [PersistenceID] = []
        for row in found where !row.bool(2) {
            let id = PersistenceID(stored: row.text(0))
            order.append(id)
            targets[id] = Target(
                last: row.integer(1),
                shard: row.optionalInteger(3) ?? Int64(Shard(of: id, count: shardCount).rawValue),
                isRecorded: row.bool(4))
        }
        var rows: [(event: PersistedEvent, shard: Int64)] = []
        rows.reserveCapacity(events.count)
        var commands = CommandColumns()
        for event in events {
            guard let target = targets[event.persistenceID] else { continue }  // erased
            if event.sequenceNumber > .largestAdded { throw .outOfRange(event) }
            let number = Int64(clamping: event.sequenceNumber.rawValue)
            let isFirst = target.last == 0 && number > 1
            guard isFirst || number == target.last + 1 else {
                throw StoreError(.conflict, event, after: SequenceNumber(UInt64(clamping: target.last)))
            }
            if isFirst { targets[event.persistenceID]?.floor = number - 1 }
            targets[event.persistenceID]?.last = number
            rows.append((event, target.shard))
            if let commandID = event.metadata.commandID {
                commands.add(
                    event.persistenceID, commandID, SequenceNumber(UInt64(clamping: number - 1)), event.sequenceNumber)
            }
        }
        // Not again what is recorded already: each row would be written.
        let news = order.compactMap { id in targets[id].map { (id: id, target: $0) } }
            .filter { !$0.target.isRecorded || $0.target.floor != nil }
        var statements: [PostgresStatement] = []
        if !news.isEmpty {
            let floors = news.map { $0.target.floor ?? 0 }
            statements.append(
                PostgresStatement(
                    Self.insertEntities,
                    [.texts(news.map(\.id.rawValue)), .integers(news.map(\.target.shard)), .integers(floors)]))
        }
        if !commands.isEmpty { statements.append(PostgresStatement(Self.upsertCommands, commands.values)) }
        return try connection.run("add events") { () throws(PostgresError) in
            let added = try copy(rows, on: connection)
            if !statements.isEmpty { _ = try connection.batch(statements) }
            return added
        }
    }

    /// Copies rows in the order of the columns of ``copyEvents``.
    private func copy(
        _ rows: [(event: PersistedEvent, shard: Int64)], on connection: PostgresConnection
    ) throws(PostgresError) -> Int {
        func isNarrow(_ column: String) -> Bool { layout.tables["events_store"]?[column] == "integer" }
        let (isNarrowNumber, isNarrowTime) = (isNarrow("sequence_number"), isNarrow("timestamp"))
        let isNarrowShard = isNarrow("shard_number")
        return try connection.copy(Self.copyEvents) { (copy) throws(PostgresError) in
            for (event, shard) in rows {
                try copy.beginRow(columns: 12)
                copy.add(event.persistenceID.rawValue)
                try copy.add(Int64(clamping: event.sequenceNumber.rawValue), isNarrow: isNarrowNumber)
                try copy.add(clock.stored(event.timestamp), isNarrow: isNarrowTime)
                copy.add(event.manifest)
                copy.add(event.payload)
                copy.add(event.encryptionKeyID)
                copy.add(event.isEncrypted)
                copy.add(orNull: event.metadata.encoded)
                copy.add(orNull: event.unknownFields)
                try copy.add(event.payload.payloadChecksum)
                try copy.add(shard, isNarrow: isNarrowShard)
                copy.add(event.isDeleted)
            }
        }
    }
}
