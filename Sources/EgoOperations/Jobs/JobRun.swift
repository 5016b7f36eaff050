import Ego
public import EgoCore

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What tells one piece of operator work from another.
public struct JobSpecification: Sendable, Hashable {
    /// The operation, as `import`.
    public var kind: String
    /// What is worked on. Work of the same kind with the same arguments is the same work: an unfinished run goes on
    /// where it stopped. No payloads, no secrets: it is stored, and shown.
    public var arguments: [String: String]
    /// What must not be changed by anybody else meanwhile; the name of a lease.
    public var lease: String
    /// The command that goes on with the work.
    public var command: String

    /// A specification with the given parts.
    public init(kind: String, arguments: [String: String], lease: String, command: String) {
        self.kind = kind
        self.arguments = arguments
        self.lease = lease
        self.command = command
    }

    /// Whether such work was begun, and has to be brought to its end.
    func isUnfinished(in store: any Store) async throws -> Bool {
        let arguments = try JobText.encode(arguments)
        return try await store.jobs().contains {
            $0.kind == kind && $0.arguments == arguments && $0.state.isUnfinished
        }
    }
}

/// One run of a durable job, under a lease: every page of work is committed together with the job's checkpoint, so that
/// after `kill -9` at any instant the next run goes on from the last page.
public actor JobRun<Checkpoint: Codable & Sendable> {
    /// The job's ID.
    public nonisolated let id: String
    /// How far the work has come.
    public private(set) var checkpoint: Checkpoint
    /// Whether an earlier run began it.
    public nonisolated let isResumed: Bool

    private let store: any Store
    private let person: Operator
    private let time: any TimeSource
    private let specification: JobSpecification
    private var job: Job
    private var lease: Lease
    private var isOver = false

    /// How long a lease is held without being renewed.
    private static var leaseTime: Duration { .seconds(30) }

    private init(
        store: any Store, person: Operator, time: any TimeSource, specification: JobSpecification, job: Job,
        lease: Lease, checkpoint: Checkpoint, isResumed: Bool
    ) {
        (self.store, self.person, self.time, self.specification) = (store, person, time, specification)
        (self.job, self.lease, self.checkpoint, self.isResumed) = (job, lease, checkpoint, isResumed)
        self.id = job.id
    }

    /// Takes the lease, and goes on with an unfinished job or starts a new one.
    ///
    /// - Parameter start: the checkpoint of a new job.
    /// - Throws: `StoreError` with code `leaseHeld` when somebody else is at it.
    public static func begin(
        _ specification: JobSpecification, on store: any Store, by person: Operator, time: any TimeSource,
        from start: @Sendable () async throws -> Checkpoint
    ) async throws -> JobRun {
        let lease = try await JobLeases(store: store, person: person, time: time)
            .acquire(specification.lease, for: leaseTime)
        do {
            let arguments = try JobText.encode(specification.arguments)
            let unfinished = try await store.jobs().first { job in
                job.kind == specification.kind && job.arguments == arguments && job.state.isUnfinished
            }
            let now = time.now()
            let checkpoint: Checkpoint
            var job: Job
            if let unfinished {
                checkpoint = try JobText.decode(unfinished.checkpoint)
                job = unfinished
            } else {
                checkpoint = try await start()
                job = Job(
                    id: "\(specification.kind)-\(JobText.newSuffix())", kind: specification.kind, state: .running,
                    arguments: arguments, checkpoint: try JobText.encode(checkpoint), createdAt: now, updatedAt: now)
            }
            job.state = .running
            job.updatedAt = now
            _ = try await store.commit([.saveJob(job)], under: lease)
            return JobRun(
                store: store, person: person, time: time, specification: specification, job: job, lease: lease,
                checkpoint: checkpoint, isResumed: unfinished != nil)
        } catch {
            await JobLeases.release(lease, on: store)
            throw error
        }
    }

    /// Commits a page of work together with the checkpoint after it.
    ///
    /// - Parameter work: what the page changes in a read model in the same database.
    /// - Returns: how many rows each change touched; see `OperatorStore/commit(_:under:with:)`.
    public func commit(
        _ changes: [OperatorChange], checkpoint: Checkpoint, with work: ReadModelWork? = nil
    ) async throws -> [Int] {
        try await renew()
        var next = job
        next.checkpoint = try JobText.encode(checkpoint)
        next.updatedAt = time.now()
        let counts = try await store.commit(changes + [.saveJob(next)], under: lease, with: work)
        job = next
        self.checkpoint = checkpoint
        return Array(counts.dropLast())
    }

    /// Ends the job well: its last changes, its state and its audit record are committed together.
    ///
    /// - Parameters:
    ///   - result: what came of it, as JSON, for the audit log.
    ///   - work: what the last changes change in a read model in the same database.
    public func finish(
        _ changes: [OperatorChange] = [], result: String, with work: ReadModelWork? = nil
    ) async throws {
        var next = job
        next.state = .done
        next.updatedAt = time.now()
        do throws(StoreError) {
            _ = try await store.commit(
                changes + [.saveJob(next), .audit(entry(result: result))], under: lease, with: work)
        } catch {
            // The answer may have been lost, not the work.
            guard let stored = try? await store.job(id), stored.state == .done else { throw error }
        }
        job = next
        isOver = true
        await JobLeases.release(lease, on: store)
    }

    /// Ends the run before the work is done; the job can go on later. The error is recorded by its kind only, as it may
    /// hold what must not be logged.
    ///
    /// - Returns: `error`, with how to go on where it came from an interruption.
    public func stop(after error: any Error) async -> any Error {
        if isOver { return error }
        isOver = true
        // A fold of events reports what its store said.
        let cause = (error as? EgoError)?.cause ?? error
        let isInterrupted = cause is CancellationError || (cause as? StoreError)?.code == .cancelled
        let (store, lease, id, now) = (store, lease, id, time.now())
        let state = isInterrupted ? Job.State.interrupted : .failed
        let record = entry(result: "{\"outcome\":\"\(state.rawValue)\"}")
        // Whatever stopped the work may stop this too; the job then stays as its last page left it, and can go on.
        await Task {
            // What is stored counts: a commit whose answer was lost may have taken place.
            if var stored = try? await store.job(id), stored.state == .running {
                stored.state = state
                stored.updatedAt = now
                _ = try? await store.commit([.saveJob(stored), .audit(record)], under: lease)
            }
            await JobLeases.release(lease, on: store)
        }.value
        if isInterrupted { return JobInterrupted(jobID: id, command: specification.command) }
        return error
    }

    /// Renews the lease until the task is cancelled or the lease is lost, which the next commit finds out.
    private func keepLease() async {
        while !isOver {
            do {
                try await time.sleep(for: Self.leaseTime / 4)
                try await renew()
            } catch let error as StoreError where error.code != .fenced {
                continue
            } catch {
                return
            }
        }
    }

    private func renew() async throws {
        let now = time.now()
        if lease.expiresAt.duration(since: now) > Self.leaseTime * 2 / 3 { return }
        lease = try await store.renew(lease, for: Self.leaseTime, now: now)
    }

    private func entry(result: String) -> AuditEntry {
        AuditEntry(
            timestamp: time.now(), actor: person.name, action: specification.kind, arguments: job.arguments,
            reason: person.reason, result: result)
    }
}

