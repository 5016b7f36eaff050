/// Encryption keys of entities, wrapped by a master key that the store never sees.
///
/// It can live apart from the data and its backups.
public protocol KeyStore: Sendable {
    /// Adds a key.
    ///
    /// - Throws: ``StoreError/Code/invalid`` when a key of that ID exists or existed; an ID is never used twice.
    func add(_ key: StoredKey) async throws(StoreError)

    /// The key of an ID; nil when there is none, ``KeyLookup/destroyed`` when there was one.
    func key(_ id: String) async throws(StoreError) -> KeyLookup?

    /// The entity's keys that were not destroyed, oldest first.
    func keys(of id: PersistenceID) async throws(StoreError) -> [StoredKey]

    /// Replaces the wrapped bytes of keys, all or none; used to wrap them with a new master key.
    ///
    /// - Throws: ``StoreError/Code/notFound`` when one of them is missing or destroyed.
    func rewrap(_ keys: [StoredKey]) async throws(StoreError)

    /// Destroys all keys of an entity beyond recovery; returns how many there were. Their IDs stay known as destroyed.
    func destroyKeys(of id: PersistenceID) async throws(StoreError) -> Int
}

/// A key as it is stored.
public struct StoredKey: Sendable, Hashable {
    /// Names the key; unique in the store.
    public var id: String
    /// The entity whose records it encrypts.
    public var persistenceID: PersistenceID
    /// The key's bytes, encrypted by the master key.
    public var wrapped: [UInt8]
    /// When it was made.
    public var createdAt: Timestamp

    /// A key with the given parts.
    public init(id: String, persistenceID: PersistenceID, wrapped: [UInt8], createdAt: Timestamp) {
        self.id = id
        self.persistenceID = persistenceID
        self.wrapped = wrapped
        self.createdAt = createdAt
    }
}

/// What a key store has under an ID.
public enum KeyLookup: Sendable, Hashable {
    /// The key.
    case key(StoredKey)
    /// There was one, and it was destroyed.
    case destroyed
}
