import Dispatch
import EgoCore
import Synchronization

/// The connections that read. Each serves one call at a time; calls that find none wait in line.
final class SQLiteReaders: Sendable {
    /// `@unchecked Sendable`: whoever has taken a connection is the only one to touch it until it is given back, and the
    /// lock of the line comes between two who do.
    private struct Reader: @unchecked Sendable {
        let connection: SQLiteConnection
    }

    private struct Line {
        var idle: [Reader]
        var waiters: [CheckedContinuation<Reader?, Never>] = []
        /// How many connections are in use.
        var busy = 0
        var isClosed = false
        var whenClosed: [CheckedContinuation<Void, Never>] = []
    }

    private let line: Mutex<Line>
    private let queue = DispatchQueue(label: "ego.sqlite.readers", attributes: .concurrent)

    init(_ connections: sending [SQLiteConnection]) {
        line = Mutex(Line(idle: connections.map(Reader.init)))
    }

    /// Runs `body` on the caller's thread: for work that is bounded by a page. In WAL mode a reader waits for no lock,
    /// so that this is work for the processor, and handing it to another thread would cost more than it takes.
    @concurrent func run<Value: Sendable>(
        _ body: @Sendable (SQLiteConnection) throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        let reader = try await take()
        defer { give(back: reader) }
        return try body(reader.connection)
    }

    /// Runs `body` on a thread of its own: for work that may take any time, which the threads of tasks are not for.
    func runAtLength<Value: Sendable>(
        _ body: @escaping @Sendable (SQLiteConnection) throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        let reader = try await take()
        defer { give(back: reader) }
        let result: Result<Value, StoreError> = await withCheckedContinuation { continuation in
            queue.async {
                do throws(StoreError) {
                    continuation.resume(returning: .success(try body(reader.connection)))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try result.get()
    }

    private func take() async throws(StoreError) -> Reader {
        let reader = line.withLock { line -> Reader? in
            guard !line.isClosed, let reader = line.idle.popLast() else { return nil }
            line.busy += 1
            return reader
        }
        if let reader { return reader }
        let given = await withCheckedContinuation { (continuation: CheckedContinuation<Reader?, Never>) in
            let now = line.withLock { line -> Reader?? in
                if line.isClosed { return .some(nil) }
                guard let reader = line.idle.popLast() else {
                    line.waiters.append(continuation)
                    return nil
                }
                line.busy += 1
                return reader
            }
            if let now { continuation.resume(returning: now) }
        }
        if let given { return given }
        throw StoreError(.closed, "the store is closed")
    }

    private func give(back reader: Reader) {
        let (next, closed) = line.withLock {
            line -> (CheckedContinuation<Reader?, Never>?, [CheckedContinuation<Void, Never>]) in
            if !line.waiters.isEmpty { return (line.waiters.removeFirst(), []) }
            line.busy -= 1
            if line.isClosed { reader.connection.close() } else { line.idle.append(reader) }
            guard line.isClosed, line.busy == 0 else { return (nil, []) }
            defer { line.whenClosed = [] }
            return (nil, line.whenClosed)
        }
        next?.resume(returning: reader)
        for waiter in closed { waiter.resume() }
    }

    /// Closes the connections, each when its call and those that wait for it are done.
    func close() async {
        line.withLock { line in
            line.isClosed = true
            for reader in line.idle { reader.connection.close() }
            line.idle = []
        }
        await withCheckedContinuation { continuation in
            let isOver = line.withLock { line in
                if line.busy > 0 { line.whenClosed.append(continuation) }
                return line.busy == 0
            }
            if isOver { continuation.resume() }
        }
    }
}