extension JobRun {
    /// Runs `body` as a job, from beginning to end; whatever it throws leaves a job that can go on.
    public static func run<Value: Sendable>(
        _ specification: JobSpecification, on store: any Store, by person: Operator, time: any TimeSource,
        from start: @Sendable () async throws -> Checkpoint, _ body: (JobRun) async throws -> Value
    ) async throws -> Value {
        let run = try await begin(specification, on: store, by: person, time: time, from: start)
        // A page may take longer than the lease.
        let keeper = Task { await run.keepLease() }
        defer { keeper.cancel() }
        do { return try await body(run) } catch { throw await run.stop(after: error) }
    }
}

/// Work was stopped at the end of a page and can go on.
public struct JobInterrupted: Error, Sendable, CustomStringConvertible {
    /// The job.
    public var jobID: String
    /// The command that goes on with it.
    public var command: String

    public var description: String { "job \(jobID) was stopped at the end of a page" }
}

/// Takes leases for operators.
struct JobLeases {
    let store: any Store
    let person: Operator
    let time: any TimeSource

    /// Takes a lease; one whose holder was killed on this machine is taken over at once.
    func acquire(_ name: String, for duration: Duration) async throws -> Lease {
        let owner = person.leaseOwner(run: JobText.newSuffix())
        func attempt() async throws(StoreError) -> Lease {
            try await store.acquireLease(name, owner: owner, for: duration, now: time.now())
        }
        do { return try await attempt() } catch {
            guard error.code == .leaseHeld,
                let held = try await store.leases().first(where: { $0.name == name }), person.isGone(held.owner)
            else { throw error }
            try await store.release(held)
            return try await attempt()
        }
    }

    /// Holds a lease for as long as `body` runs, however long that is.
    func holding<Value: Sendable>(_ name: String, _ body: () async throws -> Value) async throws -> Value {
        let length = Duration.seconds(30)
        let lease = try await acquire(name, for: length)
        let (store, time) = (store, time)
        let keeper = Task {
            var current = lease
            while !Task.isCancelled {
                do {
                    try await time.sleep(for: length / 4)
                    current = try await store.renew(current, for: length, now: time.now())
                } catch let error as StoreError where error.code != .fenced {
                    continue  // it is tried again before the lease runs out
                } catch {
                    return
                }
            }
        }
        defer { keeper.cancel() }
        do {
            let value = try await body()
            await Self.release(lease, on: store)
            return value
        } catch {
            await Self.release(lease, on: store)
            throw error
        }
    }

    /// A lease that cannot be given back runs out by itself.
    static func release(_ lease: Lease, on store: any Store) async {
        try? await store.release(lease)
    }
}

/// Arguments and checkpoints as they are stored: JSON with sorted keys, so that equal ones are equal texts.
package enum JobText {
    package static func encode(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    package static func decode<Value: Decodable>(_ text: String) throws -> Value {
        do { return try JSONDecoder().decode(Value.self, from: Data(text.utf8)) } catch {
            throw OperationError(.data, "the job's record cannot be read", hint: "ego jobs shows it")
        }
    }

    package static func newSuffix() -> String {
        let digits = Array("0123456789abcdefghijklmnopqrstuvwxyz")
        return String((0..<6).map { _ in digits[Int.random(in: 0..<digits.count)] })
    }
}
