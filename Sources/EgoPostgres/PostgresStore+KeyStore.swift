public import EgoCore

extension PostgresStore {
    private static let columns = "id, persistence_id, wrapped, created_at"

    public func add(_ key: StoredKey) async throws(StoreError) {
        let added = try await write("add key") { (connection) throws(StoreError) in
            try connection.run("add key") { () throws(PostgresError) in
                try connection.execute(
                    """
                    INSERT INTO ego_keys (id, persistence_id, wrapped, created_at) VALUES ($1, $2, $3, $4)
                    ON CONFLICT (id) DO NOTHING
                    """,
                    [.text(key.id), .id(key.persistenceID), .bytes(key.wrapped), .time(key.createdAt)])
            }
        }
        if added == 0 { throw StoreError(.invalid, "key \(key.id) exists or existed; a key ID is never used twice") }
    }

    public func key(_ id: String) async throws(StoreError) -> KeyLookup? {
        if !layout.isAdopted { return nil }
        return try await read("read key") { (connection) throws(PostgresError) in
            try connection.first("SELECT \(Self.columns) FROM ego_keys WHERE id = $1", [.text(id)]) { row in
                row.isNull(2) ? .destroyed : .key(Self.key(row))
            }
        }
    }

    public func keys(of id: PersistenceID) async throws(StoreError) -> [StoredKey] {
        if !layout.isAdopted { return [] }
        return try await read("read keys") { (connection) throws(PostgresError) in
            try connection.all(
                """
                SELECT \(Self.columns) FROM ego_keys WHERE persistence_id = $1 AND wrapped IS NOT NULL
                ORDER BY created_at, id
                """, [.id(id)], Self.key)
        }
    }

    public func hadKey(_ id: PersistenceID) async throws(StoreError) -> Bool {
        if !layout.isAdopted { return false }
        return try await read("look for keys") { (connection) throws(PostgresError) in
            try connection.first("SELECT 1 FROM ego_keys WHERE persistence_id = $1 LIMIT 1", [.id(id)]) { _ in true }
                ?? false
        }
    }

    public func keys(after id: String?, limit: Int) async throws(StoreError) -> [KeyListing] {
        if !layout.isAdopted { return [] }
        return try await read("list keys") { (connection) throws(PostgresError) in
            try connection.all(
                "SELECT \(Self.columns) FROM ego_keys WHERE $1::text IS NULL OR id > $1 ORDER BY id LIMIT $2",
                [.optional(id), .integer(Int64(max(1, limit)))]
            ) { row in KeyListing(key: Self.key(row), isDestroyed: row.isNull(2)) }
        }
    }

    public func rewrap(_ keys: [StoredKey]) async throws(StoreError) {
        try await write("rewrap keys") { (connection) throws(StoreError) in
            for key in keys {
                let changed = try connection.run("rewrap key") { () throws(PostgresError) in
                    try connection.execute(
                        "UPDATE ego_keys SET wrapped = $2 WHERE id = $1 AND wrapped IS NOT NULL",
                        [.text(key.id), .bytes(key.wrapped)])
                }
                if changed == 0 { throw StoreError(.notFound, "there is no key \(key.id), or it was destroyed") }
            }
        }
    }

    public func destroyKeys(of id: PersistenceID) async throws(StoreError) -> Int {
        try await write("destroy keys") { (connection) throws(StoreError) in
            try connection.run("destroy keys") { () throws(PostgresError) in
                try connection.execute(
                    "UPDATE ego_keys SET wrapped = NULL WHERE persistence_id = $1 AND wrapped IS NOT NULL", [.id(id)])
            }
        }
    }

    private static func key(_ row: PostgresRow) -> StoredKey {
        StoredKey(
            id: row.text(0), persistenceID: PersistenceID(stored: row.text(1)), wrapped: row.bytes(2),
            createdAt: Timestamp(unixNanoseconds: row.integer(3)))
    }
}
