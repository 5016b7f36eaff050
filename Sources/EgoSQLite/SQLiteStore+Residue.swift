public import EgoCore

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

extension SQLiteStore {
    private static let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)"
    private static let notCovered = [
        "blocks of the disk that the store's files no longer use",
        "backups and copies of the store's files",
    ]

    public func purge(_ search: ResidueSearch) async throws(StoreError) -> PurgeReport {
        guard let writer else { throw StoreError(.readOnly, "the store was opened for reading only") }
        let path = path
        return try await writer.run { (connection) throws(StoreError) in
            var search = search
            // What is in the log from here on was written after what was deleted.
            search.includesLog = false
            try Self.emptyLog(connection)
            var report = try SQLiteDeadSpace.scan(path, for: search)
            var rewritten: [String] = []
            // SQLite overwrites what it deletes, but not the copies that it has left when it split a page. Where not all
            // of what was deleted could be recognised, they are not looked for one by one.
            var isDue = search.rewrite != .never && (report.residues > 0 || !search.sample.isComplete)
            for _ in 0..<2 where isDue {
                try connection.run("write the database anew") { () throws(SQLiteError) in
                    // The copy goes by way of a temporary database, which need not fit into memory.
                    try connection.script("PRAGMA temp_store = FILE; VACUUM; PRAGMA temp_store = MEMORY;")
                }
                try Self.emptyLog(connection)
                report = try SQLiteDeadSpace.scan(path, for: search)
                rewritten = [path]
                isDue = report.residues > 0
            }
            report.rewritten = rewritten
            report.notCovered = Self.notCovered
            return report
        }
    }

    public func residue(_ search: ResidueSearch) async throws(StoreError) -> PurgeReport {
        let path = path
        return try await readAtLength { (_) throws(StoreError) in
            var report = try SQLiteDeadSpace.scan(path, for: search)
            report.notCovered = Self.notCovered
            return report
        }
    }

    /// Brings everything in the log into the database and cuts the log off, once no reader needs it.
    private static func emptyLog(_ connection: SQLiteConnection) throws(StoreError) {
        let deadline = ContinuousClock.now + .seconds(30)
        while true {
            do throws(SQLiteError) {
                if try connection.first(checkpoint, [], { $0.integer(0) }) == 0 { return }
            } catch {
                let failure = StoreError(error, during: "empty the write-ahead log")
                if failure.code != .busy { throw failure }
            }
            if ContinuousClock.now > deadline {
                throw StoreError(
                    .busy, "another process keeps the write-ahead log from being emptied",
                    remedy: "end its long reads, then repeat the command")
            }
            usleep(20_000)
        }
    }
}
