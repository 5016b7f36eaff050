import EgoCore

/// The statement that writes a plan, and what its result says.
///
/// All or nothing: when one entity is not as expected, no row is written, and ``places(_:)`` is nil. Unique keys decide
/// against writers that the statement cannot see yet, and against commands that were carried out before.
struct AppendWrite: Sendable {
    /// Needs ``PostgresStore/lockShared`` before it in its transaction.
    let statement: PostgresStatement
    /// The statement that writes one event by itself, where the plan is no more; given whether the lock is held.
    ///
    /// Without the lock it tries to take it, and writes nothing unless no other transaction was under way: an erasure that
    /// ended between the statement's view and the lock would be one. It writes nothing of an entity that is not as expected
    /// either; which of both it was is found out with the lock.
    let lone: (@Sendable (Bool) -> PostgresStatement)?
    /// For each request, the index of its last event in the order that events are written in.
    private let lastEvents: [Int?]
    /// The number of each event, in that order.
    private let numbers: [Int64]

    init(
        _ plan: AppendPlan, _ group: [AppendRequest], shardCount: UInt32, clock: StoredClock, trimmedJoin: String
    ) {
        if group.count == 1, plan.entities.count == 1, group[0].events.count == 1 {
            let lone = LoneWrite(plan, group[0], shardCount: shardCount, clock: clock, trimmedJoin: trimmedJoin)
            (self.lone, statement) = ({ lone.statement(isLocked: $0) }, lone.statement(isLocked: true))
            (lastEvents, numbers) = ([0], [lone.number])
            return
        }
        var entityNumbers: [PersistenceID: Int] = [:]
        entityNumbers.reserveCapacity(plan.entities.count)
        for (index, entity) in plan.entities.enumerated() { entityNumbers[entity.id] = index + 1 }
        // By entity, so that groups that share entities take their keys in the same order.
        var writes: [(entity: Int, index: Int, before: SequenceNumber)] = []
        writes.reserveCapacity(group.count)
        for (index, decision) in plan.decisions.enumerated() {
            guard case .write(let before) = decision else { continue }
            writes.append((entityNumbers[group[index].persistenceID] ?? 0, index, before))
        }
        writes.sort { ($0.entity, $0.index) < ($1.entity, $1.index) }
        var commands = CommandColumns()
        var events = EventColumns()
        events.reserve(group.count)
        var lastEvents = [Int?](repeating: nil, count: group.count)
        var numbers: [Int64] = []
        var (lastEntity, lastEvent) = (0, Int?.none)
        for (entity, index, before) in writes {
            let request = group[index]
            if let commandID = request.metadata.commandID {
                commands.add(request.persistenceID, commandID, before, before.advanced(by: request.events.count))
            }
            let metadata = request.metadata.encoded
            for (index, event) in request.events.enumerated() {
                let number = before.advanced(by: index + 1)
                numbers.append(Int64(clamping: number.rawValue))
                events.add(
                    entity: Int64(entity), number: number, time: clock.stored(event.timestamp),
                    manifest: event.manifest, payload: event.payload, key: event.encryptionKeyID,
                    isEncrypted: event.isEncrypted, metadata: metadata, unknownFields: event.unknownFields)
            }
            // A command without events is where its entity's last event is.
            lastEvent = request.events.isEmpty ? (entity == lastEntity ? lastEvent : nil) : numbers.count - 1
            lastEntity = entity
            lastEvents[index] = lastEvent
        }
        (lone, self.lastEvents, self.numbers) = (nil, lastEvents, numbers)
        let hasFirst = plan.entities.contains { $0.expected == .zero }
        let entities: [PostgresValue] = [
            .texts(plan.entities.map(\.id.rawValue)),
            .integers(plan.entities.map { Int64(clamping: $0.expected.rawValue) }),
            .integers(plan.entities.map { Int64(Shard(of: $0.id, count: shardCount).rawValue) }),
        ]
        var parameters = entities + events.values
        if hasFirst { parameters.append(.texts(plan.entities.map(\.kind))) }
        let commandsBegin = parameters.count + 1
        if !commands.isEmpty { parameters += commands.values }
        statement = PostgresStatement(
            Self.insert(
                trimmedJoin: trimmedJoin, hasFirst: hasFirst, commandsBegin: commands.isEmpty ? nil : commandsBegin),
            parameters)
    }

    /// Whether a statement without the lock has written. When it has not, it does not say why.
    func isWritten(_ result: PostgresResult) -> Bool { result.rowCount > 0 }

