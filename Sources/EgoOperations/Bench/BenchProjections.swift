import Ego
import EgoCore
import Logging
import Synchronization

/// Runs a projection over the journal: one that does nothing with the events, or one that writes a table.
final class ProjectionWork: BenchWork {
    private let set: BenchSet
    private let scratch: any ScratchStore
    private let isReadModel: Bool
    private let number = Mutex(0)
    private static let page = ProjectionOptions().pageSize

    init(_ set: BenchSet) async throws {
        self.set = set
        isReadModel = set.measured.workload == .readModel
        scratch = try await set.filled()
    }

    func limit(_ budget: WorkBudget) async throws -> BenchSample {
        let consume = PlainFold().consume
        let work = RawWork.project(page: Self.page, isReadModel: isReadModel, consume: consume)
        return try await set.limit(work, on: scratch, budget)
    }

    func run(_ budget: WorkBudget) async throws -> BenchSample {
        try await set.passes(budget) { sample in
            // Each pass is of a projection that never ran.
            let number = self.number.withLock { number in
                number += 1
                return number
            }
            let name = "bench_\(number)"
            let projection =
                isReadModel ? Projection(name, BenchReadModel(table: name)) : Projection(name, BenchHandler())
            let one = try await set.drain(projection, scratch.store)
            sample.operations += one.operations
            sample.duration += one.duration
            sample.latencies.add(one.latencies)
        }
    }
}

extension BenchSet {
    /// Runs a projection until it has caught up.
    func drain(_ projection: Projection, _ store: any Store) async throws -> BenchSample {
        let start = ContinuousClock.now
        let state = Mutex((sample: BenchSample(), last: start))
        let runner = ProjectionRunner(
            projection, store: store, reader: EventReader(), owner: "bench", time: time,
            log: Logger(label: "ego.bench") { _ in SwiftLogNoOpLogHandler() },
            progress: { count in
                let now = ContinuousClock.now
                state.withLock { state in
                    state.sample.operations += count
                    state.sample.latencies.record(now - state.last)
                    state.last = now
                }
            })
        let end = try await runner.runUntilCaughtUp()
        try Task.checkCancellation()
        guard end == .caughtUp else {
            throw OperationError(.failed, "the projection of the measurement has stopped: \(end)")
        }
        var sample = state.withLock { $0.sample }
        sample.duration = ContinuousClock.now - start
        return sample
    }
}

/// Makes a read model anew beside the one in use; or hands all events again to a projection that does nothing with them.
struct RebuildWork: BenchWork {
    private let set: BenchSet
    private let scratch: any ScratchStore
    private let projection: Projection
    private let isReadModel: Bool

    init(_ set: BenchSet) async throws {
        self.set = set
        isReadModel = set.measured.name == "rebuild"
        projection =
            isReadModel ? Projection("bench", BenchReadModel(table: "bench")) : Projection("bench", BenchHandler())
        scratch = try await set.filled()
        _ = try await set.drain(projection, scratch.store)
    }

    func limit(_ budget: WorkBudget) async throws -> BenchSample {
        let work = RawWork.project(
            page: PageLimit.standard.rows, isReadModel: isReadModel, consume: PlainFold().consume)
        return try await set.limit(work, on: scratch, budget)
    }

    func run(_ budget: WorkBudget) async throws -> BenchSample {
        let rebuild = Rebuild(
            store: scratch.store, reader: EventReader(), by: .current(reason: "bench"), time: set.time)
        return try await set.passes(budget) { sample in
            let start = ContinuousClock.now
            let outcomes = try await rebuild.run([projection], Rebuild.Options(), command: "")
            sample.add(outcomes.reduce(0) { $0 + $1.events }, since: start)
        }
    }
}

/// Measures how far a projection is behind: a tenth of the journal.
struct LagWork: BenchWork {
    private let set: BenchSet
    private let scratch: any ScratchStore

    init(_ set: BenchSet) async throws {
        self.set = set
        scratch = try await set.filled()
        _ = try await set.drain(Projection("bench", BenchHandler()), scratch.store)
        let entities = set.filledEntities
        let each = max(1, set.parameters.journal / 10 / entities)
        for entity in 0..<min(entities, max(1, set.parameters.journal / 10)) {
            let request = AppendRequest(
                persistenceID: BenchFill.id(entity), kind: "bench", expectedVersion: .any,
                events: (0..<each).map { set.fill.event(set.parameters.journal + $0) })
            try set.fill.check(try await scratch.store.append([request]))
        }
        try await scratch.settle()
    }

    func limit(_ budget: WorkBudget) async throws -> BenchSample {
        BenchSample(try await scratch.run(.count, budget))
    }

    func run(_ budget: WorkBudget) async throws -> BenchSample {
        let lag = Lag(of: scratch.store, time: set.time)
        return try await set.passes(budget) { sample in
            let start = ContinuousClock.now
            _ = try await lag.measure()
            sample.add(1, since: start)
        }
    }
}
