import EgoCore

extension SQLiteConnection {
    private static let selectNameID = "SELECT id FROM ego_names WHERE name = ?1"
    private static let insertName = "INSERT INTO ego_names (name) VALUES (?1)"
    private static let selectName = "SELECT name FROM ego_names WHERE id = ?1"

    /// The number that stands for a name, made when there is none. Inside a write transaction only.
    func nameID(_ name: String) throws(SQLiteError) -> Int64 {
        if let id = nameIDs[ExactText(name)] { return id }
        let id: Int64
        if let known = try first(Self.selectNameID, [.text(name)], { $0.integer(0) }) {
            id = known
        } else {
            try execute(Self.insertName, [.text(name)])
            id = lastInsertedRow
        }
        nameIDs[ExactText(name)] = id
        return id
    }

    /// The number that stands for a name; nil when none does.
    func existingNameID(_ name: String) throws(SQLiteError) -> Int64? {
        try first(Self.selectNameID, [.text(name)]) { $0.integer(0) }
    }

    /// The name that a number stands for.
    func name(_ id: Int64) throws(SQLiteError) -> String {
        if let name = names[id] { return name }
        let name = try first(Self.selectName, [.integer(id)]) { $0.text(0) } ?? ""
        names[id] = name
        return name
    }

    private static let selectEntity = """
        SELECT e.id, e.floor, e.shard, t.entity IS NOT NULL,
            (SELECT max(sequence_number) FROM ego_events WHERE entity = e.id)
        FROM ego_entities e LEFT JOIN ego_tombstones t ON t.entity = e.id
        WHERE e.persistence_id = ?1
        """
    private static let insertEntity = "INSERT INTO ego_entities (persistence_id, kind, shard) VALUES (?1, ?2, ?3)"

    /// The row of an entity; nil when the store never saw it.
    func entity(_ id: PersistenceID) throws(SQLiteError) -> EntityRow? {
        try first(Self.selectEntity, [.text(id.rawValue)]) { row in
            let floor = row.integer(1)
            return EntityRow(
                id: row.integer(0), floor: floor, last: max(floor, row.integer(4)), shard: row.integer(2),
                isErased: row.integer(3) != 0)
        }
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

/// What a connection that writes knows of entities, so that it need not read them for each append.
///
/// It holds for as long as nobody else has written: ``SQLiteConnection/forgetEntitiesOfOthers()`` asks for that within
/// the transaction.
struct KnownEntities {
    private var rows: [PersistenceID: EntityRow] = [:]
    /// The state of the database, as other connections have left it, that the rows were read in.
    var dataVersion: Int64?
    /// Beyond so many, all are forgotten: those that are used often come back.
    private static let limit = 10_000

    subscript(_ id: PersistenceID) -> EntityRow? {
        get { rows[id] }
        set {
            if rows.count >= Self.limit { forget() }
            rows[id] = newValue
        }
    }

    mutating func forget() { rows.removeAll(keepingCapacity: true) }
}

extension SQLiteConnection {
    private static let selectDataVersion = "PRAGMA data_version"

    /// The same as ``entity(making:kind:shardCount:)``, from memory where it is known.
    func knownEntity(making id: PersistenceID, kind: String?, shardCount: UInt32) throws(SQLiteError) -> EntityRow {
        if let row = entities[id] { return row }
        return try entity(making: id, kind: kind, shardCount: shardCount)
    }

    /// Forgets entities when another connection has written since the last time. Inside a write transaction only, in
    /// which nobody else writes.
    func forgetEntitiesOfOthers() throws(SQLiteError) {
        let version = try first(Self.selectDataVersion) { $0.integer(0) }
        if version != entities.dataVersion { entities.forget() }
        entities.dataVersion = version
    }
}
