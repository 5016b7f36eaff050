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

    /// Whether the entity has a key, or had one that was destroyed.
    func hadKey(_ id: PersistenceID) async throws(StoreError) -> Bool

    /// All keys after one by their ID, ascending by ID, at most `limit`; destroyed ones included.
    func keys(after id: String?, limit: Int) async throws(StoreError) -> [KeyListing]

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

/// A key as a list shows it.
public struct KeyListing: Sendable, Hashable {
    /// The key; its ``StoredKey/wrapped`` bytes are empty when it was destroyed.
    public var key: StoredKey
    /// Whether it was destroyed.
    public var isDestroyed: Bool

    /// A listing with the given parts.
    public init(key: StoredKey, isDestroyed: Bool) {
        self.key = key
        self.isDestroyed = isDestroyed
    }
}

/// What a key store has under an ID.
public enum KeyLookup: Sendable, Hashable {
    /// The key.
    case key(StoredKey)
    /// There was one, and it was destroyed.
    case destroyed
}
