import BankDomain
import Ego
import EgoCore
import EgoSQLite
import EgoTestKit
import Foundation
import Testing

/// An encrypted store on another one, as a process of its own sees it.
private func encrypted(
    _ base: any Store, _ master: MasterKey, keys: (any KeyStore)? = nil, scope: EncryptionScope = .all
) -> EncryptedStore {
    EncryptedStore(
        base, encryptor: AESEncryptor(keys: KeyRing(store: keys ?? base, master: master)), scope: scope)
}

private func newEngine(_ store: any Store, snapshots: Int? = nil, active: Int? = nil) -> Engine {
    Engine(
        store: store, domain: bank,
        configuration: EngineConfiguration(
            snapshotInterval: snapshots, passivation: Passivation(idleTime: nil, maximumActive: active)),
        log: quiet())
}

/// All events of a store.
private func journal(_ store: any Store) async throws -> [PersistedEvent] {
    try await store.journal(after: .start, shard: nil, limit: PageLimit(rows: 5_000)).events
}

@Suite("An engine on an encrypted store", .timeLimit(.minutes(4)))
struct EncryptedEngineTests {
    private let master = MasterKey.random()
    private let folder: StoreFolder

    init() throws { folder = try StoreFolder() }

    @Test("recovers entities and durable states, from snapshots too", arguments: Place.allCases)
    func recovery(_ place: Place) async throws {
        let base = try await place.newStore(folder)
        let engine = newEngine(encrypted(base, master), snapshots: 10)
        try await engine.account("a").send(create("konto", 5))
        for _ in 0..<24 { try await engine.account("a").send(credit(1)) }
        for _ in 0..<7 { try await engine.wallet("w").send(credit(2)) }
        await engine.shutdown()
        let snapshots = try await base.snapshots(of: id("a"), from: 1, limit: .standard)
        #expect(!snapshots.isEmpty && snapshots.allSatisfy { $0.isEncrypted })
        #expect(try await journal(base).allSatisfy { $0.isEncrypted })
        #expect(try await base.state(of: id("w"))?.isEncrypted == true)
        #expect(try await base.keys(after: nil, limit: 10).count == 2, "one key for each entity")
        let second = newEngine(encrypted(base, master))
        #expect(try await second.account("a").state().accountBalance == 29)
        #expect(try await second.account("a").state().accountID == "konto")
        #expect(try await second.wallet("w").state().accountBalance == 14)
        #expect(try await second.account("a").send(debit(9)).sequenceNumber == 26)
        #expect(try await second.wallet("w").send(debit(4)).sequenceNumber == 8)
        // The snapshot is used: the events before it are not needed.
        let newest = try #require(snapshots.last?.sequenceNumber)
        _ = try await base.commit([.deleteEvents(of: id("a"), through: newest)], under: nil)
        #expect(try await newEngine(encrypted(base, master)).account("a").state().accountBalance == 20)
    }

    @Test("brings entities back that have left memory")
    func passivation() async throws {
        let base = InMemoryStore()
        let engine = newEngine(encrypted(base, master), snapshots: 3, active: 1)
        let count = 100
        for number in 0..<count { try await engine.account("a-\(number)").send(create("a-\(number)", 1)) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<count * 10 {
                group.addTask { try await engine.account("a-\(number % count)").send(credit(1)) }
            }
            try await group.waitForAll()
        }
        let second = newEngine(encrypted(base, master))
        for number in 0..<count { #expect(try await second.account("a-\(number)").state().accountBalance == 11) }
        #expect(try await journal(base).allSatisfy { $0.isEncrypted })
    }

    @Test("answers a repeated command with its events, and refuses a wrong expectation", arguments: Place.allCases)
    func commands(_ place: Place) async throws {
        let base = try await place.newStore(folder)
        let once = CommandOptions(commandID: try #require(CommandID("c-1")))
        let engine = newEngine(encrypted(base, master))
        try await engine.account("a").send(create("a", 5))
        let first = try await engine.account("a").send(credit(7), once)
        for engine in [engine, newEngine(encrypted(base, master))] {
            let again = try await engine.account("a").send(credit(7), once)
            #expect(again.isRepeated && again.sequenceNumber == 2)
            #expect(again.events.map { "\($0)" } == first.events.map { "\($0)" })
            #expect(again.state.accountBalance == 12)
            let error = await #expect(throws: EgoError.self) {
                try await engine.account("a").send(credit(1), CommandOptions(expectedVersion: .exact(1)))
            }
            #expect(error?.code == .conflict)
            let wallet = try await engine.wallet("w").send(credit(3), once)
            #expect(wallet.state.accountBalance == 3)
        }
        // Each engine knows only what it wrote itself, and finds out.
        let (one, two) = (newEngine(encrypted(base, master)), newEngine(encrypted(base, master)))
        for _ in 0..<10 {
            for engine in [one, two] {
                try await engine.account("a").send(credit(1))
                try await engine.wallet("w").send(credit(1))
            }
        }
        #expect(try await one.account("a").state().accountBalance >= 31)
        #expect(try await newEngine(encrypted(base, master)).account("a").state().accountBalance == 32)
        #expect(try await newEngine(encrypted(base, master)).wallet("w").state().accountBalance == 23)
    }

    @Test("of two that make an entity's key at once, neither loses anything")
    func race() async throws {
        let stores = [try await folder.newStore(), try await folder.open()]
        let engines = stores.map { newEngine(encrypted($0, master)) }
        let third = try await folder.open()
        for round in 0..<50 {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for engine in engines {
                    group.addTask { try await engine.wallet("w-\(round)").send(credit(1)) }
                    group.addTask {
                        // One of the two is refused: there is such an account then.
                        do { try await engine.account("a-\(round)").send(create("a", 5)) } catch let error as EgoError
                            where error.code == .rejected
                        {}
                        try await engine.account("a-\(round)").send(credit(1))
                    }
                }
                try await group.waitForAll()
            }
            let reader = newEngine(encrypted(third, master))
            #expect(try await reader.wallet("w-\(round)").state().accountBalance == 2, "round \(round)")
            #expect(try await reader.account("a-\(round)").state().accountBalance == 7, "round \(round)")
        }
        #expect(try await journal(third).allSatisfy { $0.isEncrypted })
        for store in stores + [third] { await store.close() }
    }

