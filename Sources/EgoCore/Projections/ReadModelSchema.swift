/// Makes, shows and drops the tables of a read model's versions. What it runs is part of the caller's transaction.
///
/// The tables of version 3 are named as `balances_v3`; `balances` is a view of the version in use, so that what others have
/// built on it stays when another version takes its place.
package struct ReadModelSchema: Sendable {
    private let tables: [ReadModelTable]

    /// For these tables; nothing is done for none.
    package init(tables: [ReadModelTable]) {
        self.tables = tables
    }

    /// Makes the tables of a version. A table of that name that is there already is somebody else's.
    ///
    /// - Parameter isActive: whether the views show this version; they are made then.
    package func make(_ version: Int, in transaction: any ReadModelTransaction, isActive: Bool) throws {
        if transaction.dialect == .none { return }
        for table in tables {
            if let problem = table.nameProblem {
                throw ReadModelStatement.Problem(description: "table \(table.name): \(problem)")
            }
            let name = table.name(ofVersion: version)
            _ = try transaction.change("CREATE TABLE \(name) (\(table.columns))", [])
            for (number, columns) in table.indexes.enumerated() {
                _ = try transaction.change("CREATE INDEX \(name)_\(number + 1) ON \(name) (\(columns))", [])
            }
            if isActive { _ = try transaction.change("CREATE VIEW \(table.name) AS SELECT * FROM \(name)", []) }
        }
    }

    /// Lets the views show a version, instead of one that may have other tables.
    package func show(
        _ version: Int, insteadOf old: ReadModelSchema, in transaction: any ReadModelTransaction
    ) throws {
        let names = Set(tables.map(\.name))
        try ReadModelSchema(tables: old.tables.filter { !names.contains($0.name) }).hide(in: transaction)
        try show(version, in: transaction)
    }

    private func show(_ version: Int, in transaction: any ReadModelTransaction) throws {
        for table in tables {
            let select = "SELECT * FROM \(table.name(ofVersion: version))"
            switch transaction.dialect {
            case .none: break
            case .sqlite:
                _ = try transaction.change("DROP VIEW IF EXISTS \(table.name)", [])
                _ = try transaction.change("CREATE VIEW \(table.name) AS \(select)", [])
            case .postgres:
                // Who reads for long is not waited for: all others would wait behind this.
                _ = try transaction.change("SET LOCAL lock_timeout = '3s'", [])
                // Replaced, not dropped: privileges and other views that are built on it stay. Where the columns are not
                // the same that cannot be.
                let isSame = try transaction.query(
                    """
                    SELECT NOT EXISTS (
                        SELECT 1 FROM pg_attribute o LEFT JOIN pg_attribute n
                            ON n.attrelid = to_regclass('\(table.name(ofVersion: version))') AND n.attnum = o.attnum
                                AND n.attname = o.attname AND n.atttypid = o.atttypid
                                AND n.atttypmod = o.atttypmod AND n.attcollation = o.attcollation
                        WHERE o.attrelid = to_regclass('\(table.name)') AND o.attnum > 0 AND n.attname IS NULL)
                    """, [])
                if isSame.first?.first != .bool(true) {
                    _ = try transaction.change("DROP VIEW IF EXISTS \(table.name)", [])
                }
                _ = try transaction.change("CREATE OR REPLACE VIEW \(table.name) AS \(select)", [])
            }
        }
    }

    /// Empties the tables of a version; what others have built on them stays.
    package func empty(_ version: Int, in transaction: any ReadModelTransaction) throws {
        for table in tables {
            let name = table.name(ofVersion: version)
            switch transaction.dialect {
            case .none: break
            case .sqlite: _ = try transaction.change("DELETE FROM \(name)", [])
            case .postgres: _ = try transaction.change("TRUNCATE \(name)", [])
            }
        }
    }

    /// Drops the tables of a version that no view shows.
    package func drop(_ version: Int, in transaction: any ReadModelTransaction) throws {
        if transaction.dialect == .none { return }
        for table in tables {
            _ = try transaction.change("DROP TABLE IF EXISTS \(table.name(ofVersion: version))", [])
        }
    }

    /// Drops the views, before the tables that they show.
    package func hide(in transaction: any ReadModelTransaction) throws {
        if transaction.dialect == .none { return }
        for table in tables { _ = try transaction.change("DROP VIEW IF EXISTS \(table.name)", []) }
    }
}

extension ProjectionRecord {
    /// The tables of a version.
    package func schema(of version: Int) -> ReadModelSchema { ReadModelSchema(tables: tables[version] ?? []) }
}
