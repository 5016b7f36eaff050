import CommandLineKit

/// What `body` gives, unless it takes too long; then it is cancelled, and ends by itself.
func within<Value: Sendable>(_ limit: Duration, _ body: @escaping @Sendable () async -> Value) async -> Value? {
    let (stream, continuation) = AsyncStream.makeStream(of: Value?.self)
    let work = Task { _ = continuation.yield(await body()) }
    let clock = Task {
        try? await Task.sleep(for: limit)
        continuation.yield(nil)
    }
    defer {
        work.cancel()
        clock.cancel()
    }
    for await answer in stream { return answer }
    return nil
}

/// Ends a command that takes longer than `--timeout`: at the end of its page, with what is done so far kept.
struct Deadline: Sendable {
    private let limit: Duration?
    /// A lock is waited for as long as the timeout itself, and is reported as busy; this comes after it.
    private static let grace: Duration = .milliseconds(300)

    init(_ context: CommandContext) {
        self.limit = context.global.timeout.map { .nanoseconds($0) + Self.grace }
    }

    func run(_ body: @escaping @Sendable () async throws -> Int32) async throws -> Int32 {
        guard let limit else { return try await body() }
        return try await withThrowingTaskGroup(of: Int32?.self) { group in
            group.addTask { try await body() }
            group.addTask {
                try await Task.sleep(for: limit)
                return nil
            }
            defer { group.cancelAll() }
            guard let first = try await group.next(), let code = first else {
                group.cancelAll()
                var failure = CommandFailure(
                    .timedOut, "--timeout", "the time ran out", hint: "what was done so far is kept")
                // The work ends at its page's end, and says what it has changed by then.
                var envelope: InterruptedEnvelope?
                do { _ = try await group.next() } catch {
                    envelope = error as? InterruptedEnvelope
                    let stopped = CommandFailure(envelope?.cause ?? error)
                    failure.changed = stopped.changed
                    failure.isAfterStream = stopped.isAfterStream
                    failure.hint = stopped.hint ?? failure.hint
                }
                // What was begun on standard output is brought to its end.
                throw envelope.map { $0.because(of: failure) } ?? failure
            }
            return code
        }
    }
}
