import Dispatch
import EgoCore
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Another process of this program, which works on a store as it is told (``BenchWorker``).
final class BenchProcess: Sendable {
    private struct State {
        /// What was read of the next line.
        var rest: [UInt8] = []
        var hasEnded = false
    }

    private let process: pid_t
    private let input: Int32
    private let output: Int32
    private let state = Mutex(State())

    /// Starts a process, and waits until it is ready.
    static func start(_ program: String, _ order: BenchOrder) async throws -> BenchProcess {
        let process = try BenchProcess(program)
        do {
            _ = try await process.ask(JobText.encode(order))
            return process
        } catch {
            await process.end()
            throw error
        }
    }

    private init(_ program: String) throws {
        let (commands, answers) = (try Self.pipe(), try Self.pipe())
        defer {
            close(commands.read)
            close(answers.write)
        }
        do {
            process = try BenchSpawn.start([program, "__bench"], input: commands.read, output: answers.write)
        } catch {
            close(commands.write)
            close(answers.read)
            throw error
        }
        (input, output) = (commands.write, answers.read)
    }

    deinit {
        close(output)
    }

    /// One run; returns what it came to.
    func run(_ budget: WorkBudget) async throws -> BenchSample {
        let turn = BenchTurn(
            nanoseconds: budget.duration.map { Int64($0 / .nanoseconds(1)) }, operations: budget.operations)
        return try await ask(JobText.encode(turn)).sample
    }

    /// When the process's projection was handed the next `count` events.
    func deliveries(_ count: Int) async throws -> [MonotonicTime] {
        try await ask(JobText.encode(BenchTurn(operations: count))).deliveries ?? []
    }

    /// Ends the process once it has done its last turn, or at once where it is in one.
    func end() async {
        close(input)
        if Task.isCancelled { kill() }
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async {
                self.wait()
                continuation.resume()
            }
        }
    }

    private func ask(_ line: String) async throws -> BenchAnswer {
        try Task.checkCancellation()
        let text: String? = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                // Waiting for another process is no work for the pool that tasks share.
                DispatchQueue.global().async { continuation.resume(returning: self.answer(to: line + "\n")) }
            }
        } onCancel: {
            // The store goes away anyway: there is nothing to bring to an end.
            kill()
        }
        try Task.checkCancellation()
        guard let text else { throw OperationError(.failed, "the other process of the measurement has ended") }
        let answer: BenchAnswer = try JobText.decode(text)
        if let problem = answer.problem { throw OperationError(.failed, problem) }
        return answer
    }

    /// Writes a line and reads one; nil when the process is not there any more.
    private func answer(to line: String) -> String? {
        var bytes = Array(line.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { write(input, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            if count < 0 { return nil }
            bytes = bytes.dropFirst(count)
        }
        var line = state.withLock { $0.rest }
        var block = [UInt8](repeating: 0, count: 65_536)
        while true {
            if let end = line.firstIndex(of: 0x0a) {
                let rest = Array(line[(end + 1)...])
                state.withLock { $0.rest = rest }
                return String(decoding: line[..<end], as: UTF8.self)
            }
            let count = read(output, &block, block.count)
            if count < 0, errno == EINTR { continue }
            if count <= 0 { return nil }
            line += block[..<count]
        }
    }

    private func kill() {
        state.withLock { state in
            // Its number can be another's once it was waited for.
            if !state.hasEnded { _ = Self.signal(process, SIGKILL) }
        }
    }

    private func wait() {
        var information = siginfo_t()
        while waitid(P_PID, id_t(process), &information, WEXITED | WNOWAIT) < 0, errno == EINTR {}
        state.withLock { state in
            if state.hasEnded { return }
            state.hasEnded = true
            var status: Int32 = 0
            while waitpid(process, &status, 0) < 0, errno == EINTR {}
        }
    }

    private static func signal(_ process: pid_t, _ number: Int32) -> Int32 {
        #if canImport(Glibc)
            Glibc.kill(process, number)
        #else
            Darwin.kill(process, number)
        #endif
    }

    /// A pipe whose ends no other process gets: one that kept an end would keep this one from ending.
    private static func pipe() throws -> (read: Int32, write: Int32) {
        var ends: [Int32] = [0, 0]
        #if canImport(Glibc)
            let code = Glibc.pipe(&ends)
        #else
            let code = Darwin.pipe(&ends)
        #endif
        if code != 0 { throw OperationError(.failed, "a pipe: \(String(cString: strerror(errno)))") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (ends[0], ends[1])
    }
}
