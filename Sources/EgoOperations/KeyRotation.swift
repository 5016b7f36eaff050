public import EgoCore

/// Wraps the keys of entities by another master key, and destroys keys by hand.
public struct KeyRotation: Sendable {
    private let store: any Store
    private let keys: any KeyStore
    private let person: Operator
    private let time: any TimeSource

    /// How many keys are wrapped in one step.
    private static let batch = 500

    /// Work on the keys of a store.
    ///
    /// - Parameters:
    ///   - store: keeps the job and the audit log.
    ///   - keys: where the keys are; often the same.
    public init(store: any Store, keys: any KeyStore, by person: Operator, time: any TimeSource) {
        (self.store, self.keys, self.person, self.time) = (store, keys, person, time)
    }

    /// What was done.
    public struct Summary: Sendable, Hashable, Codable {
        /// Keys that were looked at, without destroyed ones.
        public var keys = 0
        /// Keys that were wrapped anew.
        public var rotated = 0
        /// Keys that were wrapped by the new master key already.
        public var kept = 0
        /// IDs of keys that the old master key does not unwrap, the first of them.
        public var failed: [String] = []
        /// How many of them there are.
        public var failures = 0

        /// Nothing.
        public init() {}
    }

    /// How far a rotation has come.
    private struct Progress: Codable, Sendable {
        var summary = Summary()
        var after: String?
        /// Whether all keys were looked at once: what is found now is new.
        var isAgain = false
    }

    /// Wraps all keys by a new master key. Repeated with the same two, it goes on where it was, and changes nothing when
    /// it is done.
    public func rotate(
        from old: MasterKey, to new: MasterKey, isDryRun: Bool, command: String,
        progress: @escaping @Sendable (Int) -> Void = { _ in }
    ) async throws -> Summary {
        var preview = Progress()
        while try await step(&preview, old, new, isDryRun: true) { progress(preview.summary.keys) }
        if isDryRun { return preview.summary }
        let specification = JobSpecification(
            kind: "key-rotate", arguments: ["from": old.fingerprint, "to": new.fingerprint], lease: "keys",
            command: command)
        if preview.summary.rotated == 0, try await !specification.isUnfinished(in: store) { return preview.summary }
        return try await underLease {
            try await JobRun<Progress>.run(
                specification, on: store, by: person, time: time, from: { Progress() }
            ) { job in
                var state = await job.checkpoint
                // Keys have no order: one that is made meanwhile may stand before the place. Another round finds it.
                var before = -1
                while before < state.summary.rotated {
                    before = state.summary.rotated
                    try await round(&state, old, new, job, progress)
                    (state.after, state.isAgain) = (nil, true)
                }
                try await job.finish(result: try JobText.encode(state.summary))
                return state.summary
            }
        }
    }

    /// The keys may be those of another store too, whose operator does not see this one's job.
    private func underLease<Value: Sendable>(_ body: () async throws -> Value) async throws -> Value {
        guard let keys = keys as? any Store else { return try await body() }
        return try await JobLeases(store: keys, person: person, time: time).holding("key rotation", body)
    }

    private func round(
        _ state: inout Progress, _ old: MasterKey, _ new: MasterKey, _ job: JobRun<Progress>,
        _ progress: @Sendable (Int) -> Void
    ) async throws {
        while try await step(&state, old, new, isDryRun: false) {
            _ = try await job.commit([], checkpoint: state)
            progress(state.summary.keys)
        }
    }

    /// Wraps the next keys; false when there are none.
    private func step(
        _ state: inout Progress, _ old: MasterKey, _ new: MasterKey, isDryRun: Bool
    ) async throws -> Bool {
        try Task.checkCancellation()
        let page = try await keys.keys(after: state.after, limit: Self.batch)
        guard let last = page.last else { return false }
        var changed: [StoredKey] = []
        for listing in page where !listing.isDestroyed {
            if MasterKey.fingerprint(of: listing.key) == new.fingerprint {
                if !state.isAgain {
                    (state.summary.keys, state.summary.kept) = (state.summary.keys + 1, state.summary.kept + 1)
                }
            } else if let key = try old.rewrapped(listing.key, by: new) {
                changed.append(key)
                state.summary.keys += 1
                state.summary.rotated += 1
            } else if !state.isAgain {
                state.summary.keys += 1
                state.summary.failures += 1
                if state.summary.failed.count < 100 { state.summary.failed.append(listing.key.id) }
            }
        }
        if !isDryRun, !changed.isEmpty { try await rewrap(changed) }
        state.after = last.key.id
        return true
    }

    /// An entity may be erased meanwhile: its key is gone then, and the others are wrapped.
    private func rewrap(_ changed: [StoredKey]) async throws {
        do { try await keys.rewrap(changed) } catch {
            if error.code != .notFound { throw error }
            for key in changed {
                do { try await keys.rewrap([key]) } catch {
                    if error.code != .notFound { throw error }
                }
            }
        }
    }

    /// Destroys all keys of an entity: its encrypted records cannot be read any more, by anybody.
    ///
    /// - Returns: how many there were.
    /// - Throws: ``OperationError/Code/notFound`` when it never had one; ``OperationError/Code/refused`` under a legal hold.
    public func destroy(_ id: PersistenceID, isDryRun: Bool) async throws -> Int {
        let living = try await keys.keys(of: id).count
        if living == 0, try await !hadKey(id) {
            throw OperationError(.notFound, "it has no key", persistenceID: id)
        }
        if try await store.holds().contains(where: { $0.persistenceID == id }) {
            throw OperationError(.refused, "it is under a legal hold", hint: "nothing was changed", persistenceID: id)
        }
        if isDryRun || living == 0 { return living }
        // Recorded first: what cannot be undone is never without a record.
        _ = try await store.commit(
            [
                .audit(
                    AuditEntry(
                        timestamp: time.now(), actor: person.name, action: "key-destroy",
                        arguments: try JobText.encode(["id": id.rawValue]), reason: person.reason,
                        result: "{\"keys\":\(living)}"))
            ], under: nil)
        let count = try await keys.destroyKeys(of: id)
        // Others have it in memory for a moment. What is done is told, also where the caller does not wait any more.
        await Task { try? await Task.sleep(for: KeyRing.freshness + KeyRing.freshness / 10) }.value
        return count
    }

    private func hadKey(_ id: PersistenceID) async throws -> Bool {
        var isFound = false
        var page = try await keys.keys(after: nil, limit: Self.batch)
        while !isFound, let last = page.last {
            isFound = page.contains { $0.key.persistenceID == id }
            page = try await keys.keys(after: last.key.id, limit: Self.batch)
        }
        return isFound
    }
}
