public import EgoCore

/// Which events to list, and how.
public struct EventQuery: Sendable {
    /// Events of this entity only.
    public var persistenceID: PersistenceID?
    /// Events of this type, by full or short name.
    public var type: String?
    /// Events written at this moment or later.
    public var since: Timestamp?
    /// Events written before this moment.
    public var until: Timestamp?
    /// Events of this shard.
    public var shard: Shard?
    /// Events after this place in the journal.
    public var after: Offset
    /// The most events to give; nil for no limit.
    public var limit: Int?
    /// Only the newest so many of the entity, up to ``EventListing/mostLast``; nil for all.
    public var last: Int?

    /// A query with the given parts.
    public init(
        persistenceID: PersistenceID? = nil, type: String? = nil, since: Timestamp? = nil, until: Timestamp? = nil,
        shard: Shard? = nil, after: Offset = .start, limit: Int? = nil
    ) {
        self.persistenceID = persistenceID
        self.type = type
        self.since = since
        self.until = until
        self.shard = shard
        self.after = after
        self.limit = limit
    }

    func matches(_ event: PersistedEvent) -> Bool {
        if let since, event.timestamp < since { return false }
        if let until, event.timestamp >= until { return false }
        if let shard, event.shard != shard { return false }
        if let persistenceID, event.persistenceID != persistenceID { return false }
        guard let type else { return true }
        guard let name = try? AnyPayload(serialized: event.payload).typeName else { return false }
        return name == type || name.split(separator: ".").last.map(String.init) == type
    }
}

/// Reads the events of a query, page by page.
public actor EventListing {
    private let store: any Store
    private let query: EventQuery
    private let page: PageLimit
    private var offset: Offset
    private var number: SequenceNumber = 1
    private var given = 0
    private var isAtEnd = false

    /// How many events can be asked for from the end: they are held until the oldest of them is found.
    public static let mostLast = 5_000

    /// Starts a listing. One that follows goes on through the journal, also for a single entity.
    public init(store: any Store, query: EventQuery, page: PageLimit = .standard) {
        self.store = store
        self.query = query
        self.page = page
        self.offset = query.after
    }

    /// Where to read on after what was given: the offset of the last event, or where the search for more ended.
    /// Nil when there was nothing more.
    public var next: Offset? { isAtEnd ? nil : offset }

    /// Where the listing stands.
    public var position: Offset { offset }

    /// The next events that match; nil when there are no more, or the limit is reached.
    public func nextPage() async throws -> [PersistedEvent]? {
        if let last = query.last, let id = query.persistenceID {
            if isAtEnd { return nil }
            isAtEnd = true
            return try await newest(last, of: id)
        }
        while !isAtEnd {
            if let limit = query.limit, given >= limit { return nil }
            try Task.checkCancellation()
            let found = try await read()
            if !found.isEmpty { return found }
        }
        return nil
    }

    /// The next events that match, waiting for them to be written.
    ///
    /// - Parameter interval: how often to look at least, where nobody tells of other processes' writes.
    public func nextPage(followingEvery interval: Duration) async throws -> [PersistedEvent]? {
        while true {
            if let limit = query.limit, given >= limit { return nil }
            try Task.checkCancellation()
            let page = try await store.journal(after: offset, shard: query.shard, limit: page)
            let found = take(page.events.filter(query.matches))
            if found.isEmpty || given != query.limit { offset = max(offset, page.next) }
            if !found.isEmpty { return found }
            if page.reachedHead {
                do throws(StoreError) { try await store.awaitAppend(after: offset, timeout: interval) } catch {
                    if error.code == .cancelled { throw CancellationError() }
                    throw error
                }
            }
        }
    }

    /// The newest events of an entity that match, oldest first.
    private func newest(_ count: Int, of id: PersistenceID) async throws -> [PersistedEvent] {
        var found: [PersistedEvent] = []
        var end = try await store.stream(of: id)?.last ?? .zero
        while end > .zero, found.count < count {
            try Task.checkCancellation()
            let window = UInt64(min(page.rows, max(count, 100)))
            let first = SequenceNumber(end.rawValue > window ? end.rawValue - window + 1 : 1)
            var events: [PersistedEvent] = []
            var next = first
            // A page may end early, by its bytes.
            while next <= end {
                let part = try await store.events(of: id, from: next, through: end, limit: page)
                guard let last = part.last else { break }
                events += part.filter(query.matches)
                next = last.sequenceNumber.next
            }
            found = events.suffix(count - found.count) + found
            end = SequenceNumber(first.rawValue - 1)
        }
        return found
    }

    private func read() async throws -> [PersistedEvent] {
        let events: [PersistedEvent]
        let isLast: Bool
        var end = offset
        if let id = query.persistenceID {
            events = try await store.events(of: id, from: number, through: .max, limit: page)
            if let last = events.last { number = last.sequenceNumber.next }
            isLast = events.isEmpty
            end = events.last?.offset ?? offset
        } else {
            let page = try await store.journal(after: offset, shard: query.shard, limit: page)
            events = page.events
            isLast = page.reachedHead
            end = page.next
        }
        let matching = events.filter { $0.offset > query.after && query.matches($0) }
        let found = take(matching)
        if found.count < matching.count {
            offset = found.last?.offset ?? offset
            return found
        }
        offset = max(offset, end)
        if isLast { isAtEnd = true }
        return found
    }

    /// As many of the events as the limit allows.
    private func take(_ events: [PersistedEvent]) -> [PersistedEvent] {
        var events = events
        if let limit = query.limit, events.count > limit - given {
            events = Array(events.prefix(limit - given))
            offset = events.last?.offset ?? offset
        }
        given += events.count
        return events
    }
}
