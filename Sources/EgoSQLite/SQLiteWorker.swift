import Dispatch
import EgoCore

/// A connection and the serial queue that it belongs to: blocking calls never run on the cooperative pool.
///
/// `@unchecked Sendable`: `connection` is touched on `queue` only.
final class SQLiteWorker: @unchecked Sendable {
    private let queue: DispatchQueue
    private var connection: SQLiteConnection?

    init(label: String, connection: sending SQLiteConnection) {
        self.queue = DispatchQueue(label: label)
        self.connection = connection
    }

    /// Runs `body` on the connection's queue.
    func run<Value: Sendable>(
        _ body: @escaping @Sendable (SQLiteConnection) throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        let result: Result<Value, StoreError> = await withCheckedContinuation { continuation in
            queue.async { [self] in
                guard let connection else {
                    continuation.resume(returning: .failure(StoreError(.closed, "the store is closed")))
                    return
                }
                do throws(StoreError) {
                    continuation.resume(returning: .success(try body(connection)))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try result.get()
    }

    /// Closes the connection once everything before is done.
    func close() async {
        await withCheckedContinuation { continuation in
            queue.async { [self] in
                connection = nil
                continuation.resume()
            }
        }
    }
}
