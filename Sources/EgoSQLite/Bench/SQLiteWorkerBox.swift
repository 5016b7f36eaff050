import EgoCore
import Synchronization

/// A connection that is made when it is first asked for.
final class SQLiteWorkerBox: Sendable {
    private let made = Mutex<SQLiteWorker?>(nil)

    func worker(_ make: () throws(StoreError) -> SQLiteWorker) throws(StoreError) -> SQLiteWorker {
        if let worker = made.withLock({ $0 }) { return worker }
        let worker = try make()
        made.withLock { $0 = worker }
        return worker
    }

    /// Closes the connection, if there is one.
    func close() async {
        await made.withLock { $0 }?.close()
    }
}
