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
        var info = try await stream(of: id)
        try EgoError.check(kind, of: id, recorded: info?.kind)
        while true {
            do {
                return try await fold(behavior, of: id, through: last, info: info)
            } catch {
                // Retention may have moved the floor while the records were being read. Only then is another try right.
                let floor = info?.floor
                info = try await stream(of: id)
                if info?.floor == floor { throw error }
            }
        }
    }

    private func fold<Behavior: EventFolding>(
        _ behavior: Behavior, of id: PersistenceID, through last: SequenceNumber, info: StreamInfo?
    ) async throws(EgoError) -> StreamFold<Behavior> {
        guard let info else { return StreamFold(behavior, of: id, reader: reader) }
        // A snapshot ahead of the last event, as a partial restore leaves it, is none.
        var fold = try await start(behavior, of: id, through: min(last, info.last))
        do { try fold.checkFloor(min(info.floor, last)) } catch { throw EgoError(error, id) }
        try await forEachPage(
            of: id, from: fold.sequenceNumber.next, through: min(last, info.last)
        ) { (events) throws(FoldError) in
            try fold.apply(events)
        }
        return fold
    }

    private func stream(of id: PersistenceID) async throws(EgoError) -> StreamInfo? {
        let info: StreamInfo?
        do { info = try await store.stream(of: id) } catch { throw EgoError(error, id) }
        if info?.isErased == true { throw .erased(id) }
        return info
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
    /// - Throws: as ``forEach(of:from:through:_:)``. The records of a page before a missing one are handed over.
    public func forEachPage(
        of id: PersistenceID, from first: SequenceNumber, through last: SequenceNumber,
        _ body: ([PersistedEvent]) throws(FoldError) -> Void
    ) async throws(EgoError) {
        var next = first
        while next <= last {
            let events: [PersistedEvent]
            do throws(StoreError) {
                if Task.isCancelled { throw StoreError(.cancelled, "cancelled") }
                events = try await store.events(of: id, from: next, through: last, limit: page)
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
        var limit = last
        while true {
            let snapshot: StoredSnapshot?
            do { snapshot = try await store.latestSnapshot(of: id, through: limit) } catch {
                throw EgoError(error, id)
            }
            guard let snapshot else { return StreamFold(behavior, of: id, reader: reader) }
            if let fold = try? StreamFold(behavior, from: snapshot, reader: reader) { return fold }
            guard snapshot.sequenceNumber > .zero else { return StreamFold(behavior, of: id, reader: reader) }
            limit = SequenceNumber(snapshot.sequenceNumber.rawValue - 1)
        }
    }
}
