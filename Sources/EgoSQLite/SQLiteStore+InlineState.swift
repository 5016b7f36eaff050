public import EgoCore

extension SQLiteStore {
    private static let selectWithFields = """
        SELECT \(SQLiteConnection.eventColumns) FROM ego_events v
        WHERE v.entity = (SELECT id FROM ego_entities WHERE persistence_id = ?1) AND v.sequence_number <= ?2
            AND v.unknown_fields IS NOT NULL
        ORDER BY v.sequence_number DESC
        """

    public func newestInlineState(
        of id: PersistenceID, through last: SequenceNumber
    ) async throws(StoreError) -> PersistedEvent? {
        try await readAtLength { (connection) throws(StoreError) in
            try connection.run("read inline state") { () throws(SQLiteError) in
                var found: PersistedEvent?
                try connection.query(
                    Self.selectWithFields, [.text(id.rawValue), .sequence(last)]
                ) { (row) throws(SQLiteError) in
                    let event = try connection.event(row, of: id, isErased: false)
                    if !event.hasInlineState { return true }
                    found = event
                    return false
                }
                return found
            }
        }
    }
}

extension SQLiteConnection {
    private static let selectFields = """
        SELECT position, unknown_fields FROM ego_events
        WHERE entity = ?1 AND sequence_number BETWEEN ?2 AND ?3 AND unknown_fields IS NOT NULL
        """
    private static let updateFields = "UPDATE ego_events SET unknown_fields = ?2 WHERE position = ?1"

    /// Takes the inline state out of unknown fields and leaves the others; returns how many events had one.
    func dropInlineState(
        of id: PersistenceID, from first: SequenceNumber, through last: SequenceNumber
    ) throws(SQLiteError) -> Int {
        guard let entity = try entity(id) else { return 0 }
        let rows = try all(
            Self.selectFields, [.integer(entity.id), .sequence(first), .sequence(last)]
        ) { (position: $0.integer(0), fields: $0.blob(1)) }
        var count = 0
        for row in rows {
            guard let rest = PersistedEvent.withoutInlineState(row.fields) else { continue }
            count += try execute(Self.updateFields, [.integer(row.position), .bytes(orNull: rest)])
        }
        return count
    }
}
