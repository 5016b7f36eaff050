import EgoTestKit
import Testing

@testable import EgoCore

@Suite("An encrypted record")
struct EncryptedRecordTests {
    private let vault = Vault()

    @Test("of each role comes back, and is stored as ciphertext under its entity's key, its type in the clear")
    func roundTrip() async throws {
        let records = try await vault.fill("a")
        #expect(try records.events.map { text(try vault.reader.clear($0)) } == ["secret 1", "secret 2"])
        #expect(text(try vault.reader.clear(records.snapshot)) == "secret snapshot")
        #expect(text(try vault.reader.clear(records.oldState)) == "secret state 1")
        #expect(text(try vault.reader.clear(records.state)) == "secret state 2")
        let keys = try await vault.keyStore.keys(of: PersistenceID(stored: "a"))
        #expect(keys.count == 1)
        #expect(try await vault.base.keys(after: nil, limit: 10) == [], "the keys are in their own store")
        let all =
            records.events.map { ($0.payload, $0.encryptionKeyID, $0.isEncrypted) } + [
                (records.snapshot.payload, records.snapshot.encryptionKeyID, records.snapshot.isEncrypted),
                (records.state.payload, records.state.encryptionKeyID, records.state.isEncrypted),
            ]
        for (payload, keyID, isEncrypted) in all {
            #expect(isEncrypted && keyID == keys[0].id)
            #expect(!String(decoding: payload, as: UTF8.self).contains("secret"))
            #expect(try AnyPayload(serialized: payload).typeURL == typeURL)
        }
    }

    @Test("of an empty message comes back; the same message twice is two ciphertexts")
    func nonces() async throws {
        let id = PersistenceID(stored: "a")
        _ = try await vault.store.append([
            AppendRequest(
                persistenceID: id, expectedVersion: .any,
                events: ["", "", "same", "same"].map { NewEvent(timestamp: moment(1), payload: payload($0)) })
        ])
        let events = try await vault.store.events(of: id, from: 1, through: .max, limit: .standard)
        #expect(try events.map { text(try vault.reader.clear($0)) } == ["", "", "same", "same"])
        #expect(Set(events.map(\.payload)).count == 4)
    }

    @Test("with any bit of its ciphertext flipped, or cut anywhere, or grown, is refused with its key's name")
    func altered() async throws {
        let event = try await vault.fill("a").events[0]
        let sealed = try AnyPayload(serialized: event.payload).value
        func reading(_ value: [UInt8]) -> PayloadError? {
            var event = event
            event.payload = AnyPayload(typeURL: typeURL, value: value).serialized()
            return failure { () throws(PayloadError) in try vault.reader.clear(event) }
        }
        #expect(reading(sealed) == nil)
        let refusal = PayloadError.undecryptable(keyID: event.encryptionKeyID)
        for index in sealed.indices {
            for bit in 0..<8 {
                var value = sealed
                value[index] ^= 1 << bit
                #expect(reading(value) == refusal, "byte \(index), bit \(bit)")
            }
            #expect(reading(Array(sealed[..<index])) == refusal, "cut to \(index) bytes")
            #expect(reading(Array(sealed[(index + 1)...])) == refusal, "without the first \(index + 1)")
        }
        #expect(reading(sealed + [0]) == refusal)
        #expect(reading([0] + sealed) == refusal)
    }

    @Test("with any byte of the stored payload changed, the type too, never reads as something else")
    func alteredStored() async throws {
        let event = try await vault.fill("a").events[0]
        for index in event.payload.indices {
            for change: UInt8 in [0x01, 0x08, 0x80, 0xff] {
                var altered = event
                altered.payload[index] ^= change
                let error = failure { () throws(PayloadError) in try vault.reader.clear(altered) }
                #expect(error != nil, "byte \(index) ^ \(change)")
            }
        }
    }

