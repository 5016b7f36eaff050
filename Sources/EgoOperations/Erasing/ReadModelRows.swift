import EgoCore
import Synchronization

/// Rows of single entities in the tables of read models.
struct ReadModelRows: Sendable {
    /// A table of one version, and its column of persistence IDs.
    struct Table: Sendable {
        var name: String
        var column: String
    }

    let store: any Store
    let tables: [Table]

    /// The tables of all versions of a projection that name such a column.
    static func tables(of record: ProjectionRecord) -> [Table] {
        record.tables.sorted { $0.key < $1.key }.flatMap { version, tables in
            tables.compactMap { table in
                table.entityColumn.map { Table(name: table.name(ofVersion: version), column: $0) }
            }
        }
    }

    /// How many rows each table has of an entity.
    func counts(of id: PersistenceID) async throws -> [Int] {
        if tables.isEmpty { return [] }
        let (tables, found) = (tables, Found())
        try await store.inspect { transaction in
            if transaction.dialect == .none { return }
            for table in tables {
                let sql =
                    "SELECT count(*) FROM \(table.name) WHERE \(table.column) = \(transaction.dialect.placeholder(1))"
                guard case .integer(let count)? = try transaction.query(sql, [.text(id.rawValue)]).first?.first else {
                    continue
                }
                found.counts.withLock { $0.append(Int(count)) }
            }
        }
        return found.counts.withLock { $0 }
    }

    /// Filled on the store's own executor.
    private final class Found: Sendable {
        let counts = Mutex<[Int]>([])
    }
}
