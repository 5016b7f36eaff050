public import EgoCore
import Synchronization

/// Tells other processes that something was appended, and waits for theirs to say so.
///
/// A notification is a transaction of its own, after the append was acknowledged: a commit that notifies holds a lock of
/// the whole server, and would keep all appends from sharing a write to the disk. Notifications that come close together
/// are sent as one. One that is lost costs a reader the time of a poll, no event.
final class PostgresNotifier: Sendable {
    private enum State {
        case idle
        /// One is being sent.
        case sending
        /// One is being sent, and something was appended since.
        case again
        case closed
    }

    private let state: Mutex<State>
    private let pool: PostgresPool
    private let listener: PostgresPool

    /// How long appends are gathered into one notification.
    private static let pause = Duration.milliseconds(5)
    /// How long a reader waits at most where nobody notifies it: a writer of another kind does not.
    private static let poll = Duration.milliseconds(100)

    init(_ url: PostgresURL, _ options: PostgresStoreOptions, isSilent: Bool) {
        state = Mutex(isSilent ? .closed : .idle)
        var options = options
        options.connections = 1
        options.statementTimeout = nil
        pool = PostgresPool(url, options)
        listener = PostgresPool(url, options)
    }

    /// Notes that something was appended. Returns at once.
    func notify() {
        let begins = state.withLock { state in
            switch state {
            case .idle:
                state = .sending
                return true
            case .sending: state = .again
            case .again, .closed: break
            }
            return false
        }
        if begins { Task { await send() } }
    }

    private func send() async {
        repeat {
            // Readers poll too, so a notification that cannot be sent is no failure of anything.
            _ = try? await pool.run(.never) { (connection) throws(StoreError) in
                try connection.run("notify") { () throws(PostgresError) in
                    try connection.execute("SELECT pg_notify($1, '')", [.text(try connection.channel())])
                }
            }
            try? await Task.sleep(for: Self.pause)
        } while goesOn()
    }

    private func goesOn() -> Bool {
        state.withLock { state in
            switch state {
            case .again:
                state = .sending
                return true
            case .sending:
                state = .idle
                return false
            case .idle, .closed: return false
            }
        }
    }

    // MARK: Waiting

    private struct Waiting {
        var waiters: [Int: CheckedContinuation<Void, Never>] = [:]
        var next = 0
        /// Listens for as long as somebody waits.
        var listening: Task<Void, Never>?
    }

    private let waiting = Mutex(Waiting())

    /// Returns when a notification has arrived, when the time for a poll has come, at the latest after `timeout`, or when
    /// the task is cancelled.
    func wait(timeout: Duration) async {
        let id = waiting.withLock { waiting in
            waiting.next += 1
            return waiting.next
        }
        let alarm = Mutex<Task<Void, Never>?>(nil)
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                waiting.withLock { waiting in
                    waiting.waiters[id] = continuation
                    if waiting.listening == nil { waiting.listening = Task { await listen() } }
                }
                let task = Task { [self] in
                    // Cut short by a notification.
                    try? await Task.sleep(for: min(timeout, Self.poll))
                    wake(id)
                }
                alarm.withLock { $0 = task }
                if Task.isCancelled { wake(id) }
            }
        } onCancel: {
            wake(id)
        }
        alarm.withLock { $0 }?.cancel()
    }

    private func wake(_ id: Int) {
        waiting.withLock { $0.waiters.removeValue(forKey: id) }?.resume()
    }

    private func listen() async {
        while !Task.isCancelled, hasWaiters() {
            let isNotified = try? await listener.run(.again) { (connection) throws(StoreError) -> Bool in
                try connection.run("wait for appends") { () throws(PostgresError) in
                    // A proxy gives each transaction another session, which would not be the one that listens.
                    if !connection.session.isPooled { try connection.listen() }
                    return try connection.awaitNotification(timeout: Self.poll)
                }
            }
            switch isNotified {
            case true?:
                let waiters = waiting.withLock { waiting in
                    defer { waiting.waiters = [:] }
                    return waiting.waiters
                }
                for waiter in waiters.values { waiter.resume() }
                // Who was woken comes back at once, or not at all.
                try? await Task.sleep(for: .milliseconds(1))
            case false?: break
            case nil: try? await Task.sleep(for: Self.poll)
            }
        }
    }

    /// Whether somebody waits; the listening ends otherwise, until somebody does.
    private func hasWaiters() -> Bool {
        waiting.withLock { waiting in
            if waiting.waiters.isEmpty { waiting.listening = nil }
            return !waiting.waiters.isEmpty
        }
    }

    func close() async {
        state.withLock { $0 = .closed }
        let listening = waiting.withLock { $0.listening }
        listening?.cancel()
        await pool.close()
        await listener.close()
    }
}

extension PostgresStore {
    public func awaitAppend(after offset: Offset, timeout: Duration) async throws(StoreError) {
        let deadline = ContinuousClock.now + timeout
        while try await head() <= offset {
            let rest = deadline - .now
            if rest <= .zero { return }
            await notifier.wait(timeout: rest)
            if Task.isCancelled { throw StoreError(.cancelled, "stopped while waiting for an append") }
        }
    }
}