    @Test("in another place does not decrypt: of another entity, number, role, manifest, type or key")
    func moved() async throws {
        let (a, b) = (try await vault.fill("a"), try await vault.fill("b"))
        func isRefused(_ what: String, _ change: (inout PersistedEvent) -> Void) {
            var event = a.events[0]
            change(&event)
            let error = failure { () throws(PayloadError) in try vault.reader.clear(event) }
            #expect(error == .undecryptable(keyID: event.encryptionKeyID), "\(what)")
        }
        isRefused("the entity") { $0.persistenceID = PersistenceID(stored: "b") }
        isRefused("the number") { $0.sequenceNumber = 2 }
        isRefused("the manifest") { $0.manifest = "other" }
        isRefused("the key") { $0.encryptionKeyID = b.events[0].encryptionKeyID }
        isRefused("the payload of the next event") { $0.payload = a.events[1].payload }
        isRefused("the payload of another entity's") { $0.payload = b.events[0].payload }
        isRefused("payload and key of another entity's") {
            ($0.payload, $0.encryptionKeyID) = (b.events[0].payload, b.events[0].encryptionKeyID)
        }
        isRefused("the snapshot's payload") { ($0.payload, $0.sequenceNumber) = (a.snapshot.payload, 2) }
        isRefused("the state's payload") { ($0.payload, $0.sequenceNumber) = (a.state.payload, 2) }
        isRefused("the type") { event in
            let value = (try? AnyPayload(serialized: event.payload).value) ?? []
            event.payload = AnyPayload(typeURL: typeURL + "s", value: value).serialized()
        }
        var snapshot = a.snapshot
        snapshot.payload = a.events[1].payload
        let keyID = snapshot.encryptionKeyID
        #expect(
            failure { () throws(PayloadError) in try vault.reader.clear(snapshot) } == .undecryptable(keyID: keyID))
        snapshot = b.snapshot
        snapshot.persistenceID = PersistenceID(stored: "a")
        #expect(
            failure { () throws(PayloadError) in try vault.reader.clear(snapshot) }
                == .undecryptable(keyID: snapshot.encryptionKeyID))
    }

    @Test("whose mark of encryption was taken away is not passed on as if it were in the clear")
    func unmarked() async throws {
        var event = try await vault.fill("a").events[0]
        event.isEncrypted = false
        let error = failure { () throws(PayloadError) in try EventReader().clear(event) }
        #expect(error != nil, "it names a key, and its ciphertext is given out as its payload")
    }

    @Test("of an older version in the newer one's place does not decrypt, nor two that changed places")
    func replayed() async throws {
        let records = try await vault.fill("a")
        var state = records.state
        state.payload = records.oldState.payload
        let refusal = PayloadError.undecryptable(keyID: state.encryptionKeyID)
        #expect(failure { () throws(PayloadError) in try vault.reader.clear(state) } == refusal)
        var swapped = records.events
        (swapped[0].payload, swapped[1].payload) = (swapped[1].payload, swapped[0].payload)
        for event in swapped {
            #expect(failure { () throws(PayloadError) in try vault.reader.clear(event) } == refusal)
        }
    }

    @Test("says so when its key was destroyed, is not there, or is wrapped by another master key")
    func keys() async throws {
        let event = try await vault.fill("a").events[0]
        var unknown = event
        unknown.encryptionKeyID = "ego-nobody"
        #expect(
            failure { () throws(PayloadError) in try vault.reader.clear(unknown) } == .encrypted(keyID: "ego-nobody"))
        #expect(
            failure { () throws(PayloadError) in try EventReader().clear(event) }
                == .encrypted(keyID: event.encryptionKeyID))
        func reading(_ master: MasterKey) async throws -> PayloadError? {
            let ring = KeyRing(store: vault.keyStore, master: master)
            try await ring.prepare([event.encryptionKeyID])
            let reader = EventReader(decryptor: AESEncryptor(keys: ring))
            return failure { () throws(PayloadError) in try reader.clear(event) }
        }
        #expect(try await reading(vault.master) == nil)
        #expect(try await reading(.random()) == .locked(keyID: event.encryptionKeyID))
        #expect(try await vault.keyStore.destroyKeys(of: event.persistenceID) == 1)
        #expect(try await reading(vault.master) == .erased)
        #expect(try await reading(.random()) == .erased)
    }

    @Test("errors of it hold neither payload nor ciphertext")
    func quiet() async throws {
        let event = try await vault.fill("a", secret: "geheim").events[0]
        var moved = event
        moved.sequenceNumber = 7
        for record in [event, moved] {
            let error = failure { () throws(PayloadError) in try EventReader().clear(record) }
            #expect(!"\(String(describing: error))".contains("geheim"))
        }
        let error = await #expect(throws: StoreError.self) {
            try await vault.store.append([
                AppendRequest(
                    persistenceID: event.persistenceID, expectedVersion: .exact(2),
                    events: [NewEvent(timestamp: moment(1), payload: Array("geheim".utf8))])
            ])
        }
        #expect(error?.code == .invalid)
        #expect(!String(reflecting: error).contains("geheim"))
    }
}

@Suite("A ring of keys")
struct KeyRingTests {
    private let vault = Vault()
    private let id = PersistenceID(stored: "a")