    /// The place of each request's last event; nil when nothing was written.
    func places(_ result: PostgresResult) -> [Offset]? {
        let rows = result.rows
        if numbers.isEmpty { return result.first?.bool(0) == true ? lastEvents.map { _ in .start } : nil }
        guard rows.count == numbers.count, !rows[0].isNull(1) else { return nil }
        // Rows come in the order in which they were written. Nothing says so, so it is looked at.
        let isInOrder = zip(rows, numbers).allSatisfy { $0.integer(3) == $1 }
        return lastEvents.map { index in
            guard let index, isInOrder else { return .start }
            return Offset(transactionID: rows[index].transactionID(1), position: Position(rows[index].integer(2)))
        }
    }

    /// What an entity `u` is at, as far as that says whether it is as expected: at the expected event, where that is there.
    /// Whether there is a later one is what the unique key decides.
    fileprivate static let place = """
        coalesce(found.sequence_number, greatest(known.floor, trimmed.number, 0)) AS last,
        coalesce(found.shard_number, known.shard, u.shard) AS shard
        """
    /// A floor is asked for only where the expected event is not there.
    fileprivate static let placeJoins = """
        LEFT JOIN LATERAL (SELECT sequence_number, shard_number FROM events_store
            WHERE persistence_id = u.id AND sequence_number = u.expected LIMIT 1) found ON true
        LEFT JOIN LATERAL (SELECT floor, shard FROM ego_entities
            WHERE persistence_id = u.id AND found.sequence_number IS NULL LIMIT 1) known ON true
        """

    /// Each table is looked up by a key with a limit: so the server takes the index, also where the plan was made when
    /// there was next to nothing in the table.
    private static func insert(trimmedJoin: String, hasFirst: Bool, commandsBegin: Int?) -> String {
        let made =
            """
            , made AS (
                INSERT INTO ego_entities (persistence_id, kind, shard)
                SELECT e.id, k.kind, e.shard
                FROM entity e JOIN unnest($14::text[]) WITH ORDINALITY AS k(kind, n) ON k.n = e.n CROSS JOIN verdict
                WHERE is_clear AND expected = 0 ORDER BY e.n
                ON CONFLICT (persistence_id) DO UPDATE SET kind = coalesce(ego_entities.kind, excluded.kind)
            )
            """
        let remembered = commandsBegin.map { begin in
            """
            , remembered AS (
                INSERT INTO ego_commands (persistence_id, command_id, before, after)
                SELECT c.id, c.command_id, c.before, c.after
                FROM unnest($\(begin)::text[], $\(begin + 1)::text[], $\(begin + 2)::int8[], $\(begin + 3)::int8[])
                    AS c(id, command_id, before, after)
                CROSS JOIN verdict WHERE is_clear
            )
            """
        }
        return """
            WITH entity AS MATERIALIZED (
                SELECT u.n, u.id, u.expected, \(place)
                FROM unnest($1::text[], $2::int8[], $3::int8[]) WITH ORDINALITY AS u(id, expected, shard, n)
                \(placeJoins) \(trimmedJoin)
            ), verdict AS MATERIALIZED (
                SELECT NOT EXISTS (SELECT 1 FROM entity WHERE last <> expected)
                    AND NOT EXISTS (SELECT 1 FROM ego_tombstones WHERE persistence_id = ANY ($1::text[])) AS is_clear
            )\(hasFirst ? made : "")\(remembered ?? ""), added AS (
                INSERT INTO events_store (persistence_id, sequence_number, event_payload, event_manifest, "timestamp",
                    shard_number, encryption_key_id, is_encrypted, metadata, unknown_fields, checksum)
                SELECT e.id, v.number, v.payload, v.manifest, v.time, e.shard, v.key_id, v.is_encrypted, v.metadata,
                    v.unknown_fields, v.checksum
                FROM unnest($4::int8[], $5::int8[], $6::int8[], $7::text[], $8::bytea[], $9::text[], $10::bool[],
                    $11::bytea[], $12::bytea[], $13::int8[]) WITH ORDINALITY AS v(entity, number, time, manifest,
                        payload, key_id, is_encrypted, metadata, unknown_fields, checksum, n)
                JOIN entity e ON e.n = v.entity CROSS JOIN verdict
                WHERE is_clear ORDER BY v.n
                RETURNING transaction_id, position, sequence_number
            )
            SELECT verdict.is_clear, a.transaction_id, a.position, a.sequence_number
            FROM verdict LEFT JOIN added a ON true
            """
    }
}

/// One event of one entity: without arrays, which take the server longer than the event does.
private struct LoneWrite: Sendable {
    /// The event's number.
    let number: Int64
    private let parameters: [PostgresValue]
    private let kindNumber: Int?
    private let hasCommand: Bool
    private let trimmedJoin: String

