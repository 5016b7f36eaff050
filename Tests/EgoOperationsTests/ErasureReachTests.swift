import BankDomain
import EgoCore
import EgoOperations
import EgoSQLite
import EgoTestKit
import Foundation
import Synchronization
import Testing

@Suite("An erasure reaches", .serialized, .timeLimit(.minutes(5)))
struct ErasureReachTests {
    private let folder: Folder

    init() throws { folder = try Folder() }

    private func id(_ text: String) -> PersistenceID { PersistenceID(stored: text) }

    /// A read model outside of the store.
    private final class Outside: ErasableProjectionHandler {
        let erased = Mutex<[PersistenceID]>([])
        let failures: Mutex<Int>

        init(failures: Int = 0) { self.failures = Mutex(failures) }

        func handle(_ event: ProjectedEvent) async throws {}

        func erase(_ id: PersistenceID) async throws {
            let fails = failures.withLock { failures in
                failures -= 1
                return failures >= 0
            }
            if fails { throw Late() }
            erased.withLock { $0.append(id) }
        }
        struct Late: Error {}
    }

    private struct Blind: ProjectionHandler {
        func handle(_ event: ProjectedEvent) async throws {}
    }

    @Test("handlers through their hooks, again after one has failed, and names those that have none")
    func hooks() async throws {
        let store = try await folder.store("a.db")
        try await Marked.fill(store)
        let outside = Outside(failures: 1)
        let domain = Domain(
            name: "bank", kinds: [.eventSourced(AccountBehavior())],
            projections: [Projection("outside", outside), Projection("blind", Blind())])
        let work = EntityErasure(of: store, domain: domain)
        await #expect(throws: Outside.Late.self) { try await work.erase(Marked.names) }
        #expect(try await work.certificates().isEmpty)
        #expect(try await work.verify(id("gone")).problems.contains { $0.contains("not finished") })
        let certificates = try await work.erase(Marked.names)
        #expect(outside.erased.withLock { $0 } == Marked.ids)
        #expect(certificates.first?.certificate.deleted.rows == 60)
        let notCovered = try #require(certificates.first?.certificate.notCovered)
        #expect(notCovered.contains { $0.contains("blind") } && !notCovered.contains { $0.contains("outside") })
        await store.close()
    }

    @Test("keys in a store of their own")
    func otherKeyStore() async throws {
        let store = try await folder.store("a.db")
        let keys = try await folder.store("keys.db")
        try await Marked.fill(store)
        for number in 0..<5 {
            for name in ["gone", "living"] {
                let text = name == "gone" ? Marked.text("key \(number)") : "living \(number)"
                try await keys.add(
                    StoredKey(
                        id: "\(name) \(number)", persistenceID: id(name), wrapped: Array(text.utf8),
                        createdAt: SystemTime().now()))
            }
        }
        #expect(folder.occurrences(Marked.marker, in: "keys.db") >= 5)
        let work = EntityErasure(of: store, keyStores: [keys])
        let certificate = try #require(try await work.erase(["gone"]).first?.certificate)
        #expect(certificate.deleted.keys == 6)
        #expect(certificate.notCovered.contains { $0.hasPrefix("in the key store: ") })
        #expect(folder.occurrences(Marked.marker, in: "keys.db") == 0)
        #expect(try await keys.keys(of: id("living")).count == 5)
        try await keys.add(
            StoredKey(id: "again", persistenceID: id("gone"), wrapped: [1], createdAt: SystemTime().now()))
        #expect(try await work.verify(id("gone")).problems.contains { $0.contains("1 keys") })
        await keys.close()
        await store.close()
    }

    @Test("everything in a store in memory")
    func memory() async throws {
        let store = InMemoryStore()
        for name in ["gone", "living"] {
            for number in 0..<20 {
                _ = try await store.append([
                    AppendRequest(
                        persistenceID: id(name), expectedVersion: .any, events: [Marked.event("\(number)")])
                ])
            }
        }
        let certificates = try await EntityErasure(of: store).erase(["gone"])
        #expect(certificates.first?.certificate.deleted.events == 20)
        #expect(try await EntityErasure(of: store).verify(id("gone")).problems == [])
        #expect(try await store.events(of: id("living"), from: 1, through: .max, limit: .standard).count == 20)
    }

    @Test("what is in the files before it looks into them: what is deleted is overwritten at once")
    func overwritten() async throws {
        let store = try await folder.store("a.db")
        try await Marked.fill(store)
        let faulty = FaultyStore(store)
        faulty.plan(.fails, at: 1, of: [.purge])
        await #expect(throws: StoreError.self) { try await EntityErasure(of: faulty).erase(Marked.names) }
        await store.close()
        // Pages that were split have copies of what has moved; whoever looks for those finds them.
        #expect(folder.occurrences(Marked.marker, in: "a.db") < 10)
        let again = try await SQLiteStore(path: folder.path("a.db"))
        #expect(try await EntityErasure(of: again).erase(Marked.names).count == 2)
        #expect(folder.occurrences(Marked.marker, in: "a.db") == 0)
        await again.close()
    }

    // With these seeds one copy of a row is left in a gap, though `secure_delete` is on. Whether it is found depends on the
    // sample, which is another one each time.
    @Test(
        "copies that were left where pages were split, of an entity with more than a sample takes",
        arguments: [17_550_684_318_396_021_678, 16_366_638_239_248_028_451, 2_743_910_005_585_552_041] as [UInt64],
        1...3)
    func copies(_ seed: UInt64, _ round: Int) async throws {
        var random = SeededGenerator(seed: seed)
        let store = try await folder.store("a.db")
        func text(_ count: Int) -> String {
            String(decoding: (0..<count).map { _ in UInt8.random(in: 97...122, using: &random) }, as: UTF8.self)
        }
        for number in 0..<1_500 {
            let name = ["gone", "a", "b"].randomElement(using: &random) ?? "a"
            let size = [60, 100, 300, 900, 1_500].randomElement(using: &random) ?? 60
            let mark = name == "gone" ? Marked.marker : "living"
            // A type of its own: what all payloads have in common would be found anywhere.
            let value = Array("\(mark)\(text(size))".utf8)
            let payload = AnyPayload(typeURL: "\(name)/\(number)", value: value).serialized()
            _ = try await store.append([
                AppendRequest(
                    persistenceID: id(name), expectedVersion: .any,
                    events: [NewEvent(timestamp: SystemTime().now(), payload: payload)])
            ])
            if !number.isMultiple(of: 3) { continue }
            // One that is replaced by a longer one makes its page too small, and others move.
            let place = SequenceNumber(UInt64.random(in: 1...20, using: &random))
            try await store.save(
                StoredSnapshot(
                    persistenceID: id(name), sequenceNumber: place, timestamp: SystemTime().now(), payload: payload))
        }
        let faulty = FaultyStore(store)
        faulty.plan(.fails, at: 1, of: [.purge])
        await #expect(throws: StoreError.self) { try await EntityErasure(of: faulty, page: 50).erase(["gone"]) }
        _ = try await store.purge(ResidueSearch(ids: [], rewrite: .never))
        print("\(folder.occurrences(Marked.marker, in: "a.db")) copies are left where pages were split")
        let report = try await EntityErasure(of: store, page: 50).erase(["gone"]).first?.certificate.verified
        let left = folder.occurrences(Marked.marker, in: "a.db")
        #expect(left == 0, "seed \(seed), certified: \(String(describing: report))")
        await store.close()
    }
}
