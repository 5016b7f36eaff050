public import EgoCore

/// Gives the events that other software wrote before a database was adopted their place in the journal, in pages.
public struct Adoption: Sendable {
    private let store: any Store
    private let person: Operator
    private let time: any TimeSource

    /// How far an adoption has come.
    private struct Checkpoint: Codable, Sendable {
        var events = 0
    }

    /// An adoption of a store.
    public init(store: any Store, person: Operator, time: any TimeSource) {
        self.store = store
        self.person = person
        self.time = time
    }

    /// Runs to the end, going on where an earlier run was stopped.
    ///
    /// - Parameters:
    ///   - command: the command that goes on when this one is stopped.
    ///   - progress: called with the number of events so far.
    ///   - finish: called once all events have their place, before the job is declared done.
    public func run(
        command: String, progress: @escaping @Sendable (Int) -> Void, finish: @Sendable () async throws -> Void
    ) async throws {
        let specification = JobSpecification(
            kind: "adopt", arguments: ["store": try await store.metadata().storeID], lease: "adopt", command: command)
        try await JobRun.run(
            specification, on: store, by: person, time: time, from: { Checkpoint() }
        ) { run in
            var checkpoint = await run.checkpoint
            while true {
                try Task.checkCancellation()
                let page = OperatorChange.orderOlderEvents(limit: PageLimit.standard.rows)
                let next = Checkpoint(events: checkpoint.events + PageLimit.standard.rows)
                let ordered = try await run.commit([page], checkpoint: next)[0]
                if ordered == 0 { break }
                checkpoint = next
                progress(checkpoint.events)
            }
            try await finish()
            try await run.finish(result: "{\"outcome\":\"done\"}")
        }
    }
}
