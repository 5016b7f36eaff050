import Dispatch
import EgoCore

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Starts a program that tells its version, or shows a small store, and waits until it has ended.
struct StartupWork: BenchWork {
    private let words: [String]

    /// How large the store is.
    private static let (entities, events) = (100, 1_000)

    init(_ set: BenchSet, program: String) async throws {
        guard set.measured.name == "startup-status" else {
            words = [program, "version"]
            return
        }
        let scratch = try await set.scratch()
        try await set.fill.fill(scratch.store, events: Self.events, entities: Self.entities)
        words = [program, "status", "--store", scratch.address.store]
    }

    func limit(_ budget: WorkBudget) async throws -> BenchSample { try await starts(["/bin/true"], budget) }

    func run(_ budget: WorkBudget) async throws -> BenchSample { try await starts(words, budget) }

    private func starts(_ words: [String], _ budget: WorkBudget) async throws -> BenchSample {
        var sample = BenchSample()
        let start = ContinuousClock.now
        while budget.goesOn(done: sample.operations, since: start) {
            try Task.checkCancellation()
            let begin = ContinuousClock.now
            // Waiting for a process is no work for the pool that tasks share.
            try await withCheckedThrowingContinuation { continuation in
                DispatchQueue.global().async { continuation.resume(with: Result { try Self.start(words) }) }
            }
            sample.latencies.record(ContinuousClock.now - begin)
            sample.operations += 1
        }
        sample.duration = ContinuousClock.now - start
        return sample
    }

    /// Runs a program to its end, with its output thrown away.
    private static func start(_ words: [String]) throws {
        let process = try BenchSpawn.start(words)
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0 {
            if errno != EINTR { throw OperationError(.failed, "\(words[0]): \(String(cString: strerror(errno)))") }
        }
        if status != 0 { throw OperationError(.failed, "\(words[0]): it ended with status \(status)") }
    }
}
