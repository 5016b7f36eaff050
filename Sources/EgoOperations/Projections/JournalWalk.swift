import EgoCore

/// Counts events along the journal.
struct JournalWalk {
    let store: any Store

    /// The place so many events after another one, or before it where the number is negative; the journal's start or end
    /// where there are not so many.
    func offset(_ count: Int, from base: Offset) async throws -> Offset {
        if count >= 0 { return try await forward(count, from: base) }
        var before = 0
        var ring: [Offset] = []
        // The last -count places before the base, in a ring.
        let size = -count
        var next = Offset.start
        while next < base {
            try Task.checkCancellation()
            let page = try await store.journal(after: next, shard: nil, limit: .standard)
            for event in page.events where event.offset <= base {
                if ring.count < size { ring.append(event.offset) } else { ring[before % size] = event.offset }
                before += 1
            }
            if page.reachedHead { break }
            next = page.next
        }
        if before < size { return .start }
        // The oldest of the ring is the first event to process again.
        let first = ring[before % size]
        return Offset(transactionID: first.transactionID, position: Position(first.position.rawValue - 1))
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
