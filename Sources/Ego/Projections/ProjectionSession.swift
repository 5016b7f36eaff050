import EgoCore
import Logging
import Synchronization

/// What a runner does under one lease, from taking it until somebody breaks it.
final class ProjectionSession: Sendable {
    private let projection: Projection
    private let store: any Store
    private let reader: EventReader
    private let leaseTime: Duration
    private let time: any TimeSource
    private let log: Logger
    private let status: @Sendable (ProjectionRunner.Status) -> Void
    private let progress: @Sendable (Int) -> Void
    private let held: Mutex<Lease>

    init(
        _ projection: Projection, store: any Store, reader: EventReader, lease: Lease, leaseTime: Duration,
        time: any TimeSource, log: Logger, status: @escaping @Sendable (ProjectionRunner.Status) -> Void,
        progress: @escaping @Sendable (Int) -> Void
    ) {
        self.projection = projection
        self.store = store
        self.reader = reader
        self.leaseTime = leaseTime
        self.time = time
        self.log = log
        self.status = status
        self.progress = progress
        self.held = Mutex(lease)
    }

    /// Works until everything was read, where that is wanted, or until an error.
    ///
    /// - Parameter reported: the event that this runner has stopped at; it waits there until an operator does something.
    ///   What another runner stopped at is tried again.
    func run(
        untilCaughtUp: Bool, reported: inout ProjectionFailure?
    ) async throws(StoreError) -> ProjectionRunner.End {
        var record = try await store.projection(projection.name) ?? ProjectionRecord(name: projection.name)
        if record.mode != .running {
            status(.paused)
            if untilCaughtUp { return .paused }
            return try await keepingLease { (_) async throws(StoreError) in try await self.waitForOperator() }
        }
        if let failure = record.failure, failure == reported {
            status(.failed(failure))
            if untilCaughtUp { return .failed(failure) }
            return try await keepingLease { (_) async throws(StoreError) in try await self.waitForOperator() }
        }
        record = try await prepare(record)
        let offsets = try await store.offsets(of: projection.name, version: record.activeVersion)
        let pages = ProjectionPages(
            projection, store: store, reader: reader, version: record.activeVersion, offsets: offsets, time: time)
        let end = try await keepingLease { (lease) async throws(StoreError) in
            try await self.work(pages, lease, untilCaughtUp: untilCaughtUp)
        }
        guard case .failed(let failure) = end else { return end }
        record.failure = failure
        try await save(record)
        reported = failure
        status(.failed(failure))
        if untilCaughtUp { return end }
        return try await keepingLease { (_) async throws(StoreError) in try await self.waitForOperator() }
    }

    /// Gives the lease back; one that cannot be given back runs out by itself.
    func release() async {
        let (store, lease) = (store, lease)
        await Task { try? await store.release(lease) }.value
    }

    private var lease: Lease { held.withLock { $0 } }

    // MARK: Before the first page

    /// Makes the tables, and sets the offsets of a projection that runs for the first time.
    private func prepare(_ record: ProjectionRecord) async throws(StoreError) -> ProjectionRecord {
        var record = record
        record.failure = nil
        // A version keeps the tables that it was made with; others come with a rebuild.
        let isMade = projection.tables.isEmpty || record.tables[record.activeVersion] != nil
        if !isMade {
            try await ReadModelOwnership.check(projection, in: store)
            record.tables[record.activeVersion] = projection.tables
        }
        let isFirst = try await store.offsets(of: projection.name, version: record.activeVersion).isEmpty
        if !isFirst, let stored = try await store.projection(projection.name), stored == record { return record }
        var changes: [OperatorChange] = [.saveProjection(record)]
        if isFirst {
            let start = try await firstOffset()
            let now = time.now()
            let shards = try await store.metadata().shardCount
            changes.append(
                .advance(
                    ProjectionAdvance(
                        projection: projection.name, version: record.activeVersion,
                        offsets: (0..<UInt64(shards)).map {
                            CommittedOffset(shard: Shard($0), offset: start, committedAt: now)
                        })))
        }
        let (schema, version) = (record.schema(of: record.activeVersion), record.activeVersion)
        _ = try await store.commit(changes, under: lease) { transaction in
            if !isMade { try schema.make(version, in: transaction, isActive: true) }
        }
        record.revision += 1
        return record
    }

