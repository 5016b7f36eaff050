public import EgoCore

/// Places legal holds, which keep an entity from retention and erasure, and lifts them.
public struct LegalHolds: Sendable {
    private let store: any Store
    private let person: Operator
    private let time: any TimeSource

    /// The holds of a store.
    public init(store: any Store, by person: Operator, time: any TimeSource) {
        (self.store, self.person, self.time) = (store, person, time)
    }

    /// Places a hold; returns whether there was none.
    ///
    /// - Throws: ``OperationError/Code/notFound``; ``OperationError/Code/refused`` for an entity that was erased.
    public func place(_ id: PersistenceID) async throws -> Bool {
        let record = try await EntityResolver(store: store, domain: .none).existing(id)
        if record.stream.isErased { throw OperationError(.refused, "the entity was erased", persistenceID: id) }
        if try await store.holds().contains(where: { $0.persistenceID == id }) { return false }
        let hold = LegalHold(persistenceID: id, reason: person.reason, placedAt: time.now())
        _ = try await store.commit([.placeHold(hold), try entry("retain-hold", id)], under: nil)
        return true
    }

    /// Lifts a hold; returns whether there was one.
    ///
    /// - Throws: ``OperationError/Code/notFound`` for an entity that is not there and is not held.
    public func release(_ id: PersistenceID) async throws -> Bool {
        guard try await store.holds().contains(where: { $0.persistenceID == id }) else {
            _ = try await EntityResolver(store: store, domain: .none).existing(id)
            return false
        }
        _ = try await store.commit([.releaseHold(of: id), try entry("retain-release", id)], under: nil)
        return true
    }

    private func entry(_ action: String, _ id: PersistenceID) throws -> OperatorChange {
        .audit(
            AuditEntry(
                timestamp: time.now(), actor: person.name, action: action,
                arguments: try JobText.encode(["id": id.rawValue]), reason: person.reason, result: "{}"))
    }
}
