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
            let problem = await withCheckedContinuation { continuation in
                DispatchQueue.global().async { continuation.resume(returning: Self.start(words)) }
            }
            if let problem { throw OperationError(.failed, "\(words[0]): \(problem)") }
            sample.latencies.record(ContinuousClock.now - begin)
            sample.operations += 1
        }
        sample.duration = ContinuousClock.now - start
        return sample
    }

    /// Runs a program with its output thrown away; returns what went wrong.
    private static func start(_ words: [String]) -> String? {
        #if canImport(Glibc)
            var actions = posix_spawn_file_actions_t()
        #else
            var actions: posix_spawn_file_actions_t?
        #endif
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for stream in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] {
            posix_spawn_file_actions_addopen(&actions, stream, "/dev/null", O_RDWR, 0)
        }
        let arguments = words.map { strdup($0) } + [nil]
        defer { for word in arguments { free(word) } }
        var process = pid_t()
        let code = posix_spawn(&process, words[0], &actions, nil, arguments, environ)
        if code != 0 { return String(cString: strerror(code)) }
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0 {
            if errno != EINTR { return String(cString: strerror(errno)) }
        }
        return status == 0 ? nil : "it ended with status \(status)"
    }
}
