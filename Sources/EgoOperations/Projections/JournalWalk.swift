import EgoCore

/// Counts events along the journal.
struct JournalWalk {
    let store: any Store

    /// The place so many events after another one, or before it where the number is negative; the journal's start or end
    /// where there are not so many.
    func offset(_ count: Int, from base: Offset) async throws -> Offset {
        if count >= 0 { return try await forward(count, from: base) }
        // Readers go forward only: the events before it are counted, and then walked along.
        let before = try await self.count(from: .start, through: base)
        return try await forward(max(0, before + count), from: .start)
    }

    /// How many events there are after one place, up to and including another.
    func count(from start: Offset, through end: Offset) async throws -> Int {
        var (count, next, isDone) = (0, start, start >= end)
        while !isDone {
            let page = try await page(after: next, rows: PageLimit.standard.rows)
            count += page.events.count { $0.offset <= end }
            next = page.next
            isDone = next >= end || page.reachedHead
        }
        return count
    }

    private func forward(_ count: Int, from base: Offset) async throws -> Offset {
        var (rest, next, isDone) = (count, base, count == 0)
        while !isDone {
            let page = try await page(after: next, rows: min(rest, PageLimit.standard.rows))
            rest -= page.events.count
            next = page.next
            isDone = rest <= 0 || page.reachedHead
        }
        return next
    }

    /// By itself: the optimizer of Swift 6.3 ends on a loop that throws in two ways.
    @inline(never)
    private func page(after offset: Offset, rows: Int) async throws -> JournalPage {
        if Task.isCancelled { throw CancellationError() }
        return try await store.journal(after: offset, shard: nil, limit: PageLimit(rows: rows))
    }
}
