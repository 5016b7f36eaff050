public import EgoCore

extension SQLiteStore {
    private static let selectLeaseGeneration = "SELECT generation FROM ego_leases WHERE name = ?1 AND owner IS NOT NULL"

    public func commit(
        _ changes: [OperatorChange], under lease: Lease?, with work: ReadModelWork?
    ) async throws(StoreError) -> [Int] {
        let shardCount = shardCount
        let keepsEntities = work == nil && changes.allSatisfy(Self.keepsEntities)
        return try await write(keepsEntities: keepsEntities) { (connection) throws(StoreError) in
            if keepsEntities {
                try connection.run("look for other writers") { () throws(SQLiteError) in
                    try connection.forgetEntitiesOfOthers()
                }
            }
            if let lease {
                let generation = try connection.run("check lease") { () throws(SQLiteError) in
                    try connection.first(Self.selectLeaseGeneration, [.text(lease.name)]) { $0.integer(0) }
                }
                guard generation == Int64(bitPattern: lease.generation) else {
                    throw StoreError(.fenced, "the lease on \(lease.name) was lost")
                }
            }
            var counts: [Int] = []
            for change in changes {
                switch change {
                case .addEvents(let events):
                    counts.append(try Self.add(events, on: connection, shardCount: shardCount))
                case .saveProjection(let record):
                    let saved = try connection.run("save projection") { () throws(SQLiteError) in
                        try connection.save(record)
                    }
                    if saved == 0 { throw .changedMeanwhile(record) }
                    counts.append(saved)
                default:
                    let count = try connection.run("change the store") { () throws(SQLiteError) in
                        try Self.make(change, on: connection, shardCount: shardCount)
                    }
                    counts.append(count)
                }
            }
            if let work {
                let transaction = SQLiteTransaction(connection)
                defer { transaction.end() }
                do { try work(transaction) } catch { throw .ofReadModel(error) }
            }
            return counts
        }
    }

    public func inspect(_ work: @escaping ReadModelWork) async throws(StoreError) {
        try await readAtLength { (connection) throws(StoreError) in
            try connection.transaction(.read) { () throws(StoreError) in
                let transaction = SQLiteTransaction(connection)
                defer { transaction.end() }
                do { try work(transaction) } catch { throw .ofReadModel(error) }
            }
        }
    }

    private static let deleteEvents = "DELETE FROM ego_events WHERE entity = ?1 AND sequence_number <= ?2"
    private static let raiseFloor = "UPDATE ego_entities SET floor = max(floor, ?2) WHERE id = ?1"
    private static let deleteSnapshots = "DELETE FROM ego_snapshots WHERE entity = ?1 AND sequence_number <= ?2"
    private static let deleteDeadLetters = "DELETE FROM ego_dead_letters WHERE persistence_id = ?1"
    private static let deleteState = "DELETE FROM ego_states WHERE entity = ?1"
    private static let deleteCommands = "DELETE FROM ego_commands WHERE entity = ?1"
    private static let insertTombstone = """
        INSERT INTO ego_tombstones (entity, sequence_number, erased_at, number)
        VALUES (?1, ?2, ?3, (SELECT coalesce(max(number), 0) + 1 FROM ego_tombstones))
        ON CONFLICT (entity) DO NOTHING
        """
    private static let upsertJob = """
        INSERT INTO ego_jobs (id, kind, state, arguments, checkpoint, created_at, updated_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
        ON CONFLICT (id) DO UPDATE SET state = excluded.state, checkpoint = excluded.checkpoint,
            updated_at = excluded.updated_at
        """
    private static let selectLastAudit = "SELECT number, hash FROM ego_audit ORDER BY number DESC LIMIT 1"
    private static let insertAudit = """
        INSERT INTO ego_audit (number, timestamp, actor, action, arguments, reason, result, previous_hash, hash)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
        """
    private static let upsertHold = """
        INSERT INTO ego_holds (persistence_id, reason, placed_at) VALUES (?1, ?2, ?3)
        ON CONFLICT (persistence_id) DO UPDATE SET reason = excluded.reason, placed_at = excluded.placed_at
        """
    private static let deleteHold = "DELETE FROM ego_holds WHERE persistence_id = ?1"

    /// The last event up to a number that every projection of the shard has passed.
    private static let selectPassed = """
        SELECT max(sequence_number) FROM ego_events WHERE entity = ?1 AND sequence_number <= ?2
            AND position <= coalesce((SELECT min(position) FROM ego_offsets WHERE shard = ?3), position)
        """
    private static let selectHold = "SELECT 1 FROM ego_holds WHERE persistence_id = ?1"

