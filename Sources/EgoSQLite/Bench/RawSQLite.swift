import CSQLite
import EgoCore

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The least work that libsqlite3 can do on the tables of a store: prepared statements, nothing copied, nothing decoded,
/// nothing checked that the tables do not check by themselves.
struct RawSQLite {
    let connection: OpaquePointer
    let budget: WorkBudget

    init(_ connection: OpaquePointer, _ budget: WorkBudget) {
        (self.connection, self.budget) = (connection, budget)
    }

    /// Does the work until it is done, or the budget is used up.
    ///
    /// Never inlined: `.dev/instructions` leaves it out by its name.
    @inline(never)
    func run(_ work: RawWork) throws(SQLiteError) -> RawResult {
        switch work {
        case .append(let rows, let entities, let payload): try append(rows, entities, payload)
        case .scan(let page): try scan(page)
        case .streams(let ids, let consume): try streams(ids, consume)
        case .recover(let ids): try recover(ids)
        case .project(let page, let isReadModel, let consume): try project(page, isReadModel, consume)
        case .count: try count()
        case .erase(let ids, let batch): try erase(ids, batch)
        case .export(let path, let page): try export(path, page)
        }
    }

    // MARK: Work

    private func append(_ rows: Int, _ entities: Int, _ payload: [UInt8]) throws(SQLiteError) -> RawResult {
        let begin = try RawStatement("BEGIN IMMEDIATE", connection)
        let commit = try RawStatement("COMMIT", connection)
        try script("INSERT OR IGNORE INTO ego_names (name) VALUES ('raw')")
        let known = try number("SELECT count(*) FROM ego_entities")
        if known < entities {
            try begin.execute()
            let entity = try RawStatement(
                "INSERT INTO ego_entities (id, persistence_id, shard) VALUES (?1, 'raw-' || ?1, ?1 % 16)", connection)
            for id in (Int(known) + 1)...entities {
                entity.bind(1, Int64(id))
                try entity.execute()
            }
            try commit.execute()
        }
        let insert = try RawStatement(
            """
            INSERT INTO ego_events (entity, sequence_number, timestamp, shard, manifest, flags, payload, checksum)
            VALUES (?1, ?2, ?3, ?4, (SELECT id FROM ego_names LIMIT 1), 0, ?5, ?6)
            """, connection)
        var next = try number("SELECT count(*) FROM ego_events")
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: payload.count, alignment: 1)
        defer { bytes.deallocate() }
        bytes.copyBytes(from: payload)
        insert.bind(5, UnsafeRawBufferPointer(bytes))
        insert.bind(6, payload.payloadChecksum)
        return try measure(rows) { () throws(SQLiteError) in
            try begin.execute()
            for _ in 0..<rows {
                insert.bind(1, next % Int64(entities) + 1)
                insert.bind(2, next / Int64(entities) + 1)
                insert.bind(3, 1_767_225_600_000_000_000 + next)
                insert.bind(4, next % 16)
                try insert.execute()
                next += 1
            }
            try commit.execute()
        }
    }

    private static let page = """
        SELECT v.position, v.sequence_number, v.timestamp, v.shard, v.manifest, v.flags, v.payload, e.persistence_id
        FROM ego_events v JOIN ego_entities e ON e.id = v.entity WHERE v.position > ?1 ORDER BY v.position LIMIT ?2
        """

    private func scan(_ rows: Int) throws(SQLiteError) -> RawResult {
        let select = try RawStatement(Self.page, connection)
        select.bind(2, Int64(rows))
        let start = ContinuousClock.now
        var (done, last) = (0, Int64(0))
        while budget.goesOn(done: done, since: start) {
            select.bind(1, last)
            var found = 0
            try select.forEach { row in
                last = row.integer(0)
                row.touch(6)
                found += 1
            }
            done += found
            if found < rows { last = 0 }
        }
        return RawResult(operations: done, duration: ContinuousClock.now - start)
    }

    private func streams(_ ids: [String], _ consume: PayloadConsumer) throws(SQLiteError) -> RawResult {
        let select = try RawStatement(
            """
            SELECT v.position, v.sequence_number, v.timestamp, v.shard, v.manifest, v.flags, v.payload FROM ego_events v
            WHERE v.entity = (SELECT id FROM ego_entities WHERE persistence_id = ?1) ORDER BY v.sequence_number
            """, connection)
        let start = ContinuousClock.now
        var (done, index) = (0, 0)
        while budget.goesOn(done: done, since: start) {
            select.bind(1, ids[index % ids.count])
            try select.forEach { row in
                consume(row.bytes(6))
                done += 1
            }
            index += 1
        }
        return RawResult(operations: done, duration: ContinuousClock.now - start)
    }

    private func recover(_ ids: [String]) throws(SQLiteError) -> RawResult {
        let newest = try RawStatement(
            """
            SELECT s.entity, s.sequence_number, s.payload FROM ego_snapshots s
            WHERE s.entity = (SELECT id FROM ego_entities WHERE persistence_id = ?1)
            ORDER BY s.sequence_number DESC LIMIT 1
            """, connection)
        let rest = try RawStatement(
            """
            SELECT v.position, v.sequence_number, v.payload FROM ego_events v
            WHERE v.entity = ?1 AND v.sequence_number > ?2 ORDER BY v.sequence_number
            """, connection)
        var index = 0
        return try measure(1) { () throws(SQLiteError) in
            newest.bind(1, ids[index % ids.count])
            var (entity, number) = (Int64(0), Int64(0))
            try newest.forEach { row in
                (entity, number) = (row.integer(0), row.integer(1))
                row.touch(2)
            }
            rest.bind(1, entity)
            rest.bind(2, number)
            try rest.forEach { $0.touch(2) }
            index += 1
        }
    }

    private func project(
        _ rows: Int, _ isReadModel: Bool, _ consume: PayloadConsumer
    ) throws(SQLiteError) -> RawResult {
        try script(
            """
            DROP TABLE IF EXISTS raw_model;
            CREATE TABLE raw_model (entity TEXT PRIMARY KEY, events INTEGER NOT NULL);
            DELETE FROM ego_offsets WHERE projection = 'raw'
            """)
        let begin = try RawStatement("BEGIN IMMEDIATE", connection)
        let commit = try RawStatement("COMMIT", connection)
        let select = try RawStatement(Self.page, connection)
        let change = try RawStatement(
            "INSERT INTO raw_model VALUES (?1, 1) ON CONFLICT (entity) DO UPDATE SET events = events + 1", connection)
        let advance = try RawStatement(
            """
            INSERT INTO ego_offsets VALUES ('raw', 1, 0, ?1, 0, 0)
            ON CONFLICT (projection, version, shard) DO UPDATE SET position = excluded.position
            """, connection)
        select.bind(2, Int64(rows))
        let start = ContinuousClock.now
        var (done, last, found) = (0, Int64(0), rows)
        while found == rows, !budget.stop.isRaised {
            try begin.execute()
            select.bind(1, last)
            found = 0
            var failed: SQLiteError?
            try select.forEach { row in
                last = row.integer(0)
                consume(row.bytes(6))
                found += 1
                if !isReadModel || failed != nil { return }
                change.bindText(1, of: row, 7)
                do throws(SQLiteError) { try change.execute() } catch { failed = error }
            }
            if let failed { throw failed }
            advance.bind(1, last)
            try advance.execute()
            try commit.execute()
            done += found
        }
        return RawResult(operations: done, duration: ContinuousClock.now - start)
    }

    private func count() throws(SQLiteError) -> RawResult {
        let select = try RawStatement(
            "SELECT shard, count(*), max(position) FROM ego_events GROUP BY shard", connection)
        return try measure(1) { () throws(SQLiteError) in try select.forEach { _ in } }
    }

    private func erase(_ ids: [String], _ batch: Int) throws(SQLiteError) -> RawResult {
        let begin = try RawStatement("BEGIN IMMEDIATE", connection)
        let commit = try RawStatement("COMMIT", connection)
        let entity = "(SELECT id FROM ego_entities WHERE persistence_id = ?1)"
        let statements = try ["ego_events", "ego_snapshots", "ego_states", "ego_commands"].map {
            (table) throws(SQLiteError) in
            try RawStatement("DELETE FROM \(table) WHERE entity = \(entity)", connection)
        }
        let start = ContinuousClock.now
        var done = 0
        while done < ids.count, !budget.stop.isRaised {
            try begin.execute()
            let end = min(done + batch, ids.count)
            for id in ids[done..<end] {
                for statement in statements {
                    statement.bind(1, id)
                    try statement.execute()
                }
            }
            try commit.execute()
            done = end
        }
        // What was deleted is in the log until the file itself is written.
        try script("PRAGMA wal_checkpoint(TRUNCATE)")
        return RawResult(operations: done, duration: ContinuousClock.now - start)
    }

    private func export(_ path: String, _ rows: Int) throws(SQLiteError) -> RawResult {
        let select = try RawStatement(Self.page, connection)
        select.bind(1, 0)
        select.bind(2, Int64.max)
        let start = ContinuousClock.now
        var done = 0
        guard let file = fopen(path, "w") else { throw SQLiteError(code: SQLITE_CANTOPEN, message: "no file") }
        defer {
            fclose(file)
            unlink(path)
        }
        try select.forEach { row in
            if budget.stop.isRaised { return }
            fwrite(row.blob(6), 1, row.count(6), file)
            done += 1
        }
        fflush(file)
        fsync(fileno(file))
        return RawResult(operations: done, duration: ContinuousClock.now - start)
    }

    // MARK: Steps

    /// Repeats `step`, which does `count` operations, until the budget is used up.
    private func measure(
        _ count: Int, _ step: () throws(SQLiteError) -> Void
    ) throws(SQLiteError) -> RawResult {
        let start = ContinuousClock.now
        var done = 0
        while budget.goesOn(done: done, since: start) {
            try step()
            done += count
        }
        return RawResult(operations: done, duration: ContinuousClock.now - start)
    }

    private func script(_ sql: String) throws(SQLiteError) {
        let code = sqlite3_exec(connection, sql, nil, nil, nil)
        guard code == SQLITE_OK else { throw SQLiteError(connection, code: code) }
    }

    private func number(_ sql: String) throws(SQLiteError) -> Int64 {
        var number = Int64(0)
        try RawStatement(sql, connection).forEach { number = $0.integer(0) }
        return number
    }
}
