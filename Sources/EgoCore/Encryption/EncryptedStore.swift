/// A store that encrypts what is written to it, and has the keys at hand of what is read from it. Records stay encrypted
/// on their way out: whoever folds them decrypts them, with ``encryptor``.
public struct EncryptedStore: ForwardingStore {
    public let base: any Store
    /// Encrypts and decrypts.
    public let encryptor: AESEncryptor
    /// Which entities are encrypted.
    public let scope: EncryptionScope
    private let close: @Sendable () async -> Void

    /// A store in front of another one.
    ///
    /// - Parameter closing: called when the store was closed; closes a key store of its own.
    public init(
        _ base: any Store, encryptor: AESEncryptor, scope: EncryptionScope = .all,
        closing close: @escaping @Sendable () async -> Void = {}
    ) {
        self.base = base
        self.encryptor = encryptor
        self.scope = scope
        self.close = close
    }

    public func forward<Value: Sendable>(
        _ call: StoreCall, _ body: () async throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        try await body()
    }

    public func close() async {
        await base.close()
        await close()
    }

    // MARK: Writing

    public func append(_ group: [AppendRequest]) async throws(StoreError) -> [AppendOutcome] {
        var encrypted: [AppendRequest] = []
        for request in group { encrypted.append(try await encrypting(request)) }
        return try await base.append(encrypted)
    }

    /// A number that is not known yet cannot be bound: an entity whose appender does not say what it follows is looked at.
    private func encrypting(_ request: AppendRequest) async throws(StoreError) -> AppendRequest {
        var request = request
        let id = request.persistenceID
        guard request.events.contains(where: { !$0.isEncrypted }), let key = try await key(of: id, request.kind) else {
            return request
        }
        let before: SequenceNumber
        if let last = request.expectedVersion.last {
            before = last
        } else {
            before = try await base.stream(of: id)?.last ?? .zero
            request.expectedVersion = .exact(before)
        }
        for index in request.events.indices where !request.events[index].isEncrypted {
            let record = EncryptedRecord(
                role: .event, persistenceID: id, sequenceNumber: before.advanced(by: index + 1),
                manifest: request.events[index].manifest, keyID: key.id)
            request.events[index].payload = try encryptor.encrypt(
                request.events[index].payload, of: record, with: key)
            request.events[index].encryptionKeyID = key.id
            request.events[index].isEncrypted = true
        }
        return request
    }

    public func save(_ snapshot: StoredSnapshot) async throws(StoreError) {
        try await base.save(encrypting(snapshot))
    }

    private func encrypting(_ snapshot: StoredSnapshot) async throws(StoreError) -> StoredSnapshot {
        if snapshot.isEncrypted { return snapshot }
        guard let key = try await key(of: snapshot.persistenceID, nil) else { return snapshot }
        var snapshot = snapshot
        let record = EncryptedRecord(
            role: .snapshot, persistenceID: snapshot.persistenceID, sequenceNumber: snapshot.sequenceNumber,
            manifest: snapshot.manifest, keyID: key.id)
        snapshot.payload = try encryptor.encrypt(snapshot.payload, of: record, with: key)
        snapshot.encryptionKeyID = key.id
        snapshot.isEncrypted = true
        return snapshot
    }

    public func save(_ group: [StateWrite]) async throws(StoreError) -> [StateOutcome] {
        var encrypted: [StateWrite] = []
        for write in group { encrypted.append(try await encrypting(write)) }
        return try await base.save(encrypted)
    }

    private func encrypting(_ write: StateWrite) async throws(StoreError) -> StateWrite {
        guard let payload = write.payload, !write.isEncrypted,
            let key = try await key(of: write.persistenceID, write.kind)
        else { return write }
        var write = write
        let record = EncryptedRecord(
            role: .state, persistenceID: write.persistenceID, sequenceNumber: write.expectedVersion.next,
            manifest: PersistedEvent.anyManifest, keyID: key.id)
        write.payload = try encryptor.encrypt(payload, of: record, with: key)
        write.encryptionKeyID = key.id
        write.isEncrypted = true
        return write
    }

    public func commit(
        _ changes: [OperatorChange], under lease: Lease?, with work: ReadModelWork?
    ) async throws(StoreError) -> [Int] {
        var encrypted: [OperatorChange] = []
        for change in changes {
            if case .saveSnapshot(let snapshot) = change {
                encrypted.append(.saveSnapshot(try await encrypting(snapshot)))
            } else {
                encrypted.append(change)
            }
        }
        return try await base.commit(encrypted, under: lease, with: work)
    }

    /// Whether what is written of an entity is encrypted; it gets its key then.
    package func encrypts(_ id: PersistenceID) async throws(StoreError) -> Bool { try await key(of: id, nil) != nil }

    /// The key of an entity; nil when it is not to be encrypted, or was erased.
    private func key(of id: PersistenceID, _ kind: String?) async throws(StoreError) -> EntityKey? {
        if let key = try await encryptor.keys.current(of: id) { return key }
        if case .existing = scope { return nil }
        let stream = try await base.stream(of: id)
        guard stream?.isErased != true, scope.covers(kind ?? stream?.kind) else { return nil }
        return try await encryptor.keys.make(for: id)
    }

    // MARK: Reading

    public func events(
        of id: PersistenceID, from first: SequenceNumber, through last: SequenceNumber, limit: PageLimit
    ) async throws(StoreError) -> [PersistedEvent] {
        let events = try await base.events(of: id, from: first, through: last, limit: limit)
        try await prepare(events)
        return events
    }

    public func journal(
        after offset: Offset, shard: Shard?, limit: PageLimit
    ) async throws(StoreError) -> JournalPage {
        let page = try await base.journal(after: offset, shard: shard, limit: limit)
        try await prepare(page.events)
        return page
    }

    public func latestSnapshot(
        of id: PersistenceID, through last: SequenceNumber
    ) async throws(StoreError) -> StoredSnapshot? {
        let snapshot = try await base.latestSnapshot(of: id, through: last)
        if let snapshot, snapshot.isEncrypted { try await encryptor.keys.prepare([snapshot.encryptionKeyID]) }
        return snapshot
    }

    public func snapshots(
        of id: PersistenceID, from first: SequenceNumber, limit: PageLimit
    ) async throws(StoreError) -> [StoredSnapshot] {
        let snapshots = try await base.snapshots(of: id, from: first, limit: limit)
        try await encryptor.keys.prepare(Set(snapshots.filter(\.isEncrypted).map(\.encryptionKeyID)))
        return snapshots
    }

    public func state(of id: PersistenceID) async throws(StoreError) -> StoredState? {
        let state = try await base.state(of: id)
        if let state, state.isEncrypted { try await encryptor.keys.prepare([state.encryptionKeyID]) }
        return state
    }

    private func prepare(_ events: [PersistedEvent]) async throws(StoreError) {
        if events.allSatisfy({ !$0.isEncrypted }) { return }
        try await encryptor.keys.prepare(Set(events.filter(\.isEncrypted).map(\.encryptionKeyID)))
    }
}

/// Which entities are encrypted. An entity that has a key always is.
public enum EncryptionScope: Sendable, Hashable {
    /// All.
    case all
    /// Those of these kinds.
    case kinds(Set<String>)
    /// Only those that have a key.
    case existing

    func covers(_ kind: String?) -> Bool {
        switch self {
        case .all: true
        case .kinds(let kinds): kind.map(kinds.contains) ?? false
        case .existing: false
        }
    }
}
