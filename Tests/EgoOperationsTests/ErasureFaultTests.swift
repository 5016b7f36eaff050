import BankDomain
import EgoCore
import EgoOperations
import EgoSQLite
import EgoTestKit
import ExerciserSupport
import Foundation
import Testing

@Suite("An erasure that something goes wrong with", .serialized, .timeLimit(.minutes(10)))
struct ErasureFaultTests {
    private let folder: Folder

    init() throws { folder = try Folder() }

    private func id(_ text: String) -> PersistenceID { PersistenceID(stored: text) }

    /// A copy of a store that was filled once.
    private func copy(_ name: String) async throws -> SQLiteStore {
        if folder.bytes("template.db") == nil {
            let store = try await folder.store("template.db")
            try await Marked.fill(store)
            await store.close()
        }
        try FileManager.default.copyItem(atPath: folder.path("template.db"), toPath: folder.path(name))
        return try await SQLiteStore(path: folder.path(name))
    }

    /// Lets one call after the other go wrong, and repeats the erasure; what came of it has to be what comes of one that
    /// nothing went wrong with.
    private func repeated(
        _ names: [String], _ fault: FaultyStore.Fault, of calls: Set<StoreCall>? = nil,
        _ check: (SQLiteStore, String) async throws -> Void
    ) async throws {
        let whole = try await copy("whole.db")
        try await EntityErasure(of: whole).erase(names)
        let wanted = try await ErasedContent(of: whole)
        #expect(wanted.certificates.count == names.count)
        await whole.close()
        for number in 1... {
            let base = try await copy("\(number).db")
            let store = FaultyStore(base)
            store.plan(fault, at: number, of: calls)
            _ = try? await EntityErasure(of: store).erase(names)
            let made = store.calls.filter { calls?.contains($0) ?? true }
            if made.count < number {
                await base.close()
                #expect(number > 5, "only \(number - 1) calls")
                return
            }
            let place = "call \(number), \(made[number - 1])"
            // A lease that could not be given back, or that its owner does not know of, runs out.
            for lease in try await base.leases() { try await base.release(lease) }
            do { try await EntityErasure(of: base).erase(names) } catch { Issue.record("\(place): \(error)") }
            try await check(base, place)
            let content = try await ErasedContent(of: base)
            #expect(content.records == wanted.records, "\(place)")
            #expect(content.rows == wanted.rows && content.letters == wanted.letters, "\(place)")
            #expect(content.keys == wanted.keys && content.problems == [], "\(place)")
            #expect(content.certificates == wanted.certificates, "\(place)")
            for name in names { #expect(try await EntityErasure(of: base).verify(id(name)).problems == [], "\(place)") }
            if names.count == 2 { #expect(folder.occurrences(Marked.marker, in: "\(number).db") == 0, "\(place)") }
            await base.close()
            for suffix in ["", "-wal", "-shm"] {
                try? FileManager.default.removeItem(atPath: folder.path("\(number).db\(suffix)"))
            }
        }
    }

    @Test("at any call goes on when it is repeated", arguments: [FaultyStore.Fault.fails, .halfCompletes])
    func anyCall(_ fault: FaultyStore.Fault) async throws {
        try await repeated(["gone"], fault) { _, _ in }
    }

    @Test("of several entities goes on, and each certificate says what was deleted")
    func several() async throws {
        try await repeated(Marked.names, .fails, of: [.commitChanges]) { _, _ in }
    }

    @Test("leaves no unfinished job behind once it was repeated")
    func jobs() async throws {
        try await repeated(["gone"], .fails, of: [.commitChanges]) { store, place in
            let left = try await store.jobs().filter { $0.kind == "erase" && $0.state.isUnfinished }
            #expect(left.isEmpty, "\(place)")
        }
    }

    @Test("is gone on with for one of its entities alone, and for them in another order")
    func otherSelection() async throws {
        for names in [["gone"], ["gone-wallet", "gone"]] {
            let base = try await copy("\(names.count).db")
            let store = FaultyStore(base)
            store.plan(.fails, at: 1, of: [.purge])
            await #expect(throws: StoreError.self) { try await EntityErasure(of: store).erase(Marked.names) }
            let certificates = try await EntityErasure(of: base).erase(names)
            let gone = try #require(certificates.first { $0.certificate.id == "gone" }?.certificate)
            #expect(gone.deleted.events == 30 && gone.deleted.snapshots == 3 && gone.deleted.rows == 60, "\(names)")
            #expect(folder.occurrences("\(Marked.marker)event", in: "\(names.count).db") == 0)
            await base.close()
        }
    }

    @Test("does not erase what was put under a legal hold after the plan was confirmed")
    func lateHold() async throws {
        let store = try await copy("a.db")
        let work = EntityErasure(of: store)
        let plan = try await work.plan([id("gone")], EntityErasure.Options())
        let hold = LegalHold(persistenceID: id("gone"), reason: "a trial", placedAt: SystemTime().now())
        _ = try await store.commit([.placeHold(hold)], under: nil)
        _ = try? await work.run([id("gone")], EntityErasure.Options(), as: plan, command: "ego erase")
        #expect(try await store.tombstone(of: id("gone")) == nil)
        #expect(try await store.events(of: id("gone"), from: 1, through: .max, limit: .standard).count == 30)
        await store.close()
    }

    @Test("names tables without a column of entities in every version, not only in that in use")
    func otherVersions() async throws {
        let store = try await copy("a.db")
        let rebuild = Rebuild(store: store, reader: EventReader(), by: operatorForTests, time: SystemTime())
        _ = try await rebuild.run([Projection("notes", NextSeenEvents())], Rebuild.Options(), command: "rebuild")
        let certificate = try #require(try await EntityErasure(of: store).erase(["gone"]).first?.certificate)
        #expect(certificate.notCovered.contains { $0.contains("seen_days") }, "\(certificate.notCovered)")
        #expect(certificate.notCovered.contains { $0.contains("note_counts") }, "\(certificate.notCovered)")
        await store.close()
    }

    @Test("that keeps events returns when nobody uses the destroyed key any more")
    func cachedKey() async throws {
        let base = try await folder.store("a.db")
        func reader() throws -> EncryptedStore {
            let master = try MasterKey(bytes: [UInt8](repeating: 7, count: 32))
            return EncryptedStore(base, encryptor: AESEncryptor(keys: KeyRing(store: base, master: master)))
        }
        let (store, other) = (try reader(), try reader())
        _ = try await store.append([
            AppendRequest(persistenceID: id("a"), expectedVersion: .any, events: [Marked.event("secret")])
        ])
        let erasure = EntityErasure(store: base, domain: .bank, by: operatorForTests, time: SystemTime())
        // Another process, which reads the event all the time.
        let reading = Task {
            while !Task.isCancelled {
                _ = try? await other.events(of: id("a"), from: 1, through: .max, limit: .standard)
                try? await Task.sleep(for: .milliseconds(5))
            }
        }
        try await erasure.erase(["a"], EntityErasure.Options(keepsEvents: true))
        let events = try await other.events(of: id("a"), from: 1, through: .max, limit: .standard)
        reading.cancel()
        await reading.value
        #expect(events.count == 1)
        for event in events {
            #expect(throws: PayloadError.erased) {
                _ = try EventReader(decryptor: other.encryptor).payload(of: event)
            }
        }
        await base.close()
    }

    // MARK: Exports

    /// An export to `all.jsonl` that stops after some pages.
    private func stopExport(_ store: SQLiteStore) async throws {
        let faulty = FaultyStore(store)
        faulty.plan(.fails, at: 6, of: [.commitChanges])
        await #expect(throws: StoreError.self) {
            _ = try await JournalExport(
                store: faulty, messages: Domain.bank.messages, selection: ExportSelection(), format: .jsonl,
                page: PageLimit(rows: 7), pagesPerCheckpoint: 1
            ).write(toFile: folder.path("all.jsonl"), command: "ego export", by: operatorForTests, time: SystemTime())
        }
        // Another name for the file, to see what becomes of its bytes.
        try FileManager.default.linkItem(
            atPath: folder.path("all.jsonl.partial"), toPath: folder.path("link"))
        #expect(folder.bytes("link")?.contains { $0 != 0 } == true)
    }

