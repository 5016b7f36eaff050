public import EgoCore

extension SQLiteStore {
    private static let columns = "name, mode, active_version, shadow_version, previous_version, revision, details"
    private static let selectProjections = "SELECT \(columns) FROM ego_projections ORDER BY name"
    private static let selectProjection = "SELECT \(columns) FROM ego_projections WHERE name = ?1"
    private static let selectOffsets = """
        SELECT shard, position, committed_at, event_timestamp FROM ego_offsets
        WHERE projection = ?1 AND version = ?2 ORDER BY shard
        """
    private static let selectDeadLetters = """
        SELECT d.projection, d.version, d.position, d.shard, d.persistence_id, d.sequence_number, d.type, d.error,
            d.attempts, d.failed_at
        FROM ego_dead_letters d LEFT JOIN ego_projections p ON p.name = d.projection
        WHERE (?1 IS NULL OR d.projection = ?1) AND d.version = coalesce(?2, p.active_version, 1)
            AND (d.projection, d.position) > (?3, ?4)
        ORDER BY d.projection, d.position LIMIT ?5
        """

    public func projections() async throws(StoreError) -> [ProjectionRecord] {
        try await read { (connection) throws(StoreError) in
            try connection.run("read projections") { () throws(SQLiteError) in
                try connection.all(Self.selectProjections, [], Self.projection)
            }
        }
    }

    public func projection(_ name: String) async throws(StoreError) -> ProjectionRecord? {
        try await read { (connection) throws(StoreError) in
            try connection.run("read projection") { () throws(SQLiteError) in
                try connection.first(Self.selectProjection, [.text(name)], Self.projection)
            }
        }
    }

    private static func projection(_ row: SQLiteStatement) -> ProjectionRecord {
        func version(_ column: Int32) -> Int? { row.isNull(column) ? nil : Int(row.integer(column)) }
        var record = ProjectionRecord(name: row.text(0))
        record.mode = ProjectionRecord.Mode(rawValue: row.text(1)) ?? .paused
        record.activeVersion = Int(row.integer(2))
        record.shadowVersion = version(3)
        record.previousVersion = version(4)
        record.revision = UInt64(bitPattern: row.integer(5))
        record.restore(details: row.blob(6))
        return record
    }

    public func offsets(of projection: String, version: Int) async throws(StoreError) -> [CommittedOffset] {
        try await read { (connection) throws(StoreError) in
            try connection.run("read offsets") { () throws(SQLiteError) in
                try connection.all(Self.selectOffsets, [.text(projection), .integer(Int64(version))]) { row in
                    CommittedOffset(
                        shard: Shard(UInt64(bitPattern: row.integer(0))),
                        offset: Offset(position: Position(row.integer(1))),
                        committedAt: Timestamp(unixNanoseconds: row.integer(2)),
                        eventTimestamp: row.isNull(3) ? nil : Timestamp(unixNanoseconds: row.integer(3)))
                }
            }
        }
    }

    public func deadLetters(_ query: DeadLetterQuery) async throws(StoreError) -> [DeadLetter] {
        try await readAtLength { (connection) throws(StoreError) in
            try connection.run("read dead letters") { () throws(SQLiteError) in
                try connection.all(
                    Self.selectDeadLetters,
                    [
                        .optional(query.projection), query.version.map { .integer(Int64($0)) } ?? .null,
                        .text(query.after?.projection ?? ""), .integer(query.after?.offset.position.rawValue ?? 0),
                        .integer(Int64(query.limit)),
                    ]
                ) { row in
                    DeadLetter(
                        projection: row.text(0), version: Int(row.integer(1)),
                        offset: Offset(position: Position(row.integer(2))),
                        shard: Shard(UInt64(bitPattern: row.integer(3))),
                        persistenceID: PersistenceID(stored: row.text(4)),
                        sequenceNumber: SequenceNumber(UInt64(bitPattern: row.integer(5))), type: row.text(6),
                        error: row.text(7), attempts: Int(row.integer(8)),
                        failedAt: Timestamp(unixNanoseconds: row.integer(9)))
                }
            }
        }
    }

    public func timestampOffsets() async throws(StoreError) -> [TimestampOffset] {
        _ = try await read { _ in 0 }  // closed is closed
        return []
    }
}

extension SQLiteConnection {
    private static let upsertOffset = """
        INSERT INTO ego_offsets (projection, version, shard, position, committed_at, event_timestamp)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)
        ON CONFLICT (projection, version, shard) DO UPDATE SET position = excluded.position,
            committed_at = excluded.committed_at, event_timestamp = excluded.event_timestamp
        """
    private static let upsertDeadLetter = """
        INSERT INTO ego_dead_letters (projection, version, position, shard, persistence_id, sequence_number, type,
            error, attempts, failed_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
        ON CONFLICT (projection, version, position) DO UPDATE SET error = excluded.error,
            attempts = excluded.attempts, failed_at = excluded.failed_at
        """
    private static let insertProjection = """
        INSERT INTO ego_projections (name, mode, active_version, shadow_version, previous_version, revision, details)
        VALUES (?1, ?2, ?3, ?4, ?5, 1, ?7) ON CONFLICT (name) DO NOTHING
        """
    private static let updateProjection = """
        UPDATE ego_projections SET mode = ?2, active_version = ?3, shadow_version = ?4, previous_version = ?5,
            details = ?7, revision = revision + 1
        WHERE name = ?1 AND revision = ?6
        """

