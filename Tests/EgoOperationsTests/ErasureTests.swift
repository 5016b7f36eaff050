import BankDomain
import Ego
import EgoCore
import EgoOperations
import EgoSQLite
import EgoTestKit
import ExerciserSupport
import Foundation
import SwiftProtobuf
import Synchronization
import Testing

@Suite("An erasure", .serialized, .timeLimit(.minutes(5)))
struct ErasureTests {
    private let folder: Folder

    init() throws { folder = try Folder() }

    private func id(_ text: String) -> PersistenceID { PersistenceID(stored: text) }

    private func filled(_ name: String) async throws -> SQLiteStore {
        let store = try await folder.store(name)
        try await Marked.fill(store)
        return store
    }

    private func events(_ store: any Store, of name: String) async throws -> [PersistedEvent] {
        try await store.events(of: id(name), from: 1, through: .max, limit: .standard)
    }

    // MARK: What is gone

    @Test("leaves no byte of an entity in the store's files, and all of the others")
    func everything() async throws {
        let store = try await filled("a.db")
        let living = try await events(store, of: "living")
        #expect(folder.occurrences(Marked.marker, in: "a.db") > 100)
        let certificates = try await EntityErasure(of: store).erase(Marked.names)
        #expect(folder.occurrences(Marked.marker, in: "a.db") == 0, "before the log was emptied")

        let certificate = try #require(certificates.first?.certificate)
        #expect(certificates.map(\.certificate.id) == Marked.names)
        var deleted = ErasureCertificate.Deleted()
        (deleted.events, deleted.snapshots, deleted.keys, deleted.deadLetters) = (30, 3, 1, 2)
        deleted.rows = 60
        #expect(certificate.deleted == deleted)
        #expect(certificate.tombstoneSequenceNumber == "30" && certificate.reason == "a test")
        #expect(certificate.operator == "ann@test" && !certificate.keptEvents)
        #expect(certificate.verified.residues == 0 && certificate.verified.scannedBytes > 0)
        #expect(certificates.last?.certificate.deleted.durableStates == 1)
        #expect(certificates.last?.certificate.tombstoneSequenceNumber == "3")
        for what in ["backups", "note_counts", "blocks of the disk"] {
            #expect(certificate.notCovered.contains { $0.contains(what) }, "\(certificate.notCovered)")
        }
        #expect(!certificate.notCovered.contains { $0.contains("table notes ") }, "\(certificate.notCovered)")

        #expect(try await events(store, of: "living") == living)
        #expect(try await store.snapshots(of: id("living"), from: 0, limit: .standard).count == 3)
        #expect(try await store.state(of: id("living-wallet"))?.version == 3)
        #expect(try await store.keys(of: id("living")).count == 1)
        #expect(try await store.deadLetterCount(of: id("living")) == 1)
        let record = try #require(try await store.projection("notes"))
        #expect(record.failure == nil && record.activeVersion == 3 && record.previousVersion == 2)
        for version in [2, 3] {
            let rows = try await SeenEvents.query(store, "SELECT DISTINCT id FROM notes_v\(version)")
            #expect(rows == [[.text("living")]])
        }
        for name in Marked.names {
            #expect(try await EntityErasure(of: store).verify(id(name)).problems == [])
            let outcome = try await store.append([
                AppendRequest(persistenceID: id(name), expectedVersion: .any, events: [Marked.event("late")])
            ])
            #expect(outcome == [.erased])
        }
        #expect(try await AuditLog(store: store).verify().problems == [])
        #expect(try await store.jobs().filter(\.state.isUnfinished).isEmpty)
        #expect(try await store.flaws(isThorough: true).isEmpty)
        await store.close()
        #expect(folder.occurrences(Marked.marker, in: "a.db") == 0)
    }

