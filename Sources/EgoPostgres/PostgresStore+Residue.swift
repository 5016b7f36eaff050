public import EgoCore

extension PostgresStore {
    private static let notCovered = [
        "the write-ahead log and its archive", "replicas", "backups", "what ANALYZE has noted of columns",
        "blocks of the disk that the database no longer uses",
    ]
    /// The tables that hold what an entity's records hold.
    private static let tables = [
        "events_store", "snapshots_store", "states_store", "ego_commands", "ego_dead_letters", "ego_keys",
        "ego_projections", "ego_jobs",
    ]
    /// A larger table is not written anew unless that is asked for: nobody can use it meanwhile.
    private static let quickBytes: Int64 = 1 << 30
    private static let selectTransaction = "SELECT pg_current_xact_id()::xid::text"
    /// Sessions that may still see what was deleted before a transaction. Those of other roles are not shown to everybody.
    private static let selectOlder = """
        SELECT count(*) FROM pg_stat_activity
        WHERE backend_xmin IS NOT NULL AND age(backend_xmin) > age($1::text::xid) AND pid <> pg_backend_pid()
            AND datname = current_database()
        """

    /// Deleted rows go with VACUUM FULL, which writes a table and its indexes anew: VACUUM alone frees the space in a page
    /// and leaves the bytes in it.
    public func purge(_ search: ResidueSearch) async throws(StoreError) -> PurgeReport {
        try checkWritable()
        try await settle(timeout: .seconds(30))
        try await waitForReaders()
        let names = Self.tables.map { "\(layout.schema).\($0)" } + search.tables.map(Self.quoted)
        var report = PurgeReport(notCovered: Self.notCovered)
        for table in names {
            let bytes = try await read("measure \(table)") { (connection) throws(PostgresError) in
                try connection.first("SELECT pg_total_relation_size(to_regclass($1))", [.text(table)]) {
                    $0.optionalInteger(0)
                } ?? nil
            }
            guard let bytes else { continue }
            let isWhole =
                switch search.rewrite {
                case .never: false
                case .whereQuick: bytes <= Self.quickBytes
                case .always: true
                }
            try await vacuum(table, isWhole: isWhole)
            if isWhole {
                report.rewritten.append(table)
            } else {
                report.notCovered.append("space that was freed in the pages of \(table) and is not used again yet")
            }
        }
        return report
    }

    /// Waits for the table in short turns: whoever asks for it behind this request gets it in between.
    private func vacuum(_ table: String, isWhole: Bool) async throws(StoreError) {
        let deadline = ContinuousClock.now + .seconds(30)
        while true {
            do throws(StoreError) {
                return try await pool.run(.never) { (connection) throws(StoreError) in
                    try connection.run("vacuum \(table)") { () throws(PostgresError) in
                        try connection.script("SET lock_timeout = '400ms'")
                        try connection.script("SET statement_timeout = 0")
                        defer {
                            // A connection that is lost has no settings to give back.
                            try? connection.script("RESET lock_timeout")
                            try? connection.script("RESET statement_timeout")
                        }
                        try connection.script(isWhole ? "VACUUM (FULL) \(table)" : "VACUUM \(table)")
                    }
                }
            } catch {
                guard (error.cause as? PostgresError)?.sqlState == "55P03" else { throw error }
                if ContinuousClock.now > deadline {
                    throw StoreError(
                        .busy, "another session keeps the table \(table) from being written anew",
                        remedy: "end its transaction, then repeat the command", cause: error.cause)
                }
            }
            do { try await Task.sleep(for: .milliseconds(Int.random(in: 300...700))) } catch {
                throw StoreError(.cancelled, "stopped while waiting for the table \(table)")
            }
        }
    }

    public func residue(_ search: ResidueSearch) async throws(StoreError) -> PurgeReport {
        PurgeReport(notCovered: Self.notCovered)
    }

    private static func quoted(_ name: String) -> String {
        "\"\(name.replacing("\"", with: "\"\""))\""
    }

    /// Rows that somebody may still see would be copied.
    private func waitForReaders() async throws(StoreError) {
        let deadline = ContinuousClock.now + .seconds(30)
        let mark = try await write("mark the deletion") { (connection) throws(StoreError) in
            try connection.run("mark the deletion") { () throws(PostgresError) in
                try connection.first(Self.selectTransaction) { $0.text(0) } ?? ""
            }
        }
        while true {
            let older = try await read("look at the sessions") { (connection) throws(PostgresError) in
                try connection.first(Self.selectOlder, [.text(mark)]) { $0.integer(0) } ?? 0
            }
            if older == 0 { return }
            if ContinuousClock.now > deadline {
                throw StoreError(
                    .busy, "\(older) sessions still see what was deleted",
                    remedy: "end their transactions, then repeat the command")
            }
            do { try await Task.sleep(for: .milliseconds(20)) } catch {
                throw StoreError(.cancelled, "stopped while waiting for sessions to end their transactions")
            }
        }
    }
}
