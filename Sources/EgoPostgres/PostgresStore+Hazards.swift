public import EgoCore

extension PostgresStore {
    public func hazards(now: Timestamp, isThorough: Bool) async throws(StoreError) -> [StoreHazard] {
        var hazards = try await server(now)
        if !isThorough { return hazards }
        let (layout, metadata) = (layout, try await metadata())
        let offsets = try await timestampOffsets()
        // One after the other: each of these reads a table or two.
        hazards += try await read("look at the journal") { (connection) throws(PostgresError) in
            try connection.recordHazards(layout)
        }
        hazards += Self.hazards(of: offsets)
        if metadata.origin != .ego {
            hazards += try await read("look at the indexes") { (connection) throws(PostgresError) in
                try connection.indexHazards(hasProjections: !offsets.isEmpty)
            }
        }
        if !layout.isAdopted {
            hazards.append(
                StoreHazard(
                    code: "not_adopted",
                    message:
                        "the database of eGo for Go is not adopted: readers can miss events that are committed late",
                    remedy: "ego init adopts it; --check says what that would do", isProblem: false))
        }
        return hazards
    }

    // MARK: Offsets of eGo for Go

    private static func hazards(of offsets: [TimestampOffset]) -> [StoreHazard] {
        var hazards: [StoreHazard] = []
        func unit(_ value: Int64) -> Int { TimeUnit(value).rawValue }
        let mixed = offsets.filter { offset in
            guard let stored = offset.stored, let head = offset.storedHead, stored > 0 else { return false }
            return unit(stored) != unit(head)
        }
        if let first = mixed.first {
            hazards.append(
                StoreHazard(
                    code: "offset_units",
                    message: """
                        \(mixed.count) offsets of projections are in another unit than the events' timestamps, as that of \
                        \(first.projection) in shard \(first.shard) (\(TimeUnit(first.stored ?? 0).name))
                        """,
                    remedy:
                        "eGo for Go reads such a shard from its beginning: set current_offset in \(TimeUnit(first.storedHead ?? 0).name)",
                    isProblem: true))
        }
        let ahead = offsets.filter { offset in
            guard let stored = offset.stored, let head = offset.storedHead else { return false }
            return unit(stored) == unit(head) && stored > head
        }
        if let first = ahead.first {
            hazards.append(
                StoreHazard(
                    code: "offset_ahead_of_head",
                    message: """
                        \(ahead.count) offsets of projections are past the head of their shard, as that of \
                        \(first.projection) in shard \(first.shard)
                        """,
                    remedy: "it will miss events until the clock has passed it: reset it", isProblem: true))
        }
        return hazards
    }

    // MARK: The server

    private static let selectServer = """
        SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, current_setting('fsync'),
            current_setting('full_page_writes')
        """
    /// Transactions that have written something and are still running: readers stop before the oldest of them.
    private static let selectTransactions = """
        SELECT l.pid, coalesce(a.usename, '?')::text, coalesce(a.datname, '?')::text, coalesce(a.application_name, ''),
            coalesce(extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, a.state_change))::bigint, -1)
        FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
        WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted AND l.pid IS NOT NULL
            AND l.pid <> pg_backend_pid()
        ORDER BY 5 DESC LIMIT 1
        """
    private static let selectPrepared = """
        SELECT gid, extract(epoch FROM clock_timestamp() - prepared)::bigint FROM pg_prepared_xacts
        ORDER BY prepared LIMIT 1
        """

    private func server(_ now: Timestamp) async throws(StoreError) -> [StoreHazard] {
        let start = ContinuousClock.now
        return try await read("look at the server") { (connection) throws(PostgresError) in
            var hazards: [StoreHazard] = []
            let settings = try connection.first(Self.selectServer) { row in
                (clock: row.integer(0), fsync: row.text(1), pages: row.text(2))
            }
            if let settings {
                let here = now.advanced(by: ContinuousClock.now - start)
                let skew = Timestamp(unixNanoseconds: settings.clock * 1_000).duration(since: here) / .seconds(1)
                if abs(skew) > 2 {
                    hazards.append(
                        StoreHazard(
                            code: "clock_skew",
                            message:
                                "the server's clock is \(Int(abs(skew))) s \(skew > 0 ? "ahead of" : "behind") the one here",
                            remedy: "let both follow a time server", isProblem: true))
                }
                for (name, value) in [("fsync", settings.fsync), ("full_page_writes", settings.pages)]
                where value == "off" {
                    hazards.append(
                        StoreHazard(
                            code: "not_durable",
                            message: "\(name) is off: what was acknowledged is lost when the server's machine fails",
                            remedy: "ALTER SYSTEM SET \(name) = on; SELECT pg_reload_conf()", isProblem: true))
                }
            }
            if connection.session.setsSynchronousCommit { hazards.append(Self.asynchronous) }
            hazards += try Self.longTransactions(connection)
            return hazards
        }
    }