    @Test("again is nothing, and gives no second certificate")
    func again() async throws {
        let store = try await filled("a.db")
        let work = EntityErasure(of: store)
        #expect(try await work.erase(Marked.names).count == 2)
        let before = try await ErasedContent(of: store)
        let records = try await store.audit(after: 0, limit: 1_000)
        let plan = try await work.plan(Marked.ids, EntityErasure.Options())
        #expect(plan.counts["entities"] == 0 && plan.samples.isEmpty)
        #expect(try await work.erase(Marked.names).isEmpty)
        #expect(try await ErasedContent(of: store) == before)
        #expect(try await store.audit(after: 0, limit: 1_000) == records)
        await store.close()
    }

    @Test("of what never existed is refused, and leaves no tombstone")
    func neverExisted() async throws {
        let store = try await filled("a.db")
        for name in ["nobody", "gon", "gone-", "GONE"] {
            do {
                try await EntityErasure(of: store).erase([name])
                Issue.record("\(name) was erased")
            } catch let error as OperationError { #expect(error.code == .notFound) }
            await #expect(throws: OperationError.self) { _ = try await EntityErasure(of: store).verify(id(name)) }
            #expect(try await store.stream(of: id(name)) == nil)
            #expect(try await store.tombstone(of: id(name)) == nil)
        }
        #expect(try await store.erasures(after: 0, limit: 10).isEmpty)
        #expect(folder.occurrences(Marked.marker, in: "a.db") > 100)
        await store.close()
    }

    @Test("of an entity without its records finds what is left of it")
    func onlySnapshot() async throws {
        let store = try await filled("a.db")
        _ = try await store.commit([.deleteEvents(of: id("gone"), through: 30)], under: nil)
        let certificate = try #require(try await EntityErasure(of: store).erase(["gone"]).first?.certificate)
        #expect(certificate.deleted.events == 0 && certificate.deleted.snapshots == 3)
        #expect(certificate.tombstoneSequenceNumber == "30")
        for what in ["event", "snapshot", "key", "letter", "failure"] {
            #expect(folder.occurrences("\(Marked.marker)\(what)", in: "a.db") == 0, "\(what)")
        }
        await store.close()
    }

    @Test("of many entities gives each its own certificate, in one chain")
    func many() async throws {
        let store = try await folder.store("a.db")
        let names = (0..<230).map { "e-\($0)" }
        for name in names {
            _ = try await store.append([
                AppendRequest(
                    persistenceID: id(name), expectedVersion: .any, events: [Marked.event(Marked.text(name))])
            ])
        }
        let reports = Mutex<[Int]>([])
        let work = EntityErasure(of: store)
        let ids = names.map(id)
        let certificates = try await work.run(
            ids, EntityErasure.Options(), as: try await work.plan(ids, EntityErasure.Options()), command: ""
        ) { done in reports.withLock { $0.append(done) } }
        #expect(certificates.map(\.certificate.id) == names)
        #expect(certificates.allSatisfy { $0.certificate.deleted.events == 1 && $0.isIntact })
        #expect(try await store.erasures(after: 0, limit: 1_000).map(\.persistenceID) == ids)
        #expect(try await store.jobs().map(\.state) == [.done, .done, .done])
        #expect(reports.withLock { $0 } == Array(1...230))
        #expect(folder.occurrences(Marked.marker, in: "a.db") == 0)
        #expect(try await AuditLog(store: store).verify().problems == [])
        await store.close()
    }

    @Test("of many entities deletes them in few transactions, each no larger than a page", arguments: [1, 7, 5_000])
    func pages(_ rows: Int) async throws {
        let store = try await folder.store("a.db")
        let names = (0..<40).map { "e-\($0)" }
        for (number, name) in names.enumerated() {
            let events = try (0..<number % 5).map { try Marked.event(Marked.text("\(name)-\($0)")) }
            _ = try await store.append([
                AppendRequest(
                    persistenceID: id(name), expectedVersion: .any, events: [try Marked.event("first")] + events)
            ])
            try await store.save(
                StoredSnapshot(
                    persistenceID: id(name), sequenceNumber: 1, timestamp: SystemTime().now(),
                    payload: try Marked.opened(Marked.text("snapshot"))))
        }
        let watched = CommitWatch(store)
        let certificates = try await EntityErasure(of: watched, page: rows).erase(names)
        let expected = names.indices.map { 1 + $0 % 5 }
        #expect(certificates.map(\.certificate.deleted.events) == expected)
        #expect(certificates.allSatisfy { $0.certificate.deleted.snapshots == 1 && $0.isIntact })
        let all = expected.reduce(0, +) + names.count
        #expect(watched.deletions.reduce(0, +) == all)
        #expect((watched.deletions.max() ?? 0) <= rows)
        #expect(watched.deletions.count <= (all + rows - 1) / rows)
        #expect(watched.certifying == 1, "certificates share a transaction")
        #expect(folder.occurrences(Marked.marker, in: "a.db") == 0)
        await store.close()
    }

    // MARK: What is kept

    @Test("that keeps events destroys keys, and leaves what is in the clear alone")
    func keepEvents() async throws {
        let base = try await filled("a.db")
        let ring = KeyRing(store: base, master: try MasterKey(bytes: [UInt8](repeating: 7, count: 32)))
        let store = EncryptedStore(base, encryptor: AESEncryptor(keys: ring))
        for number in 0..<9 {
            _ = try await store.append([
                AppendRequest(
                    persistenceID: id("secret"), kind: "account", expectedVersion: .any,
                    events: [Marked.event("secret \(number)")])
            ])
        }
        let work = EntityErasure(of: store)
        let options = EntityErasure.Options(keepsEvents: true)
        let plan = try await work.plan([id("gone"), id("gone-wallet"), id("secret")], options)
        #expect(plan.guards.map(\.id) == Marked.names && plan.guards.allSatisfy { $0.name == "unencrypted" })
        #expect(plan.counts["entities"] == 1)
        let certificates = try await work.erase(Marked.names + ["secret"], options)
        #expect(certificates.map(\.certificate.id) == ["secret"])
        #expect(certificates.first?.certificate.keptEvents == true)
        #expect(certificates.first?.certificate.deleted.keys == 1)
        #expect(certificates.first?.certificate.deleted.events == 0)
        #expect(try await base.keys(of: id("secret")).isEmpty)
        let kept = try await events(base, of: "secret")
        #expect(kept.count == 9 && kept.allSatisfy(\.isEncrypted))
        let other = AESEncryptor(
            keys: KeyRing(store: base, master: try MasterKey(bytes: [UInt8](repeating: 7, count: 32))))
        _ = try await events(EncryptedStore(base, encryptor: other), of: "secret")
        for event in kept {
            #expect(throws: PayloadError.erased) { _ = try EventReader(decryptor: other).payload(of: event) }
        }
        #expect(try await work.verify(id("secret")).problems == [])
        #expect(try await base.tombstone(of: id("gone")) == nil)
        #expect(try await base.keys(of: id("gone")).count == 1)
        await store.close()
    }

    @Test("leaves an entity under a legal hold alone")
    func hold() async throws {
        let store = try await filled("a.db")
        let hold = LegalHold(persistenceID: id("gone"), reason: "a trial", placedAt: SystemTime().now())
        _ = try await store.commit([.placeHold(hold)], under: nil)
        let plan = try await EntityErasure(of: store).plan(Marked.ids, EntityErasure.Options())
        #expect(plan.guards.map(\.name) == ["legal_hold"] && plan.guards.map(\.id) == ["gone"])
        let certificates = try await EntityErasure(of: store).erase(Marked.names)
        #expect(certificates.map(\.certificate.id) == ["gone-wallet"])
        #expect(try await events(store, of: "gone").count == 30)
        #expect(try await store.tombstone(of: id("gone")) == nil)
        _ = try await store.commit([.releaseHold(of: id("gone"))], under: nil)
        #expect(try await EntityErasure(of: store).erase(Marked.names).map(\.certificate.id) == ["gone"])
        #expect(folder.occurrences(Marked.marker, in: "a.db") == 0)
        await store.close()
    }

    // MARK: Others

    @Test("of two operators is one's; the other hears who it is, and since when")
    func twoOperators() async throws {
        let store = try await filled("a.db")
        let gated = FaultyStore(store)
        let before = try await ErasedContent(of: store)
        let owner = Operator(name: "bob@elsewhere", process: 12, reason: "another").name
        let lease = try await store.acquireLease(
            "erase", owner: owner, for: .seconds(60), now: SystemTime().now())
        do {
            try await EntityErasure(of: gated).erase(Marked.names)
            Issue.record("both erase")
        } catch let error as StoreError {
            #expect(error.code == .leaseHeld)
            #expect(error.message.contains("bob@elsewhere"), "\(error.message)")
            #expect(error.message.contains("for 0 s") || error.message.contains("for 1 s"), "\(error.message)")
        }
        #expect(try await ErasedContent(of: store) == before)
        #expect(try await store.jobs().filter { $0.kind == "erase" }.isEmpty)
        try await store.release(lease)
        #expect(try await EntityErasure(of: gated).erase(Marked.names).count == 2)
        await store.close()
    }

    @Test("is known to engines that have the entity in memory, in this process and over another connection")
    func engines() async throws {
        let store = try await folder.store("a.db")
        let other = try await SQLiteStore(path: folder.path("a.db"))
        let engines = [store, other].map { Engine(store: $0, domain: .bank) }
        for engine in engines {
            for name in ["gone", "living"] {
                let account = try engine.entity(AccountBehavior(), id(name))
                if engine === engines[0] { _ = try await account.send(.create(.with { $0.accountID = name })) }
                _ = try await account.send(.credit(.with { $0.balance = 1 }))
            }
        }
        for engine in engines {
            #expect(try await engine.entity(AccountBehavior(), id("gone")).state().accountBalance > 0)
        }
        let work = EntityErasure(store: store, domain: .bank, by: operatorForTests, time: SystemTime())
        try await work.erase(["gone"])
        for engine in engines {
            let gone = try engine.entity(AccountBehavior(), id("gone"))
            func expectErased(_ what: String, _ body: () async throws -> Void) async {
                do {
                    try await body()
                    Issue.record("\(what) was answered")
                } catch let error as EgoError { #expect(error.code == .erased, "\(what): \(error)") } catch {
                    Issue.record("\(what): \(error)")
                }
            }
            await expectErased("a read") { _ = try await gone.state() }
            await expectErased("a command") { _ = try await gone.send(.credit(.with { $0.balance = 1 })) }
            await expectErased("a refusal") { _ = try await gone.send(.debit(.with { $0.balance = 1_000 })) }
            await expectErased("a preview") { _ = try await gone.preview(.credit(.with { $0.balance = 1 })) }
            let living = try engine.entity(AccountBehavior(), id("living"))
            _ = try await living.send(.credit(.with { $0.balance = 1 }))
        }
        #expect(try await events(store, of: "gone").isEmpty)
        for engine in engines { await engine.shutdown() }
        await other.close()
        await store.close()
    }
}

/// Counts what each transaction deletes.
private final class CommitWatch: ForwardingStore {
    private struct State {
        var deletions: [Int] = []
        var certifying = 0
    }

    let base: any Store
    private let state = Mutex(State())

    init(_ base: any Store) { self.base = base }

    /// How many records each transaction deleted that deleted any.
    var deletions: [Int] { state.withLock { $0.deletions } }
    /// How many transactions wrote certificates.
    var certifying: Int { state.withLock { $0.certifying } }

    func forward<Value: Sendable>(
        _ call: StoreCall, _ body: () async throws(StoreError) -> Value
    ) async throws(StoreError) -> Value { try await body() }

    func commit(
        _ changes: [OperatorChange], under lease: Lease?, with work: ReadModelWork?
    ) async throws(StoreError) -> [Int] {
        let counts = try await base.commit(changes, under: lease, with: work)
        let deleted = zip(changes, counts).reduce(0) { sum, pair in
            switch pair.0 {
            case .deleteEvents, .deleteSnapshots: sum + pair.1
            default: sum
            }
        }
        let isCertifying = changes.contains { change in
            guard case .audit(let entry) = change else { return false }
            return entry.arguments.hasPrefix("{\"id\":")
        }
        state.withLock { state in
            if deleted > 0 { state.deletions.append(deleted) }
            if isCertifying { state.certifying += 1 }
        }
        return counts
    }
}
