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
        options.purpose = .notifications
        pool = PostgresPool(url, options)
        listener = PostgresPool(url, options)
    }

    /// Notes that something was appended: readers of this process are told at once, others by a notification.
    func notify() {
        appended.give()
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

    /// Given for each notification.
    private let appended = AppendSignal()
    /// Listens for as long as somebody waits.
    private let listening = Mutex<Task<Void, Never>?>(nil)

    /// How many notifications have arrived. Whoever looks before it looks for an append misses none.
    var count: UInt64 { appended.count }

    /// Returns when more than `count` notifications have arrived, when the time for a poll has come, at the latest after
    /// `timeout`, or when the task is cancelled.
    func wait(after count: UInt64, timeout: Duration) async {
        waiters.add(1, ordering: .sequentiallyConsistent)
        listening.withLock { listening in
            if listening == nil { listening = Task { await listen() } }
        }
        await appended.wait(after: count, timeout: min(timeout, Self.poll))
        waiters.subtract(1, ordering: .sequentiallyConsistent)
    }

    private let waiters = Atomic<Int>(0)

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
                appended.give()
                // Who was woken comes back at once, or not at all.
                try? await Task.sleep(for: .milliseconds(1))
            case false?: break
            case nil: try? await Task.sleep(for: Self.poll)
            }
        }
    }

    /// Whether somebody waits; the listening ends otherwise, until somebody does.
    private func hasWaiters() -> Bool {
        listening.withLock { listening in
            let hasWaiters = waiters.load(ordering: .sequentiallyConsistent) > 0
            if !hasWaiters { listening = nil }
            return hasWaiters
        }
    }

    func close() async {
        state.withLock { $0 = .closed }
        listening.withLock { $0 }?.cancel()
        await pool.close()
        await listener.close()
    }
}

extension PostgresStore {
    public func awaitAppend(after offset: Offset, timeout: Duration) async throws(StoreError) {
        let deadline = ContinuousClock.now + timeout
        while true {
            let count = notifier.count
            if try await head() > offset { return }
            let rest = deadline - .now
            if rest <= .zero { return }
            await notifier.wait(after: count, timeout: rest)
            if Task.isCancelled { throw StoreError(.cancelled, "stopped while waiting for an append") }
        }
    }
}
