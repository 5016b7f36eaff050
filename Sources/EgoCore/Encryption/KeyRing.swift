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

    /// Reads the keys of these IDs, unless they were read a moment ago; returns what is known of each.
    @discardableResult
    func prepare(_ ids: Set<String>) async throws(StoreError) -> [String: Entry] {
        let now = ContinuousClock.now
        var known: [String: Entry] = [:]
        let missing = state.withLock { state in
            // Room is made before a page is read, never in the middle of one.
            if state.keys.count + ids.count > Self.capacity { state.keys = [:] }
            return ids.filter { id in
                guard let entry = state.keys[id], entry.at + Self.freshness >= now else { return true }
                known[id] = entry.value
                return false
            }
        }
        for id in missing.sorted() {
            var entry: Entry?
            switch try await store.key(id) {
            case .key(let stored)?: entry = master.unwrap(stored).map(Entry.key) ?? .locked
            case .destroyed?: entry = .destroyed
            case nil: break
            }
            let read = entry.map { Known(value: $0, at: now) }
            state.withLock { $0.keys[id] = read }
            known[id] = entry
        }
        return known
    }

    /// What was read of a key; nil when there is none.
    ///
    /// Whoever reads a page of records prepares their keys, and uses them for as long as it works on that page.
    func entry(_ id: String) -> Entry? {
        state.withLock { $0.keys[id]?.value }
    }

    /// What an entity's records are encrypted with.
    enum Choice: Sendable {
        /// Nothing: it never had a key.
        case none
        /// The oldest key that was not destroyed.
        case of(EntityKey)
        /// It had keys, and all were destroyed: nothing of it is written any more.
        case destroyed

        /// The key; nil in the other cases.
        var key: EntityKey? { if case .of(let key) = self { key } else { nil } }
    }

    /// What an entity's records are encrypted with.
    ///
    /// - Throws: ``StoreError/Code/invalid`` when its key cannot be unwrapped.
    func choice(for id: PersistenceID) async throws(StoreError) -> Choice {
        let now = ContinuousClock.now
        var keyID: String?
        if let known = state.withLock({ $0.current[id] }), known.at + Self.freshness >= now {
            keyID = known.value
        } else {
            keyID = try await store.keys(of: id).first?.id
            if keyID == nil, try await store.hadKey(id) {
                // It may have been made between the two looks.
                keyID = try await store.keys(of: id).first?.id
                if keyID == nil { return .destroyed }
            }
            let read = Known<String?>(value: keyID, at: now)
            state.withLock { state in
                if state.current.count > Self.capacity { state.current = [:] }
                state.current[id] = read
            }
        }
        guard let keyID else { return .none }
        switch try await prepare([keyID])[keyID] {
        case .key(let key)?: return .of(EntityKey(id: keyID, key: key))
        case .destroyed?, nil: return .destroyed
        case .locked?:
            throw StoreError(
                .invalid, "the master key \(master.fingerprint) does not unwrap key \(keyID)",
                remedy: "use the master key that wraps it, or rotate it to this one")
        }
    }

    /// Makes a key for an entity that has none; of two that are made at once the older counts.
    func make(for id: PersistenceID) async throws(StoreError) -> Choice {
        let key = SymmetricKey(size: .bits256)
        let keyID = "ego-" + Self.randomName()
        let wrapped: [UInt8]
        do { wrapped = try master.wrap(key, id: keyID, of: id) } catch {
            throw StoreError(.invalid, "a key cannot be wrapped: \(error)")
        }
        try await store.add(StoredKey(id: keyID, persistenceID: id, wrapped: wrapped, createdAt: time.now()))
        state.withLock { _ = $0.current.removeValue(forKey: id) }
        return try await choice(for: id)
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
