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

    /// Waits until a notification arrives or the time for a poll has come, at most `timeout`.
    func wait(timeout: Duration) async throws(StoreError) {
        _ = try await listener.run(.again) { (connection) throws(StoreError) in
            try connection.run("wait for appends") { () throws(PostgresError) in
                if connection.session.isPooled {
                    // A proxy gives each transaction another session, which would not be the one that listens.
                    return try connection.awaitNotification(timeout: min(timeout, Self.poll))
                }
                try connection.listen()
                return try connection.awaitNotification(timeout: min(timeout, Self.poll))
            }
        }
    }

    func close() async {
        state.withLock { $0 = .closed }
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
            try await notifier.wait(timeout: rest)
        }
    }
}
