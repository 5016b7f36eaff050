public import EgoCore

extension PostgresStore {
    /// How often a group is decided anew when other processes write the same entities.
    private static let attempts = 20
    /// After so many attempts a group waits for its turn on its entities.
    private static let attemptsWithoutLock = 2

    public func append(_ group: [AppendRequest]) async throws(StoreError) -> [AppendOutcome] {
        if group.isEmpty { return [] }
        try checkWritable()
        var uncertain: AppendPlan?
        do throws(StoreError) { return try await append(group, &uncertain) } catch {
            if uncertain == nil { throw error }
            throw StoreError(
                .unavailable, "append: the connection was lost; whether the events are there is not known",
                cause: error.cause ?? error)
        }
    }

    /// - Parameter uncertain: what was sent on a connection that was lost: it may be there, or may yet appear.
    private func append(
        _ group: [AppendRequest], _ uncertain: inout AppendPlan?
    ) async throws(StoreError) -> [AppendOutcome] {
        var knowledge: [PersistenceID: AppendPlan.Knowledge]?
        var lastError: StoreError?
        for number in 0..<Self.attempts {
            if let sent = uncertain {
                if let outcomes = try await outcomes(of: group, sentAs: sent) { return outcomes }
                knowledge = try await self.knowledge(of: group)
            }
            if number > Self.attemptsWithoutLock, uncertain == nil {
                switch try await appendInTurn(group) {
                case .done(let outcomes): return outcomes
                case .beaten: break
                case .lost(let plan, let error): (uncertain, lastError) = (plan, error)
                }
                continue
            }
            guard let plan = AppendPlan(group, knowledge: knowledge) else {
                knowledge = try await self.knowledge(of: group)
                continue
            }
            if plan.entities.isEmpty { return plan.settled(with: [:], group) }
            switch try await attempt(plan, group) {
            case .appended(let offsets):
                notifier.notify()
                return plan.settled(with: offsets, group)
            case .refused(let error):
                lastError = error
                knowledge = try await self.knowledge(of: group)
            case .lost(let error):
                lastError = error
                uncertain = plan
            }
        }
        throw StoreError(
            .busy, "append: other processes wrote the same entities \(Self.attempts) times", cause: lastError?.cause)
    }

    private enum Attempt: Sendable {
        /// All is there; the places of the events by entity and number.
        case appended([PersistenceID: [UInt64: Offset]])
        /// Nothing is there: an entity is not as the plan has it.
        case refused(StoreError?)
        case lost(StoreError)
    }

    /// Writes a plan in one transaction and one round trip.
    private func attempt(_ plan: AppendPlan, _ group: [AppendRequest]) async throws(StoreError) -> Attempt {
        let statement = PostgresStatement(insert, parameters(plan, group))
        return try await pool.run(.again) { (connection) throws(StoreError) in
            do throws(PostgresError) {
                let results = try connection.pipeline([PostgresStore.lockShared, statement])
                guard let result = results.last, let first = result.first, first.bool(0) else { return .refused(nil) }
                return .appended(Self.offsets(result))
            } catch {
                let failure = StoreError(error, during: "append")
                if error.isConnectionLost { return .lost(failure) }
                // Somebody else was faster, and is committed now: what is there has to be read again.
                if error.isUniqueViolation || error.isTransient { return .refused(failure) }
                throw failure
            }
        }
    }

    private enum Turn: Sendable {
        case done([AppendOutcome])
        /// Somebody who did not wait was faster; nothing is there.
        case beaten
        /// What was sent, if anything was, may be there.
        case lost(AppendPlan?, StoreError)
    }

    /// Takes the entities' locks first, then looks at them and writes. Whoever appends to an entity that many processes
    /// append to waits here for its turn, instead of being the slower one again and again.
    private func appendInTurn(_ group: [AppendRequest]) async throws(StoreError) -> Turn {
        let ids = Set(group.map(\.persistenceID)).sorted().map { Optional($0.rawValue) }
        let look = knowledgeStatements(of: group)
        let insert = insert
        let turn = try await pool.run(.again) { (connection) throws(StoreError) -> Turn in
            var sent: AppendPlan?
            do throws(PostgresError) {
                return try connection.transaction { () throws(PostgresError) -> Turn in
                    _ = try connection.batch([Self.lockShared, PostgresStatement(Self.lockEntities, [.texts(ids)])])
                    let found = Self.knowledge(try connection.batch(look))
                    guard let plan = AppendPlan(group, knowledge: found) else { return .beaten }
                    if plan.entities.isEmpty { return .done(plan.settled(with: [:], group)) }
                    sent = plan
                    let written = try connection.batch([PostgresStatement(insert, self.parameters(plan, group))])
                    guard let result = written.first, let first = result.first, first.bool(0) else { return .beaten }
                    return .done(plan.settled(with: Self.offsets(result), group))
                }
            } catch {
                let failure = StoreError(error, during: "append")
                if error.isConnectionLost { return .lost(sent, failure) }
                if error.isUniqueViolation || error.isTransient { return .beaten }
                throw failure
            }
        }
        if case .done = turn { notifier.notify() }
        return turn
    }