    private static let asynchronous = StoreHazard(
        code: "not_durable",
        message:
            "synchronous_commit is off for this role or database: Ego turns it on for itself, other writers lose what was acknowledged when the server fails",
        remedy: "ALTER DATABASE ... RESET synchronous_commit, or ALTER ROLE ... RESET synchronous_commit",
        isProblem: false)

    private static func longTransactions(_ connection: PostgresConnection) throws(PostgresError) -> [StoreHazard] {
        var hazards: [StoreHazard] = []
        let oldest = try connection.first(selectTransactions) { row in
            (
                text:
                    "process \(row.integer(0)) (user \(row.text(1)), database \(row.text(2))\(row.text(3).isEmpty ? "" : ", \(row.text(3))"))",
                pid: row.integer(0), seconds: row.integer(4)
            )
        }
        if let oldest, oldest.seconds >= 10 {
            hazards.append(
                StoreHazard(
                    code: "long_transaction",
                    message:
                        "a transaction of \(oldest.text) has been open for \(oldest.seconds) s: readers of the journal wait for it",
                    remedy: "end it, or SELECT pg_terminate_backend(\(oldest.pid))", isProblem: true))
        }
        if let prepared = try connection.first(selectPrepared, [], { ($0.text(0), $0.integer(1)) }), prepared.1 >= 10 {
            hazards.append(
                StoreHazard(
                    code: "long_transaction",
                    message:
                        "a prepared transaction has been waiting for \(prepared.1) s: readers of the journal wait for it",
                    remedy: "COMMIT PREPARED or ROLLBACK PREPARED; pg_prepared_xacts names it", isProblem: true))
        }
        return hazards
    }
}

/// The units in which eGo for Go has written timestamps.
private enum TimeUnit: Int {
    case seconds, milliseconds, nanoseconds

    init(_ value: Int64) {
        switch value.magnitude {
        case 0..<100_000_000_000: self = .seconds
        case 100_000_000_000..<100_000_000_000_000: self = .milliseconds
        default: self = .nanoseconds
        }
    }

    var name: String {
        switch self {
        case .seconds: "seconds"
        case .milliseconds: "milliseconds"
        case .nanoseconds: "nanoseconds"
        }
    }
}

extension PostgresConnection {
    private struct Query: Sendable {
        var sql: String
        var make: @Sendable (_ count: Int64, _ first: String) -> StoreHazard

        init(sql: String, make: @escaping @Sendable (Int64, String) -> StoreHazard) {
            self.sql = sql
            self.make = make
        }

        init(
            code: String, sql: String, isProblem: Bool, remedy: String,
            message: @escaping @Sendable (Int64, String) -> String
        ) {
            self.sql = sql
            self.make = { count, first in
                StoreHazard(code: code, message: message(count, first), remedy: remedy, isProblem: isProblem)
            }
        }
    }