    func advance(_ advance: ProjectionAdvance) throws(SQLiteError) -> Int {
        let (name, version) = (SQLiteValue.text(advance.projection), SQLiteValue.integer(Int64(advance.version)))
        for offset in advance.offsets {
            try execute(
                Self.upsertOffset,
                [
                    name, version, .integer(Int64(bitPattern: offset.shard.rawValue)),
                    .integer(offset.offset.position.rawValue), .time(offset.committedAt),
                    offset.eventTimestamp.map(SQLiteValue.time) ?? .null,
                ])
        }
        for letter in advance.deadLetters {
            try execute(
                Self.upsertDeadLetter,
                [
                    name, version, .integer(letter.offset.position.rawValue),
                    .integer(Int64(bitPattern: letter.shard.rawValue)), .text(letter.persistenceID.rawValue),
                    .sequence(letter.sequenceNumber), .text(letter.type), .text(letter.error),
                    .integer(Int64(letter.attempts)), .time(letter.failedAt),
                ])
        }
        return advance.offsets.count + advance.deadLetters.count
    }

    /// Returns how many rows were changed: none when the revision is not the stored one.
    func save(_ record: ProjectionRecord) throws(SQLiteError) -> Int {
        func version(_ number: Int?) -> SQLiteValue { number.map { .integer(Int64($0)) } ?? .null }
        return try execute(
            record.revision == 0 ? Self.insertProjection : Self.updateProjection,
            [
                .text(record.name), .text(record.mode.rawValue), version(record.activeVersion),
                version(record.shadowVersion), version(record.previousVersion),
                record.revision == 0 ? .null : .integer(Int64(bitPattern: record.revision)),
                .blob(record.encodedDetails),
            ])
    }

    func forgetVersion(_ version: Int?, of projection: String) throws(SQLiteError) -> Int {
        var count = 0
        for table in ["ego_offsets", "ego_dead_letters"] {
            count += try execute(
                "DELETE FROM \(table) WHERE projection = ?1 AND (?2 IS NULL OR version = ?2)",
                [.text(projection), version.map { .integer(Int64($0)) } ?? .null])
        }
        return count
    }
}

/// The transaction in which a projection's offset is committed; a read model in the same file changes with it.
///
/// Valid only during the call that it is passed to; later use throws ``StoreError/Code/closed``.
public final class SQLiteTransaction: ReadModelTransaction {
    private var connection: SQLiteConnection?

    init(_ connection: SQLiteConnection) {
        self.connection = connection
    }

    func end() { connection = nil }

    /// Runs one statement with bound parameters; returns how many rows it changed.
    ///
    /// - Throws: ``StoreError`` with SQLite's error as its cause.
    @discardableResult
    public func execute(_ sql: String, _ parameters: [SQLiteValue] = []) throws(StoreError) -> Int {
        let connection = try current()
        return try connection.run("change the read model") { () throws(SQLiteError) in
            try connection.execute(sql, parameters)
        }
    }

    /// Runs one query with bound parameters; returns its rows.
    ///
    /// - Throws: ``StoreError`` with SQLite's error as its cause.
    public func rows(_ sql: String, _ parameters: [SQLiteValue] = []) throws(StoreError) -> [[SQLiteValue]] {
        let connection = try current()
        return try connection.run("read the read model") { () throws(SQLiteError) in
            try connection.all(sql, parameters) { row in (0..<row.columnCount).map { row.value($0) } }
        }
    }

    public var dialect: SQLDialect { .sqlite }

    public var isUsable: Bool { connection?.isInTransaction ?? false }

    public func change(_ sql: String, _ values: [ReadModelValue]) throws(StoreError) -> Int {
        let connection = try current()
        return try connection.run("change the read model") { () throws(SQLiteError) in
            try connection.change(sql, values)
        }
    }

    public func enqueue(_ sql: String, _ values: [ReadModelValue], step: Int) throws(StoreError) {
        _ = try change(sql, values)
    }

    public func flush() throws(StoreError) {}

    public var failure: (step: Int, error: StoreError)? { nil }

    public func query(_ sql: String, _ values: [ReadModelValue]) throws(StoreError) -> [[ReadModelValue]] {
        try rows(sql, values.map(SQLiteValue.init)).map { $0.map(\.readModelValue) }
    }

    private func current() throws(StoreError) -> SQLiteConnection {
        guard let connection, connection.isInTransaction else {
            throw StoreError(.closed, "the transaction has ended")
        }
        return connection
    }
}

extension SQLiteValue {
    fileprivate init(_ value: ReadModelValue) {
        switch value {
        case .null: self = .null
        case .bool(let isTrue): self = .integer(isTrue ? 1 : 0)
        case .integer(let number): self = .integer(number)
        case .real(let number): self = .real(number)
        case .text(let text): self = .text(text)
        case .bytes(let bytes): self = .blob(bytes)
        }
    }

    fileprivate var readModelValue: ReadModelValue {
        switch self {
        case .null: .null
        case .integer(let number): .integer(number)
        case .real(let number): .real(number)
        case .text(let text): .text(text)
        case .blob(let bytes): .bytes(bytes)
        }
    }
}
