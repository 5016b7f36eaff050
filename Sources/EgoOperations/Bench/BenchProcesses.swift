import EgoCore

/// Sends commands through the engines of two processes on one store, each to entities of its own: beside what one of them
/// does alone.
struct SendProcessesWork: BenchWork {
    private let first: BenchProcess
    private let second: BenchProcess

    init(_ set: BenchSet, program: String) async throws {
        let scratch = try await set.scratch()
        var order = BenchOrder(.send, on: scratch.address, set)
        first = try await BenchProcess.start(program, order)
        order.firstEntity = order.entities
        order.seed &+= 1
        do { second = try await BenchProcess.start(program, order) } catch {
            await first.end()
            throw error
        }
    }

    func limit(_ budget: WorkBudget) async throws -> BenchSample { try await first.run(budget) }

    func run(_ budget: WorkBudget) async throws -> BenchSample {
        func half(_ one: Int) -> WorkBudget {
            WorkBudget(
                duration: budget.duration, operations: budget.operations.map { ($0 + one) / 2 }, stop: budget.stop)
        }
        async let other = second.run(half(0))
        var sample = try await first.run(half(1))
        let second = try await other
        sample.operations += second.operations
        sample.latencies.add(second.latencies)
        sample.duration = max(sample.duration, second.duration)
        return sample
    }

    func close() async {
        await first.end()
        await second.end()
    }
}

/// Brings entities of one event each into the memory of an engine, in a process that has done nothing else: what others
/// have freed in it would be taken for nothing.
struct EntitiesWork: BenchWork {
    private let set: BenchSet
    private let scratch: any ScratchStore
    private let program: String
    /// Each run is a process of its own.
    let warmsUp = false

    init(_ set: BenchSet, program: String) async throws {
        (self.set, self.program) = (set, program)
        scratch = try await set.filled(entities: set.parameters.journal)
    }

    func limit(_ budget: WorkBudget) async throws -> BenchSample {
        let ids = (0..<set.parameters.journal).map { BenchFill.id($0).rawValue }
        let work = RawWork.streams(ids: ids, consume: PlainFold().consume)
        let operations = min(budget.operations ?? ids.count, ids.count)
        return BenchSample(
            try await scratch.run(work, WorkBudget(duration: nil, operations: operations, stop: budget.stop)))
    }

    func run(_ budget: WorkBudget) async throws -> BenchSample {
        var order = BenchOrder(.entities, on: scratch.address, set)
        order.entities = set.parameters.journal
        let process = try await BenchProcess.start(program, order)
        do {
            let sample = try await process.run(budget)
            await process.end()
            return sample
        } catch {
            await process.end()
            throw error
        }
    }
}
