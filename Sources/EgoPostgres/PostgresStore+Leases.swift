public import EgoCore

extension PostgresStore {
    private static let columns = "name, owner, generation, acquired_at, expires_at"
    private static let selectLease = "SELECT \(columns) FROM ego_leases WHERE name = $1"
    private static let takeLease = """
        INSERT INTO ego_leases AS l (name, owner, generation, acquired_at, expires_at) VALUES ($1, $2, 1, $3, $4)
        ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, generation = l.generation + 1,
            acquired_at = excluded.acquired_at, expires_at = excluded.expires_at
            WHERE l.owner IS NULL OR l.owner = excluded.owner OR l.expires_at <= excluded.acquired_at
        RETURNING \(columns)
        """

    public func acquireLease(
        _ name: String, owner: String, for duration: Duration, now: Timestamp
    ) async throws(StoreError) -> Lease {
        try await write("take lease") { (connection) throws(StoreError) in
            let (lease, holder) = try connection.run("take lease") { () throws(PostgresError) -> (Lease?, Lease?) in
                let taken = try connection.first(
                    Self.takeLease,
                    [.text(name), .text(owner), .time(now), .time(now.advanced(by: duration))], Self.lease)
                return (taken, try connection.first(Self.selectLease, [.text(name)], Self.lease))
            }
            if let lease { return lease }
            let seconds = holder.map { now.duration(since: $0.acquiredAt).components.seconds } ?? 0
            throw StoreError(
                .leaseHeld, "\(holder?.owner ?? "somebody") has held the lease on \(name) for \(seconds) s")
        }
    }

    public func renew(_ lease: Lease, for duration: Duration, now: Timestamp) async throws(StoreError) -> Lease {
        var renewed = lease
        renewed.expiresAt = now.advanced(by: duration)
        let expiresAt = renewed.expiresAt
        let changed = try await write("renew lease") { (connection) throws(StoreError) in
            try connection.run("renew lease") { () throws(PostgresError) in
                try connection.execute(
                    "UPDATE ego_leases SET expires_at = $3 WHERE name = $1 AND generation = $2 AND owner IS NOT NULL",
                    [.text(lease.name), .integer(Int64(bitPattern: lease.generation)), .time(expiresAt)])
            }
        }
        if changed == 0 { throw StoreError(.fenced, "the lease on \(lease.name) was lost") }
        return renewed
    }

    public func release(_ lease: Lease) async throws(StoreError) {
        _ = try await write("release lease") { (connection) throws(StoreError) in
            try connection.run("release lease") { () throws(PostgresError) in
                try connection.execute(
                    "UPDATE ego_leases SET owner = NULL WHERE name = $1 AND generation = $2",
                    [.text(lease.name), .integer(Int64(bitPattern: lease.generation))])
            }
        }
    }

    public func leases() async throws(StoreError) -> [Lease] {
        if !layout.isAdopted { return [] }
        return try await read("read leases") { (connection) throws(PostgresError) in
            try connection.all(
                "SELECT \(Self.columns) FROM ego_leases WHERE owner IS NOT NULL ORDER BY name", [], Self.lease)
        }
    }

    private static func lease(_ row: PostgresRow) -> Lease {
        Lease(
            name: row.text(0), owner: row.text(1), generation: UInt64(bitPattern: row.integer(2)),
            acquiredAt: Timestamp(unixNanoseconds: row.integer(3)),
            expiresAt: Timestamp(unixNanoseconds: row.integer(4)))
    }
}