    private func firstOffset() async throws(StoreError) -> Offset {
        switch projection.options.start {
        case .beginning: .start
        case .end: try await store.head()
        case .time(let moment): try await store.offset(before: moment)
        case .after(let offset): try await reached(offset)
        }
    }

    /// A projection past the journal's end would miss what comes until then.
    private func reached(_ offset: Offset) async throws(StoreError) -> Offset {
        let head = try await store.head()
        if offset <= head { return offset }
        throw StoreError(
            .invalid, "projection \(projection.name) would start at \(offset), the journal ends at \(head)")
    }

    private func save(_ record: ProjectionRecord) async throws(StoreError) {
        _ = try await store.commit([.saveProjection(record)], under: lease)
    }

    // MARK: The work

    private func work(
        _ pages: ProjectionPages, _ lease: @Sendable () -> Lease, untilCaughtUp: Bool
    ) async throws(StoreError) -> ProjectionRunner.End {
        status(.running)
        var isSettled = false
        while true {
            if Task.isCancelled { throw StoreError(.cancelled, "stopped between two pages") }
            let page = try await pages.next(under: lease)
            if page.events > 0 {
                progress(page.events)
                status(.running)
            }
            if let failure = page.failure { return .failed(failure) }
            guard page.reachedHead else { continue }
            if untilCaughtUp {
                if isSettled { return .caughtUp }
                // What was committed before, beside a transaction that is still running, belongs to it.
                try await store.settle(timeout: .seconds(30))
                isSettled = true
                continue
            }
            status(.caughtUp)
            try await store.awaitAppend(after: page.next, timeout: projection.options.pollInterval)
        }
    }

    private func waitForOperator() async throws(StoreError) -> ProjectionRunner.End {
        while true {
            do { try await time.sleep(for: .seconds(60)) } catch {
                throw StoreError(.cancelled, "stopped while waiting")
            }
        }
    }

    /// Does `body`, and keeps the lease meanwhile. What it does is cancelled when the lease is lost.
    private func keepingLease(
        _ body: @escaping @Sendable (@Sendable () -> Lease) async throws(StoreError) -> ProjectionRunner.End
    ) async throws(StoreError) -> ProjectionRunner.End {
        let result = await withTaskGroup(of: Result<ProjectionRunner.End, StoreError>.self) { group in
            group.addTask { await self.keepLease() }
            group.addTask {
                do throws(StoreError) { return .success(try await body { self.lease }) } catch {
                    return .failure(error)
                }
            }
            let first = await group.next()
            group.cancelAll()
            return first ?? .failure(StoreError(.cancelled, "stopped"))
        }
        return try result.get()
    }

    /// Ends with an error: the lease was broken or taken over, or the task cancelled.
    private func keepLease() async -> Result<ProjectionRunner.End, StoreError> {
        // A second at most until an operator's change is seen.
        let beat = min(leaseTime / 5, .seconds(1))
        while true {
            do { try await time.sleep(for: beat) } catch { return .failure(StoreError(.cancelled, "stopped")) }
            do throws(StoreError) {
                let now = time.now()
                let lease = lease
                if lease.expiresAt.duration(since: now) < leaseTime * 2 / 3 {
                    let renewed = try await store.renew(lease, for: leaseTime, now: now)
                    held.withLock { $0 = renewed }
                } else if try await store.leases().first(where: { $0.name == lease.name })?.generation
                    != lease.generation
                {
                    return .failure(StoreError(.fenced, "the lease on \(lease.name) was lost"))
                }
            } catch {
                // A store that cannot be reached says nothing of the lease; whoever commits finds out.
                if error.code == .fenced || error.code == .closed { return .failure(error) }
            }
        }
    }
}
