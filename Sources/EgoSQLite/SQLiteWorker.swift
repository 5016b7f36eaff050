import Dispatch
import EgoCore
import Synchronization

/// The connection that writes, and the thread that it has for work of any length.
final class SQLiteWorker: Sendable {
    /// `@unchecked Sendable`: whoever holds the lock is the only one to touch it.
    private struct Writer: @unchecked Sendable {
        let connection: SQLiteConnection
    }

    private let writer: Mutex<Writer?>
    private let queue: DispatchQueue
    private let pace = CallPace()

    init(label: String, connection: sending SQLiteConnection) {
        self.queue = DispatchQueue(label: label)
        writer = Mutex(Writer(connection: connection))
    }

    /// Runs `body` on the connection's thread, after everything that was passed here before.
    func run<Value: Sendable>(
        _ body: @escaping @Sendable (SQLiteConnection) throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        let result: Result<Value, StoreError> = await withCheckedContinuation { continuation in
            queue.async { [self] in
                // Waits for a short call on a caller's thread, which waits for nobody in turn.
                let result = writer.withLock { writer -> Result<Value, StoreError> in
                    guard let writer else { return .failure(StoreError(.closed, "the store is closed")) }
                    let start = MonotonicTime.now
                    defer { pace.took(since: start) }
                    do throws(StoreError) {
                        return .success(try body(writer.connection))
                    } catch {
                        return .failure(error)
                    }
                }
                continuation.resume(returning: result)
                checkpoint()
            }
        }
        return try result.get()
    }

    /// Runs `body` on the caller's thread, unless somebody is using the connection or commits take long these days: for a
    /// commit of one command, or of a group.
    ///
    /// It blocks a thread of the cooperative pool for one write to the disk, which the style guide has done elsewhere: to
    /// hand a commit to another thread and its result back wakes a thread each way, which takes as long as half a commit.
    /// Where the disk is slow that is little, and the commit goes to the connection's thread.
    /// No deadlock comes of it, even where the pool has one thread. Who holds the lock waits for nothing but the
    /// operating system: it does not await, and `body` gives up where it would wait for another process. A caller who
    /// finds the lock taken does not wait for it here. So of all the threads of the pool at most one is in this
    /// function, and it always comes out.
    ///
    /// - Returns: what `body` returns; nil also where it was not run.
    @concurrent func runHere<Value: Sendable>(
        _ body: @Sendable (SQLiteConnection) throws(StoreError) -> Value?
    ) async throws(StoreError) -> Value? {
        if !pace.isQuick { return nil }
        let result = writer.withLockIfAvailable { writer -> Result<(Value?, Bool), StoreError> in
            guard let writer else { return .success((nil, false)) }
            let start = MonotonicTime.now
            do throws(StoreError) {
                let value = try body(writer.connection)
                // What gave up because another process was writing says nothing about the disk.
                if value != nil { pace.took(since: start) }
                return .success((value, writer.connection.isCheckpointDue))
            } catch {
                return .failure(error)
            }
        }
        guard let (value, isCheckpointDue) = try result?.get() else { return nil }
        if isCheckpointDue { queue.async { [self] in checkpoint() } }
        if value != nil { await pace.giveWay() }
        return value
    }

    /// Copies the log into the file when it has become long. On the connection's thread, and after the commit that made it
    /// so was answered.
    private func checkpoint() {
        writer.withLock { writer in
            if let connection = writer?.connection, connection.isCheckpointDue { connection.checkpoint() }
        }
    }

    /// Closes the connection once everything before is done.
    func close() async {
        await withCheckedContinuation { continuation in
            queue.async { [self] in
                writer.withLock { writer in
                    writer?.connection.close()
                    writer = nil
                }
                continuation.resume()
            }
        }
    }
}