    private static func isHeld(_ id: PersistenceID, on connection: SQLiteConnection) throws(SQLiteError) -> Bool {
        try connection.first(selectHold, [.text(id.rawValue)]) { _ in true } ?? false
    }

    private static let selectNewestSnapshot = "SELECT max(sequence_number) FROM ego_snapshots WHERE entity = ?1"
    private static let updateKind = "UPDATE ego_entities SET kind = ?2 WHERE persistence_id = ?1 AND kind IS NULL"
    private static let setFloor = "UPDATE ego_entities SET floor = ?2 WHERE id = ?1"
    private static let upsertCommand = """
        INSERT INTO ego_commands (entity, command_id, before, after) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (entity, command_id) DO UPDATE SET after = max(after, excluded.after)
        """

    /// Adds events as they are.
    private static func add(
        _ events: [PersistedEvent], on connection: SQLiteConnection, shardCount: UInt32
    ) throws(StoreError) -> Int {
        let added = try connection.run("add events") { () throws(SQLiteError) -> Result<Int, StoreError> in
            var count = 0
            // Events of one entity often come together.
            var last: (id: PersistenceID, entity: KnownEntity)?
            for event in events {
                let entity: KnownEntity
                if let last, last.id == event.persistenceID {
                    entity = last.entity
                } else {
                    entity = try connection.knownEntity(
                        making: event.persistenceID, kind: nil, shardCount: shardCount)
                    last = (event.persistenceID, entity)
                }
                if let failure = try add(event, to: entity, on: connection) { return .failure(failure) }
                if !entity.row.isErased { count += 1 }
            }
            return .success(count)
        }
        return try added.get()
    }

    /// Adds an event as it is, unless its entity was erased; returns why it cannot be.
    private static func add(
        _ event: PersistedEvent, to entity: KnownEntity, on connection: SQLiteConnection
    ) throws(SQLiteError) -> StoreError? {
        let row = entity.row
        if row.isErased { return nil }
        if event.sequenceNumber > .largestAdded { return .outOfRange(event) }
        let number = Int64(clamping: event.sequenceNumber.rawValue)
        if row.last == 0, number > 1 {
            try connection.execute(setFloor, [.integer(row.id), .integer(number - 1)])
            entity.row.floor = number - 1
            entity.row.last = number - 1
        }
        let last = entity.row.last
        guard number == last + 1 else {
            return StoreError(.conflict, event, after: SequenceNumber(UInt64(last)))
        }
        let metadata = event.metadata
        try connection.insert(
            EventRow(
                entity: row.id, number: number, timestamp: event.timestamp, shard: row.shard,
                manifest: event.manifest,
                flags: EventFlags(isEncrypted: event.isEncrypted, isDeleted: event.isDeleted),
                encryptionKeyID: event.encryptionKeyID, metadata: metadata.encoded,
                unknownFields: event.unknownFields, payload: event.payload))
        if let commandID = metadata.commandID {
            try connection.execute(
                upsertCommand,
                [.integer(row.id), .text(commandID.rawValue), .integer(last), .integer(number)])
        }
        entity.row.last = number
        return nil
    }

    /// Whether what a connection knows of entities is still right after a change.
    private static func keepsEntities(_ change: OperatorChange) -> Bool {
        switch change {
        case .addEvents, .saveProjection, .advance, .saveJob, .audit: true
        default: false
        }
    }