    init(
        _ plan: AppendPlan, _ request: AppendRequest, shardCount: UInt32, clock: StoredClock, trimmedJoin: String
    ) {
        let (id, event, expected) = (request.persistenceID, request.events[0], plan.entities[0].expected)
        number = Int64(clamping: expected.next.rawValue)
        var parameters: [PostgresValue] = [
            .id(id), .sequence(expected), .shard(Shard(of: id, count: shardCount)),
            .integer(clock.stored(event.timestamp)), .text(event.manifest), .bytes(event.payload),
            .text(event.encryptionKeyID), .bool(event.isEncrypted),
            // Not null: a null has no type, and would make another statement.
            .bytes(request.metadata.encoded), .bytes(event.unknownFields), .integer(event.payload.payloadChecksum),
        ]
        let (isFirst, commandID) = (expected == .zero, request.metadata.commandID)
        if let commandID { parameters.append(.text(commandID.rawValue)) }
        kindNumber = isFirst ? parameters.count + 1 : nil
        if isFirst { parameters.append(.optional(plan.entities[0].kind)) }
        self.parameters = parameters
        (hasCommand, self.trimmedJoin) = (commandID != nil, trimmedJoin)
    }

    func statement(isLocked: Bool) -> PostgresStatement {
        let insert = Self.insert(
            looksForFloor: isLocked || kindNumber != nil, fence: isLocked ? "" : Self.fence, trimmedJoin: trimmedJoin)
        return PostgresStatement(
            Self.statement(insert, kindNumber: kindNumber, hasCommand: hasCommand), parameters)
    }

    /// Takes the lock and then a transaction ID: the next one after the statement's view unless somebody else has taken
    /// one, and with nobody under way in that view nobody can have committed since.
    private static let fence = """
         AND CASE WHEN pg_try_advisory_xact_lock_shared(\(PostgresStore.erasureLock))
            THEN pg_snapshot_xmin(pg_current_snapshot()) = pg_snapshot_xmax(pg_current_snapshot())
                AND pg_current_xact_id() = pg_snapshot_xmax(pg_current_snapshot())
            ELSE false END
        """

    /// - Parameter looksForFloor: whether the entity may have no event, but a floor; otherwise nothing is written then.
    private static func insert(looksForFloor: Bool, fence: String, trimmedJoin: String) -> String {
        let before =
            looksForFloor
            ? """
            (SELECT \(AppendWrite.place) FROM (SELECT $1::text AS id, $2::int8 AS expected, $3::int8 AS shard) u
            \(AppendWrite.placeJoins) \(trimmedJoin))
            """
            : """
            (SELECT sequence_number AS last, shard_number AS shard FROM events_store
            WHERE persistence_id = $1 AND sequence_number = $2)
            """
        return """
            INSERT INTO events_store (persistence_id, sequence_number, "timestamp", event_manifest, event_payload,
                encryption_key_id, is_encrypted, metadata, unknown_fields, checksum, shard_number)
            SELECT $1, $2 + 1, $4, $5, $6, $7, $8, CASE WHEN $9 <> '' THEN $9 END, CASE WHEN $10 <> '' THEN $10 END, $11,
                shard
            FROM \(before) before
            WHERE last = $2 AND NOT EXISTS (SELECT 1 FROM ego_tombstones WHERE persistence_id = $1)\(fence)
            RETURNING true, transaction_id, position, sequence_number, shard_number
            """
    }

    private static func statement(_ insert: String, kindNumber: Int?, hasCommand: Bool) -> String {
        if kindNumber == nil, !hasCommand { return insert }
        let made = kindNumber.map { number in
            """
            , made AS (
                INSERT INTO ego_entities (persistence_id, kind, shard)
                SELECT $1, $\(number)::text, shard_number FROM added
                ON CONFLICT (persistence_id) DO UPDATE SET kind = coalesce(ego_entities.kind, excluded.kind)
            )
            """
        }
        let remembered = """
            , remembered AS (
                INSERT INTO ego_commands (persistence_id, command_id, before, after) SELECT $1, $12, $2, $2 + 1 FROM added
            )
            """
        return """
            WITH added AS (\(insert))\(made ?? "")\(hasCommand ? remembered : "")
            SELECT true, transaction_id, position, sequence_number FROM added
            """
    }
}

extension AppendPlan {
    /// The outcome of each request, given the place of the last event of each that was written.
    func settled(at places: [Offset], _ group: [AppendRequest]) -> [AppendOutcome] {
        zip(decisions, group).enumerated().map { index, pair in
            switch pair.0 {
            case .outcome(let outcome): return outcome
            case .write(let before):
                let last = before.advanced(by: pair.1.events.count)
                return .appended(last: last, offset: index < places.count ? places[index] : .start)
            }
        }
    }
}
