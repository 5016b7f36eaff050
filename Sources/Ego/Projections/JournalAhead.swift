package import EgoCore
import Synchronization

/// Pages of the journal, each read while the one before is being worked on.
///
/// Used by one task at a time. A page that has waited for longer than a process may answer from memory is read anew: who
/// erases relies on that. Where pages would wait for so long none is read ahead, so that none is read twice.
package final class JournalAhead: Sendable {
    private struct Ahead {
        var place: Offset
        var page: JournalPage
        /// When it began to be of the past: it was read after that.
        var start: MonotonicTime
    }

    private let store: any EventStore
    private let limit: PageLimit
    private let patience: Duration
    private let ahead = Mutex<Ahead?>(nil)
    /// Whether the page before took so long that the next one would have waited too long.
    private let isSlow = Mutex(false)

    /// Reads pages of at most `limit`.
    ///
    /// - Parameter patience: for how long a page may wait.
    package init(_ store: any EventStore, _ limit: PageLimit, patience: Duration = Erasure.staleness) {
        (self.store, self.limit, self.patience) = (store, limit, patience)
    }

    /// The page after an offset.
    package func page(after offset: Offset) async throws(StoreError) -> JournalPage {
        let found = ahead.withLock { ahead in
            defer { ahead = nil }
            return ahead
        }
        if let found, found.place == offset, .now < found.start.advanced(by: patience) { return found.page }
        return try await store.journal(after: offset, shard: nil, limit: limit)
    }

    /// Works on a page, and reads the next one meanwhile, unless there is none yet or this is slow work.
    package func working<Value: Sendable, Failure: Error>(
        on page: JournalPage, _ work: () async throws(Failure) -> Value
    ) async throws(Failure) -> Value {
        let start = MonotonicTime.now
        defer { isSlow.withLock { $0 = .now > start.advanced(by: patience) } }
        if page.reachedHead || isSlow.withLock(\.self) { return try await work() }
        async let next = read(after: page.next, at: start)
        let value = try await work()
        let read = await next
        ahead.withLock { $0 = read }
        return value
    }

    /// Nil where it cannot be read: whoever needs the page reads it, and is told why.
    private func read(after offset: Offset, at start: MonotonicTime) async -> Ahead? {
        let page = try? await store.journal(after: offset, shard: nil, limit: limit)
        return page.map { Ahead(place: offset, page: $0, start: start) }
    }
}