    /// Each statement gives a count, and the first of what was counted.
    private static let queries = [
        Query(
            sql: """
                SELECT count(*), min(s.persistence_id COLLATE "C") FROM states_store s
                WHERE EXISTS (SELECT 1 FROM events_store v WHERE v.persistence_id = s.persistence_id)
                """,
            make: { .bothKindsOfState(count: Int($0), first: PersistenceID(stored: $1)) }),
        Query(
            sql: """
                SELECT count(*), min(g.persistence_id COLLATE "C") FROM (
                    SELECT persistence_id, count(*) AS found, min(sequence_number) AS first, max(sequence_number) AS last
                    FROM events_store GROUP BY 1) g
                WHERE g.last - g.first + 1 <> g.found
                    OR g.first > 1 + coalesce((SELECT floor FROM ego_entities x WHERE x.persistence_id = g.persistence_id), 0)
                        AND NOT EXISTS (SELECT 1 FROM snapshots_store p WHERE p.persistence_id = g.persistence_id
                            AND p.sequence_number >= g.first - 1)
                """,
            make: { .sequenceGap(count: Int($0), first: PersistenceID(stored: $1)) }),
        Query(
            code: "shard_mismatch",
            sql: """
                SELECT count(*), min(m.persistence_id COLLATE "C") FROM (
                    SELECT persistence_id FROM events_store GROUP BY 1
                    HAVING min(shard_number) <> max(shard_number)) m
                """,
            isProblem: true,
            remedy: "it was written with different shard counts: projections see its events out of order",
            message: { "\($0) entities have events in more than one shard, as \($1)" }),
        Query(
            code: "timestamps_backwards",
            sql: """
                SELECT count(*), min(b.persistence_id COLLATE "C") FROM (
                    SELECT persistence_id, "timestamp" < lag("timestamp") OVER (
                        PARTITION BY persistence_id ORDER BY sequence_number) AS is_back
                    FROM events_store) b
                WHERE b.is_back
                """,
            isProblem: false,
            remedy:
                "clocks of writers differ: a projection that counts in timestamps misses such events; ours count in positions",
            message: { "\($0) events are older than the one before them, as of \($1)" }),
        Query(
            code: "timestamp_ties",
            sql: """
                SELECT coalesce(sum(t.found), 0)::bigint, min(t.first) FROM (
                    SELECT count(*) AS found, min(persistence_id COLLATE "C") AS first FROM events_store
                    GROUP BY shard_number, "timestamp" HAVING count(*) > 1) t
                """,
            isProblem: false,
            remedy: "a projection of eGo for Go misses those that lie behind the end of a page; ours do not",
            message: { "\($0) events share their timestamp with others of their shard, as of \($1)" }),
        Query(
            code: "timestamp_units",
            sql: """
                SELECT CASE WHEN count(*) FILTER (WHERE abs("timestamp") < 100000000000) > 0
                        AND count(*) FILTER (WHERE abs("timestamp") >= 100000000000) > 0
                    THEN count(*) FILTER (WHERE abs("timestamp") < 100000000000) ELSE 0 END,
                    min(persistence_id COLLATE "C") FILTER (WHERE abs("timestamp") < 100000000000)
                FROM events_store
                """,
            isProblem: true,
            remedy:
                "an older version of eGo for Go wrote them: its projections skip the rest of a shard once they have seen nanoseconds",
            message: { "\($0) events have timestamps in seconds beside others in nanoseconds, as of \($1)" }),
    ]
    private static let orderQueries = [
        Query(
            code: "timestamps_backwards",
            sql: """
                SELECT count(*), min(b.persistence_id COLLATE "C") FROM (
                    SELECT persistence_id, "timestamp" < max("timestamp") OVER (
                        PARTITION BY shard_number ORDER BY transaction_id, position
                        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS is_back
                    FROM events_store) b
                WHERE b.is_back
                """,
            isProblem: false,
            remedy:
                "a projection that counts in timestamps, as those of eGo for Go, has missed them if it was running; ours count in positions",
            message: { "\($0) events were committed after younger ones of their shard, as of \($1)" }),
        Query(
            code: "foreign_order",
            sql: """
                SELECT count(*), min(persistence_id COLLATE "C") FROM events_store
                WHERE transaction_id >= pg_snapshot_xmax(pg_current_snapshot())
                """,
            isProblem: true,
            remedy: "the database was restored from another server: export it with ego there, and import it here",
            message: {
                "\($0) events carry transaction numbers that this server has not reached, as of \($1): readers wait for them"
            }),
    ]

    func recordHazards(_ layout: PostgresLayout) throws(PostgresError) -> [StoreHazard] {
        var hazards: [StoreHazard] = []
        for query in Self.queries + (layout.isAdopted ? Self.orderQueries : []) {
            let found = try first(layout.statement([], query.sql)) { ($0.integer(0), $0.text(1)) }
            guard let (count, first) = found, count > 0 else { continue }
            hazards.append(query.make(count, first))
        }
        return hazards
    }

    private static let selectLeading = """
        SELECT DISTINCT a.attname::text FROM pg_index x
        JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[0]
        WHERE x.indrelid = 'events_store'::regclass AND x.indisvalid
        """

    /// eGo for Go looks events up by these columns.
    func indexHazards(hasProjections: Bool) throws(PostgresError) -> [StoreHazard] {
        let leading = try all(Self.selectLeading) { $0.text(0) }
        let wanted = ["persistence_id"] + (hasProjections ? ["shard_number", "timestamp"] : [])
        return wanted.filter { !leading.contains($0) }.map { column in
            StoreHazard(
                code: "missing_index",
                message: "no index of events_store begins with \(column), by which eGo for Go reads",
                remedy: "CREATE INDEX CONCURRENTLY ON events_store (\"\(column)\")", isProblem: true)
        }
    }
}