    private static func make(
        _ change: OperatorChange, on connection: SQLiteConnection, shardCount: UInt32
    ) throws(SQLiteError) -> Int {
        switch change {
        case .addEvents, .saveProjection: return 0  // have errors of their own; see commit(_:under:with:)
        case .advance(let advance): return try connection.advance(advance)
        case .forgetVersion(let version, let name): return try connection.forgetVersion(version, of: name)
        case .forgetProjection(let name):
            return try connection.forgetVersion(nil, of: name)
                + connection.execute("DELETE FROM ego_projections WHERE name = ?1", [.text(name)])
        case .deleteDeadLetter(let name, let version, let offset):
            return try connection.execute(
                "DELETE FROM ego_dead_letters WHERE projection = ?1 AND version = ?2 AND position = ?3",
                [.text(name), .integer(Int64(version)), .integer(offset.position.rawValue)])
        case .breakLease(let name):
            return try connection.execute(
                "UPDATE ego_leases SET generation = generation + 1 WHERE name = ?1", [.text(name)])
        case .raiseFloor(let id, let number):
            let entity = try connection.entity(making: id, kind: nil, shardCount: shardCount)
            if entity.isErased || entity.last >= Int64(clamping: number.rawValue) || entity.last > entity.floor {
                return 0
            }
            return try connection.execute(raiseFloor, [.integer(entity.id), .sequence(number)])
        case .recordKind(let kind, let id):
            _ = try connection.entity(making: id, kind: nil, shardCount: shardCount)
            return try connection.execute(updateKind, [.text(id.rawValue), .integer(try connection.nameID(kind))])
        case .addState(let state): return try connection.add(state, shardCount: shardCount)
        case .retireEvents(let id, let number):
            guard let entity = try connection.entity(id), try !isHeld(id, on: connection) else { return 0 }
            let passed = try connection.first(
                selectPassed, [.integer(entity.id), .sequence(number), .integer(entity.shard)], { $0.integer(0) })
            let through = SequenceNumber(UInt64(passed ?? 0))
            return try make(.deleteEvents(of: id, through: through), on: connection, shardCount: shardCount)
        case .retireSnapshots(let id, let number):
            guard let entity = try connection.entity(id), try !isHeld(id, on: connection) else { return 0 }
            var through = number
            if entity.floor > 0,
                let newest = try connection.first(selectNewestSnapshot, [.integer(entity.id)], { $0.integer(0) }),
                newest > 0
            {
                through = min(number, SequenceNumber(UInt64(newest - 1)))
            }
            return try make(.deleteSnapshots(of: id, through: through), on: connection, shardCount: shardCount)
        case .deleteEvents(let id, let number):
            guard let entity = try connection.entity(id) else { return 0 }
            let through = min(number, SequenceNumber(UInt64(entity.last)))
            try connection.execute(SQLiteConnection.lowerMarks, [.integer(entity.id), .sequence(through)])
            let deleted = try connection.execute(deleteEvents, [.integer(entity.id), .sequence(through)])
            try connection.execute(raiseFloor, [.integer(entity.id), .sequence(through)])
            return deleted
        case .deleteSnapshots(let id, let number):
            guard let entity = try connection.entity(id) else { return 0 }
            return try connection.execute(deleteSnapshots, [.integer(entity.id), .sequence(number)])
        case .eraseTraces(let id):
            var count = try connection.execute(deleteDeadLetters, [.text(id.rawValue)])
            if let entity = try connection.entity(id) {
                count += try connection.execute(deleteCommands, [.integer(entity.id)])
            }
            return count
        case .dropInlineState(let id, let first, let last):
            return try connection.dropInlineState(of: id, from: first, through: last)
        case .saveSnapshot(let snapshot):
            return try connection.save(snapshot, shardCount: shardCount)
        case .deleteState(let id):
            guard let entity = try connection.entity(id) else { return 0 }
            return try connection.execute(deleteState, [.integer(entity.id)])
        case .placeTombstone(let tombstone):
            let entity = try connection.entity(making: tombstone.persistenceID, kind: nil, shardCount: shardCount)
            try connection.execute(deleteCommands, [.integer(entity.id)])
            return try connection.execute(
                insertTombstone,
                [.integer(entity.id), .sequence(tombstone.sequenceNumber), .time(tombstone.erasedAt)])
        case .saveJob(let job):
            return try connection.execute(
                upsertJob,
                [
                    .text(job.id), .text(job.kind), .text(job.state.rawValue), .text(job.arguments),
                    .text(job.checkpoint), .time(job.createdAt), .time(job.updatedAt),
                ])
        case .audit(let entry):
            let last = try connection.first(selectLastAudit) { (UInt64(bitPattern: $0.integer(0)), $0.text(1)) }
            let record = AuditRecord(
                number: (last?.0 ?? 0) + 1, entry: entry, previousHash: last?.1 ?? AuditRecord.firstPreviousHash)
            return try connection.execute(
                insertAudit,
                [
                    .integer(Int64(bitPattern: record.number)), .time(entry.timestamp), .text(entry.actor),
                    .text(entry.action), .text(entry.arguments), .text(entry.reason), .text(entry.result),
                    .text(record.previousHash), .text(record.hash),
                ])
        case .placeHold(let hold):
            return try connection.execute(
                upsertHold, [.text(hold.persistenceID.rawValue), .text(hold.reason), .time(hold.placedAt)])
        case .releaseHold(let id):
            return try connection.execute(deleteHold, [.text(id.rawValue)])
        case .orderOlderEvents: return 0  // nobody else writes here
        }
    }
}
