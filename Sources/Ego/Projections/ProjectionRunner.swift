public import EgoCore
public import Logging
import Synchronization

/// Runs one projection: takes its lease, reads the journal in pages, hands events to the handler, and commits offsets.
///
/// Of several runners of one projection, in any number of processes, one works and the others wait for its lease to run
/// out. Operators pause, reset or rebuild the projection through the store: they break the lease, and the runner then
/// looks what it is to do. A runner that was held up for longer than its lease cannot commit any more.
public final class ProjectionRunner: Sendable {
    /// What a runner does at the moment.
    public enum Status: Sendable, Hashable {
        /// It was not started, or has ended.
        case stopped
        /// Another runner holds the lease.
        case standby
        /// It processes events.
        case running
        /// It has processed all events, and waits for more.
        case caughtUp
        /// An operator has paused it, or rebuilds it.
        case paused
        /// It waits for the store, which had this error.
        case waiting(String)
        /// It has stopped at an event, and waits for an operator.
        case failed(ProjectionFailure)
    }

    /// How a run has ended.
    public enum End: Sendable, Hashable {
        /// All events were processed.
        case caughtUp
        /// An event could not be processed.
        case failed(ProjectionFailure)
        /// An operator has paused it, or rebuilds it.
        case paused
        /// The task was cancelled.
        case cancelled
    }

    /// The projection.
    public let projection: Projection
    private let store: any Store
    private let reader: EventReader
    private let owner: String
    private let leaseTime: Duration
    private let time: any TimeSource
    private let log: Logger
    private let current = Mutex(Status.stopped)
    /// How often the store has failed since it last did not.
    private let outages = Mutex(0)
    private let progress: @Sendable (Int) -> Void
    private let observer: @Sendable (Status) -> Void
    private let isGone: @Sendable (String) -> Bool

    /// How long to wait for a store that fails.
    private static let outage = Backoff(delay: .milliseconds(100), maximum: .seconds(5))

    /// A runner.
    ///
    /// - Parameters:
    ///   - owner: names this runner to operators, and tells it from every other.
    ///   - leaseTime: how long the others wait at most after this one was killed.
    ///   - isGone: whether the owner of a lease is known to have ended; its lease is then taken over at once.
    ///   - progress: called after each page with the number of its events.
    ///   - observer: called when the status has changed.
    public init(
        _ projection: Projection, store: any Store, reader: EventReader, owner: String,
        leaseTime: Duration = .seconds(10), time: any TimeSource = SystemTime(), log: Logger = Logger(label: "ego"),
        isGone: @escaping @Sendable (String) -> Bool = { _ in false },
        progress: @escaping @Sendable (Int) -> Void = { _ in },
        observer: @escaping @Sendable (Status) -> Void = { _ in }
    ) {
        self.isGone = isGone
        self.observer = observer
        self.projection = projection
        self.store = store
        self.reader = reader
        self.owner = owner
        self.leaseTime = leaseTime
        self.time = time
        self.progress = progress
        var log = log
        log[metadataKey: "projection"] = "\(projection.name)"
        self.log = log
    }

    /// What it does at the moment.
    public var status: Status { current.withLock { $0 } }

    /// Runs until the task is cancelled.
    ///
    /// - Throws: `StoreError` that no waiting helps against, such as a missing permission.
    public func run() async throws {
        _ = try await run(untilCaughtUp: false)
    }

    /// Runs until there is nothing more to read, or until it cannot go on.
    ///
    /// - Throws: `StoreError` that no waiting helps against.
    public func runUntilCaughtUp() async throws -> End {
        try await run(untilCaughtUp: true)
    }

    private func run(untilCaughtUp: Bool) async throws -> End {
        defer { current.withLock { $0 = .stopped } }
        var reported: ProjectionFailure?
        while !Task.isCancelled {
            do throws(StoreError) {
                guard let lease = try await takeLease() else {
                    note(.standby)
                    try await pause(for: min(leaseTime / 20, .milliseconds(200)))
                    continue
                }
                let session = ProjectionSession(
                    projection, store: store, reader: reader, lease: lease, leaseTime: leaseTime, time: time, log: log,
                    status: { [self] in note($0, isLogged: !untilCaughtUp) },
                    progress: { [self] in
                        outages.withLock { $0 = 0 }
                        progress($0)
                    })
                do throws(StoreError) {
                    let end = try await session.run(untilCaughtUp: untilCaughtUp, reported: &reported)
                    await session.release()
                    return end
                } catch {
                    if error.code != .fenced { await session.release() }
                    throw error
                }
            } catch {
                if Task.isCancelled { break }
                switch error.code {
                case .fenced: break  // an operator, or another runner: look again what there is to do
                case .conflict:
                    // An operator changed the record at the same moment.
                    try? await time.sleep(for: .milliseconds(10))
                case _ where error.isCircumstance && error.code != .closed:
                    let outages = outages.withLock { outages in
                        outages += 1
                        return outages
                    }
                    note(.waiting("\(error)"))
                    log.warning("the store fails; waiting", metadata: ["error": "\(error)", "times": "\(outages)"])
                    // A wait that was cut short ends the loop.
                    try? await time.sleep(for: Self.outage.wait(before: outages, chance: .random(in: 0...1)))
                default: throw error
                }
            }
        }
        return .cancelled
    }

    /// Nil when somebody else has it.
    private func takeLease() async throws(StoreError) -> Lease? {
        let name = ProjectionRecord.lease(of: projection.name)
        // Who waits only reads.
        let held = try await store.leases().first { $0.name == name }
        if let held, held.owner != owner, held.expiresAt > time.now() {
            if !isGone(held.owner) { return nil }
            try await store.release(held)
        }
        do {
            return try await store.acquireLease(name, owner: owner, for: leaseTime, now: time.now())
        } catch {
            if error.code == .leaseHeld { return nil }
            throw error
        }
    }

    private func pause(for duration: Duration) async throws(StoreError) {
        do { try await time.sleep(for: duration) } catch { throw StoreError(.cancelled, "stopped while waiting") }
    }

    /// - Parameter isLogged: whether nobody else tells of a failure.
    private func note(_ status: Status, isLogged: Bool = true) {
        let isNew = current.withLock { current in
            defer { current = status }
            return current != status
        }
        if status == .caughtUp { outages.withLock { $0 = 0 } }
        guard isNew else { return }
        observer(status)
        if !isLogged { return }
        if case .failed(let failure) = status {
            log.error(
                "the projection has stopped at an event",
                metadata: [
                    "persistence_id": "\(failure.persistenceID)", "sequence_number": "\(failure.sequenceNumber)",
                    "error": "\(failure.message)",
                ])
        }
    }
}
