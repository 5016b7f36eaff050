import Synchronization

/// Blocks of an export on their way from whoever forms them to whoever writes them, so many at most.
///
/// A processor that has nothing to do takes its time to wake up: with some blocks in between, neither side waits for the
/// other at each.
final class BlockQueue: Sendable {
    private struct State {
        var blocks: [[UInt8]] = []
        /// Blocks that were written, whose memory is used again: what is new costs a fault at each of its pages.
        var spares: [[UInt8]] = []
        /// How many are here or being written.
        var count = 0
        var isClosed = false
        var failure: (any Error)?
        var writer: CheckedContinuation<[UInt8]?, Never>?
        /// Who waits until no more than so many are left.
        var waiter: (most: Int, continuation: CheckedContinuation<Void, any Error>)?

        /// Who waits no longer.
        mutating func takeWaiter() -> CheckedContinuation<Void, any Error>? {
            guard let waiter, failure != nil || count <= waiter.most else { return nil }
            self.waiter = nil
            return waiter.continuation
        }
    }

    private let state = Mutex(State())
    private static let limit = 8

    /// A block to be filled, which is empty.
    func spare() -> [UInt8] {
        var block = state.withLock { $0.spares.popLast() } ?? []
        block.removeAll(keepingCapacity: true)
        return block
    }

    /// Hands over a block, and waits while there are too many.
    ///
    /// - Throws: what writing an earlier block threw.
    func give(_ block: [UInt8]) async throws {
        let writer = state.withLock { state in
            state.count += 1
            if state.writer == nil { state.blocks.append(block) }
            return state.writer.take()
        }
        writer?.resume(returning: block)
        try await wait(most: Self.limit)
    }

    /// Waits until all blocks are written.
    ///
    /// - Throws: what writing one of them threw.
    func drain() async throws { try await wait(most: 0) }

    /// Ends ``write(to:)`` after the block that is being written; those that wait are dropped.
    func close() {
        let writer = state.withLock { state in
            state.isClosed = true
            state.blocks = []
            return state.writer.take()
        }
        writer?.resume(returning: nil)
    }

    /// Writes the blocks in their order, until the queue is closed or one cannot be written.
    func write(to sink: ExportSink) async {
        while let block = await next() {
            let result: Result<Void, any Error>
            do { result = .success(try await sink.take(block)) } catch { result = .failure(error) }
            let waiter = state.withLock { state in
                state.count -= 1
                state.spares.append(block)
                if case .failure(let error) = result { state.failure = error }
                return state.takeWaiter()
            }
            waiter?.resume(with: result)
            if case .failure = result { return }
        }
    }

    private func next() async -> [UInt8]? {
        await withCheckedContinuation { continuation in
            let block = state.withLock { state -> [UInt8]?? in
                if state.isClosed { return .some(nil) }
                if !state.blocks.isEmpty { return state.blocks.removeFirst() }
                state.writer = continuation
                return nil
            }
            if let block { continuation.resume(returning: block) }
        }
    }

    private func wait(most: Int) async throws {
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            let (waiter, failure) = state.withLock { state in
                state.waiter = (most, continuation)
                return (state.takeWaiter(), state.failure)
            }
            if let failure { waiter?.resume(throwing: failure) } else { waiter?.resume() }
        }
    }
}
