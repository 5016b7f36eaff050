public import EgoCore

extension PostgresStore {
    public func newestInlineState(
        of id: PersistenceID, through last: SequenceNumber
    ) async throws(StoreError) -> PersistedEvent? {
        let inline = layout.isAdopted && !layout.hasInlineState ? "" : "OR v.state_payload IS NOT NULL"
        let sql = layout.statement(
            [],
            """
            SELECT \(layout.eventColumns) FROM events_store v
            WHERE v.persistence_id = $1 AND v.sequence_number <= $2 AND (v.unknown_fields IS NOT NULL \(inline))
            ORDER BY v.sequence_number DESC
            """)
        let clock = clock
        return try await read("read inline state") { (connection) throws(PostgresError) in
            var found: PersistedEvent?
            try connection.query(sql, [.id(id), .sequence(last)]) { (row) throws(PostgresError) in
                let event = row.event(of: id, clock)
                if !event.hasInlineState { return true }
                found = event
                return false
            }
            return found
        }
    }

    private static let clearColumns = """
        UPDATE events_store SET state_payload = NULL, state_manifest = NULL
        WHERE persistence_id = $1 AND sequence_number BETWEEN $2 AND $3 AND state_payload IS NOT NULL
        """
    private static let selectFields = """
        SELECT sequence_number, unknown_fields FROM events_store
        WHERE persistence_id = $1 AND sequence_number BETWEEN $2 AND $3 AND unknown_fields IS NOT NULL
        """
    private static let updateFields =
        "UPDATE events_store SET unknown_fields = $3 WHERE persistence_id = $1 AND sequence_number = $2"

    /// Empties the columns of eGo v3, and takes the inline state out of unknown fields; returns how many events had one.
    func dropInlineState(
        of id: PersistenceID, from first: SequenceNumber, through last: SequenceNumber,
        on connection: PostgresConnection
    ) throws(PostgresError) -> Int {
        let range: [PostgresValue] = [.id(id), .sequence(first), .sequence(last)]
        var count = layout.hasInlineState ? try connection.execute(Self.clearColumns, range) : 0
        for (number, fields) in try connection.all(Self.selectFields, range, { ($0.integer(0), $0.bytes(1)) }) {
            guard let rest = PersistedEvent.withoutInlineState(fields) else { continue }
            count += try connection.execute(
                Self.updateFields, [.id(id), .integer(number), .bytes(orNull: rest)])
        }
        return count
    }
}
