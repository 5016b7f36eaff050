public import EgoCore

/// Reads one entity's records page by page and folds them.
public struct StreamReader: Sendable {
    private let store: any EventStore & SnapshotStore
    private let reader: EventReader
    private let page: PageLimit

    /// A reader of a store, with a domain's way of reading events.
    public init(store: any EventStore & SnapshotStore, reader: EventReader, page: PageLimit = .standard) {
        self.store = store
        self.reader = reader
        self.page = page
    }

    /// The fold of an entity up to and including `last`, from the newest snapshot that can be read, or from the first
    /// event where there is none.
    ///
    /// - Parameter kind: the kind that the entity has to be of, where the store recorded one; nil for any.
    /// - Throws: ``EgoError/Code/erased``, ``EgoError/Code/wrongKind``, ``EgoError/Code/storage`` or ``EgoError/Code/undecodable``; the cause of the
    ///   latter is a `FoldError`.
    public func fold<Behavior: EventFolding>(
        _ behavior: Behavior, of id: PersistenceID, through last: SequenceNumber, kind: String? = nil
    ) async throws(EgoError) -> StreamFold<Behavior> {
        var history = try await self.history(of: id, through: last)
        try EgoError.check(kind, of: id, recorded: history?.stream.kind)
        while true {
            guard let found = history else { return StreamFold(behavior, of: id, reader: reader) }
            do {
                return try await fold(behavior, of: id, found, through: last)
            } catch {
                // Retention may have moved the floor while later pages were being read. Only then is another try right.
                history = try await self.history(of: id, through: last)
                if history?.stream.floor == found.stream.floor { throw error }
            }
        }
    }

    /// The fold of an entity whose history was read up to `last`, or up to its last event.
    ///
    /// - Parameter didApply: called with each page of records once it is applied.
    /// - Throws: ``EgoError/Code/storage`` or ``EgoError/Code/undecodable``; the cause of the latter is a `FoldError`.
    public func fold<Behavior: EventFolding>(
        _ behavior: Behavior, of id: PersistenceID, _ history: EntityHistory, through last: SequenceNumber,
        didApply: ([PersistedEvent]) -> Void = { _ in }
    ) async throws(EgoError) -> StreamFold<Behavior> {
        let last = min(last, history.stream.last)
        var fold = StreamFold(behavior, of: id, reader: reader)
        var page: [PersistedEvent]? = history.events
        if let snapshot = history.snapshot {
            if let start = try? StreamFold(behavior, from: snapshot, reader: reader) {
                fold = start
            } else {
                fold = try await start(behavior, of: id, before: snapshot)
                page = nil
            }
        }
        do { try fold.checkFloor(min(history.stream.floor, last)) } catch { throw EgoError(error, id) }
        try await forEachPage(
            of: id, from: fold.sequenceNumber.next, through: last, beginning: page
        ) { (events) throws(FoldError) in
            try fold.apply(events)
            didApply(events)
        }
        return fold
    }

    /// What the store has of an entity; nil when it never had one.
    ///
    /// - Throws: ``EgoError/Code/erased`` and ``EgoError/Code/storage``.
    private func history(of id: PersistenceID, through last: SequenceNumber) async throws(EgoError) -> EntityHistory? {
        let history: EntityHistory?
        do { history = try await store.history(of: id, through: last, limit: page) } catch { throw EgoError(error, id) }
        if history?.stream.isErased == true { throw .erased(id) }
        return history
    }

    /// Hands each record from `first` to `last`, both included, to `body`.
    ///
    /// - Throws: ``EgoError/Code/undecodable`` also when records at the end are missing.
    public func forEach(
        of id: PersistenceID, from first: SequenceNumber, through last: SequenceNumber,
        _ body: (PersistedEvent) throws(FoldError) -> Void
    ) async throws(EgoError) {
        try await forEachPage(of: id, from: first, through: last) { (events) throws(FoldError) in
            for event in events { try body(event) }
        }
    }

    /// Hands the records from `first` to `last`, both included, to `body`, a page each time.
    ///
    /// - Parameter read: the first page, where it was read before.
    /// - Throws: as ``forEach(of:from:through:_:)``. The records of a page before a missing one are handed over.
    public func forEachPage(
        of id: PersistenceID, from first: SequenceNumber, through last: SequenceNumber,
        beginning read: [PersistedEvent]? = nil, _ body: ([PersistedEvent]) throws(FoldError) -> Void
    ) async throws(EgoError) {
        var next = first
        var read = read
        while next <= last {
            let events: [PersistedEvent]
            do throws(StoreError) {
                if Task.isCancelled { throw StoreError(.cancelled, "cancelled") }
                if let known = read.take() {
                    events = known
                } else {
                    events = try await store.events(of: id, from: next, through: last, limit: page)
                }
            } catch {
                throw EgoError(error, id)
            }
            do throws(FoldError) {
                if events.isEmpty { throw .gap(expected: next, found: nil) }
                var count = 0
                while count < events.count, events[count].sequenceNumber == next {
                    (count, next) = (count + 1, next.next)
                }
                if count == events.count {
                    try body(events)
                } else {
                    try body(Array(events[..<count]))
                    throw .gap(expected: next, found: events[count].sequenceNumber)
                }
            } catch {
                throw EgoError(error, id)
            }
        }
    }

    /// A fold at the newest snapshot at or before `last` that can be read, or before the first event.
    ///
    /// A snapshot that cannot be read is passed over for an older one, or for the whole history: the events are the
    /// truth, and where they were deleted the missing ones are reported.
    public func start<Behavior: EventFolding>(
        _ behavior: Behavior, of id: PersistenceID, through last: SequenceNumber
    ) async throws(EgoError) -> StreamFold<Behavior> {
        let snapshot: StoredSnapshot?
        do { snapshot = try await store.latestSnapshot(of: id, through: last) } catch { throw EgoError(error, id) }
        guard let snapshot else { return StreamFold(behavior, of: id, reader: reader) }
        if let fold = try? StreamFold(behavior, from: snapshot, reader: reader) { return fold }
        return try await start(behavior, of: id, before: snapshot)
    }

    private func start<Behavior: EventFolding>(
        _ behavior: Behavior, of id: PersistenceID, before snapshot: StoredSnapshot
    ) async throws(EgoError) -> StreamFold<Behavior> {
        let number = snapshot.sequenceNumber.rawValue
        if number == 0 { return StreamFold(behavior, of: id, reader: reader) }
        return try await start(behavior, of: id, through: SequenceNumber(number - 1))
    }
}
