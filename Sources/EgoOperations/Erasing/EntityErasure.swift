public import EgoCore

/// Erases entities: fences them, destroys their keys, deletes what is stored of them, removes what that has left in files,
/// looks whether anything is left, and certifies it.
public struct EntityErasure: Sendable {
    let store: any Store
    let keyStores: [any KeyStore]
    let domain: Domain
    let person: Operator
    let time: any TimeSource
    let page: PageLimit
    let staleness: Duration

    /// Erasures in a store.
    ///
    /// - Parameters:
    ///   - keyStores: other places where keys of entities are.
    ///   - domain: its projections' own hooks are called.
    ///   - staleness: how long other processes may answer from memory.
    public init(
        store: any Store, keyStores: [any KeyStore] = [], domain: Domain, by person: Operator, time: any TimeSource,
        page: PageLimit = .standard, staleness: Duration = Erasure.staleness
    ) {
        self.store = store
        self.keyStores = [store] + keyStores
        self.domain = domain
        self.person = person
        self.time = time
        self.page = page
        self.staleness = staleness
    }

    /// What an erasure was told.
    public struct Options: Sendable, Hashable {
        /// Whether records stay, encrypted with keys that are gone.
        public var keepsEvents: Bool
        /// Whether files may be written anew.
        public var rewrite: ResidueSearch.Rewrite

        /// Options with the given parts.
        public init(keepsEvents: Bool = false, rewrite: ResidueSearch.Rewrite = .whereQuick) {
            self.keepsEvents = keepsEvents
            self.rewrite = rewrite
        }
    }

    /// The most entities of one job: they share one look through the files.
    static let batch = 100
    private static let auditPage = 1_000

    // MARK: Looking

    /// What an erasure would do.
    ///
    /// - Throws: ``OperationError/Code/notFound`` for an ID that never existed.
    public func plan(_ ids: [PersistenceID], _ options: Options) async throws -> Plan {
        var plan = Plan(
            operation: "erase",
            arguments: ["ids": ids.map(\.rawValue), "keep_events": options.keepsEvents ? ["true"] : []],
            storeID: try await store.metadata().storeID, head: try await store.head().description,
            counts: ["entities": 0, "events": 0, "snapshots": 0, "durable_states": 0, "keys": 0],
            samples: [], guards: [], digest: "")
        var digest = PlanDigest()
        let holds = Set(try await store.holds().map(\.persistenceID))
        let certified = Set(try await certificates().map(\.certificate.id))
        for id in ids {
            try Task.checkCancellation()
            let known = try await known(id)
            if known.stream.isErased, certified.contains(id.rawValue) { continue }
            if holds.contains(id) {
                plan.guards.append(
                    .init("legal_hold", id: id.rawValue, detail: "it is under a legal hold"))
                continue
            }
            if options.keepsEvents, let clear = try await firstInTheClear(id) {
                plan.guards.append(
                    .init("unencrypted", id: id.rawValue, detail: "\(clear) is not encrypted: nothing would be gone"))
                continue
            }
            let snapshots = try await snapshotCount(id)
            plan.counts["entities", default: 0] += 1
            plan.counts["events", default: 0] += try await eventCount(id)
            plan.counts["snapshots", default: 0] += snapshots
            plan.counts["durable_states", default: 0] += known.state == nil ? 0 : 1
            for keys in keyStores { plan.counts["keys", default: 0] += try await keys.keys(of: id).count }
            if plan.samples.count < Plan.sampleCount { plan.samples.append(id.rawValue) }
            digest.add(id.rawValue, "\(known.last)", "\(snapshots)")
        }
        plan.digest = digest.finalized()
        return plan
    }

    /// What the store knows of an entity, erased ones too.
    ///
    /// - Throws: ``OperationError/Code/notFound`` when it knows nothing.
    public func known(_ id: PersistenceID) async throws -> EntityRecord {
        try await EntityResolver(store: store, domain: domain).existing(id)
    }

    private func eventCount(_ id: PersistenceID) async throws -> Int {
        let summary = try await store.entities(EntityQuery(prefix: id.rawValue, limit: 1, countsEvents: true)).first
        return summary?.persistenceID == id ? summary?.eventCount ?? 0 : 0
    }

    func snapshotCount(_ id: PersistenceID) async throws -> Int {
        var count = 0
        var snapshots = try await store.snapshots(of: id, from: .zero, limit: page)
        while let last = snapshots.last {
            count += snapshots.count
            snapshots = try await store.snapshots(of: id, from: last.sequenceNumber.next, limit: page)
        }
        return count
    }

    /// The first record of an entity that is not encrypted, in words; nil when all are.
    private func firstInTheClear(_ id: PersistenceID) async throws -> String? {
        if let state = try await store.state(of: id), !state.isEncrypted { return "its durable state" }
        var found: String?
        var snapshots = try await store.snapshots(of: id, from: .zero, limit: page)
        while found == nil, let last = snapshots.last {
            found = snapshots.first { !$0.isEncrypted }.map { "snapshot \($0.sequenceNumber)" }
            snapshots = try await store.snapshots(of: id, from: last.sequenceNumber.next, limit: page)
        }
        var events = try await store.events(of: id, from: 1, through: .max, limit: page)
        while found == nil, let last = events.last {
            found = events.first { !$0.isEncrypted || $0.hasInlineState }.map { "event \($0.sequenceNumber)" }
            events = try await store.events(of: id, from: last.sequenceNumber.next, through: .max, limit: page)
        }
        return found
    }

    /// All certificates, oldest first.
    public func certificates() async throws -> [RecordedCertificate] {
        var found: [RecordedCertificate] = []
        var records = try await store.audit(after: 0, limit: Self.auditPage)
        while let last = records.last {
            try Task.checkCancellation()
            found += records.compactMap(RecordedCertificate.init)
            records = try await store.audit(after: last.number, limit: Self.auditPage)
        }
        return found
    }
}
