import Ego
public import EgoCore

/// Looks after events that projections could not process.
public struct DeadLetters: Sendable {
    private let store: any Store
    private let reader: EventReader
    private let person: Operator
    private let time: any TimeSource

    /// The dead letters of a store.
    public init(store: any Store, reader: EventReader, by person: Operator, time: any TimeSource) {
        self.store = store
        self.reader = reader
        self.person = person
        self.time = time
    }

    /// What deletes the dead letters of events that will be processed again.
    static func removals(
        of projection: String, version: Int, after offsets: [Shard: Offset], in store: any Store
    ) async throws -> [OperatorChange] {
        var (changes, after): ([OperatorChange], Offset?) = ([], nil)
        while true {
            let page = try await store.deadLetters(
                DeadLetterQuery(projection: projection, version: version, after: after.map { (projection, $0) }))
            guard let last = page.last else { return changes }
            changes += page.filter { $0.offset > offsets[$0.shard] ?? .start }
                .map { .deleteDeadLetter(of: projection, version: version, at: $0.offset) }
            after = last.offset
        }
    }

    /// One dead letter.
    ///
    /// - Throws: ``OperationError/Code/notFound``.
    public func letter(_ projection: String, at offset: Offset) async throws -> DeadLetter {
        let found = try await store.deadLetters(
            DeadLetterQuery(projection: projection, after: (projection, offset.previous), limit: 1)
        ).first
        guard let found, found.offset == offset else {
            throw OperationError(
                .notFound, "projection \(projection) has no dead letter at \(offset)",
                hint: "ego dead-letter list shows them")
        }
        return found
    }

    /// The event of a dead letter; nil when it is not in the journal any more.
    public func event(of letter: DeadLetter) async throws -> PersistedEvent? {
        let found = try await store.journal(after: letter.offset.previous, shard: nil, limit: PageLimit(rows: 1)).events
            .first
        return found?.offset == letter.offset ? found : nil
    }

    /// How a retry has ended.
    public enum Retry: Sendable, Hashable {
        /// The event was processed, and the dead letter is gone.
        case processed
        /// It failed again; the dead letter has this error now.
        case failed(String)
        /// The event is not in the journal any more; the dead letter is gone.
        case gone
    }

    /// Hands events to the projection's handler again, one after the other. Where the read model is in the store's database,
    /// it changes in the same transaction in which the dead letter goes.
    ///
    /// The handler gets an event after later ones: it has to be one that does not mind.
    ///
    /// - Parameter report: called after each event.
    /// - Throws: `StoreError` with code `leaseHeld` when somebody else is at it.
    public func retry(
        _ letters: [DeadLetter], with projection: Projection, report: (DeadLetter, Retry) async throws -> Void
    ) async throws {
        let leases = JobLeases(store: store, person: person, time: time)
        var lease = try await leases.acquire("dead-letters/\(projection.name)", for: .seconds(30))
        do {
            for letter in letters {
                try Task.checkCancellation()
                lease = try await store.renew(lease, for: .seconds(30), now: time.now())
                // Somebody may have dealt with it since it was listed.
                let current: DeadLetter
                do { current = try await self.letter(letter.projection, at: letter.offset) } catch let error
                    as OperationError
                    where error.code == .notFound
                {
                    try await report(letter, .gone)
                    continue
                }
                try await report(letter, try await retry(current, with: projection, under: lease))
            }
        } catch {
            await JobLeases.release(lease, on: store)
            throw error
        }
        await JobLeases.release(lease, on: store)
    }

    private func retry(
        _ letter: DeadLetter, with projection: Projection, under lease: Lease
    ) async throws -> Retry {
        let remove = OperatorChange.deleteDeadLetter(of: letter.projection, version: letter.version, at: letter.offset)
        guard let record = try await event(of: letter) else {
            _ = try await store.commit([remove, try entry("dead-letter-retry", letter, "gone")], under: lease)
            return .gone
        }
        let event = EventInHand(record, reader: reader)
        let done = try entry("dead-letter-retry", letter, "processed")
        let message: String
        switch projection.handler {
        case .readModel(let model):
            let failed = FailedEvent()
            do throws(StoreError) {
                _ = try await store.commit(
                    [remove, done], under: lease,
                    with: ReadModelPage(model, version: letter.version).work([event][...], failed))
                return .processed
            } catch {
                if error.isAboutStore { throw error }
                message = failed.text ?? "\(error)"
            }
        case .external(let handler):
            do {
                try await handler.handle(event.event())
                _ = try await store.commit([remove, done], under: lease)
                return .processed
            } catch {
                if error is StoreError || Task.isCancelled { throw error }
                message = "\(error)"
            }
        }
        var again = letter
        again.error = message
        again.attempts += 1
        again.failedAt = time.now()
        _ = try await store.commit(
            [
                .advance(
                    ProjectionAdvance(
                        projection: letter.projection, version: letter.version, offsets: [], deadLetters: [again])),
                try entry("dead-letter-retry", letter, "failed"),
            ], under: lease)
        return .failed(message)
    }

    /// Deletes dead letters: their events will not be processed.
    ///
    /// - Throws: `StoreError` with code `leaseHeld` when somebody else is at them.
    public func discard(_ letters: [DeadLetter]) async throws {
        guard let first = letters.first else { return }
        let lease = try await JobLeases(store: store, person: person, time: time)
            .acquire("dead-letters/\(first.projection)", for: .seconds(30))
        do {
            var rest = letters[...]
            while !rest.isEmpty {
                let page = rest.prefix(500)
                rest = rest.dropFirst(page.count)
                let changes = try page.flatMap { letter in
                    [
                        OperatorChange.deleteDeadLetter(
                            of: letter.projection, version: letter.version, at: letter.offset),
                        try entry("dead-letter-discard", letter, "discarded"),
                    ]
                }
                _ = try await store.commit(changes, under: lease)
            }
        } catch {
            await JobLeases.release(lease, on: store)
            throw error
        }
        await JobLeases.release(lease, on: store)
    }

    private func entry(_ action: String, _ letter: DeadLetter, _ outcome: String) throws -> OperatorChange {
        .audit(
            AuditEntry(
                timestamp: time.now(), actor: person.name, action: action,
                arguments: try JobText.encode([
                    "projection": letter.projection, "position": letter.offset.description,
                    "event": "\(letter.persistenceID)@\(letter.sequenceNumber)",
                ]), reason: person.reason, result: "{\"outcome\":\"\(outcome)\"}"))
    }
}
