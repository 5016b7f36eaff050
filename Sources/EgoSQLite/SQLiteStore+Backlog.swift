public import EgoCore

extension SQLiteStore {
    /// How many marks are made in one transaction, so that other writers do not wait long.
    private static let marksPerTransaction = 10

    public func backlog(after offsets: [Shard: Offset]) async throws(StoreError) -> [ShardBacklog] {
        // Whether there is one to make is told without waiting for the writer.
        let isDue = try await read { (connection) throws(StoreError) in
            try connection.run("mark the journal") { () throws(SQLiteError) in try connection.isMarkDue() }
        }
        if writer != nil, isDue { try await extendMarks() }
        return try await readAtLength { (connection) throws(StoreError) in
            // One view for all of it: counted twice or not at all is wrong.
            try connection.transaction(.read) { () throws(StoreError) in
                try connection.run("count events") { () throws(SQLiteError) in
                    try connection.backlog(after: offsets)
                }
            }
        }
    }

    /// Makes the marks that are missing. They spare time, no more: where they cannot be made, events are counted.
    private func extendMarks() async throws(StoreError) {
        do throws(StoreError) {
            while try await write({ (connection) throws(StoreError) in
                try connection.run("mark the journal") { () throws(SQLiteError) in
                    try connection.extendMarks(by: Self.marksPerTransaction)
                }
            }) {}
        } catch {
            if error.code == .closed || error.code == .cancelled { throw error }
        }
    }
}

extension SQLiteConnection {
    private static let selectLastMark = "SELECT coalesce(max(position), 0) FROM ego_journal_marks"
    private static let selectMarkAfter = "SELECT min(position) FROM ego_journal_marks WHERE position >= ?1"
    private static let selectToMark =
        "SELECT position, shard, timestamp FROM ego_events WHERE position > ?1 ORDER BY position LIMIT ?2"
    private static let insertMark = """
        INSERT INTO ego_journal_marks (position, shard, events, last_position, last_timestamp)
        VALUES (?1, ?2, ?3, ?4, ?5)
        """
    /// What lies after a mark, and the last event of each shard up to the last mark.
    private static let selectMarked = """
        SELECT shard, sum(CASE WHEN position > ?1 THEN events ELSE 0 END), max(last_position), last_timestamp
        FROM ego_journal_marks GROUP BY shard
        """
    /// Events are counted through the last of them where no mark tells.
    private static let selectCounts = """
        SELECT shard, count(*), max(position), timestamp FROM ego_events WHERE position > ?1 AND position <= ?2
        GROUP BY shard
        """
    /// The marks of events that go are lowered before they do.
    static let lowerMarks = """
        UPDATE ego_journal_marks AS m SET events = m.events - d.events
        FROM (SELECT (SELECT min(position) FROM ego_journal_marks WHERE position >= v.position) AS position,
                v.shard AS shard, count(*) AS events
            FROM ego_events v WHERE v.entity = ?1 AND v.sequence_number <= ?2 GROUP BY 1, 2) d
        WHERE m.position = d.position AND m.shard = d.shard
        """

    /// Whether a mark can be made.
    fileprivate func isMarkDue() throws(SQLiteError) -> Bool {
        let last = try first(Self.selectLastMark) { $0.integer(0) } ?? 0
        return try head().position.rawValue - last >= Int64(JournalMark.interval)
    }

    /// Makes the next marks; returns whether there may be more to make.
    func extendMarks(by count: Int) throws(SQLiteError) -> Bool {
        let last = try first(Self.selectLastMark) { $0.integer(0) } ?? 0
        var marker = JournalMarker()
        try query(
            Self.selectToMark, [.integer(last), .integer(Int64(JournalMark.interval * count))]
        ) { (row) throws(SQLiteError) in
            marker.add(
                Offset(position: Position(row.integer(0))), Shard(UInt64(bitPattern: row.integer(1))), row.integer(2))
            return true
        }
        for mark in marker.marks {
            for (shard, stretch) in mark.shards {
                try execute(
                    Self.insertMark,
                    [
                        .integer(mark.end.position.rawValue), .integer(Int64(bitPattern: shard.rawValue)),
                        .integer(Int64(stretch.events)), .integer(stretch.last.position.rawValue),
                        .integer(stretch.lastTimestamp),
                    ])
            }
        }
        return marker.marks.count == count
    }

    fileprivate func backlog(after offsets: [Shard: Offset]) throws(SQLiteError) -> [ShardBacklog] {
        var sum = BacklogSum(offsets.keys)
        let lastMark = try first(Self.selectLastMark) { $0.integer(0) } ?? 0
        // Most shards of a projection are at the same offset.
        for (offset, shards) in Dictionary(grouping: offsets.keys, by: { offsets[$0]?.position.rawValue ?? 0 }) {
            let wanted = Set(shards)
            // The marks count from the beginning on.
            let next =
                offset == 0
                ? 0 : try first(Self.selectMarkAfter, [.integer(offset)]) { $0.isNull(0) ? nil : $0.integer(0) } ?? nil
            if let next, next > offset {
                try all(Self.selectCounts, [.integer(offset), .integer(next)]) { row in
                    (Shard(UInt64(bitPattern: row.integer(0))), Int(row.integer(1)))
                }.forEach { shard, events in
                    if wanted.contains(shard) { sum.add(events, shard) }
                }
            }
            for (shard, events, head, timestamp) in try all(
                Self.selectMarked, [.integer(next ?? lastMark)],
                { row in
                    (
                        Shard(UInt64(bitPattern: row.integer(0))), Int(row.integer(1)), row.integer(2), row.integer(3)
                    )
                }) where wanted.contains(shard)
            {
                sum.add(events, shard)
                sum.note(Offset(position: Position(head)), Timestamp(unixNanoseconds: timestamp), shard)
            }
            for (shard, events, head, timestamp) in try all(
                Self.selectCounts, [.integer(max(offset, lastMark)), .integer(.max)],
                { row in
                    (
                        Shard(UInt64(bitPattern: row.integer(0))), Int(row.integer(1)), row.integer(2), row.integer(3)
                    )
                }) where wanted.contains(shard)
            {
                sum.add(events, shard)
                sum.note(Offset(position: Position(head)), Timestamp(unixNanoseconds: timestamp), shard)
            }
            // An offset past the last mark hides events between the two from the counts; they are heads all the same.
            if offset > lastMark {
                for (shard, head, timestamp) in try all(
                    Self.selectCounts, [.integer(lastMark), .integer(offset)],
                    { ($0.shard, $0.integer(2), $0.integer(3)) }) where wanted.contains(shard)
                {
                    sum.note(Offset(position: Position(head)), Timestamp(unixNanoseconds: timestamp), shard)
                }
            }
        }
        return sum.backlogs
    }
}

extension SQLiteStatement {
    fileprivate var shard: Shard { Shard(UInt64(bitPattern: integer(0))) }
}
