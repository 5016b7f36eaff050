import EgoCore

extension SQLiteConnection {
    private static let selectNameID = OwnSQL("SELECT id FROM ego_names WHERE name = ?1")
    private static let insertName = "INSERT INTO ego_names (name) VALUES (?1)"
    private static let selectName = OwnSQL("SELECT name FROM ego_names WHERE id = ?1")

    /// The number that stands for a name, made when there is none. Inside a write transaction only.
    func nameID(_ name: String) throws(SQLiteError) -> Int64 {
        if let id = names.id(of: name) { return id }
        let id: Int64
        if let known = try existingNameID(name) {
            id = known
        } else {
            try execute(Self.insertName, [.text(name)])
            id = lastInsertedRow
        }
        names.add(name, id: id)
        return id
    }

    /// The number that stands for a name; nil when none does.
    func existingNameID(_ name: String) throws(SQLiteError) -> Int64? {
        let statement = try statement(Self.selectNameID)
        defer { statement.reset() }
        try statement.bind(name, at: 1)
        return try statement.step() ? statement.integer(0) : nil
    }

    /// The name that a number stands for.
    func name(_ id: Int64) throws(SQLiteError) -> String {
        if let name = names.name(of: id) { return name }
        let statement = try statement(Self.selectName)
        defer { statement.rewind() }
        try statement.bind(id, at: 1)
        let name = try statement.step() ? statement.text(0) : ""
        names.add(name, id: id)
        return name
    }

    private static let selectEntity = OwnSQL(
        """
        SELECT e.id, e.floor, e.shard, t.entity IS NOT NULL,
            (SELECT max(sequence_number) FROM ego_events WHERE entity = e.id)
        FROM ego_entities e LEFT JOIN ego_tombstones t ON t.entity = e.id
        WHERE e.persistence_id = ?1
        """)
    private static let insertEntity = "INSERT INTO ego_entities (persistence_id, kind, shard) VALUES (?1, ?2, ?3)"

    /// The row of an entity; nil when the store never saw it.
    func entity(_ id: PersistenceID) throws(SQLiteError) -> EntityRow? {
        let statement = try statement(Self.selectEntity)
        defer { statement.reset() }
        try statement.bind(id.rawValue, at: 1)
        guard try statement.step() else { return nil }
        let floor = statement.integer(1)
        return EntityRow(
            id: statement.integer(0), floor: floor, last: max(floor, statement.integer(4)), shard: statement.integer(2),
            isErased: statement.integer(3) != 0)
    }

    /// The row of an entity, made when there is none. Inside a write transaction only.
    func entity(making id: PersistenceID, kind: String?, shardCount: UInt32) throws(SQLiteError) -> EntityRow {
        if let row = try entity(id) { return row }
        let shard = Int64(Shard(of: id, count: shardCount).rawValue)
        var kindID = SQLiteValue.null
        if let kind { kindID = .integer(try nameID(kind)) }
        try execute(Self.insertEntity, [.text(id.rawValue), kindID, .integer(shard)])
        return EntityRow(id: lastInsertedRow, floor: 0, last: 0, shard: shard, isErased: false)
    }
}

/// What a write needs to know of an entity.
struct EntityRow: Sendable {
    var id: Int64
    var floor: Int64
    /// The last sequence number, also of deleted events.
    var last: Int64
    var shard: Int64
    var isErased: Bool
}

/// An entity that a connection writes to, kept up to date by who writes.
final class KnownEntity {
    var row: EntityRow

    init(_ row: EntityRow) { self.row = row }
}

/// What a connection that writes knows of entities, so that it need not read them for each append.
///
/// It holds for as long as nobody else has written: ``SQLiteConnection/forgetEntitiesOfOthers()`` asks for that within
/// the transaction.
struct KnownEntities {
    fileprivate var rows: [PersistenceID: KnownEntity] = [:]
    /// The state of the database, as other connections have left it, that the rows were read in.
    fileprivate var dataVersion: Int64?
    /// Beyond so many, all are forgotten: those that are used often come back.
    fileprivate static let limit = 10_000

    mutating func forget() { rows.removeAll(keepingCapacity: true) }
}

extension SQLiteConnection {
    private static let selectDataVersion = OwnSQL("PRAGMA data_version")

    /// The same as ``entity(making:kind:shardCount:)``, from memory where it is known.
    func knownEntity(making id: PersistenceID, kind: String?, shardCount: UInt32) throws(SQLiteError) -> KnownEntity {
        if let entity = entities.rows[id] { return entity }
        let entity = KnownEntity(try entity(making: id, kind: kind, shardCount: shardCount))
        if entities.rows.count >= KnownEntities.limit { entities.forget() }
        entities.rows[id] = entity
        return entity
    }

    /// Forgets entities when another connection has written since the last time. Inside a write transaction only, in
    /// which nobody else writes.
    func forgetEntitiesOfOthers() throws(SQLiteError) {
        let version = try number(Self.selectDataVersion)
        if version != entities.dataVersion { entities.forget() }
        entities.dataVersion = version
    }
}