    private static let lockEntities = """
        SELECT count(pg_advisory_xact_lock('events_store'::regclass::oid::int4, hashtext(id)))
        FROM (SELECT unnest($1::text[]) AS id) ids
        """

    private static func offsets(_ result: PostgresResult) -> [PersistenceID: [UInt64: Offset]] {
        var offsets: [PersistenceID: [UInt64: Offset]] = [:]
        for row in result.rows where !row.isNull(1) {
            offsets[PersistenceID(stored: row.text(1)), default: [:]][UInt64(clamping: row.integer(2))] = Offset(
                transactionID: row.transactionID(3), position: Position(row.integer(4)))
        }
        return offsets
    }

    /// Keeps an erasure from committing between an append's look at the entity and its commit.
    static let lockShared = PostgresStatement(
        "SELECT pg_advisory_xact_lock_shared(1162303264::bigint << 32 | 'events_store'::regclass::oid::bigint)")
    static let lockExclusive =
        "SELECT pg_advisory_xact_lock(1162303264::bigint << 32 | 'events_store'::regclass::oid::bigint)"

    /// All or nothing: when one entity is not as expected, no row is written, and the first column is false. A unique key
    /// decides against writers that this statement cannot see yet.
    private var insert: String {
        """
        WITH entity AS MATERIALIZED (
            SELECT u.n, u.id, u.expected, u.kind, coalesce(newest.shard_number, known.shard, u.shard) AS shard,
                greatest(newest.sequence_number, known.floor, trimmed.number, 0) AS last, erased.sequence_number IS NOT NULL AS is_erased
            FROM unnest($1::text[], $2::int8[], $3::text[], $4::int8[]) WITH ORDINALITY
                AS u(id, expected, kind, shard, n)
            LEFT JOIN LATERAL (SELECT sequence_number, shard_number FROM events_store
                WHERE persistence_id = u.id ORDER BY sequence_number DESC LIMIT 1) newest ON true
            LEFT JOIN LATERAL (SELECT floor, shard FROM ego_entities WHERE persistence_id = u.id LIMIT 1) known ON true
            LEFT JOIN LATERAL (SELECT sequence_number FROM ego_tombstones
                WHERE persistence_id = u.id LIMIT 1) erased ON true
            \(trimmedJoin)
        ), verdict AS MATERIALIZED (
            SELECT NOT EXISTS (SELECT 1 FROM entity WHERE is_erased OR last <> expected)
                AND NOT EXISTS (SELECT 1 FROM unnest($5::text[], $6::text[]) AS c(id, command_id)
                    WHERE EXISTS (SELECT 1 FROM ego_commands k
                        WHERE k.persistence_id = c.id AND k.command_id = c.command_id)) AS is_clear
        ), made AS (
            INSERT INTO ego_entities (persistence_id, kind, shard)
            SELECT id, kind, shard FROM entity CROSS JOIN verdict WHERE is_clear AND expected = 0 ORDER BY n
            ON CONFLICT (persistence_id) DO UPDATE SET kind = coalesce(ego_entities.kind, excluded.kind)
        ), remembered AS (
            INSERT INTO ego_commands (persistence_id, command_id, before, after)
            SELECT c.id, c.command_id, c.before, c.after
            FROM unnest($5::text[], $6::text[], $7::int8[], $8::int8[]) AS c(id, command_id, before, after)
            CROSS JOIN verdict WHERE is_clear ORDER BY c.id COLLATE "C", c.command_id COLLATE "C"
        ), added AS (
            INSERT INTO events_store (persistence_id, sequence_number, event_payload, event_manifest, "timestamp",
                shard_number, encryption_key_id, is_encrypted, metadata, unknown_fields, checksum)
            SELECT e.id, v.number, v.payload, v.manifest, v.time, e.shard, v.key_id, v.is_encrypted, v.metadata,
                v.unknown_fields, v.checksum
            FROM unnest($9::int8[], $10::int8[], $11::int8[], $12::text[], $13::bytea[], $14::text[], $15::bool[],
                $16::bytea[], $17::bytea[], $18::int8[]) WITH ORDINALITY
                AS v(entity, number, time, manifest, payload, key_id, is_encrypted, metadata, unknown_fields, checksum, n)
            JOIN entity e ON e.n = v.entity CROSS JOIN verdict
            WHERE is_clear ORDER BY e.n, v.number
            RETURNING persistence_id, sequence_number, transaction_id, position
        )
        SELECT verdict.is_clear, a.persistence_id, a.sequence_number, a.transaction_id, a.position
        FROM verdict LEFT JOIN added a ON true
        """
    }

