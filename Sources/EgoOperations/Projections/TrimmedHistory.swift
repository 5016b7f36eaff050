public import EgoCore

/// Finds out whether the journal still tells everything.
public struct TrimmedHistory: Sendable {
    private let store: any Store

    /// Looks at a store.
    public init(store: any Store) {
        self.store = store
    }

    /// The first living entity whose early events were deleted; nil when there is none. Reads the list of all entities.
    public func first() async throws -> PersistenceID? {
        var after: PersistenceID?
        while true {
            try Task.checkCancellation()
            let page = try await store.entities(EntityQuery(after: after, limit: 1_000, countsEvents: true))
            let trimmed = page.first { entity in
                !entity.isErased && !entity.isDurableState
                    && UInt64(entity.eventCount ?? 0) < entity.sequenceNumber.rawValue
            }
            if let trimmed { return trimmed.persistenceID }
            guard let last = page.last else { return nil }
            after = last.persistenceID
        }
    }
}
