public import EgoCore

/// A domain's sample content for a store: the same for the same parameters.
public protocol SampleData: Sendable {
    /// The pages of the content, in order. A page is at most 5,000 events.
    func pages(_ parameters: SampleParameters) -> AnySequence<SamplePage>
}

/// How much sample content there is.
public struct SampleParameters: Sendable, Hashable {
    /// How many entities; at least 1.
    public var entities: Int
    /// How many events, of all entities together; at least as many as entities.
    public var events: Int
    /// Whether events carry the state after them, as eGo v3 wrote it, and there are no snapshots.
    public var isLegacy: Bool
    /// What the content is made from.
    public var seed: UInt64

    /// Parameters with the given values.
    public init(entities: Int, events: Int, isLegacy: Bool, seed: UInt64) {
        self.entities = max(1, entities)
        self.events = max(self.entities, events)
        self.isLegacy = isLegacy
        self.seed = seed
    }
}

/// A page of sample content.
public struct SamplePage: Sendable {
    /// The events, each request expecting the exact version before it.
    public var appends: [AppendRequest]
    /// Snapshots of states within these events.
    public var snapshots: [StoredSnapshot]

    /// A page with the given content.
    public init(appends: [AppendRequest], snapshots: [StoredSnapshot]) {
        self.appends = appends
        self.snapshots = snapshots
    }
}

/// Fills a store with sample content. What is there already is left as it is, so that a fill that was interrupted can be
/// run again.
public struct SampleFill: Sendable {
    private let store: any Store
    private let sample: any SampleData
    private let reader: EventReader

    /// A fill of a store.
    public init(store: any Store, sample: any SampleData) {
        self.store = store
        self.sample = sample
        self.reader = EventReader(decryptor: EncryptedStore.inside(store)?.encryptor)
    }

    /// What a fill did.
    public struct Result: Sendable, Hashable {
        /// Events that were written.
        public var written = 0
        /// Events that were there already.
        public var kept = 0
        /// Snapshots of the content.
        public var snapshots = 0
        /// How many of them were written.
        public var writtenSnapshots = 0
    }

    /// Writes the content, page by page.
    ///
    /// - Parameter progress: called after each page with the number of events so far.
    /// - Throws: ``OperationError/Code/refused`` when an entity of that name has other events; nothing of the page is
    ///   written then. `CancellationError` between pages.
    public func run(
        _ parameters: SampleParameters, progress: @Sendable (Int) -> Void = { _ in }
    ) async throws -> Result {
        var result = Result()
        var isEmpty = try await store.statistics().entities == 0
        for page in sample.pages(parameters) {
            try Task.checkCancellation()
            let missing = isEmpty ? page.appends : try await missing(page.appends, &result)
            var rest = missing
            while !rest.isEmpty {
                var lost: [AppendRequest] = []
                for (request, outcome) in zip(rest, try await store.append(rest)) {
                    if case .appended = outcome {
                        result.written += request.events.count
                    } else {
                        lost.append(request)
                    }
                }
                // Another process was faster: what it wrote has to be the same.
                if !lost.isEmpty { isEmpty = false }
                rest = lost.isEmpty ? [] : try await self.missing(lost, &result)
                if rest.count == lost.count, let first = rest.first { throw Self.refusal(first.persistenceID) }
            }
            // An earlier run may have been stopped between a page's events and its snapshots.
            let newIDs = Set(missing.map(\.persistenceID))
            var snapshots = page.snapshots.filter { newIDs.contains($0.persistenceID) }
            for snapshot in page.snapshots where !newIDs.contains(snapshot.persistenceID) {
                let (id, number) = (snapshot.persistenceID, snapshot.sequenceNumber)
                if try await store.latestSnapshot(of: id, through: number)?.sequenceNumber != number {
                    snapshots.append(snapshot)
                }
            }
            if !snapshots.isEmpty {
                _ = try await store.commit(snapshots.map(OperatorChange.saveSnapshot), under: nil)
            }
            result.writtenSnapshots += snapshots.count
            result.snapshots += page.snapshots.count
            progress(result.written + result.kept)
        }
        return result
    }

    /// The requests whose events are not there yet; the others have to be there exactly.
    private func missing(
        _ requests: [AppendRequest], _ result: inout Result
    ) async throws -> [AppendRequest] {
        var heads: [PersistenceID: SequenceNumber] = [:]
        var missing: [AppendRequest] = []
        for request in requests {
            let id = request.persistenceID
            if heads[id] == nil { heads[id] = try await store.stream(of: id)?.last ?? .zero }
            let last = (request.expectedVersion.last ?? .zero).advanced(by: request.events.count)
            if last > heads[id] ?? .zero {
                missing.append(request)
            } else {
                try await keep(request, &result)
            }
        }
        return missing
    }

    private func keep(_ request: AppendRequest, _ result: inout Result) async throws {
        let id = request.persistenceID
        let first = (request.expectedVersion.last ?? .zero).next
        let stored = try await store.events(
            of: id, from: first, through: first.advanced(by: request.events.count - 1), limit: .standard)
        let isSame =
            stored.count == request.events.count
            && zip(stored, request.events).allSatisfy { stored, sent in
                let clear = stored.isEncrypted ? try? reader.clear(stored).serialized() : stored.payload
                return clear == sent.payload && stored.timestamp == sent.timestamp
            }
        guard isSame else { throw Self.refusal(id) }
        result.kept += request.events.count
    }

    private static func refusal(_ id: PersistenceID) -> OperationError {
        OperationError(
            .refused, "the store has other events of this entity",
            hint: "fill another store, or repeat the same --entities, --events, --seed and --legacy",
            persistenceID: id)
    }
}
