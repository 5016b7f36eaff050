/// What groups of appends are written with.
///
/// Each table is looked up by a key with a limit: so the server takes the index, also where the plan was made when there
/// was next to nothing in the table.
enum AppendStatements {
    /// What an append gives of an event.
    static let columns = """
        persistence_id, sequence_number, "timestamp", event_manifest, event_payload, encryption_key_id, is_encrypted,
        metadata, unknown_fields, checksum, shard_number
        """
    private static let values = """
        v.id, v.number, v.time, v.manifest, v.payload, v.key_id, v.is_encrypted, v.metadata, v.unknown_fields, v.checksum
        """
    /// The columns of events as rows `v`, in their order `n`.
    private static func rows(withExpected: Bool = false) -> String {
        let (parameter, name) = withExpected ? (", $12::int8[]", ", expected") : ("", "")
        return """
            unnest($1::text[], $2::int8[], $3::int8[], $4::text[], $5::bytea[], $6::text[], $7::bool[], $8::bytea[],
                $9::bytea[], $10::int8[], $11::int8[]\(parameter)) WITH ORDINALITY
                AS v(id, number, time, manifest, payload, key_id, is_encrypted, metadata, unknown_fields, checksum,
                    shard\(name), n)
            """
    }
    /// What ``AppendWrite/written(_:)`` reads.
    static let answer = "RETURNING transaction_id, position, sequence_number, shard_number"
    private static let isNotErased = """
        NOT EXISTS (SELECT 1 FROM ego_tombstones WHERE persistence_id = ANY ($1::text[]))
        """

    /// True, or an error that the server's log explains by itself, and that says nothing of any event.
    private static func demand(_ condition: String) -> String {
        "CASE WHEN \(condition) THEN true ELSE ('not at its expected event, or erased: ' || v.id)::bool END"
    }

    /// Events of entities whose expected event is known to be there. Whether there is a later one is what the unique key
    /// decides.
    static let insertKnown = """
        INSERT INTO events_store (\(columns)) SELECT \(values), v.shard
        FROM \(rows())
        WHERE \(demand(isNotErased)) ORDER BY v.n \(answer)
        """

    /// Events of entities that are looked at: at the expected event, where that is there. A floor is asked for only where
    /// it is not.
    static func insert(trimmedJoin: String) -> String {
        """
        INSERT INTO events_store (\(columns)) SELECT \(values), coalesce(found.shard_number, known.shard, v.shard)
        FROM \(rows(withExpected: true))
        \(placeJoins) \(trimmedJoin)
        WHERE \(demand("\(isNotErased) AND \(place) = v.expected")) ORDER BY v.n \(answer)
        """
    }

    /// What an entity is at, as far as ``placeJoins`` has found out.
    static let place = "coalesce(found.sequence_number, greatest(known.floor, trimmed.number, 0))"

    static let placeJoins = """
        LEFT JOIN LATERAL (SELECT sequence_number, shard_number FROM events_store
            WHERE persistence_id = v.id AND sequence_number = v.expected LIMIT 1) found ON true
        LEFT JOIN LATERAL (SELECT floor, shard FROM ego_entities
            WHERE persistence_id = v.id AND found.sequence_number IS NULL LIMIT 1) known ON true
        """

    /// That entities without a new event are where they are expected: no unique key decides that.
    static func check(trimmedJoin: String) -> String {
        """
        SELECT \(demand("\(isNotErased) AND \(place) = v.expected"))
        FROM unnest($1::text[], $2::int8[]) AS v(id, expected)
        LEFT JOIN LATERAL (SELECT sequence_number FROM events_store
            WHERE persistence_id = v.id ORDER BY sequence_number DESC LIMIT 1) found ON true
        LEFT JOIN LATERAL (SELECT floor FROM ego_entities
            WHERE persistence_id = v.id AND found.sequence_number IS NULL LIMIT 1) known ON true
        \(trimmedJoin)
        """
    }

    static let insertEntities = """
        INSERT INTO ego_entities (persistence_id, kind, shard)
        SELECT e.id, e.kind, e.shard
        FROM unnest($1::text[], $2::text[], $3::int8[]) WITH ORDINALITY AS e(id, kind, shard, n) ORDER BY e.n
        ON CONFLICT (persistence_id) DO UPDATE SET kind = coalesce(ego_entities.kind, excluded.kind)
        """

    static let insertCommands = """
        INSERT INTO ego_commands (persistence_id, command_id, before, after)
        SELECT * FROM unnest($1::text[], $2::text[], $3::int8[], $4::int8[])
        """
}
