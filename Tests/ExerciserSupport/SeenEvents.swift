package import EgoCore
import Synchronization

/// Notes every event that it is given. A second delivery fails, and so does one out of its entity's order.
package struct SeenEvents: ReadModel {
    package let tables = [
        ReadModelTable("seen", columns: "position TEXT PRIMARY KEY, id TEXT NOT NULL, number BIGINT NOT NULL"),
        ReadModelTable(
            "seen_entities", columns: "id TEXT PRIMARY KEY, last BIGINT NOT NULL, events BIGINT NOT NULL",
            entityColumn: "id"),
    ]
    private let refuse: (@Sendable (ProjectedEvent) throws -> Void)?

    /// An event that does not follow the one before.
    package struct Disorder: Error, CustomStringConvertible {
        package let description: String
    }

    /// A read model that is empty.
    ///
    /// - Parameter refuse: called before an event is noted; what it throws is a failure of the handler.
    package init(refuse: (@Sendable (ProjectedEvent) throws -> Void)? = nil) { self.refuse = refuse }

    private static let selectLast = "SELECT last FROM {seen_entities} WHERE id = :id"
    // No ON CONFLICT: an event that comes again is an error.
    private static let insert = "INSERT INTO {seen} (position, id, number) VALUES (:position, :id, :number)"
    private static let count = """
        INSERT INTO {seen_entities} AS e (id, last, events) VALUES (:id, :number, 1)
        ON CONFLICT (id) DO UPDATE SET last = excluded.last, events = e.events + 1
        """

    package func handle(_ event: ProjectedEvent, in model: ReadModelWriter) throws {
        try refuse?(event)
        let number = Int64(event.sequenceNumber.rawValue)
        let values: [String: ReadModelValue] = [
            "position": .text(event.offset.description), "id": .text(event.persistenceID.rawValue),
            "number": .integer(number),
        ]
        let last = try model.rows(Self.selectLast, values).first?.first ?? .integer(0)
        if refuse == nil, last != .integer(number - 1) {
            throw Disorder(description: "\(event.persistenceID): event \(number) after \(last)")
        }
        try model.change(Self.insert, values)
        try model.change(Self.count, values)
    }

    // MARK: What tests look at

    /// One event.
    package struct Row: Sendable, Hashable {
        package let position: String
        package let id: String
        package let number: Int64
    }

    /// The rows of a table or view, in no order.
    package static func rows(_ store: any Store, from table: String = "seen") async throws -> [Row] {
        let found = try await query(store, "SELECT position, id, number FROM \(table)")
        return found.compactMap { row in
            guard case .text(let position) = row[0], case .text(let id) = row[1], case .integer(let number) = row[2]
            else { return nil }
            return Row(position: position, id: id, number: number)
        }
    }

    /// The events of the journal, in its order.
    package static func journal(_ store: any Store) async throws -> [Row] {
        var rows: [Row] = []
        var next = Offset.start
        while true {
            let page = try await store.journal(after: next, shard: nil, limit: .standard)
            rows += page.events.map { event in
                Row(
                    position: event.offset.description, id: event.persistenceID.rawValue,
                    number: Int64(event.sequenceNumber.rawValue))
            }
            next = page.next
            if page.reachedHead { return rows }
        }
    }

    /// Runs a query in a transaction of the store.
    package static func query(_ store: any Store, _ sql: String) async throws -> [[ReadModelValue]] {
        let found = Mutex<[[ReadModelValue]]>([])
        _ = try await store.commit([], under: nil) { transaction in
            let rows = try transaction.query(sql, [])
            found.withLock { $0 = rows }
        }
        return found.withLock { $0 }
    }

    /// What is wrong with what a projection has noted: it has to be the beginning of the journal, each event once, and
    /// no event may have stopped it. Empty when nothing is.
    ///
    /// - Parameters:
    ///   - isWhole: whether the rest of the journal is missing, too.
    ///   - suffix: of the version of the tables to look at; empty for that in use.
    package static func problems(
        of projection: String, in store: any Store, isWhole: Bool = true, suffix: String = ""
    ) async throws -> [String] {
        var problems: [String] = []
        if let failure = try await store.projection(projection)?.failure {
            problems.append("it has stopped at \(failure.persistenceID) \(failure.sequenceNumber): \(failure.message)")
        }
        // First the rows: the journal only grows meanwhile.
        let rows = try await rows(store, from: "seen\(suffix)")
        let entities = try await query(store, "SELECT id, last, events FROM seen_entities\(suffix)")
        let journal = try await journal(store)
        let seen = Set(rows)
        if seen.count != rows.count { problems.append("\(rows.count - seen.count) events were counted twice") }
        let wanted = Set(journal.prefix(rows.count))
        for row in seen.subtracting(wanted) { problems.append("not of the journal, or too early: \(row)") }
        for row in wanted.subtracting(seen) { problems.append("skipped: \(row)") }
        if isWhole, rows.count < journal.count {
            problems.append("\(journal.count - rows.count) of \(journal.count) events are missing")
        }
        let counts = Dictionary(grouping: rows, by: \.id).mapValues { ReadModelValue.integer(Int64($0.count)) }
        if !isWhole, entities.count < counts.count { problems.append("entities are missing") }
        for entity in entities {
            guard case .text(let id) = entity[0] else { continue }
            if isWhole, entity[1] != counts[id] || entity[2] != counts[id] {
                problems.append(
                    "\(id) has \(entity[2]) events up to \(entity[1]), noted are \(String(describing: counts[id]))")
            }
        }
        if isWhole, entities.count != counts.count { problems.append("\(entities.count) of \(counts.count) entities") }
        return problems
    }

    /// What is wrong with what a projection that runs has noted up to now; nothing where it has not begun.
    package static func problemsOnTheWay(_ projection: String, in store: any Store) async throws -> [String] {
        guard try await !store.offsets(of: projection, version: 1).isEmpty else { return [] }
        return try await problems(of: projection, in: store, isWhole: false)
    }

    /// Whether a projection has processed what is in the journal at this moment.
    ///
    /// - Throws: ``Disorder`` when it has stopped at an event.
    package static func isCaughtUp(_ projection: String, _ store: any Store) async throws -> Bool {
        try await store.settle(timeout: .seconds(30))
        let head = try await store.head()
        guard let record = try await store.projection(projection) else { return false }
        if let failure = record.failure { throw Disorder(description: "stopped: \(failure.message)") }
        let offsets = try await store.offsets(of: projection, version: record.activeVersion)
        return !offsets.isEmpty && offsets.allSatisfy { $0.offset >= head }
    }
}
