import BankDomain
import Ego
import EgoCore
import EgoSQLite
import EgoTestKit
import Foundation
import Testing

@Suite("The files of an encrypted store")
struct EncryptedFileTests {
    private let master = MasterKey.random()
    private let folder: StoreFolder
    /// A balance whose eight bytes occur in no other way.
    private let balance = 987_654.321_987
    private let name = "konto-geheim-17"

    init() throws { folder = try StoreFolder() }

    private var needles: [Data] {
        [Data(name.utf8), withUnsafeBytes(of: balance.bitPattern.littleEndian) { Data($0) }]
    }

    /// Which files of a database have one of the values in them.
    private func leaks(_ path: String, _ needles: [Data]) -> [String] {
        ["", "-wal", "-shm", "-journal"].filter { suffix in
            guard let data = FileManager.default.contents(atPath: path + suffix) else { return false }
            return needles.contains { data.range(of: $0) != nil }
        }
    }

    private func fill(_ store: any Store) async throws {
        let engine = Engine(
            store: store, domain: bank, configuration: EngineConfiguration(snapshotInterval: 5), log: quiet())
        try await engine.account("a").send(create(name, balance))
        for _ in 0..<12 { try await engine.account("a").send(credit(0)) }
        try await engine.wallet("w").send(create("w", balance))
        try await engine.wallet("w").send(credit(0))
        await engine.shutdown()
    }

    @Test("hold no value in the clear, open or closed; those of a plain store do", arguments: [true, false])
    func raw(_ isEncrypted: Bool) async throws {
        let base = try await folder.newStore()
        let ring = KeyRing(store: base, master: master)
        try await fill(isEncrypted ? EncryptedStore(base, encryptor: AESEncryptor(keys: ring)) : base)
        let open = leaks(base.path, needles)
        #expect(open.isEmpty == isEncrypted, "while it is open: \(open)")
        await base.close()
        let closed = leaks(base.path, needles)
        #expect(closed.isEmpty == isEncrypted, "when it is closed: \(closed)")
    }

    @Test("hold no unwrapped key")
    func keys() async throws {
        let bytes = (0..<32).map { _ in UInt8.random(in: 0...255) }
        let base = try await folder.newStore()
        let ring = KeyRing(store: base, master: try MasterKey(bytes: bytes))
        try await fill(EncryptedStore(base, encryptor: AESEncryptor(keys: ring)))
        #expect(leaks(base.path, [Data(bytes), Data(bytes).base64EncodedData()]) == [])
        let keys = try await base.keys(after: nil, limit: 10)
        #expect(keys.count == 2 && keys.allSatisfy { $0.key.wrapped.count == 9 + 12 + 32 + 16 })
    }

    @Test("keys may be in another file, and without them nothing is read")
    func otherFile() async throws {
        let (data, keys) = (try await folder.newStore("data"), try await folder.newStore("keys"))
        let store = EncryptedStore(data, encryptor: AESEncryptor(keys: KeyRing(store: keys, master: master)))
        try await fill(store)
        #expect(try await data.keys(after: nil, limit: 10) == [])
        #expect(try await keys.keys(after: nil, limit: 10).count == 2)
        #expect(try await keys.statistics().events == 0)
        let again = Engine(
            store: EncryptedStore(data, encryptor: AESEncryptor(keys: KeyRing(store: keys, master: master))),
            domain: bank, log: quiet())
        #expect(try await again.account("a").state().accountBalance == balance)
        let keyless: [any Store] = [
            data, EncryptedStore(data, encryptor: AESEncryptor(keys: KeyRing(store: data, master: master))),
            EncryptedStore(data, encryptor: AESEncryptor(keys: KeyRing(store: keys, master: .random()))),
        ]
        let keyID = try #require(try await keys.keys(of: id("a")).first?.id)
        for store in keyless {
            let engine = Engine(store: store, domain: bank, log: quiet())
            let error = await #expect(throws: EgoError.self) { try await engine.account("a").state() }
            #expect(error?.code == .undecodable && "\(String(describing: error))".contains(keyID))
            #expect(!String(reflecting: error).contains(name))
            await #expect(throws: EgoError.self) { try await engine.account("a").send(credit(1)) }
            await #expect(throws: EgoError.self) { try await engine.wallet("w").state() }
            await #expect(throws: EgoError.self) { try await engine.wallet("w").send(credit(1)) }
        }
        #expect(try await data.statistics().events == 13)
        #expect(try await data.keys(after: nil, limit: 10) == [])
        for store in [data, keys] { await store.close() }
    }

    @Test("a store that cannot reach its keys writes nothing in the clear")
    func keysAway() async throws {
        let data = InMemoryStore()
        let keys = FaultyStore(InMemoryStore())
        for call in [StoreCall.keys, .addKey, .key] {
            let store = EncryptedStore(data, encryptor: AESEncryptor(keys: KeyRing(store: keys, master: master)))
            keys.plan(.fails, at: 1, of: [call])
            let engine = Engine(store: store, domain: bank, log: quiet())
            await #expect(throws: EgoError.self, "\(call)") {
                try await engine.account("a-\(call)").send(create("a", balance))
            }
            keys.plan(.halfCompletes, at: 1, of: [call])
            await #expect(throws: EgoError.self, "\(call)") {
                try await engine.wallet("w-\(call)").send(create("w", balance))
            }
            keys.plan(.fails, at: .max)
            try await engine.account("a-\(call)").send(create("a", balance))
            try await engine.wallet("w-\(call)").send(create("w", balance))
        }
        let events = try await data.journal(after: .start, shard: nil, limit: .standard).events
        #expect(events.count == 3 && events.allSatisfy { $0.isEncrypted })
    }
}
