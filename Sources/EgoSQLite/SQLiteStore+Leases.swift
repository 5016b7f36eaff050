public import EgoCore

extension SQLiteStore {
    private static let selectLease =
        "SELECT name, owner, generation, acquired_at, expires_at FROM ego_leases WHERE name = ?1"
    private static let selectLeases = """
        SELECT name, owner, generation, acquired_at, expires_at FROM ego_leases WHERE owner IS NOT NULL ORDER BY name
        """
    private static let upsertLease = """
        INSERT INTO ego_leases (name, owner, generation, acquired_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, generation = excluded.generation,
            acquired_at = excluded.acquired_at, expires_at = excluded.expires_at
        """
    private static let renewLease =
        "UPDATE ego_leases SET expires_at = ?3 WHERE name = ?1 AND generation = ?2 AND owner IS NOT NULL"
    private static let releaseLease = "UPDATE ego_leases SET owner = NULL WHERE name = ?1 AND generation = ?2"

    public func acquireLease(
        _ name: String, owner: String, for duration: Duration, now: Timestamp
    ) async throws(StoreError) -> Lease {
        try await write { (connection) throws(StoreError) in
            let current = try connection.run("read lease") { () throws(SQLiteError) in
                try connection.first(Self.selectLease, [.text(name)]) { (Self.lease($0), isHeld: !$0.isNull(1)) }
            }
            if let (held, isHeld) = current, isHeld, held.owner != owner, held.expiresAt > now {
                let seconds = now.duration(since: held.acquiredAt).components.seconds
                throw StoreError(.leaseHeld, "\(held.owner) has held the lease on \(name) for \(seconds) s")
            }
            let lease = Lease(
                name: name, owner: owner, generation: (current?.0.generation ?? 0) + 1, acquiredAt: now,
                expiresAt: now.advanced(by: duration))
            try connection.run("take lease") { () throws(SQLiteError) in
                _ = try connection.execute(
                    Self.upsertLease,
                    [
                        .text(name), .text(owner), .integer(Int64(bitPattern: lease.generation)),
                        .time(lease.acquiredAt), .time(lease.expiresAt),
                    ])
            }
            return lease
        }
    }

    public func renew(_ lease: Lease, for duration: Duration, now: Timestamp) async throws(StoreError) -> Lease {
        var renewed = lease
        renewed.expiresAt = now.advanced(by: duration)
        let expiresAt = renewed.expiresAt
        let changed = try await write { (connection) throws(StoreError) in
            try connection.run("renew lease") { () throws(SQLiteError) in
                try connection.execute(
                    Self.renewLease,
                    [.text(lease.name), .integer(Int64(bitPattern: lease.generation)), .time(expiresAt)])
            }
        }
        if changed == 0 { throw StoreError(.fenced, "the lease on \(lease.name) was lost") }
        return renewed
    }

    public func release(_ lease: Lease) async throws(StoreError) {
        _ = try await write { (connection) throws(StoreError) in
            try connection.run("release lease") { () throws(SQLiteError) in
                try connection.execute(
                    Self.releaseLease, [.text(lease.name), .integer(Int64(bitPattern: lease.generation))])
            }
        }
    }

    public func leases() async throws(StoreError) -> [Lease] {
        try await read { (connection) throws(StoreError) in
            try connection.run("read leases") { () throws(SQLiteError) in
                try connection.all(Self.selectLeases, [], Self.lease)
            }
        }
    }

    private static func lease(_ row: SQLiteStatement) -> Lease {
        Lease(
            name: row.text(0), owner: row.text(1), generation: UInt64(bitPattern: row.integer(2)),
            acquiredAt: Timestamp(unixNanoseconds: row.integer(3)),
            expiresAt: Timestamp(unixNanoseconds: row.integer(4)))
    }
}
