import EgoCore
import EgoTestKit

/// Stores of another fixture, encrypted, and read in the clear as an engine reads them.
final class EncryptedFixture<Base: StoreFixture>: StoreFixture {
    private let base: Base
    private let scope: EncryptionScope
    private let master = MasterKey.random()

    init(_ base: Base, scope: EncryptionScope) {
        (self.base, self.scope) = (base, scope)
    }

    func makeStore() async throws -> any Store { wrap(try await base.makeStore(), InMemoryStore()) }

    func reopen(_ store: any Store) async throws -> any Store {
        guard let store = store as? ClearStore else { return store }
        return wrap(try await base.reopen(store.behind), store.keys)
    }

    func second(_ store: any Store) async throws -> any Store {
        guard let store = store as? ClearStore else { return store }
        return wrap(try await base.second(store.behind), store.keys)
    }

    func count(_ name: String, in transaction: any ReadModelTransaction) throws {
        try base.count(name, in: transaction)
    }

    func counter(_ name: String, of store: any Store) async throws -> Int {
        try await base.counter(name, of: (store as? ClearStore)?.behind ?? store)
    }

    private func wrap(_ store: any Store, _ keys: InMemoryStore) -> ClearStore {
        let ring = KeyRing(store: keys, master: master)
        return ClearStore(
            behind: store, keys: keys,
            encrypted: EncryptedStore(store, encryptor: AESEncryptor(keys: ring), scope: scope))
    }
}

/// An encrypted store whose records are decrypted on their way out; what does not decrypt stays as it is.
struct ClearStore: ForwardingStore {
    let behind: any Store
    let keys: InMemoryStore
    let encrypted: EncryptedStore

    var base: any Store { encrypted }
    private var reader: EventReader { EventReader(decryptor: encrypted.encryptor) }

    func forward<Value: Sendable>(
        _ call: StoreCall, _ body: () async throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        try await body()
    }

    func history(
        of id: PersistenceID, through last: SequenceNumber, limit: PageLimit
    ) async throws(StoreError) -> EntityHistory? {
        guard var history = try await encrypted.history(of: id, through: last, limit: limit) else { return nil }
        history.snapshot = history.snapshot.map(clear)
        history.events = history.events.map(clear)
        return history
    }

    func events(
        of id: PersistenceID, from first: SequenceNumber, through last: SequenceNumber, limit: PageLimit
    ) async throws(StoreError) -> [PersistedEvent] {
        try await encrypted.events(of: id, from: first, through: last, limit: limit).map(clear)
    }

    func journal(after offset: Offset, shard: Shard?, limit: PageLimit) async throws(StoreError) -> JournalPage {
        var page = try await encrypted.journal(after: offset, shard: shard, limit: limit)
        page.events = page.events.map(clear)
        return page
    }

    func latestSnapshot(
        of id: PersistenceID, through last: SequenceNumber
    ) async throws(StoreError) -> StoredSnapshot? {
        try await encrypted.latestSnapshot(of: id, through: last).map(clear)
    }

    func snapshots(
        of id: PersistenceID, from first: SequenceNumber, limit: PageLimit
    ) async throws(StoreError) -> [StoredSnapshot] {
        try await encrypted.snapshots(of: id, from: first, limit: limit).map(clear)
    }

    func state(of id: PersistenceID) async throws(StoreError) -> StoredState? {
        guard var state = try await encrypted.state(of: id), state.isEncrypted, let payload = try? reader.clear(state)
        else { return try await encrypted.state(of: id) }
        (state.payload, state.encryptionKeyID, state.isEncrypted) = (payload.serialized(), "", false)
        return state
    }

    private func clear(_ event: PersistedEvent) -> PersistedEvent {
        guard event.isEncrypted, let payload = try? reader.clear(event) else { return event }
        var event = event
        (event.payload, event.encryptionKeyID, event.isEncrypted) = (payload.serialized(), "", false)
        return event
    }

    private func clear(_ snapshot: StoredSnapshot) -> StoredSnapshot {
        guard snapshot.isEncrypted, let payload = try? reader.clear(snapshot) else { return snapshot }
        var snapshot = snapshot
        (snapshot.payload, snapshot.encryptionKeyID, snapshot.isEncrypted) = (payload.serialized(), "", false)
        return snapshot
    }
}
