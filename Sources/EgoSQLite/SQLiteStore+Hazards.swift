public import EgoCore

extension SQLiteStore {
    private static let selectBoth = """
        SELECT count(*), min(e.persistence_id) FROM ego_states s JOIN ego_entities e ON e.id = s.entity
        WHERE EXISTS (SELECT 1 FROM ego_events WHERE entity = s.entity)
        """
    private static let selectGaps = """
        SELECT count(*), min(e.persistence_id) FROM (
            SELECT entity, count(*) AS found, min(sequence_number) AS first, max(sequence_number) AS last
            FROM ego_events GROUP BY entity) g
        JOIN ego_entities e ON e.id = g.entity
        WHERE g.last - g.first + 1 <> g.found OR g.first <> e.floor + 1
        """
    private static let selectBackwards = """
        SELECT count(*), min(e.persistence_id) FROM (
            SELECT entity, timestamp < lag(timestamp) OVER (PARTITION BY entity ORDER BY sequence_number) AS is_back
            FROM ego_events) b
        JOIN ego_entities e ON e.id = b.entity WHERE b.is_back
        """

    public func hazards(now: Timestamp, isThorough: Bool) async throws(StoreError) -> [StoreHazard] {
        try await readAtLength { (connection) throws(StoreError) in
            try connection.run("look at the journal") { () throws(SQLiteError) in
                if !isThorough { return [] }  // there is no server
                func found(_ sql: String) throws(SQLiteError) -> (Int, PersistenceID)? {
                    let counted = try connection.first(sql) { (Int($0.integer(0)), PersistenceID(stored: $0.text(1))) }
                    return counted.flatMap { $0.0 > 0 ? $0 : nil }
                }
                var hazards: [StoreHazard] = []
                if let (count, first) = try found(Self.selectBoth) {
                    hazards.append(.bothKindsOfState(count: count, first: first))
                }
                if let (count, first) = try found(Self.selectGaps) {
                    hazards.append(.sequenceGap(count: count, first: first))
                }
                if let (count, first) = try found(Self.selectBackwards) {
                    hazards.append(
                        StoreHazard(
                            code: "timestamps_backwards",
                            message: "\(count) events are older than the one before them, as of \(first)",
                            remedy:
                                "the clocks of the machines that write to this store differ: let them follow a time server",
                            isProblem: false))
                }
                return hazards
            }
        }
    }
}
