public import EgoCore

extension PostgresStore {
    /// How many marks are made in one transaction.
    private static let marksPerTransaction = 10

    /// Marks are kept where all events are deleted by Ego, which lowers them; elsewhere events are counted.
    private var keepsMarks: Bool { layout.isAdopted && !hasOtherWriters }

    public func backlog(after offsets: [Shard: Offset]) async throws(StoreError) -> [ShardBacklog] {
        if !layout.isAdopted {
            throw StoreError(.notInitialized, "the database was not adopted: its events have no order yet")
        }
        if keepsMarks, !isReadOnly { try await extendMarks() }
        let (clock, keepsMarks) = (clock, keepsMarks)
        return try await pool.run(.again) { (connection) throws(StoreError) in
            // One view for all of it: counted twice or not at all is wrong.
            try connection.transaction(
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
                { () throws(StoreError) in
                    try connection.run("count events") { () throws(PostgresError) in
                        try connection.backlog(after: offsets, keepsMarks: keepsMarks, clock)
                    }
                }, wrap: { StoreError($0, during: "count events") })
        }
    }

    /// Makes the marks that are missing. They spare time, no more: where they cannot be made, events are counted.
    private func extendMarks() async throws(StoreError) {
        do throws(StoreError) {
            while try await write(
                "mark the journal",
                { (connection) throws(StoreError) in
                    try connection.run("mark the journal") { () throws(PostgresError) in
                        try connection.extendMarks(by: Self.marksPerTransaction)
                    }
                })
            {}
        } catch {
            if error.code == .closed || error.code == .cancelled { throw error }
        }
    }
}

extension PostgresConnection {
    /// The advisory lock of those who make marks; who deletes events shares it.
    static let marksLock = 1_162_303_265

    private static let selectLastMark = """
        SELECT transaction_id, position FROM ego_journal_marks ORDER BY transaction_id DESC, position DESC LIMIT 1
        """
    private static let selectMarkAfter = """
        SELECT transaction_id, position FROM ego_journal_marks WHERE (transaction_id, position) >= ($1, $2)
        ORDER BY transaction_id, position LIMIT 1
        """
    private static let selectMarkIsDue = """
        SELECT 1 FROM events_store
        WHERE (transaction_id, position) > ($1, $2) AND transaction_id < pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY transaction_id, position OFFSET \(JournalMark.interval - 1) LIMIT 1
        """
    private static let selectToMark = """
        SELECT transaction_id, position, shard_number, "timestamp" FROM events_store
        WHERE (transaction_id, position) > ($1, $2) AND transaction_id < pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY transaction_id, position LIMIT $3
        """
    private static let insertMarks = """
        INSERT INTO ego_journal_marks
        SELECT $1, $2, u.shard, u.events, u.last_transaction_id::text::xid8, u.last_position, u.last_timestamp
        FROM unnest($3::int8[], $4::int8[], $5::int8[], $6::int8[], $7::int8[])
            AS u(shard, events, last_transaction_id, last_position, last_timestamp)
        """
    private static let selectMarked = """
        SELECT shard, sum(events)::int8 FROM ego_journal_marks WHERE (transaction_id, position) > ($1, $2)
        GROUP BY shard
        """
    private static let selectMarkedHeads = """
        SELECT DISTINCT ON (shard) shard, last_transaction_id, last_position, last_timestamp FROM ego_journal_marks
        ORDER BY shard, transaction_id DESC, position DESC
        """
    private static let selectCounts = """
        SELECT shard_number, count(*) FROM events_store
        WHERE (transaction_id, position) > ($1, $2) AND (transaction_id, position) <= ($3, $4)
            AND transaction_id < pg_snapshot_xmin(pg_current_snapshot())
        GROUP BY 1
        """
    private static let newestCount = 500
    private static let selectNewest = """
        SELECT shard_number, transaction_id, position, "timestamp" FROM events_store
        WHERE (transaction_id, position) > ($1, $2) AND transaction_id < pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY transaction_id DESC, position DESC LIMIT \(newestCount)
        """
    private static let selectHeads = """
        SELECT DISTINCT ON (shard_number) shard_number, transaction_id, position, "timestamp" FROM events_store
        WHERE (transaction_id, position) > ($1, $2) AND transaction_id < pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY shard_number, transaction_id DESC, position DESC
        """
    /// The marks of events that go are lowered before they do.
    static let lowerMarks = """
        UPDATE ego_journal_marks m SET events = m.events - d.events
        FROM (SELECT c.transaction_id, c.position, v.shard_number, count(*) AS events
            FROM events_store v CROSS JOIN LATERAL (
                SELECT transaction_id, position FROM ego_journal_marks k
                WHERE (k.transaction_id, k.position) >= (v.transaction_id, v.position)
                ORDER BY k.transaction_id, k.position LIMIT 1) c
            WHERE v.persistence_id = $1 AND v.sequence_number <= $2 GROUP BY 1, 2, 3) d
        WHERE m.transaction_id = d.transaction_id AND m.position = d.position AND m.shard = d.shard_number
        """