    private func parameters(_ plan: AppendPlan, _ group: [AppendRequest]) -> [PostgresValue] {
        var numbers: [PersistenceID: Int64] = [:]
        for (index, entity) in plan.entities.enumerated() { numbers[entity.id] = Int64(index + 1) }
        var commands = CommandColumns()
        var events = EventColumns()
        for (request, decision) in zip(group, plan.decisions) {
            guard case .write(let before) = decision else { continue }
            if let commandID = request.metadata.commandID {
                commands.add(request.persistenceID, commandID, before, before.advanced(by: request.events.count))
            }
            let metadata = request.metadata.encoded
            for (index, event) in request.events.enumerated() {
                events.add(
                    entity: numbers[request.persistenceID] ?? 0, number: before.advanced(by: index + 1),
                    time: clock.stored(event.timestamp), manifest: event.manifest, payload: event.payload,
                    key: event.encryptionKeyID, isEncrypted: event.isEncrypted, metadata: metadata,
                    unknownFields: event.unknownFields)
            }
        }
        return [
            .texts(plan.entities.map(\.id.rawValue)),
            .integers(plan.entities.map { Int64(clamping: $0.expected.rawValue) }),
            .texts(plan.entities.map(\.kind)),
            .integers(plan.entities.map { Int64(Shard(of: $0.id, count: shardCount).rawValue) }),
        ] + commands.values + events.values
    }

    // MARK: What is there

    /// What eGo for Go has deleted of an entity; asked for only where it has no event.
    var trimmedJoin: String {
        hasOtherWriters
            ? "LEFT JOIN LATERAL (SELECT \(trimmed("u.id")) AS number WHERE newest.sequence_number IS NULL) trimmed ON true"
            : "CROSS JOIN (SELECT NULL::bigint AS number) trimmed"
    }

    private var selectEntities: String {
        """
        SELECT u.id, greatest(newest.sequence_number, known.floor, erased.sequence_number, trimmed.number, 0),
            erased.sequence_number IS NOT NULL
        FROM unnest($1::text[]) AS u(id)
        LEFT JOIN LATERAL (SELECT sequence_number FROM events_store
            WHERE persistence_id = u.id ORDER BY sequence_number DESC LIMIT 1) newest ON true
        LEFT JOIN LATERAL (SELECT floor FROM ego_entities WHERE persistence_id = u.id LIMIT 1) known ON true
        LEFT JOIN LATERAL (SELECT sequence_number FROM ego_tombstones WHERE persistence_id = u.id LIMIT 1) erased ON true
        \(trimmedJoin)
        """
    }
    private static let selectCommands = """
        SELECT k.persistence_id, k.command_id, k.before, k.after
        FROM unnest($1::text[], $2::text[]) AS c(id, command_id)
        CROSS JOIN LATERAL (SELECT * FROM ego_commands
            WHERE persistence_id = c.id AND command_id = c.command_id LIMIT 1) k
        """

    private func knowledgeStatements(of group: [AppendRequest]) -> [PostgresStatement] {
        let ids = Set(group.map(\.persistenceID)).sorted().map { Optional($0.rawValue) }
        let commands = group.compactMap { request in
            request.metadata.commandID.map { (request.persistenceID.rawValue, $0.rawValue) }
        }
        return [
            PostgresStatement(selectEntities, [.texts(ids)]),
            PostgresStatement(Self.selectCommands, [.texts(commands.map(\.0)), .texts(commands.map(\.1))]),
        ]
    }

    private static func knowledge(_ results: [PostgresResult]) -> [PersistenceID: AppendPlan.Knowledge] {
        var knowledge: [PersistenceID: AppendPlan.Knowledge] = [:]
        for row in results[0].rows {
            knowledge[PersistenceID(stored: row.text(0))] = AppendPlan.Knowledge(
                last: UInt64(clamping: row.integer(1)), isErased: row.bool(2))
        }
        for row in results[1].rows {
            let id = CommandID(stored: row.text(1))
            knowledge[PersistenceID(stored: row.text(0))]?.commands[id] = CommandRecord(
                commandID: id, before: SequenceNumber(UInt64(clamping: row.integer(2))),
                after: SequenceNumber(UInt64(clamping: row.integer(3))))
        }
        return knowledge
    }

    private func knowledge(
        of group: [AppendRequest]
    ) async throws(StoreError) -> [PersistenceID: AppendPlan.Knowledge] {
        let look = knowledgeStatements(of: group)
        return try await read("read entities") { (connection) throws(PostgresError) in
            Self.knowledge(try connection.pipeline(look))
        }
    }

    // MARK: What became of a group whose connection was lost

