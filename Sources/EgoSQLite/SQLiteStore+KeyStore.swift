public import EgoCore

extension SQLiteStore {
    private static let insertKey = """
        INSERT INTO ego_keys (id, persistence_id, wrapped, created_at) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (id) DO NOTHING
        """
    private static let selectKey = "SELECT id, persistence_id, wrapped, created_at FROM ego_keys WHERE id = ?1"
    private static let selectKeys = """
        SELECT id, persistence_id, wrapped, created_at FROM ego_keys
        WHERE persistence_id = ?1 AND wrapped IS NOT NULL ORDER BY created_at, id
        """
    private static let updateKey = "UPDATE ego_keys SET wrapped = ?2 WHERE id = ?1 AND wrapped IS NOT NULL"
    private static let destroyKeys =
        "UPDATE ego_keys SET wrapped = NULL WHERE persistence_id = ?1 AND wrapped IS NOT NULL"
    private static let selectListing = """
        SELECT id, persistence_id, wrapped, created_at FROM ego_keys WHERE ?1 IS NULL OR id > ?1 ORDER BY id LIMIT ?2
        """

    public func add(_ key: StoredKey) async throws(StoreError) {
        let added = try await write { (connection) throws(StoreError) in
            try connection.run("add key") { () throws(SQLiteError) in
                try connection.execute(
                    Self.insertKey,
                    [.text(key.id), .text(key.persistenceID.rawValue), .blob(key.wrapped), .time(key.createdAt)])
            }
        }
        if added == 0 { throw StoreError(.invalid, "key \(key.id) exists or existed; a key ID is never used twice") }
    }

    public func key(_ id: String) async throws(StoreError) -> KeyLookup? {
        try await read { (connection) throws(StoreError) in
            try connection.run("read key") { () throws(SQLiteError) in
                try connection.first(Self.selectKey, [.text(id)]) { row in
                    row.isNull(2) ? .destroyed : .key(Self.key(row))
                }
            }
        }
    }

    public func keys(of id: PersistenceID) async throws(StoreError) -> [StoredKey] {
        try await read { (connection) throws(StoreError) in
            try connection.run("read keys") { () throws(SQLiteError) in
                try connection.all(Self.selectKeys, [.text(id.rawValue)], Self.key)
            }
        }
    }

    private static let selectAny = "SELECT 1 FROM ego_keys WHERE persistence_id = ?1 LIMIT 1"

    public func hadKey(_ id: PersistenceID) async throws(StoreError) -> Bool {
        try await read { (connection) throws(StoreError) in
            try connection.run("look for keys") { () throws(SQLiteError) in
                try connection.first(Self.selectAny, [.text(id.rawValue)]) { _ in true } ?? false
            }
        }
    }

    public func keys(after id: String?, limit: Int) async throws(StoreError) -> [KeyListing] {
        try await read { (connection) throws(StoreError) in
            try connection.run("list keys") { () throws(SQLiteError) in
                try connection.all(
                    Self.selectListing, [id.map { .text($0) } ?? .null, .integer(Int64(max(1, limit)))]
                ) { row in KeyListing(key: Self.key(row), isDestroyed: row.isNull(2)) }
            }
        }
    }

    public func rewrap(_ keys: [StoredKey]) async throws(StoreError) {
        try await write { (connection) throws(StoreError) in
            for key in keys {
                let changed = try connection.run("rewrap key") { () throws(SQLiteError) in
                    try connection.execute(Self.updateKey, [.text(key.id), .blob(key.wrapped)])
                }
                if changed == 0 { throw StoreError(.notFound, "there is no key \(key.id), or it was destroyed") }
            }
        }
    }

    public func destroyKeys(of id: PersistenceID) async throws(StoreError) -> Int {
        try await write { (connection) throws(StoreError) in
            try connection.run("destroy keys") { () throws(SQLiteError) in
                try connection.execute(Self.destroyKeys, [.text(id.rawValue)])
            }
        }
    }

    private static func key(_ row: SQLiteStatement) -> StoredKey {
        StoredKey(
            id: row.text(0), persistenceID: PersistenceID(stored: row.text(1)), wrapped: row.blob(2),
            createdAt: Timestamp(unixNanoseconds: row.integer(3)))
    }
}
