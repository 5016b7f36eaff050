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

    /// The encrypted store behind a store and whatever stands in front of it; nil when there is none.
    public static func inside(_ store: any Store) -> EncryptedStore? {
        if let encrypted = store as? EncryptedStore { return encrypted }
        return (store as? any ForwardingStore).flatMap { inside($0.base) }
    }

    // MARK: Writing

    /// How often an append that expects no version is encrypted anew when others write the same entity.
    private static let attempts = 20

    /// Nothing is written of an entity whose keys were destroyed: it counts as erased.
    public func append(_ group: [AppendRequest]) async throws(StoreError) -> [AppendOutcome] {
        var outcomes = [AppendOutcome?](repeating: nil, count: group.count)
        var open = Array(group.indices)
        for _ in 0..<Self.attempts {
            var sent: [(index: Int, request: AppendRequest)] = []
            var last: [PersistenceID: SequenceNumber] = [:]
            for index in open {
                if let request = try await encrypting(group[index], after: &last) {
                    sent.append((index, request))
                } else {
                    outcomes[index] = .erased
                }
            }
            if !sent.isEmpty {
                for (part, outcome) in zip(sent, try await base.append(sent.map(\.request))) {
                    outcomes[part.index] = outcome
                }
            }
            open = open.filter { isBeaten(outcomes[$0], at: $0, in: group, outcomes) }
            if open.isEmpty { return outcomes.compactMap(\.self) }
        }
        throw StoreError(.busy, "append: other processes wrote the same entities \(Self.attempts) times")
    }

    /// Whether a request that expects no version has a conflict all the same: its number had to be known to encrypt it,
    /// and somebody else has taken that. Not after an earlier request of the entity that has failed for good.
    private func isBeaten(
        _ outcome: AppendOutcome?, at index: Int, in group: [AppendRequest], _ outcomes: [AppendOutcome?]
    ) -> Bool {
        guard case .conflict? = outcome, group[index].expectedVersion.last == nil else { return false }
        return group[..<index].indices.allSatisfy { earlier in
            if group[earlier].persistenceID != group[index].persistenceID { return true }
            if case .appended? = outcomes[earlier] { return true }
            return isBeaten(outcomes[earlier], at: earlier, in: group, outcomes)
        }
    }

    /// The request with its events encrypted; nil when its entity's keys were destroyed.
    ///
    /// - Parameter last: the numbers that requests before in the group will have come to. A number that is not known yet
    ///   cannot be bound: an entity whose appender does not say what it follows is looked at.
    private func encrypting(
        _ request: AppendRequest, after last: inout [PersistenceID: SequenceNumber]
    ) async throws(StoreError) -> AppendRequest? {
        var request = request
        let id = request.persistenceID
        let isClear = request.events.contains { !$0.isEncrypted }
        let choice = isClear ? try await choice(for: id, request.kind) : .none
        if case .destroyed = choice { return nil }
        guard let key = choice.key else {
            if let before = last[id] { last[id] = before.advanced(by: request.events.count) }
            return request
        }
        var before = request.expectedVersion.last ?? last[id]
        if before == nil { before = try await base.stream(of: id)?.last }
        let first = before ?? .zero
        request.expectedVersion = .exact(first)
        last[id] = first.advanced(by: request.events.count)
        for index in request.events.indices where !request.events[index].isEncrypted {
            let record = EncryptedRecord(
                role: .event, persistenceID: id, sequenceNumber: first.advanced(by: index + 1),
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
        guard let key = try await key(of: snapshot.persistenceID) else { return snapshot }
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
        var outcomes = [StateOutcome](repeating: .erased, count: group.count)
        var sent: [(index: Int, write: StateWrite)] = []
        for (index, write) in group.enumerated() {
            if let encrypted = try await encrypting(write) { sent.append((index, encrypted)) }
        }
        if sent.isEmpty { return outcomes }
        for (part, outcome) in zip(sent, try await base.save(sent.map(\.write))) { outcomes[part.index] = outcome }
        return outcomes
    }

    /// The write with its state encrypted; nil when its entity's keys were destroyed.
    private func encrypting(_ write: StateWrite) async throws(StoreError) -> StateWrite? {
        guard let payload = write.payload, !write.isEncrypted else { return write }
        let choice = try await choice(for: write.persistenceID, write.kind)
        if case .destroyed = choice { return nil }
        guard let key = choice.key else { return write }
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
        for change in changes { encrypted.append(try await encrypting(change)) }
        return try await base.commit(encrypted, under: lease, with: work)
    }

    private func encrypting(_ change: OperatorChange) async throws(StoreError) -> OperatorChange {
        switch change {
        case .saveSnapshot(let snapshot): return .saveSnapshot(try await encrypting(snapshot))
        case .addState(var state):
            guard !state.isEncrypted, let key = try await key(of: state.persistenceID) else { return change }
            let record = EncryptedRecord(
                role: .state, persistenceID: state.persistenceID, sequenceNumber: state.version,
                manifest: state.manifest, keyID: key.id)
            state.payload = try encryptor.encrypt(state.payload, of: record, with: key)
            (state.encryptionKeyID, state.isEncrypted) = (key.id, true)
            return .addState(state)
        case .addEvents(var events):
            for index in events.indices where !events[index].isEncrypted {
                let event = events[index]
                guard let key = try await key(of: event.persistenceID) else { continue }
                let record = EncryptedRecord(
                    role: .event, persistenceID: event.persistenceID, sequenceNumber: event.sequenceNumber,
                    manifest: event.manifest, keyID: key.id)
                events[index].payload = try encryptor.encrypt(event.payload, of: record, with: key)
                (events[index].encryptionKeyID, events[index].isEncrypted) = (key.id, true)
            }
            return .addEvents(events)
        default: return change
        }
    }

    /// Whether what is written of an entity is encrypted; it gets its key then.
    package func encrypts(_ id: PersistenceID) async throws(StoreError) -> Bool { try await key(of: id) != nil }

    /// Whether an entity's records are encrypted, or its next one will be; it gets no key here.
    package func wouldEncrypt(_ id: PersistenceID, kind: String?) async throws(StoreError) -> Bool {
        if try await keyID(of: id) != nil { return true }
        return scope.covers(kind)
    }

    /// The ID of the key that an entity's records are encrypted with; nil when they are not.
    package func keyID(of id: PersistenceID) async throws(StoreError) -> String? {
        return try await encryptor.keys.choice(for: id).key?.id
    }

    /// The key of an entity; nil when it is not to be encrypted, or was erased.
    ///
    /// - Throws: ``StoreError/Code/invalid`` when its keys were destroyed.
    private func key(of id: PersistenceID) async throws(StoreError) -> EntityKey? {
        switch try await choice(for: id, nil) {
        case .none: return nil
        case .of(let key): return key
        case .destroyed: throw StoreError(.invalid, "the keys of \(id) were destroyed: nothing of it is written")
        }
    }

    /// What an entity is encrypted with; it gets its key here.
    private func choice(for id: PersistenceID, _ kind: String?) async throws(StoreError) -> KeyRing.Choice {
        let choice = try await encryptor.keys.choice(for: id)
        guard case .none = choice, scope != .existing else { return choice }
        let stream = try await base.stream(of: id)
        guard stream?.isErased != true, scope.covers(kind ?? stream?.kind) else { return .none }
        return try await encryptor.keys.make(for: id)
    }

    // MARK: Reading

    public func history(
        of id: PersistenceID, through last: SequenceNumber, limit: PageLimit
    ) async throws(StoreError) -> EntityHistory? {
        guard let history = try await base.history(of: id, through: last, limit: limit) else { return nil }
        try await prepare(history.snapshot)
        try await prepare(history.events)
        return history
    }

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
        try await prepare(snapshot)
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

    private func prepare(_ snapshot: StoredSnapshot?) async throws(StoreError) {
        if let snapshot, snapshot.isEncrypted { try await encryptor.keys.prepare([snapshot.encryptionKeyID]) }
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
