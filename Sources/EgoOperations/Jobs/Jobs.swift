public import EgoCore

/// Looks after durable jobs.
public struct Jobs: Sendable {
    private let store: any Store
    private let time: any TimeSource
    private let person: Operator

    /// The jobs of a store.
    public init(store: any Store, time: any TimeSource, by person: Operator) {
        self.store = store
        self.time = time
        self.person = person
    }

    /// Gives an unfinished job up: nobody goes on with it. What it has done stays, but for the read models that a rebuild
    /// has not put into use.
    ///
    /// - Returns: the job, and whether it was unfinished.
    /// - Throws: ``OperationError/Code/notFound``; ``OperationError/Code/refused`` for one that somebody is at.
    public func discard(_ id: String, isDryRun: Bool) async throws -> (job: Job, isChanged: Bool) {
        guard var job = try await store.job(id) else {
            throw OperationError(.notFound, "there is no job \(id)", hint: "ego jobs lists them")
        }
        if !job.state.isUnfinished { return (job, false) }
        let now = time.now()
        let isFresh = now.duration(since: job.updatedAt) < .seconds(30)
        let holders = try await store.leases().filter { $0.expiresAt > now && !person.isGone($0.owner) }
        if job.state == .running, isFresh, let holder = holders.first {
            throw OperationError(.refused, "\(holder.owner) is at work", hint: "nothing was changed; stop it first")
        }
        job.state = .discarded
        job.updatedAt = now
        if isDryRun { return (job, true) }
        let entry = AuditEntry(
            timestamp: now, actor: person.name, action: "job-discard", arguments: try JobText.encode(["id": id]),
            reason: person.reason, result: "{\"outcome\":\"discarded\"}")
        let abandonment = try await Rebuild.abandonment(of: job, on: store)
        _ = try await store.commit(
            abandonment.changes + [.saveJob(job), .audit(entry)], under: nil, with: abandonment.work)
        return (job, true)
    }
}