    private func exportJob(_ store: any Store) async throws -> Job {
        try #require(try await store.jobs().first { $0.kind == "export" })
    }

    @Test("overwrites the file of an unfinished export, and nobody goes on with that")
    func unfinishedExport() async throws {
        let store = try await copy("a.db")
        try await stopExport(store)
        try await EntityErasure(of: store).erase(["gone"])
        #expect(!FileManager.default.fileExists(atPath: folder.path("all.jsonl.partial")))
        #expect(folder.bytes("link")?.contains { $0 != 0 } == false, "its blocks on the disk")
        #expect(try await exportJob(store).state == .discarded)
        await store.close()
    }

    @Test("overwrites the file of an export whose job was discarded, or names it")
    func discardedExport() async throws {
        let store = try await copy("a.db")
        try await stopExport(store)
        let jobs = Jobs(store: store, time: SystemTime(), by: operatorForTests)
        _ = try await jobs.discard(try await exportJob(store).id, isDryRun: false)
        let certificate = try #require(try await EntityErasure(of: store).erase(["gone"]).first?.certificate)
        let isLeft = folder.bytes("link")?.contains { $0 != 0 } == true
        #expect(!isLeft || certificate.notCovered.contains { $0.contains("all.jsonl") }, "\(certificate.notCovered)")
        await store.close()
    }

    @Test("names the file of an unfinished export that is not where it was")
    func missingExport() async throws {
        let store = try await copy("a.db")
        try await stopExport(store)
        try FileManager.default.moveItem(
            atPath: folder.path("all.jsonl.partial"), toPath: folder.path("moved.partial"))
        let certificate = try #require(try await EntityErasure(of: store).erase(["gone"]).first?.certificate)
        #expect(certificate.notCovered.contains { $0.contains("all.jsonl") }, "\(certificate.notCovered)")
        await store.close()
    }

    @Test("names the file of a finished export, and leaves it alone")
    func finishedExport() async throws {
        let store = try await copy("a.db")
        _ = try await JournalExport(
            store: store, messages: Domain.bank.messages, selection: ExportSelection(), format: .jsonl,
            page: PageLimit(rows: 7), pagesPerCheckpoint: 1
        ).write(toFile: folder.path("all.jsonl"), command: "ego export", by: operatorForTests, time: SystemTime())
        let before = folder.bytes("all.jsonl")
        let certificate = try #require(try await EntityErasure(of: store).erase(["gone"]).first?.certificate)
        #expect(certificate.notCovered.contains { $0.contains(folder.path("all.jsonl")) })
        #expect(folder.bytes("all.jsonl") == before)
        await store.close()
    }
}
