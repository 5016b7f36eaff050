import Ego
import EgoCore
import SwiftProtobuf

/// Folds entities from their events: as `ego replay` does, and, with snapshots, as an engine does that needs them.
struct ReplayWork: BenchWork {
    private let set: BenchSet
    private let scratch: any ScratchStore
    /// The store, or an encrypted one with the same journal.
    private let store: any Store
    private let ids: [PersistenceID]
    private let eventsOfOne: Int
    private let hasSnapshots: Bool

    init(_ set: BenchSet) async throws {
        self.set = set
        let entities = set.measured.name == "replay-long" ? 1 : set.filledEntities
        hasSnapshots = set.measured.name == "recovery"
        eventsOfOne = set.parameters.journal / entities
        ids = (0..<entities).map(BenchFill.id)
        scratch = try await set.filled(entities: entities)
        // Where events follow the snapshot, they are folded; a tenth is what an interval of snapshots leaves on average.
        if hasSnapshots {
            try await set.fill.snapshot(scratch.store, entities: entities, at: max(1, eventsOfOne - eventsOfOne / 10))
            try await scratch.settle()
        }
        let isEncrypted = set.measured.workload == .encrypted
        store =
            isEncrypted
            ? try set.encrypting(await set.filled(entities: entities, isEncrypted: true).store) : scratch.store
    }

    func limit(_ budget: WorkBudget) async throws -> BenchSample {
        let names = ids.map(\.rawValue)
        let work = hasSnapshots ? RawWork.recover(ids: names) : .streams(ids: names, consume: PlainFold().consume)
        return BenchSample(try await scratch.run(work, budget))
    }

    func run(_ budget: WorkBudget) async throws -> BenchSample {
        let domain = EncryptedStore.inside(store).map { Domain.bench().decrypting(with: $0.encryptor) } ?? .bench()
        let replay = Replay(store: store, domain: domain)
        let streams = StreamReader(store: store, reader: domain.reader)
        var index = 0
        return try await set.passes(budget) { sample in
            let start = ContinuousClock.now
            let id = ids[index % ids.count]
            if hasSnapshots {
                _ = try await streams.fold(BenchBehavior(), of: id, through: .max, kind: "bench")
                sample.add(1, since: start)
            } else {
                sample.add(try await replay.entity(id, kind: "bench").eventCount, since: start)
            }
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

/// A plain loop's part of reading events: decodes each, and applies it to a state.
///
/// `@unchecked Sendable`: one measurement uses it, on one thread at a time.
final class PlainFold: @unchecked Sendable {
    private var state: Google_Protobuf_Int64Value = 0

    var consume: PayloadConsumer {
        { bytes in
            guard let parts = try? AnyScan(bytes),
                let event = try? Google_Protobuf_BytesValue(serializedBytes: Array(bytes[parts.value]))
            else { return }
            self.state.value += event.value.isEmpty ? 0 : 1
        }
    }
}
