import EgoCore

/// Folds entities from their events, as `ego replay` does.
struct ReplayWork: BenchWork {
    private let set: BenchSet
    private let scratch: any ScratchStore
    private let ids: [PersistenceID]
    private let eventsOfOne: Int
    private let hasSnapshots: Bool

    init(_ set: BenchSet) async throws {
        self.set = set
        let entities = set.measured.name == "replay-long" ? 1 : set.filledEntities
        hasSnapshots = set.measured.name == "replay-snapshot"
        eventsOfOne = set.parameters.journal / entities
        ids = (0..<entities).map(BenchFill.id)
        scratch = try await set.filled(entities: entities)
        // Where events follow the snapshot, they are folded; a tenth is what an interval of snapshots leaves on average.
        if hasSnapshots {
            try await set.fill.snapshot(scratch.store, entities: entities, at: max(1, eventsOfOne - eventsOfOne / 10))
            try await scratch.settle()
        }
    }

    func limit(_ budget: WorkBudget) async throws -> BenchSample {
        let names = ids.map(\.rawValue)
        return BenchSample(try await scratch.run(hasSnapshots ? .recover(ids: names) : .streams(ids: names), budget))
    }

    func run(_ budget: WorkBudget) async throws -> BenchSample {
        let replay = Replay(store: scratch.store, domain: .bench())
        var index = 0
        return try await set.passes(budget) { sample in
            let start = ContinuousClock.now
            let entity = try await replay.entity(ids[index % ids.count], kind: "bench")
            sample.add(hasSnapshots ? 1 : entity.eventCount, since: start)
            index += 1
        }
    }
}

/// Reads the journal from its beginning to its end, in pages.
struct ScanWork: BenchWork {
    private let set: BenchSet
    private let scratch: any ScratchStore

    init(_ set: BenchSet) async throws {
        self.set = set
        scratch = try await set.filled()
    }

    func limit(_ budget: WorkBudget) async throws -> BenchSample {
        BenchSample(try await scratch.run(.scan(page: PageLimit.standard.rows), budget))
    }

    func run(_ budget: WorkBudget) async throws -> BenchSample {
        var offset = Offset.start
        return try await set.passes(budget) { sample in
            let start = ContinuousClock.now
            let page = try await scratch.store.journal(after: offset, shard: nil, limit: .standard)
            sample.add(page.events.count, since: start)
            offset = page.reachedHead ? .start : page.next
        }
    }
}
