import EgoTestKit
import Testing

@testable import EgoCore

/// A store whose entities are encrypted, and what is needed to look behind it.
struct Vault {
    let base = InMemoryStore()
    let keyStore = InMemoryStore()
    let master: MasterKey
    let ring: KeyRing
    let store: EncryptedStore

    init(scope: EncryptionScope = .all, master: MasterKey = .random()) {
        self.master = master
        ring = KeyRing(store: keyStore, master: master)
        store = EncryptedStore(base, encryptor: AESEncryptor(keys: ring), scope: scope)
    }

    var reader: EventReader { EventReader(decryptor: store.encryptor) }

    /// One record of each role of an entity: two events, a snapshot and two versions of a state.
    func fill(_ name: String, secret: String = "secret") async throws -> Records {
        let id = PersistenceID(stored: name)
        _ = try await store.append([
            AppendRequest(
                persistenceID: id, kind: "k", expectedVersion: .noStream,
                events: [1, 2].map { NewEvent(timestamp: moment($0), payload: payload("\(secret) \($0)")) })
        ])
        try await store.save(
            StoredSnapshot(
                persistenceID: id, sequenceNumber: 2, timestamp: moment(3), payload: payload("\(secret) snapshot")))
        _ = try await save(id, after: 0, "\(secret) state 1")
        let old = try #require(try await base.state(of: id))
        _ = try await save(id, after: 1, "\(secret) state 2")
        return Records(
            events: try await store.events(of: id, from: 1, through: .max, limit: .standard),
            snapshot: try #require(try await store.latestSnapshot(of: id, through: .max)),
            oldState: old, state: try #require(try await store.state(of: id)))
    }

    func save(_ id: PersistenceID, after version: SequenceNumber, _ text: String) async throws -> [StateOutcome] {
        try await store.save([
            StateWrite(
                persistenceID: id, kind: "k", expectedVersion: version, timestamp: moment(4), payload: payload(text))
        ])
    }

    struct Records {
        var events: [PersistedEvent]
        var snapshot: StoredSnapshot
        var oldState: StoredState
        var state: StoredState
    }
}

let typeURL = AnyPayload.typeURLPrefix + "test.Secret"

func moment(_ seconds: Int) -> Timestamp {
    Timestamp(unixNanoseconds: 1_772_447_400_000_000_000).advanced(by: .seconds(seconds))
}

func payload(_ text: String) -> [UInt8] { AnyPayload(typeURL: typeURL, value: Array(text.utf8)).serialized() }

func text(_ payload: AnyPayload) -> String { String(decoding: payload.value, as: UTF8.self) }

/// What reading fails with; nil when it does not.
func failure(_ body: () throws(PayloadError) -> some Any) -> PayloadError? {
    do throws(PayloadError) {
        _ = try body()
        return nil
    } catch {
        return error
    }
}
