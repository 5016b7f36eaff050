import Dispatch
import EgoCore
import Synchronization

/// A connection and the serial queue that it belongs to: blocking calls never run on the cooperative pool.
///
/// `@unchecked Sendable`: `connection` is touched on `queue` only.
final class PostgresWorker: @unchecked Sendable {
    private let queue = DispatchQueue(label: "ego.postgres")
    private let url: PostgresURL
    private let options: PostgresStoreOptions
    private var connection: PostgresConnection?
    private var isClosed = false
    /// The call that is under way, for whoever cancels it.
    private let current = Mutex<Call?>(nil)

    private struct Call {
        var cancel: PostgresCancel?
        var isCancelled = false
    }

    init(_ url: PostgresURL, _ options: PostgresStoreOptions) {
        self.url = url
        self.options = options
    }

    /// What became of a call.
    enum Outcome<Value: Sendable>: Sendable {
        case done(Value)
        case failed(StoreError)
        /// Nothing was sent: there was no connection.
        case notConnected(PostgresError)
        /// The connection was lost on the way.
        case lost(StoreError)
    }

    /// Runs `body` on the connection's queue, with a connection that is made when there is none. Cancelling the task
    /// cancels on the server what `body` is waiting for.
    func run<Value: Sendable>(
        _ body: @escaping @Sendable (PostgresConnection) throws(StoreError) -> Value
    ) async -> Outcome<Value> {
        current.withLock { $0 = Call() }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                queue.async { [self] in continuation.resume(returning: call(body)) }
            }
        } onCancel: {
            cancel()
        }
    }

    private func call<Value: Sendable>(
        _ body: (PostgresConnection) throws(StoreError) -> Value
    ) -> Outcome<Value> {
        let connection: PostgresConnection
        if isClosed { return .failed(StoreError(.closed, "the store is closed")) }
        do throws(PostgresError) { connection = try connected() } catch { return .notConnected(error) }
        let isCancelled = current.withLock { call in
            call?.cancel = connection.cancelHandle
            return call?.isCancelled ?? false
        }
        let outcome: Outcome<Value>
        if isCancelled {
            outcome = .failed(StoreError(.cancelled, "the call was cancelled before it began"))
        } else {
            outcome = outcomeOf(body, on: connection)
        }
        let wasCancelled = current.withLock { call in
            defer { call = nil }
            return call?.isCancelled ?? false
        }
        // A late request to cancel must not meet the next call.
        if wasCancelled || !connection.isUsable { self.connection = nil }
        return outcome
    }

    private func outcomeOf<Value: Sendable>(
        _ body: (PostgresConnection) throws(StoreError) -> Value, on connection: PostgresConnection
    ) -> Outcome<Value> {
        do throws(StoreError) {
            return .done(try body(connection))
        } catch {
            let cause = error.cause as? PostgresError
            if let cause, cause.isBeforeWork { return .notConnected(cause) }
            if cause?.isConnectionLost == true { return .lost(error) }
            if cause?.sqlState == "57014", current.withLock({ $0?.isCancelled ?? false }) {
                return .failed(StoreError(.cancelled, "the call was cancelled", cause: cause))
            }
            return .failed(error)
        }
    }

    private func connected() throws(PostgresError) -> PostgresConnection {
        if let connection, connection.isUsable { return connection }
        connection = nil
        let made = try PostgresConnection(url, options: options)
        connection = made
        return made
    }

    private func cancel() {
        let handle = current.withLock { call in
            call?.isCancelled = true
            return call?.cancel
        }
        // It makes a connection of its own, which takes time.
        if let handle { DispatchQueue.global().async { handle.cancel() } }
    }

    /// Closes the connection once everything before is done.
    func close() async {
        await withCheckedContinuation { continuation in
            queue.async { [self] in
                connection = nil
                isClosed = true
                continuation.resume()
            }
        }
    }
}
