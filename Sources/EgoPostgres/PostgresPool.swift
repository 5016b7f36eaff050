import EgoCore
import Synchronization

/// Connections that calls take in turn and give back.
///
/// A connection that was lost is made again by the call that meets it, with growing pauses, for as long as
/// ``PostgresStoreOptions/reconnectTimeout``.
final class PostgresPool: Sendable {
    private struct State {
        var idle: [PostgresWorker]
        var waiters: [(id: Int, continuation: CheckedContinuation<PostgresWorker?, Never>)] = []
        var nextWaiter = 0
        var isClosed = false
        /// How many connections are taken.
        var taken = 0
        /// Who waits until none is.
        var whenIdle: [CheckedContinuation<Void, Never>] = []
        /// Whether a connection was ever made; before that nothing is worth trying again.
        var wasConnected = false
        /// How many calls have found their connection lost.
        var losses = 0

        /// A connection that nobody has; nil for none, and once the pool is closed.
        mutating func take() -> PostgresWorker? {
            guard !isClosed, let worker = idle.popLast() else { return nil }
            taken += 1
            return worker
        }
    }

    private let state: Mutex<State>
    private let workers: [PostgresWorker]
    private let reconnectTimeout: Duration

    /// - Parameter wasConnected: whether the server was reached before, by others.
    init(_ url: PostgresURL, _ options: PostgresStoreOptions, wasConnected: Bool = false) {
        workers = (0..<options.connections).map { _ in PostgresWorker(url, options) }
        state = Mutex(State(idle: workers.reversed(), wasConnected: wasConnected))
        reconnectTimeout = options.reconnectTimeout
    }

    /// What a call wants when its connection is lost on the way.
    enum Retry {
        /// Run it again: it changes nothing.
        case again
        /// Fail: whether it was carried out is not known.
        case never
    }

    /// How many calls have found their connection lost so far.
    var losses: Int { state.withLock { $0.losses } }

    /// Runs `body` with a connection.
    func run<Value: Sendable>(
        _ retry: Retry, _ body: @escaping @Sendable (PostgresConnection) throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        try await run(retry) { worker in await worker.run(body) }
    }

    /// Sends statements together on a connection, and hands `body` what returns their results. See
    /// ``PostgresWorker/exchange(bytes:_:_:)``.
    func exchange<Sent: Sendable, Value: Sendable>(
        _ retry: Retry, bytes: Int, _ compose: @escaping PostgresWorker.Composing<Sent>,
        _ body: @escaping PostgresWorker.Reading<Sent, Value>
    ) async throws(StoreError) -> Value {
        try await run(retry) { worker in await worker.exchange(bytes: bytes, compose, body) }
    }

    private func run<Value: Sendable>(
        _ retry: Retry, _ call: (PostgresWorker) async -> PostgresWorker.Outcome<Value>
    ) async throws(StoreError) -> Value {
        var pause = Backoff(limit: reconnectTimeout)
        while true {
            if Task.isCancelled { throw StoreError(.cancelled, "the call was cancelled before it began") }
            let worker = try await take()
            let outcome = await call(worker)
            give(back: worker)
            if case .notConnected = outcome {} else { state.withLock { $0.wasConnected = true } }
            switch outcome {
            case .done(let value): return value
            case .failed(let error): throw error
            case .notConnected(let error):
                if error.isConnectionLost { state.withLock { $0.losses += $0.wasConnected ? 1 : 0 } }
                let failure = StoreError(error, during: "connect")
                if !isWorthAnother(error) { throw failure }
                try await pause.next(or: failure)
            case .lost(let error):
                state.withLock { $0.losses += 1 }
                if retry == .never {
                    throw StoreError(
                        .unavailable, "the connection was lost; whether the change was made is not known",
                        cause: error.cause)
                }
                try await pause.next(or: error)
            }
        }
    }

    private func isWorthAnother(_ error: PostgresError) -> Bool {
        error.isConnectionLost && state.withLock { $0.wasConnected }
    }

    /// A connection; waits for one, unless the task is cancelled.
    private func take() async throws(StoreError) -> PostgresWorker {
        let (id, idle) = state.withLock { state -> (Int, PostgresWorker?) in
            if let worker = state.take() { return (0, worker) }
            state.nextWaiter += 1
            return (state.nextWaiter, nil)
        }
        if let idle { return idle }
        let worker = await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<PostgresWorker?, Never>) in
                let now = state.withLock { state -> PostgresWorker?? in
                    if state.isClosed || Task.isCancelled { return .some(nil) }
                    if let worker = state.take() { return worker }
                    state.waiters.append((id, continuation))
                    return nil
                }
                if let now { continuation.resume(returning: now) }
            }
        } onCancel: {
            let waiter = state.withLock { state in
                state.waiters.firstIndex { $0.id == id }.map { state.waiters.remove(at: $0).continuation }
            }
            waiter?.resume(returning: nil)
        }
        if let worker { return worker }
        throw state.withLock { $0.isClosed }
            ? StoreError(.closed, "the store is closed")
            : StoreError(.cancelled, "the call was cancelled before it began")
    }

    private func give(back worker: PostgresWorker) {
        let (waiter, idle) = state.withLock {
            state -> (CheckedContinuation<PostgresWorker?, Never>?, [CheckedContinuation<Void, Never>]) in
            if !state.waiters.isEmpty { return (state.waiters.removeFirst().continuation, []) }
            state.idle.append(worker)
            state.taken -= 1
            if state.taken > 0 { return (nil, []) }
            defer { state.whenIdle = [] }
            return (nil, state.whenIdle)
        }
        waiter?.resume(returning: worker)
        for continuation in idle { continuation.resume() }
    }

    /// Closes all connections once the calls that have them are done.
    func close() async {
        let waiters = state.withLock { state in
            state.isClosed = true
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.continuation.resume(returning: nil) }
        await withCheckedContinuation { continuation in
            let isIdle = state.withLock { state in
                if state.taken > 0 { state.whenIdle.append(continuation) }
                return state.taken == 0
            }
            if isIdle { continuation.resume() }
        }
        for worker in workers { await worker.close() }
    }
}

/// Pauses between attempts: from 20 ms, doubled each time up to 1 s, and shifted by chance so that clients that lost the
/// same server do not all come back at once.
struct Backoff {
    private let deadline: ContinuousClock.Instant
    private var milliseconds = 20

    init(limit: Duration) { deadline = .now + limit }

    /// Waits for the next attempt.
    ///
    /// - Throws: `error` when the time is over or the task was cancelled.
    mutating func next(or error: StoreError) async throws(StoreError) {
        if ContinuousClock.now >= deadline { throw error }
        let pause = Duration.milliseconds(Int.random(in: milliseconds / 2...milliseconds))
        milliseconds = min(milliseconds * 2, 1_000)
        do { try await Task.sleep(for: pause) } catch {
            throw StoreError(.cancelled, "the call was cancelled while the connection was lost")
        }
    }
}