    @Test("runs projections on what is encrypted, in the clear")
    func projection() async throws {
        let store = encrypted(try await folder.newStore(), master)
        let recorder = Recorder()
        let domain = Domain(
            name: "test", kinds: [.eventSourced(AccountBehavior())], projections: [Projection("p", recorder)])
        let engine = Engine(store: store, domain: domain, log: quiet())
        try await engine.account("a").send(create("a"))
        for _ in 0..<5 { try await engine.account("a").send(credit(1)) }
        engine.startProjections()
        try await within { recorder.seen.count >= 6 }
        await engine.shutdown()
        #expect(recorder.seen.map(\.sequence) == Array(1...6))
        #expect(recorder.seen.last?.what == "a", "the account's ID, which is in the payload")
        #expect(try await store.letters() == [])
        // A read model in the same database, by a process without the key: nothing is passed over.
        let model = runner(.readModel(SeenModel()), store.base)
        _ = try? await model.runUntilCaughtUp()
        #expect(try await seen(in: store.base) == [])
        await store.close()
    }

    @Test("refuses a record that was moved, and says which")
    func moved() async throws {
        let base = InMemoryStore()
        let engine = newEngine(encrypted(base, master))
        for name in ["a", "b"] {
            try await engine.account(name).send(create(name, 1))
            try await engine.account(name).send(credit(name == "a" ? 10 : 1_000))
        }
        var events = try await journal(base)
        let own = try #require(events.firstIndex { $0.persistenceID == id("a") && $0.sequenceNumber == 2 })
        let rich = try #require(events.first { $0.persistenceID == id("b") && $0.sequenceNumber == 2 })
        (events[own].payload, events[own].encryptionKeyID) = (rich.payload, rich.encryptionKeyID)
        let forged = InMemoryStore()
        _ = try await forged.commit([.addEvents(events.sorted { $0.sequenceNumber < $1.sequenceNumber })], under: nil)
        let victim = newEngine(encrypted(forged, master, keys: base))
        let error = await #expect(throws: EgoError.self) { try await victim.account("a").state() }
        #expect(error?.code == .undecodable)
        #expect("\(String(describing: error))".contains("does not decrypt with key \(rich.encryptionKeyID)"))
        #expect(try await victim.account("b").state().accountBalance == 1_001)
    }

    @Test("refuses commands of an entity whose key was destroyed elsewhere", arguments: [true, false])
    func destroyed(_ isAll: Bool) async throws {
        let base = InMemoryStore()
        try await newEngine(encrypted(base, master)).account("a").send(create("a", 1))
        let engine = newEngine(encrypted(base, master, scope: isAll ? .all : .existing))
        try await engine.account("a").send(credit(1))
        #expect(try await base.destroyKeys(of: id("a")) == 1)
        try await Task.sleep(for: KeyRing.freshness * 1.1)
        await #expect(throws: EgoError.self, "a command after the key was destroyed") {
            try await engine.account("a").send(credit(1))
        }
        let events = try await journal(base)
        #expect(events.allSatisfy { $0.isEncrypted }, "written in the clear")
        #expect(events.count == 2, "written under a new key, behind what nobody can read")
        await #expect(throws: EgoError.self) { try await newEngine(encrypted(base, master)).account("a").state() }
    }

    @Test("reads what it has written also behind another store in front")
    func wrapped() async throws {
        let base = InMemoryStore()
        let wrapped = FaultyStore(encrypted(base, master))
        try await newEngine(wrapped).account("a").send(create("a", 1))
        #expect(try await journal(base).allSatisfy { $0.isEncrypted })
        await #expect(throws: Never.self, "only an engine right on an EncryptedStore decrypts") {
            try await newEngine(wrapped).account("a").state()
        }
    }
}
