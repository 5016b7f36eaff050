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
            if plan.entities.isEmpty { return plan.settled([], group) }
            switch try await attempt(plan, group) {
            case .appended(let offsets):
                notifier.notify()
                return plan.settled(offsets, group)
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
        /// All is there; the place of each request's last event.
        case appended([Offset?])
        /// Nothing is there: an entity is not as the plan has it.
        case refused(StoreError?)
        case lost(StoreError)
    }

    /// Writes a plan in one transaction and one round trip.
    private func attempt(_ plan: AppendPlan, _ group: [AppendRequest]) async throws(StoreError) -> Attempt {
        if plan.isLone(group), calm.isExpected {
            if let attempt = try await attempt(plan, group, isLocked: false) { return attempt }
            calm.wasMissed()
        }
        return try await attempt(plan, group, isLocked: true) ?? .refused(nil)
    }

    /// - Parameter isLocked: whether it is to hold the lock; without it only a lone event can be tried, where a connection
    ///   has a session of its own.
    /// - Returns: nil when that could not decide.
    private func attempt(
        _ plan: AppendPlan, _ group: [AppendRequest], isLocked: Bool
    ) async throws(StoreError) -> Attempt? {
        let bytes = group.reduce(0) { $0 + $1.events.reduce(0) { $0 + $1.payload.count + 100 } }
        return try await appenders.exchange(.again, bytes: bytes) {
            [self] (connection) -> ([PostgresStatement], (write: AppendWrite, isLocked: Bool)) in
            let write = write(plan, group, on: connection.session)
            guard !isLocked, let lone = write.lone, !connection.session.isPooled else {
                return (connection.atomic([Self.lockShared] + write.statements), (write, true))
            }
            return ([lone], (write, false))
        } _: { [self] (connection, sent, receive) throws(StoreError) in
            do throws(PostgresError) {
                let results = connection.results(ofAtomic: try receive())
                guard let written = sent.write.written(sent.isLocked ? Array(results.dropFirst()) : results) else {
                    return sent.isLocked ? .refused(nil) : nil
                }
                remember(written, of: group, on: connection.session)
                return .appended(written.map { $0?.offset })
            } catch {
                let failure = StoreError(error, during: "append")
                if error.isConnectionLost { return .lost(failure) }
                // Somebody else was faster, and is committed now: what is there has to be read again.
                if error.isRefusal || error.isUniqueViolation || error.isTransient { return .refused(failure) }
                throw failure
            }
        }
    }

    /// What writes a plan. Events are known to be there on one server only, and where nobody deletes what is not known.
    private func write(_ plan: AppendPlan, _ group: [AppendRequest], on session: PostgresSession) -> AppendWrite {
        let shards =
            session.isPooled || hasOtherWriters
            ? plan.entities.map { _ in nil } : writtenEvents.shards(of: plan.entities, on: session.server)
        return AppendWrite(
            plan, group, shards: shards, shardCount: shardCount, clock: clock,
            trimmedJoin: trimmedJoin(of: "v", unless: "found"))
    }

    private func remember(
        _ written: [AppendWrite.Written?], of group: [AppendRequest], on session: PostgresSession
    ) {
        if session.isPooled || hasOtherWriters { return }
        writtenEvents.add(written, of: group, on: session.server)
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
        let turn = try await appenders.run(.again) { [self] (connection) throws(StoreError) -> Turn in
            var sent: AppendPlan?
            do throws(PostgresError) {
                return try connection.transaction { () throws(PostgresError) -> Turn in
                    _ = try connection.batch([Self.lockShared, PostgresStatement(Self.lockEntities, [.texts(ids)])])
                    let found = Self.knowledge(try connection.batch(look))
                    guard let plan = AppendPlan(group, knowledge: found) else { return .beaten }
                    if plan.entities.isEmpty { return .done(plan.settled([], group)) }
                    sent = plan
                    let write = write(plan, group, on: connection.session)
                    guard let written = write.written(try connection.batch(write.statements)) else { return .beaten }
                    return .done(plan.settled(written.map { $0?.offset }, group))
                }
            } catch {
                let failure = StoreError(error, during: "append")
                if error.isConnectionLost { return .lost(sent, failure) }
                if error.isRefusal || error.isUniqueViolation || error.isTransient { return .beaten }
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

    /// Keeps an erasure from committing between an append's look at the entity and its commit.
    static let lockShared = PostgresStatement("SELECT pg_advisory_xact_lock_shared(\(erasureLock))")
    static let erasureLock = "1162303264::bigint << 32 | 'events_store'::regclass::oid::bigint"
    static let lockExclusive = "SELECT pg_advisory_xact_lock(\(erasureLock))"

    // MARK: What is there

    /// What eGo for Go has deleted of an `entity`; asked for only where an `event` was not found.
    func trimmedJoin(of entity: String, unless event: String) -> String {
        hasOtherWriters
            ? """
            LEFT JOIN LATERAL (SELECT \(trimmed("\(entity).id")) AS number WHERE \(event).sequence_number IS NULL)
                trimmed ON true
            """
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
        \(trimmedJoin(of: "u", unless: "newest"))
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
        var offsets = [Offset?](repeating: nil, count: group.count)
        var isTold = false
        for (index, (request, decision)) in zip(group, plan.decisions).enumerated() {
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
            offsets[index] = found.last?.offset
        }
        return isTold ? plan.settled(offsets, group) : nil
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
