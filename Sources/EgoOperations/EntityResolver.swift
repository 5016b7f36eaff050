public import EgoCore

/// Finds out which kind of entity a persistence ID names.
public struct EntityResolver: Sendable {
    private let store: any Store
    private let domain: Domain

    /// A resolver for a store and a domain.
    public init(store: any Store, domain: Domain) {
        self.store = store
        self.domain = domain
    }

    /// What the store knows of an entity.
    ///
    /// - Throws: ``OperationError/Code/notFound`` when it knows nothing, and `StoreError`.
    public func existing(_ id: PersistenceID) async throws -> EntityRecord {
        guard let record = try await record(id) else {
            throw OperationError(.notFound, "there is no such entity", persistenceID: id)
        }
        return record
    }

    /// What the store knows of an entity; nil when it knows nothing.
    public func record(_ id: PersistenceID) async throws -> EntityRecord? {
        let info = try await store.stream(of: id)
        let state = try await store.state(of: id)
        guard let info else { return nil }
        if info.last == .zero, !info.isErased, state == nil,
            try await store.latestSnapshot(of: id, through: .max) == nil
        {
            return nil
        }
        return EntityRecord(persistenceID: id, stream: info, state: state)
    }

    /// The kind of an entity.
    ///
    /// - Parameters:
    ///   - record: what the store knows of it; nil for an entity that is not there yet.
    ///   - requested: the kind that the operator named.
    ///   - commandType: the full name of the type of a command to it.
    /// - Throws: `DomainError`, and `StoreError`.
    public func kind(
        of id: PersistenceID, record: EntityRecord?, requested: String? = nil, commandType: String? = nil
    ) async throws -> EntityKind {
        var evidence = EntityEvidence(
            persistenceID: id, requestedKind: requested, recordedKind: record?.stream.kind, commandType: commandType)
        if let record {
            evidence.isDurableState = record.isDurableState
            // Only where nobody says more: it is a read of its own.
            let isKnown = requested != nil || evidence.recordedKind.map(domain.hasKind) ?? false
            if !isKnown, !record.isDurableState, let type = try await firstEventType(of: id) {
                evidence.eventTypes = [type]
            }
        }
        return try domain.kind(of: evidence)
    }

    /// The type of the first stored event, in the current schema; nil when there is no event, or it cannot be read.
    private func firstEventType(of id: PersistenceID) async throws -> String? {
        guard let first = try await store.events(of: id, from: 1, through: .max, limit: PageLimit(rows: 1)).first else {
            return nil
        }
        do throws(PayloadError) {
            // The type URL of an encrypted event is in the clear; adapters see decrypted events only.
            if first.isEncrypted, domain.reader.decryptor == nil {
                return try AnyPayload(serialized: first.payload).typeName
            }
            return try domain.reader.payload(of: first).typeName
        } catch {
            return nil
        }
    }
}

/// What a store knows of one entity.
public struct EntityRecord: Sendable {
    /// The entity.
    public var persistenceID: PersistenceID
    /// Its events.
    public var stream: StreamInfo
    /// Its durable state, where it has one.
    public var state: StoredState?

    /// Its last sequence number: of its events, or the version of its durable state.
    public var last: SequenceNumber { max(stream.last, state?.version ?? .zero) }

    /// Whether it keeps its latest state only.
    public var isDurableState: Bool { state != nil && stream.last == .zero }
}
