import Crypto
import Synchronization

/// The keys of entities, unwrapped, for a short while: what a ring has read counts for a second, so that a key that was
/// destroyed elsewhere is not used for longer.
public final class KeyRing: Sendable {
    /// How long a key that was read counts.
    public static let freshness = Erasure.staleness

    /// A key as the ring knows it.
    enum Entry: Sendable {
        case key(SymmetricKey)
        case destroyed
        /// Wrapped by another master key.
        case locked
    }

    private struct Known<Value: Sendable>: Sendable {
        var value: Value
        var at: ContinuousClock.Instant
    }

    private struct State {
        var keys: [String: Known<Entry>] = [:]
        /// The key that an entity's records are encrypted with; nil when it has none.
        var current: [PersistenceID: Known<String?>] = [:]
    }

    /// Where the keys are.
    public let store: any KeyStore
    private let master: MasterKey
    private let time: any TimeSource
    private let state = Mutex(State())
    /// Entities whose keys are kept; beyond that all are forgotten and read again.
    private static let capacity = 50_000

    /// The keys of a key store, wrapped by a master key.
    public init(store: any KeyStore, master: MasterKey, time: any TimeSource = SystemTime()) {
        self.store = store
        self.master = master
        self.time = time
    }

    /// Reads the keys of these IDs, unless they were read a moment ago.
    func prepare(_ ids: Set<String>) async throws(StoreError) {
        let now = ContinuousClock.now
        let missing = state.withLock { state in
            ids.filter { id in
                state.keys[id].map { $0.at + Self.freshness < now } ?? true
            }
        }
        for id in missing.sorted() {
            let entry: Entry?
            switch try await store.key(id) {
            case .key(let stored)?: entry = master.unwrap(stored).map(Entry.key) ?? .locked
            case .destroyed?: entry = .destroyed
            case nil: entry = nil
            }
            keep(entry, as: id, readAt: now)
        }
    }

    private func keep(_ entry: Entry?, as id: String, readAt now: ContinuousClock.Instant) {
        state.withLock { state in
            if state.keys.count > Self.capacity { state.keys = [:] }
            state.keys[id] = entry.map { Known(value: $0, at: now) }
        }
    }

    /// What was read of a key; nil when there is none.
    ///
    /// Whoever reads a page of records prepares their keys; a fold of that page takes less than the moment that they
    /// count for, and is not asked again here.
    func entry(_ id: String) -> Entry? {
        state.withLock { $0.keys[id]?.value }
    }

    /// The key that records of an entity are encrypted with: the oldest that was not destroyed. Nil when it has none.
    ///
    /// - Throws: ``StoreError/Code/invalid`` when it cannot be unwrapped.
    func current(of id: PersistenceID) async throws(StoreError) -> EntityKey? {
        let now = ContinuousClock.now
        var known = state.withLock { $0.current[id] }
        if known.map({ $0.at + Self.freshness < now }) ?? true {
            let keyID = try await store.keys(of: id).first?.id
            let read = Known<String?>(value: keyID, at: now)
            state.withLock { state in
                if state.current.count > Self.capacity { state.current = [:] }
                state.current[id] = read
            }
            known = read
        }
        guard let keyID = known?.value else { return nil }
        try await prepare([keyID])
        switch entry(keyID) {
        case .key(let key)?: return EntityKey(id: keyID, key: key)
        case .destroyed?, nil: return nil
        case .locked?:
            throw StoreError(
                .invalid, "key \(keyID) is wrapped by another master key than \(master.fingerprint)",
                remedy: "use the master key that wraps it, or rotate it to this one")
        }
    }

    /// Makes a key for an entity that has none; of two that are made at once the older counts.
    func make(for id: PersistenceID) async throws(StoreError) -> EntityKey? {
        let key = SymmetricKey(size: .bits256)
        let keyID = "ego-" + Self.randomName()
        let wrapped: [UInt8]
        do { wrapped = try master.wrap(key, id: keyID, of: id) } catch {
            throw StoreError(.invalid, "a key cannot be wrapped: \(error)")
        }
        try await store.add(StoredKey(id: keyID, persistenceID: id, wrapped: wrapped, createdAt: time.now()))
        state.withLock { _ = $0.current.removeValue(forKey: id) }
        return try await current(of: id)
    }

    private static func randomName() -> String {
        (0..<2).map { _ in
            let digits = String(UInt64.random(in: 0 ... .max), radix: 36)
            return String(repeating: "0", count: 13 - digits.count) + digits
        }.joined()
    }
}

/// A key and its ID.
struct EntityKey: Sendable {
    var id: String
    var key: SymmetricKey
}
