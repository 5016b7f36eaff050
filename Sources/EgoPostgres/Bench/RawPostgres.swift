import CPostgreSQL
import EgoCore

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The least work that libpq can do on the tables of a store: prepared statements in the binary format on one connection,
/// nothing decoded, nothing checked that the tables do not check by themselves.
struct RawPostgres {
    private let handle: OpaquePointer
    private let budget: WorkBudget
    /// Tells the statements of this work from those before on the same connection.
    private let run = UInt32.random(in: 0 ... .max)

    init(_ handle: OpaquePointer, _ budget: WorkBudget) { (self.handle, self.budget) = (handle, budget) }

    func run(_ work: RawWork) throws(PostgresError) -> RawResult {
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

    private func append(_ rows: Int, _ entities: Int, _ payload: [UInt8]) throws(PostgresError) -> RawResult {
        let columns = """
            INSERT INTO events_store (persistence_id, sequence_number, "timestamp", shard_number, event_payload,
                event_manifest, checksum)
            """
        let insert = try prepare(
            rows == 1
                ? "\(columns) VALUES ($1, $2, $3, $4, $5, 'raw', 0)"
                : """
                \(columns) SELECT u.id, u.number, u.time, u.shard, u.payload, 'raw', 0
                FROM unnest($1::text[], $2::int8[], $3::int8[], $4::int8[], $5::bytea[])
                    AS u(id, number, time, shard, payload)
                """)
        var next = Int(try number("SELECT count(*) FROM events_store"))
        let payloads = [[UInt8]?](repeating: payload, count: rows)
        return try measure(rows) { () throws(PostgresError) in
            let range = next..<(next + rows)
            next += rows
            if rows == 1 {
                let place = range.lowerBound
                try execute(
                    insert,
                    [
                        .text("raw-\(place % entities)"), .integer(Int64(place / entities + 1)),
                        .integer(1_767_225_600_000_000_000 + Int64(place)), .integer(Int64(place % 16)),
                        .bytes(payload),
                    ])
                return
            }
            try execute(
                insert,
                [
                    .texts(range.map { "raw-\($0 % entities)" }), .integers(range.map { Int64($0 / entities + 1) }),
                    .integers(range.map { 1_767_225_600_000_000_000 + Int64($0) }),
                    .integers(range.map { Int64($0 % 16) }), .blobs(payloads),
                ])
        }
    }

    private static let columns = """
        transaction_id, position, persistence_id, sequence_number, "timestamp", shard_number, event_manifest,
        event_payload
        """
    private static let page = """
        SELECT \(columns) FROM events_store WHERE (transaction_id, position) > ($1, $2)
        ORDER BY transaction_id, position LIMIT $3
        """

    /// Reads the page after the place, and moves the place behind it.
    private func page(
        _ select: String, _ place: inout (transaction: UInt64, position: Int64), _ rows: Int
    ) throws(PostgresError) -> PostgresResult {
        let result = try execute(
            select, [.transactionID(place.transaction), .integer(place.position), .integer(Int64(rows))])
        if result.rowCount > 0 {
            let last = PostgresRow(result: result, index: Int32(result.rowCount - 1))
            place = (last.transactionID(0), last.integer(1))
        }
        return result
    }

    private func scan(_ rows: Int) throws(PostgresError) -> RawResult {
        let select = try prepare(Self.page)
        let start = ContinuousClock.now
        var done = 0
        var place = (transaction: UInt64(0), position: Int64(0))
        while budget.goesOn(done: done, since: start) {
            let found = try page(select, &place, rows).rowCount
            done += found
            if found < rows { place = (0, 0) }
        }
        return RawResult(operations: done, duration: ContinuousClock.now - start)
    }

    private func streams(_ ids: [String], _ consume: PayloadConsumer) throws(PostgresError) -> RawResult {
        let select = try prepare(
            "SELECT \(Self.columns) FROM events_store WHERE persistence_id = $1 ORDER BY sequence_number")
        let start = ContinuousClock.now
        var (done, index) = (0, 0)
        while budget.goesOn(done: done, since: start) {
            let result = try execute(select, [.text(ids[index % ids.count])])
            for row in 0..<Int32(result.rowCount) { result.withPayload(row, consume) }
            done += result.rowCount
            index += 1
        }
        return RawResult(operations: done, duration: ContinuousClock.now - start)
    }

    private func recover(_ ids: [String]) throws(PostgresError) -> RawResult {
        let newest = try prepare(
            """
            SELECT sequence_number, state_payload FROM snapshots_store
            WHERE persistence_id = $1 ORDER BY sequence_number DESC LIMIT 1
            """)
        let rest = try prepare(
            """
            SELECT \(Self.columns) FROM events_store
            WHERE persistence_id = $1 AND sequence_number > $2 ORDER BY sequence_number
            """)
        var index = 0
        return try measure(1) { () throws(PostgresError) in
            let id = PostgresValue.text(ids[index % ids.count])
            let number = try execute(newest, [id]).first?.integer(0) ?? 0
            try execute(rest, [id, .integer(number)])
            index += 1
        }
    }

    private func project(
        _ rows: Int, _ isReadModel: Bool, _ consume: PayloadConsumer
    ) throws(PostgresError) -> RawResult {
        for sql in [
            "SET client_min_messages = warning", "DROP TABLE IF EXISTS raw_model",
            "CREATE TABLE raw_model (entity text PRIMARY KEY, events bigint NOT NULL)",
            "DELETE FROM ego_offsets WHERE projection = 'raw'",
        ] { try command(sql) }
        let select = try prepare(Self.page)
        let change = try prepare(
            """
            INSERT INTO raw_model AS t VALUES ($1, 1)
            ON CONFLICT (entity) DO UPDATE SET events = t.events + 1
            """)
        let advance = try prepare(
            """
            INSERT INTO ego_offsets (projection, version, shard, transaction_id, position, committed_at)
            VALUES ('raw', 1, 0, $1, $2, 0)
            ON CONFLICT (projection, version, shard)
                DO UPDATE SET transaction_id = excluded.transaction_id, position = excluded.position
            """)
        let start = ContinuousClock.now
        var (done, found) = (0, rows)
        var place = (transaction: UInt64(0), position: Int64(0))
        while found == rows, !budget.stop.isRaised {
            let result = try page(select, &place, rows)
            found = result.rowCount
            for row in 0..<Int32(found) { result.withPayload(row, consume) }
            let ids = (0..<Int32(isReadModel ? found : 0)).lazy.map { PostgresRow(result: result, index: $0).text(2) }
            let changes = ids.map { (name: change, values: [PostgresValue.text($0)]) }
            try pipeline(
                Array(changes) + [(advance, [.transactionID(place.transaction), .integer(place.position)])])
            done += found
        }
        return RawResult(operations: done, duration: ContinuousClock.now - start)
    }

    private func count() throws(PostgresError) -> RawResult {
        let select = try prepare("SELECT shard_number, count(*), max(position) FROM events_store GROUP BY shard_number")
        return try measure(1) { () throws(PostgresError) in try execute(select, []) }
    }

    private func erase(_ ids: [String], _ batch: Int) throws(PostgresError) -> RawResult {
        var statements: [String] = []
        for table in ["events_store", "snapshots_store", "states_store", "ego_commands"] {
            statements.append(try prepare("DELETE FROM \(table) WHERE persistence_id = ANY($1::text[])"))
        }
        let start = ContinuousClock.now
        var done = 0
        while done < ids.count, !budget.stop.isRaised {
            let end = min(done + batch, ids.count)
            try command("BEGIN")
            for statement in statements { try execute(statement, [.texts(ids[done..<end].map { $0 })]) }
            try command("COMMIT")
            done = end
        }
        return RawResult(operations: done, duration: ContinuousClock.now - start)
    }

    private func export(_ path: String, _ rows: Int) throws(PostgresError) -> RawResult {
        let select = try prepare(Self.page)
        guard let file = fopen(path, "w") else { throw PostgresError(message: "no file can be made at \(path)") }
        defer {
            fclose(file)
            unlink(path)
        }
        let start = ContinuousClock.now
        var (done, found) = (0, rows)
        var place = (transaction: UInt64(0), position: Int64(0))
        while found == rows, !budget.stop.isRaised {
            let result = try page(select, &place, rows)
            found = result.rowCount
            for row in 0..<Int32(found) {
                fwrite(PQgetvalue(result.handle, row, 7), 1, Int(PQgetlength(result.handle, row, 7)), file)
            }
            done += found
        }
        fflush(file)
        fsync(fileno(file))
        return RawResult(operations: done, duration: ContinuousClock.now - start)
    }

    // MARK: Steps

    /// Repeats `step`, which does `count` operations, until the budget is used up.
    private func measure(
        _ count: Int, _ step: () throws(PostgresError) -> Void
    ) throws(PostgresError) -> RawResult {
        let start = ContinuousClock.now
        var done = 0
        while budget.goesOn(done: done, since: start) {
            try step()
            done += count
        }
        return RawResult(operations: done, duration: ContinuousClock.now - start)
    }

    private func prepare(_ sql: String) throws(PostgresError) -> String {
        let name = "raw_\(run)_\(UInt32.random(in: 0 ... .max))"
        try checked(PQprepare(handle, name, sql, 0, nil))
        return name
    }

    @discardableResult
    private func execute(_ name: String, _ values: [PostgresValue]) throws(PostgresError) -> PostgresResult {
        let parameters = PostgresParameters(values)
        return try checked(
            parameters.withPointers { values, lengths, formats in
                PQexecPrepared(handle, name, parameters.count, values, lengths, formats, 1)
            })
    }

    private func command(_ sql: String) throws(PostgresError) { try checked(PQexec(handle, sql)) }

    private func number(_ sql: String) throws(PostgresError) -> Int64 {
        try execute(prepare(sql), []).first?.integer(0) ?? 0
    }

    /// Runs statements in one implicit transaction, without waiting for the answers one by one.
    private func pipeline(_ statements: [(name: String, values: [PostgresValue])]) throws(PostgresError) {
        guard PQenterPipelineMode(handle) == 1 else { throw lost() }
        for (name, values) in statements {
            let parameters = PostgresParameters(values)
            let code = parameters.withPointers { values, lengths, formats in
                PQsendQueryPrepared(handle, name, parameters.count, values, lengths, formats, 1)
            }
            guard code == 1 else { throw lost() }
        }
        guard PQpipelineSync(handle) == 1 else { throw lost() }
        var failed: PostgresError?
        for _ in statements {
            while let next = PQgetResult(handle) {
                let result = PostgresResult(next)
                if result.status == PGRES_FATAL_ERROR, failed == nil {
                    failed = PostgresError(result, isConnectionLost: PQstatus(handle) != CONNECTION_OK)
                }
            }
        }
        if let sync = PQgetResult(handle) { PQclear(sync) }
        guard PQexitPipelineMode(handle) == 1 else { throw lost() }
        if let failed { throw failed }
    }

    @discardableResult
    private func checked(_ handle: OpaquePointer?) throws(PostgresError) -> PostgresResult {
        guard let handle else { throw lost() }
        let result = PostgresResult(handle)
        switch result.status {
        case PGRES_COMMAND_OK, PGRES_TUPLES_OK: return result
        default: throw PostgresError(result, isConnectionLost: PQstatus(self.handle) != CONNECTION_OK)
        }
    }

    private func lost() -> PostgresError { PostgresError(connection: handle, isConnectionLost: true) }
}

extension PostgresResult {
    /// Hands the payload of a row to `consume`, where it lies.
    fileprivate func withPayload(_ row: Int32, _ consume: PayloadConsumer) {
        let column: Int32 = 7
        consume(
            UnsafeRawBufferPointer(
                start: PQgetvalue(handle, row, column), count: Int(PQgetlength(handle, row, column))))
    }
}
