import EgoCore

extension SQLiteConnection {
    private static let selectHead = OwnSQL("SELECT seq FROM sqlite_sequence WHERE name = 'ego_events'")
    private static let insertEvent = OwnSQL(
        """
        INSERT INTO ego_events (entity, sequence_number, timestamp, shard, manifest, flags, payload, checksum,
            encryption_key, metadata, unknown_fields)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
        """)
    private static let selectCommand = OwnSQL(
        "SELECT before, after FROM ego_commands WHERE entity = ?1 AND command_id = ?2")

    /// What ``event(_:of:isErased:)`` reads, in the order in which the table has it: each value is found by the lengths of
    /// those before it.
    static let eventColumns = """
        v.position, v.sequence_number, v.timestamp, v.shard, v.manifest, v.flags, v.encryption_key, v.metadata,
            v.unknown_fields, v.payload, v.checksum
        """
    static let eventColumnCount: Int32 = 11

    /// The last position that was ever committed, also of a record that was deleted since.
    func head() throws(SQLiteError) -> Offset { Offset(position: Position(try number(Self.selectHead) ?? 0)) }

    /// Writes an event. Inside a write transaction only.
    func insert(_ event: EventRow) throws(SQLiteError) {
        let manifest = try nameID(event.manifest)
        let key = event.encryptionKeyID.isEmpty ? 0 : try nameID(event.encryptionKeyID)
        let statement = try statement(Self.insertEvent)
        // NULL is what is not bound: rare values are, and are taken away again.
        let isRare = key != 0 || !event.metadata.isEmpty || !event.unknownFields.isEmpty
        try event.payload.withExactBytes { (payload) throws(SQLiteError) in
            defer { if isRare { statement.reset() } else { statement.rewind() } }
            try statement.bind(event.entity, at: 1)
            try statement.bind(event.number, at: 2)
            try statement.bind(event.timestamp.unixNanoseconds, at: 3)
            try statement.bind(event.shard, at: 4)
            try statement.bind(manifest, at: 5)
            try statement.bind(event.flags.rawValue, at: 6)
            try statement.bind(inPlace: payload, at: 7)
            try statement.bind(payload.payloadChecksum, at: 8)
            if isRare {
                if key != 0 { try statement.bind(key, at: 9) }
                if !event.metadata.isEmpty { try statement.bind(event.metadata, at: 10) }
                if !event.unknownFields.isEmpty { try statement.bind(event.unknownFields, at: 11) }
            }
            while try statement.step() {}
        }
    }

    /// The number of a key's ID among the names; null for a record without one.
    func keyName(_ id: String) throws(SQLiteError) -> SQLiteValue {
        id.isEmpty ? .null : .integer(try nameID(id))
    }

    func command(_ commandID: CommandID, ofEntity entity: Int64) throws(SQLiteError) -> CommandRecord? {
        let statement = try statement(Self.selectCommand)
        defer { statement.reset() }
        try statement.bind(entity, at: 1)
        try statement.bind(commandID.rawValue, at: 2)
        guard try statement.step() else { return nil }
        return CommandRecord(
            commandID: commandID, before: SequenceNumber(UInt64(statement.integer(0))),
            after: SequenceNumber(UInt64(statement.integer(1))))
    }

    /// Reads the columns that queries of events begin with.
    func event(
        _ row: some RowValues, of id: PersistenceID, isErased: Bool
    ) throws(SQLiteError) -> PersistedEvent {
        let flags = EventFlags(rawValue: row.integer(5))
        let payload = Array(row.bytes(9))
        let checksum = row.integer(10)
        var event = PersistedEvent(
            persistenceID: id, sequenceNumber: SequenceNumber(UInt64(bitPattern: row.integer(1))),
            offset: Offset(position: Position(row.integer(0))),
            timestamp: Timestamp(unixNanoseconds: row.integer(2)), shard: Shard(UInt64(bitPattern: row.integer(3))),
            payload: payload, isEncrypted: flags.isEncrypted, isDeleted: flags.isDeleted, isErased: isErased,
            isDamaged: checksum != payload.payloadChecksum && !row.isNull(10))
        let (manifest, key) = (row.integer(4), row.integer(6))  // 0 where it is NULL
        let (metadata, unknownFields) = (row.bytes(7), row.bytes(8))
        if manifest != names.anyManifest { event.manifest = try name(manifest) }
        if key != 0 { event.encryptionKeyID = try name(key) }
        // What this program wrote decodes; metadata that somebody damaged is shown as none rather than hiding the event.
        if !metadata.isEmpty { event.metadata = (try? EventMetadata(encoded: Array(metadata))) ?? .none }
        if !unknownFields.isEmpty { event.unknownFields = Array(unknownFields) }
        return event
    }
}

/// An event as a row takes it.
struct EventRow {
    var entity: Int64
    var number: Int64
    var timestamp: Timestamp
    var shard: Int64
    var manifest: String
    var flags: EventFlags
    var encryptionKeyID: String
    var metadata: [UInt8]
    var unknownFields: [UInt8]
    var payload: [UInt8]
}

/// The booleans of a record in one column.
struct EventFlags {
    let rawValue: Int64

    init(rawValue: Int64) { self.rawValue = rawValue }

    init(isEncrypted: Bool, isDeleted: Bool) {
        self.rawValue = (isEncrypted ? 1 : 0) | (isDeleted ? 2 : 0)
    }

    var isEncrypted: Bool { rawValue & 1 != 0 }
    var isDeleted: Bool { rawValue & 2 != 0 }
}