    /// The outcomes of a group that was sent on a lost connection, when it is there; nil when it is not.
    ///
    /// The group is one transaction, so one of its requests tells for all. A command ID is remembered with the numbers of
    /// its events. Without one the rows themselves tell: nobody else writes the same bytes with the same nanosecond at
    /// the same place.
    private func outcomes(
        of group: [AppendRequest], sentAs plan: AppendPlan
    ) async throws(StoreError) -> [AppendOutcome]? {
        var offsets: [PersistenceID: [UInt64: Offset]] = [:]
        var isTold = false
        for (request, decision) in zip(group, plan.decisions) {
            guard case .write(let before) = decision else { continue }
            let after = before.advanced(by: request.events.count)
            if let commandID = request.metadata.commandID, !isTold {
                let record = try await command(commandID, of: request.persistenceID)
                guard record == CommandRecord(commandID: commandID, before: before, after: after) else { return nil }
                isTold = true
            }
            if request.events.isEmpty { continue }
            let found = try await all(request.persistenceID, from: before.next, through: after)
            if !isTold {
                guard found.count == request.events.count, found.allSatisfy({ $0.metadata == request.metadata }),
                    zip(found, request.events).allSatisfy(isSame)
                else {
                    return nil
                }
                isTold = true
            }
            for event in found {
                offsets[request.persistenceID, default: [:]][event.sequenceNumber.rawValue] = event.offset
            }
        }
        return isTold ? plan.settled(with: offsets, group) : nil
    }

    private func all(
        _ id: PersistenceID, from first: SequenceNumber, through last: SequenceNumber
    ) async throws(StoreError) -> [PersistedEvent] {
        var found: [PersistedEvent] = []
        while true {
            let next = found.last?.sequenceNumber.next ?? first
            if next > last { return found }
            let page = try await events(of: id, from: next, through: last, limit: .standard)
            if page.isEmpty { return found }
            found += page
        }
    }

    private func isSame(_ found: PersistedEvent, _ sent: NewEvent) -> Bool {
        found.payload == sent.payload && found.manifest == sent.manifest
            && found.timestamp == clock.moment(clock.stored(sent.timestamp))
    }
}

extension AppendPlan {
    /// The outcome of each request, given the places of what was written.
    func settled(with offsets: [PersistenceID: [UInt64: Offset]], _ group: [AppendRequest]) -> [AppendOutcome] {
        zip(decisions, group).map { decision, request in
            switch decision {
            case .outcome(let outcome): return outcome
            case .write(let before):
                let last = before.advanced(by: request.events.count)
                return .appended(last: last, offset: offsets[request.persistenceID]?[last.rawValue] ?? .start)
            }
        }
    }
}

/// The columns of remembered commands, as arrays.
struct CommandColumns {
    private var ids: [String?] = []
    private var commands: [String?] = []
    private var before: [Int64] = []
    private var after: [Int64] = []

    mutating func add(
        _ id: PersistenceID, _ command: CommandID, _ before: SequenceNumber, _ after: SequenceNumber
    ) {
        ids.append(id.rawValue)
        commands.append(command.rawValue)
        self.before.append(Int64(clamping: before.rawValue))
        self.after.append(Int64(clamping: after.rawValue))
    }

    var values: [PostgresValue] { [.texts(ids), .texts(commands), .integers(before), .integers(after)] }
}

/// The columns of events that are inserted, as arrays.
struct EventColumns {
    private var entities: [Int64] = []
    private var numbers: [Int64] = []
    private var times: [Int64] = []
    private var manifests: [String?] = []
    private var payloads: [[UInt8]?] = []
    private var keys: [String?] = []
    private var areEncrypted: [Bool] = []
    private var metadata: [[UInt8]?] = []
    private var unknownFields: [[UInt8]?] = []
    private var checksums: [Int64] = []

    mutating func add(
        entity: Int64, number: SequenceNumber, time: Int64, manifest: String, payload: [UInt8], key: String,
        isEncrypted: Bool, metadata: [UInt8], unknownFields: [UInt8]
    ) {
        entities.append(entity)
        numbers.append(Int64(clamping: number.rawValue))
        times.append(time)
        manifests.append(manifest)
        payloads.append(payload)
        keys.append(key)
        areEncrypted.append(isEncrypted)
        self.metadata.append(metadata.isEmpty ? nil : metadata)
        self.unknownFields.append(unknownFields.isEmpty ? nil : unknownFields)
        checksums.append(payload.payloadChecksum)
    }

    var values: [PostgresValue] {
        [
            .integers(entities), .integers(numbers), .integers(times), .texts(manifests), .blobs(payloads),
            .texts(keys), .bools(areEncrypted), .blobs(metadata), .blobs(unknownFields),
            .integers(checksums),
        ]
    }
}
