package import EgoCore
import Synchronization

/// Reads the journal page by page, hands the events to a projection's handler, and commits how far it came.
///
/// Used by one task at a time.
package final class ProjectionPages: Sendable {
    /// What became of one page.
    package struct Page: Sendable {
        /// How many events were processed or passed.
        package var events = 0
        /// Where to read on.
        package var next: Offset
        /// Whether there was nothing more to read.
        package var reachedHead = false
        /// The event that stopped the projection.
        package var failure: ProjectionFailure?
    }

    private struct Place {
        var offset: Offset
        var eventTimestamp: Timestamp?
    }

    private let projection: Projection
    private let store: any Store
    private let reader: EventReader
    private let version: Int
    private let time: any TimeSource
    private let places: Mutex<ShardTable<Place>>
    private let journal: JournalAhead

    /// Goes on from committed offsets; there is one for every shard.
    package init(
        _ projection: Projection, store: any Store, reader: EventReader, version: Int, offsets: [CommittedOffset],
        time: any TimeSource
    ) {
        self.projection = projection
        self.store = store
        self.reader = reader
        self.version = version
        self.time = time
        journal = JournalAhead(store, PageLimit(rows: projection.options.pageSize))
        var places = ShardTable<Place>()
        for offset in offsets {
            places[offset.shard] = Place(offset: offset.offset, eventTimestamp: offset.eventTimestamp)
        }
        self.places = Mutex(places)
    }

    /// Processes the next page under a lease.
    package func next(under lease: @Sendable () -> Lease) async throws(StoreError) -> Page {
        var places = places.withLock { $0 }
        let start = places.values.map(\.offset).min() ?? .start
        let page = try await journal.page(after: start)
        var result = Page(next: page.next, reachedHead: page.reachedHead)
        if page.next == start { return result }
        // Other software may write into shards of its own: they begin where the slowest shard is.
        for event in page.events where places[event.shard] == nil {
            places[event.shard] = Place(offset: start)
            self.places.withLock { $0[event.shard] = Place(offset: start) }
        }
        // A shard that came further than the others, before the projection stopped, has seen some of it.
        let isEven = places.values.allSatisfy { $0.offset <= start }
        let unseen = isEven ? page.events : page.events.filter { $0.offset > places[$0.shard]?.offset ?? .start }
        let events = unseen.map { EventInHand($0, reader: reader) }
        let lanes = Dictionary(grouping: places.shards) { Int($0.rawValue % UInt64(projection.options.parallelism)) }
            .values.map { shards in
                let own = Set(shards)
                return Lane(
                    shards: shards, events: lanesAreOne ? events : events.filter { own.contains($0.record.shard) })
            }
        let failures = try await journal.working(on: page) { () async throws(StoreError) in
            switch projection.handler {
            case .readModel(let model): try await commit(lanes, model, through: page.next, under: lease)
            case .external(let handler): try await handle(lanes, handler, through: page.next, under: lease)
            }
        }
        result.failure = failures.min { $0.offset < $1.offset }
        result.events = events.count
        if result.failure != nil {
            let reached = self.places.withLock { $0 }
            result.events = events.count { $0.record.offset <= reached[$0.record.shard]?.offset ?? .start }
        }
        return result
    }

    private var lanesAreOne: Bool { projection.options.parallelism == 1 }

    /// Shards that are processed one event after the other.
    private struct Lane: Sendable {
        var shards: [Shard]
        var events: [EventInHand]
    }

    // MARK: Offsets

    /// The offsets after some events, or at the page's end.
    private func offsets(
        of shards: [Shard], after events: some Sequence<EventInHand>, through end: Offset?
    ) -> [CommittedOffset] {
        let now = time.now()
        let known = places.withLock { $0 }
        var moved = ShardTable<Place>()
        for event in events {
            moved[event.record.shard] = Place(offset: event.record.offset, eventTimestamp: event.record.timestamp)
        }
        return shards.compactMap { shard in
            guard var place = moved[shard] ?? known[shard] else { return nil }
            if let end { place.offset = max(place.offset, end) } else if moved[shard] == nil { return nil }
            return CommittedOffset(
                shard: shard, offset: place.offset, committedAt: now, eventTimestamp: place.eventTimestamp)
        }
    }

    private func commit(
        _ offsets: [CommittedOffset], _ deadLetters: [DeadLetter] = [], under lease: Lease,
        with work: ReadModelWork? = nil
    ) async throws(StoreError) {
        _ = try await store.commit(
            [
                .advance(
                    ProjectionAdvance(
                        projection: projection.name, version: version, offsets: offsets, deadLetters: deadLetters))
            ], under: lease, with: work)
        places.withLock { places in
            for offset in offsets {
                places[offset.shard] = Place(offset: offset.offset, eventTimestamp: offset.eventTimestamp)
            }
        }
    }

    // MARK: Read models in the store's database

    private func commit(
        _ lanes: [Lane], _ model: any ReadModel, through end: Offset, under lease: @Sendable () -> Lease
    ) async throws(StoreError) -> [ProjectionFailure] {
        if lanes.count == 1 {
            return try await commit(lanes[0], model, through: end, under: lease).map { [$0] } ?? []
        }
        let current = lease()
        let results = await withTaskGroup(of: Result<ProjectionFailure?, StoreError>.self) { group in
            for lane in lanes {
                group.addTask {
                    do throws(StoreError) {
                        return .success(try await self.commit(lane, model, through: end, under: { current }))
                    } catch {
                        return .failure(error)
                    }
                }
            }
            var results: [Result<ProjectionFailure?, StoreError>] = []
            for await result in group { results.append(result) }
            return results
        }
        var failures: [ProjectionFailure] = []
        for result in results { if let failure = try result.get() { failures.append(failure) } }
        return failures
    }

    /// Commits a lane's page in one transaction. One event that fails is dealt with by itself: those before it are
    /// committed first, those after it afterwards.
    private func commit(
        _ lane: Lane, _ model: any ReadModel, through end: Offset, under lease: @Sendable () -> Lease
    ) async throws(StoreError) -> ProjectionFailure? {
        var events = lane.events[...]
        var last = events.endIndex
        /// The event that is known to fail, and why.
        var known: (index: Int, message: String)?
        while true {
            let part = events[..<last]
            let isWhole = last == lane.events.endIndex
            let failed = FailedEvent()
            do throws(StoreError) {
                try await commit(
                    offsets(of: lane.shards, after: part, through: isWhole ? end : nil), under: lease(),
                    with: ReadModelPage(model, version: version).work(part, failed))
                if isWhole { return nil }
                events = events[last...]
            } catch {
                if error.isAboutStore || part.isEmpty { throw error }
                // What fails at the end of the transaction says not which event it was: they are parted until it is one.
                let index = failed.index(of: error) ?? (part.count > 1 ? nil : part.startIndex)
                known = index.map { ($0, failed.text ?? "\(error)") }
                last = index ?? part.startIndex + part.count / 2
                if index != events.startIndex { continue }
            }
            if let (index, message) = known, index == events.startIndex {
                known = nil
                if let failure = try await recover(
                    events[index], message, under: lease,
                    again: { event in await self.attempt(event, lane.shards, model, under: lease()) })
                {
                    return failure
                }
                events = events.dropFirst()
            }
            last = lane.events.endIndex
        }
    }

    /// Does one event by itself.
    private func attempt(
        _ event: EventInHand, _ shards: [Shard], _ model: any ReadModel, under lease: Lease
    ) async -> Attempt {
        let failed = FailedEvent()
        do throws(StoreError) {
            try await commit(
                offsets(of: shards, after: [event], through: nil), under: lease,
                with: ReadModelPage(model, version: version).work([event], failed))
            return .done
        } catch {
            return error.isAboutStore ? .storeFailed(error) : .failed(failed.text ?? "\(error)")
        }
    }

    private enum Attempt: Sendable {
        case done
        case failed(String)
        case storeFailed(StoreError)
    }

    /// Deals with an event that has failed once.
    ///
    /// - Returns: the failure, where the projection is to stop.
    private func recover(
        _ event: EventInHand, _ message: String, under lease: @Sendable () -> Lease,
        again: (EventInHand) async -> Attempt
    ) async throws(StoreError) -> ProjectionFailure? {
        let policy = projection.options.recovery
        var (message, attempts) = (message, 1)
        while attempts <= policy.retries {
            try await wait(before: attempts)
            switch await again(event) {
            case .done: return nil
            case .storeFailed(let error): throw error
            case .failed(let text): message = text
            }
            attempts += 1
        }
        switch policy.outcome {
        case .fail: return failure(event, message, attempts)
        case .skip:
            try await commit(
                offsets(of: [event.record.shard], after: [event], through: nil),
                [deadLetter(event, message, attempts)], under: lease())
            return nil
        }
    }

    private func wait(before attempt: Int) async throws(StoreError) {
        let duration = projection.options.recovery.backoff.wait(before: attempt, chance: .random(in: 0...1))
        do { try await time.sleep(for: duration) } catch { throw StoreError(.cancelled, "stopped before another try") }
    }

    private func failure(_ event: EventInHand, _ message: String, _ attempts: Int) -> ProjectionFailure {
        ProjectionFailure(
            message: ErrorText.kept(message), persistenceID: event.record.persistenceID,
            sequenceNumber: event.record.sequenceNumber,
            offset: event.record.offset, shard: event.record.shard, attempts: attempts, failedAt: time.now())
    }

    private func deadLetter(_ event: EventInHand, _ message: String, _ attempts: Int) -> DeadLetter {
        DeadLetter(
            event.record, projection: projection.name, version: version, error: message, attempts: attempts,
            failedAt: time.now())
    }

    // MARK: Read models elsewhere

    private struct LaneResult: Sendable {
        var offsets: [CommittedOffset] = []
        var deadLetters: [DeadLetter] = []
        var failure: ProjectionFailure?
    }

    private func handle(
        _ lanes: [Lane], _ handler: any ProjectionHandler, through end: Offset, under lease: @Sendable () -> Lease
    ) async throws(StoreError) -> [ProjectionFailure] {
        let results = await withTaskGroup(of: Result<LaneResult, StoreError>.self) { group in
            for lane in lanes {
                group.addTask {
                    do throws(StoreError) { return .success(try await self.handle(lane, handler, through: end)) } catch
                    {
                        return .failure(error)
                    }
                }
            }
            var results: [Result<LaneResult, StoreError>] = []
            for await result in group { results.append(result) }
            return results
        }
        var (offsets, deadLetters, failures): ([CommittedOffset], [DeadLetter], [ProjectionFailure]) = ([], [], [])
        for result in results {
            let lane = try result.get()
            offsets += lane.offsets
            deadLetters += lane.deadLetters
            if let failure = lane.failure { failures.append(failure) }
        }
        // One transaction for all lanes. What was handled before a crash here comes again.
        try await commit(offsets, deadLetters, under: lease())
        return failures
    }

    private func handle(
        _ lane: Lane, _ handler: any ProjectionHandler, through end: Offset
    ) async throws(StoreError) -> LaneResult {
        var result = LaneResult()
        let policy = projection.options.recovery
        for index in lane.events.indices {
            let event = lane.events[index]
            var attempts = 0
            while true {
                if Task.isCancelled { throw StoreError(.cancelled, "stopped between two events") }
                do {
                    try await handler.handle(event.event())
                    break
                } catch {
                    // What was interrupted has not failed.
                    if Task.isCancelled { throw StoreError(.cancelled, "stopped while an event was handled") }
                    attempts += 1
                    if attempts <= policy.retries {
                        try await wait(before: attempts)
                        continue
                    }
                    if policy.outcome == .skip {
                        result.deadLetters.append(deadLetter(event, "\(error)", attempts))
                        break
                    }
                    result.failure = failure(event, "\(error)", attempts)
                    result.offsets = offsets(of: lane.shards, after: lane.events[..<index], through: nil)
                    return result
                }
            }
        }
        result.offsets = offsets(of: lane.shards, after: lane.events, through: end)
        return result
    }
}