    /// Makes the next marks; returns whether there may be more to make.
    func extendMarks(by count: Int) throws(PostgresError) -> Bool {
        // Most calls find too few events for one mark; nobody is held up for that.
        let known = try lastMark()
        if try first(Self.selectMarkIsDue, known.parameters, { _ in true }) == nil { return false }
        try execute("SELECT pg_advisory_xact_lock(\(Self.marksLock))")
        let last = try lastMark()
        var marker = JournalMarker()
        try query(
            Self.selectToMark, last.parameters + [.integer(Int64(JournalMark.interval * count))]
        ) { (row) throws(PostgresError) in
            marker.add(
                Offset(transactionID: row.transactionID(0), position: Position(row.integer(1))),
                Shard(UInt64(bitPattern: row.integer(2))), row.integer(3))
            return true
        }
        for mark in marker.marks {
            let stretches = Array(mark.shards)
            try execute(
                Self.insertMarks,
                mark.end.parameters + [
                    .integers(stretches.map { Int64(bitPattern: $0.key.rawValue) }),
                    .integers(stretches.map { Int64($0.value.events) }),
                    .integers(stretches.map { Int64(bitPattern: $0.value.last.transactionID) }),
                    .integers(stretches.map { $0.value.last.position.rawValue }),
                    .integers(stretches.map { $0.value.lastTimestamp }),
                ])
        }
        return marker.marks.count == count
    }

    private func lastMark() throws(PostgresError) -> Offset {
        try first(Self.selectLastMark) { $0.offset(0) } ?? .start
    }

    /// The last events of shards after a place, among others. Most shards have one among the newest; only where one has
    /// none is everything after the place looked at.
    private func heads(
        after offset: Offset, of shards: Set<Shard>
    ) throws(PostgresError) -> [(Shard, Offset, Int64)] {
        let newest = try all(Self.selectNewest, offset.parameters) { ($0.shard, $0.offset(1), $0.integer(3)) }
        if newest.count < Self.newestCount || shards.isSubset(of: newest.map(\.0)) { return newest }
        return try all(Self.selectHeads, offset.parameters) { ($0.shard, $0.offset(1), $0.integer(3)) }
    }

    fileprivate func backlog(
        after offsets: [Shard: Offset], keepsMarks: Bool, _ clock: StoredClock
    ) throws(PostgresError) -> [ShardBacklog] {
        var sum = BacklogSum(offsets.keys)
        let lastMark = keepsMarks ? try lastMark() : .start
        let end = Offset(transactionID: UInt64(Int64.max), position: Position(.max))
        if keepsMarks {
            for (shard, head, timestamp) in try all(
                Self.selectMarkedHeads, [], { ($0.shard, $0.offset(1), $0.integer(3)) })
            {
                sum.note(head, clock.moment(timestamp), shard)
            }
        }
        for (shard, head, timestamp) in try heads(after: lastMark, of: Set(offsets.keys)) {
            sum.note(head, clock.moment(timestamp), shard)
        }
        // Most shards of a projection are at the same offset.
        for (offset, shards) in Dictionary(grouping: offsets.keys, by: { offsets[$0] ?? .start }) {
            let wanted = Set(shards)
            var counts: [(Shard, Int)] = []
            if offset < lastMark {
                // The marks count from the beginning on.
                var next = offset
                if offset > .start {
                    next = try first(Self.selectMarkAfter, offset.parameters) { $0.offset(0) } ?? lastMark
                    counts += try all(Self.selectCounts, offset.parameters + next.parameters) {
                        ($0.shard, Int($0.integer(1)))
                    }
                }
                counts += try all(Self.selectMarked, next.parameters) { ($0.shard, Int($0.integer(1))) }
            }
            counts += try all(Self.selectCounts, max(offset, lastMark).parameters + end.parameters) {
                ($0.shard, Int($0.integer(1)))
            }
            for (shard, events) in counts where wanted.contains(shard) { sum.add(events, shard) }
        }
        return sum.backlogs
    }
}

extension Offset {
    fileprivate var parameters: [PostgresValue] { [.transactionID(transactionID), .integer(position.rawValue)] }
}

extension PostgresRow {
    fileprivate var shard: Shard { Shard(UInt64(bitPattern: integer(0))) }

    fileprivate func offset(_ column: Int32) -> Offset {
        Offset(transactionID: transactionID(column), position: Position(integer(column + 1)))
    }
}