    /// Waits until what a ring has read does not count any more.
    private func untilStale() async throws { try await Task.sleep(for: KeyRing.freshness * 1.1) }

    @Test("does not read with a key for longer than a moment after it was destroyed behind it")
    func destroyed() async throws {
        let event = try await vault.fill("a").events[0]
        #expect(text(try vault.reader.clear(event)) == "secret 1")
        _ = try await vault.keyStore.destroyKeys(of: id)
        try await untilStale()
        for round in 0..<2 {
            let read = try await vault.store.events(of: id, from: 1, through: 1, limit: .standard)
            #expect(failure { () throws(PayloadError) in try vault.reader.clear(read[0]) } == .erased, "\(round)")
        }
        _ = try await vault.store.latestSnapshot(of: id, through: .max)
        let state = try #require(try await vault.store.state(of: id))
        #expect(failure { () throws(PayloadError) in try vault.reader.clear(state) } == .erased)
    }

    @Test("finds a key that another process has made meanwhile, and uses that one")
    func madeElsewhere() async throws {
        #expect(try await vault.ring.choice(for: id).key == nil)
        let other = KeyRing(store: vault.keyStore, master: vault.master)
        let made = try #require(try await other.make(for: id).key)
        let own = try #require(try await vault.ring.make(for: id).key)
        let later = try #require(try await other.make(for: id).key)
        #expect(made.id == own.id && later.id == own.id && own.key == made.key, "the oldest counts")
        #expect(try await vault.keyStore.keys(of: id).count == 3)
    }

    @Test("refuses to write with a key that it cannot unwrap, without making another")
    func locked() async throws {
        _ = try await vault.fill("a")
        let other = Vault.Other(vault, master: .random())
        let error = await #expect(throws: StoreError.self) { try await other.ring.choice(for: id) }
        #expect(error?.code == .invalid)
        #expect(error?.message.contains(other.master.fingerprint) == true)
        #expect(try await vault.keyStore.keys(of: id).count == 1)
    }

    @Test("does not take a wrapped key that was altered, or belongs to another entity")
    func altered() async throws {
        _ = try await vault.fill("a")
        _ = try await vault.fill("b")
        var key = try #require(try await vault.keyStore.keys(of: id).first)
        let other = try #require(try await vault.keyStore.keys(of: PersistenceID(stored: "b")).first)
        key.wrapped = other.wrapped
        try await vault.keyStore.rewrap([key])
        let ring = KeyRing(store: vault.keyStore, master: vault.master)
        await #expect(throws: StoreError.self) { try await ring.choice(for: id) }
    }

    @Test("keeps the keys of a page at hand, however many it has read before")
    func capacity() async throws {
        let count = 50_010
        let ids = Set((0..<count).map { "k\($0)" })
        for id in ids {
            try await vault.keyStore.add(
                StoredKey(id: id, persistenceID: self.id, wrapped: [9], createdAt: moment(1)))
        }
        let sorted = ids.sorted()
        try await vault.ring.prepare(Set(sorted[..<49_990]))
        // The next page fills the ring up while it is being prepared.
        let page = sorted[49_990...]
        try await vault.ring.prepare(Set(page))
        let missing = page.filter { vault.ring.entry($0) == nil }
        #expect(missing.isEmpty, "\(missing.count) of the \(page.count) keys of the page were forgotten")
    }

    @Test("never lets an entity whose key was destroyed be written in the clear")
    func noCleartext() async throws {
        let vault = Vault(scope: .existing)
        _ = try await vault.ring.make(for: id)
        _ = try await vault.fill("a")
        _ = try await vault.keyStore.destroyKeys(of: id)
        try await untilStale()
        // As an engine does that has the entity in memory.
        _ = try? await vault.store.append([
            AppendRequest(
                persistenceID: id, expectedVersion: .exact(2),
                events: [NewEvent(timestamp: moment(9), payload: payload("after"))])
        ])
        _ = try? await vault.save(id, after: 2, "after")
        let events = try await vault.base.events(of: id, from: 3, through: .max, limit: .standard)
        #expect(events.allSatisfy { $0.isEncrypted }, "an event was written in the clear")
        #expect(try await vault.base.state(of: id)?.isEncrypted == true, "so was a state")
    }
}

extension Vault {
    /// The same keys with another master key.
    struct Other {
        let master: MasterKey
        let ring: KeyRing

        init(_ vault: Vault, master: MasterKey) {
            self.master = master
            ring = KeyRing(store: vault.keyStore, master: master)
        }
    }
}
