import EgoCore

/// Interned names in both directions. Rows of names are never changed or deleted.
struct KnownNames {
    private var names: [Int64: String] = [:]
    private var ids: [ExactText: Int64] = [:]
    /// The manifest of nearly all records, which is asked for with each of them.
    private(set) var anyManifest: Int64?

    func name(of id: Int64) -> String? { id == anyManifest ? PersistedEvent.anyManifest : names[id] }

    func id(of name: String) -> Int64? {
        if let anyManifest, ExactText(name) == ExactText(PersistedEvent.anyManifest) { return anyManifest }
        return ids[ExactText(name)]
    }

    mutating func add(_ name: String, id: Int64) {
        if name == PersistedEvent.anyManifest { anyManifest = id }
        names[id] = name
        ids[ExactText(name)] = id
    }
}

/// Persistence IDs by the number of their entity, for reads that would join a table with each row for them.
///
/// Rows of entities are never deleted, nor is what is kept here of them ever changed. Each number has one slot, which it
/// shares with others: a look-up reads one place, and the memory is bounded.
struct KnownIDs {
    private struct Slot {
        var entity: Int64
        var id: PersistenceID
    }

    private var slots: [Slot?] = []
    /// How many look-ups found nothing, and how many there were.
    private(set) var misses = 0
    private(set) var lookups = 0
    /// The entity that was last read by its persistence ID: who reads one asks several times.
    private var last: Slot?
    private static let slotCount = 1 << 14

    /// Whether most look-ups find something.
    var isWorthwhile: Bool { misses * 4 <= lookups }

    /// Counts look-ups anew.
    mutating func startCounting() { (misses, lookups) = (0, 0) }

    mutating func id(of entity: Int64) -> PersistenceID? {
        lookups += 1
        if !slots.isEmpty, let slot = slots[Int(truncatingIfNeeded: entity) & (Self.slotCount - 1)],
            slot.entity == entity
        {
            return slot.id
        }
        misses += 1
        return nil
    }

    mutating func add(_ id: PersistenceID, of entity: Int64) {
        if slots.isEmpty { slots = Array(repeating: nil, count: Self.slotCount) }
        slots[Int(truncatingIfNeeded: entity) & (Self.slotCount - 1)] = Slot(entity: entity, id: id)
    }

    func lastEntity(_ id: PersistenceID) -> Int64? { last?.id == id ? last?.entity : nil }

    mutating func setLast(_ id: PersistenceID, entity: Int64) { last = Slot(entity: entity, id: id) }
}

/// The numbers of erased entities. Tombstones are numbered in their order, and never deleted.
struct KnownErasures {
    fileprivate(set) var entities: Set<Int64> = []
    /// The last tombstone that was read.
    fileprivate var number: Int64 = 0
    /// Whether there are more than are kept.
    fileprivate(set) var areTooMany = false
    fileprivate static let limit = 10_000

    func contains(_ entity: Int64) -> Bool { !entities.isEmpty && entities.contains(entity) }
}

extension SQLiteConnection {
    private static let selectID = OwnSQL("SELECT persistence_id FROM ego_entities WHERE id = ?1")
    private static let selectEntityID = OwnSQL("SELECT id FROM ego_entities WHERE persistence_id = ?1")
    private static let selectErased = OwnSQL(
        """
        SELECT entity, number FROM ego_tombstones WHERE number > ?1
        UNION ALL SELECT entity, number FROM ego_tombstones WHERE number IS NULL
        """)

    /// The persistence ID of an entity; nil when there is none of that number.
    func persistenceID(_ entity: Int64) throws(SQLiteError) -> PersistenceID? {
        if let id = ids.id(of: entity) { return id }
        let statement = try statement(Self.selectID)
        defer { statement.rewind() }
        try statement.bind(entity, at: 1)
        guard try statement.step() else { return nil }
        let id = PersistenceID(stored: statement.text(0))
        ids.add(id, of: entity)
        return id
    }

    /// The number of an entity; nil when the store never saw it.
    func entityID(_ id: PersistenceID) throws(SQLiteError) -> Int64? {
        if let entity = ids.lastEntity(id) { return entity }
        let statement = try statement(Self.selectEntityID)
        defer { statement.reset() }
        try statement.bind(id.rawValue, at: 1)
        guard try statement.step() else { return nil }
        let entity = statement.integer(0)
        ids.setLast(id, entity: entity)
        return entity
    }

    /// Reads the tombstones that are new. In a transaction, so that what is read next is not newer.
    func readErasures() throws(SQLiteError) {
        if erased.areTooMany { return }
        let statement = try statement(Self.selectErased)
        defer { statement.rewind() }
        try statement.bind(erased.number, at: 1)
        while try statement.step() {
            erased.entities.insert(statement.integer(0))
            erased.number = max(erased.number, statement.integer(1))
            if erased.entities.count > KnownErasures.limit {
                erased.areTooMany = true
                erased.entities = []
                return
            }
        }
    }
}
