import Dispatch
import EgoCore
import Synchronization

/// A connection and the serial queue that it waits on: no call blocks a thread of the cooperative pool, but for the moment
/// of a short ``exchange(bytes:_:_:)``.
///
/// `@unchecked Sendable`: one call at a time uses a worker, the pool's lock comes between two of them, and a call that goes
/// on on `queue` waits for that.
final class PostgresWorker: @unchecked Sendable {
    private let queue = DispatchQueue(label: "ego.postgres")
    private let url: PostgresURL
    private let options: PostgresStoreOptions
    private var connection: PostgresConnection?
    private var isClosed = false
    private let pace = CallPace()
    /// How long the cooperative pool's thread waits for an answer: twice what counts as quick.
    private static let patience = Duration.milliseconds(2)
    /// What a socket takes without waiting for the server to read, and more.
    private static let shortBytes = 1 << 15
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
        return end(connection, isCancelled: isCancelled, body)
    }

    /// Runs `body`, and sees what became of the connection.
    private func end<Value: Sendable>(
        _ connection: PostgresConnection, isCancelled: Bool,
        _ body: (PostgresConnection) throws(StoreError) -> Value
    ) -> Outcome<Value> {
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

    /// What is sent on a connection, and what is to be known of it when it is answered.
    typealias Composing<Sent> = @Sendable (PostgresConnection) -> (statements: [PostgresStatement], sent: Sent)
    /// What is made of the answers, given what returns them.
    typealias Reading<Sent, Value> =
        @Sendable (PostgresConnection, Sent, () throws(PostgresError) -> [PostgresResult]) throws(StoreError) -> Value

    /// Sends statements together, and hands `body` what returns their results.
    ///
    /// - Parameter bytes: how much is sent, about.
    /// Where answers have come quickly of late, the caller's own thread sends, and waits for a moment: to hand the call to
    /// another thread and its result back wakes a thread each way, which takes as long as a commit. Longer than a moment
    /// only the queue's thread waits, so that a server which hangs takes no thread from anybody.
    @concurrent func exchange<Sent: Sendable, Value: Sendable>(
        bytes: Int, _ compose: @escaping Composing<Sent>, _ body: @escaping Reading<Sent, Value>
    ) async -> Outcome<Value> {
        let start = MonotonicTime.now
        let outcome: Outcome<Value>
        if bytes <= Self.shortBytes, let quick = await exchangeQuickly(compose, body) {
            outcome = quick
        } else {
            outcome = await run { (connection) throws(StoreError) in
                let (statements, sent) = compose(connection)
                return try body(connection, sent) { () throws(PostgresError) in try connection.batch(statements) }
            }
        }
        pace.took(since: start)
        await pace.giveWay()
        return outcome
    }

    /// - Returns: nil where nothing was sent, because it would not be quick.
    private func exchangeQuickly<Sent: Sendable, Value: Sendable>(
        _ compose: Composing<Sent>, _ body: @escaping Reading<Sent, Value>
    ) async -> Outcome<Value>? {
        guard pace.isQuick, let connection, connection.isUsable else { return nil }
        let (statements, sent) = compose(connection)
        current.withLock { $0 = Call(cancel: connection.cancelHandle) }
        return await withTaskCancellationHandler {
            let receive: Receive
            do throws(PostgresError) {
                receive = .sent(try connection.send(statements))
            } catch {
                receive = .failed(error)
            }
            if case .failed = receive { return end(receive, sent, body) }
            if connection.isAnswered(within: Self.patience) { return end(receive, sent, body) }
            return await withCheckedContinuation { continuation in
                queue.async { [self] in continuation.resume(returning: end(receive, sent, body)) }
            }
        } onCancel: {
            cancel()
        }
    }

    /// What was sent, or why it could not be.
    private enum Receive: Sendable {
        case sent(PostgresConnection.Sent)
        case failed(PostgresError)
    }

    private func end<Sent, Value: Sendable>(
        _ receive: Receive, _ sent: Sent, _ body: Reading<Sent, Value>
    ) -> Outcome<Value> {
        guard let connection else { return .failed(StoreError(.closed, "the store is closed")) }
        return end(connection, isCancelled: false) { (connection) throws(StoreError) in
            try body(connection, sent) { () throws(PostgresError) in
                switch receive {
                case .sent(let sent): try connection.receive(sent)
                case .failed(let error): throw error
                }
            }
        }
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
