public import EgoCore

extension SQLiteStore {
    private static let selectObjects = """
        SELECT type, name, sql FROM sqlite_master WHERE name LIKE 'ego\\_%' ESCAPE '\\' AND sql IS NOT NULL
        ORDER BY type DESC, name
        """
    private static let integrityCheck = "SELECT integrity_check FROM pragma_integrity_check(20)"
    private static let foreignKeyCheck =
        "SELECT \"table\", count(*) FROM pragma_foreign_key_check WHERE \"table\" LIKE 'ego_%' GROUP BY 1"

    public func flaws(isThorough: Bool) async throws(StoreError) -> [StorageFlaw] {
        let wanted = try Self.schemaObjects()
        return try await readAtLength { (connection) throws(StoreError) in
            try connection.run("inspect the store") { () throws(SQLiteError) in
                let found = try connection.all(Self.selectObjects, [], Self.object)
                var flaws = Self.differences(wanted, found)
                if isThorough {
                    flaws += try connection.all(Self.integrityCheck) { $0.text(0) }.filter { $0 != "ok" }.map { text in
                        StorageFlaw(
                            subject: "file", message: text.replacing("\n", with: ": "),
                            remedy: "restore a backup, or save what can be read with ego export")
                    }
                    flaws += try connection.all(Self.foreignKeyCheck) { row in
                        StorageFlaw(
                            subject: row.text(0), message: "\(row.integer(1)) rows refer to rows that are not there",
                            remedy: "restore a backup, or save what can be read with ego export")
                    }
                }
                return flaws
            }
        }
    }

    /// A table or an index of the schema, as it is declared.
    private struct SchemaObject: Sendable {
        var type: String
        var name: String
        var sql: String
    }

    private static func object(_ row: SQLiteStatement) -> SchemaObject {
        SchemaObject(type: row.text(0), name: row.text(1), sql: row.text(2))
    }

    /// What a store that was just made has.
    private static func schemaObjects() throws(StoreError) -> [SchemaObject] {
        let connection: SQLiteConnection
        do throws(SQLiteError) {
            connection = try SQLiteConnection(path: ":memory:", mode: .create, busyTimeout: .zero)
        } catch {
            throw StoreError(error, during: "inspect the store")
        }
        return try connection.run("inspect the store") { () throws(SQLiteError) in
            for step in SQLiteSchema.steps { try connection.script(step) }
            return try connection.all(selectObjects, [], object)
        }
    }

    private static func differences(_ wanted: [SchemaObject], _ found: [SchemaObject]) -> [StorageFlaw] {
        wanted.compactMap { object in
            guard let present = found.first(where: { $0.name == object.name }) else {
                let remedy =
                    object.type == "index"
                    ? "make it again: \(object.sql.split(whereSeparator: \.isWhitespace).joined(separator: " "))"
                    : "restore a backup: its rows are lost"
                return StorageFlaw(
                    subject: object.name, message: "the \(object.type) \(object.name) is missing", remedy: remedy)
            }
            if present.sql == object.sql { return nil }
            return StorageFlaw(
                subject: object.name, message: "the \(object.type) \(object.name) was changed by another program",
                remedy: "export the store and import it into a new one")
        }
    }
}
