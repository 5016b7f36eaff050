import BankDomain
import Ego
import EgoCore
import EgoOperations
import EgoSQLite
import EgoTestKit
import ExerciserSupport
import Foundation
import Testing

/// Operations that are killed between any two calls of the store that change it, and run again.
@Suite("An operation that is killed at any call and run again ends as if it had not been", .serialized)
struct OperationCrashTests {
    private let folder: Folder

    init() throws { folder = try Folder() }

    private var path: String { folder.path("base.db") }

    private func copy(_ name: String) throws -> String {
        #expect(!FileManager.default.fileExists(atPath: path + "-wal"))
        try FileManager.default.copyItem(atPath: path, toPath: folder.path(name))
        return folder.path(name)
    }

    private func outcome(_ path: String) async throws -> OperationOutcome {
        let store = try await SQLiteStore(path: path)
        let outcome = try await OperationOutcome(of: store, domain: .bank)
        await store.close()
        return outcome
    }

    /// Kills the operation at every call in turn, and compares with an undisturbed run.
    private func check(
        _ kind: String, subject: (String) -> String = { _ in "-" }, atLeast calls: Int,
        after: (String, String) async throws -> Void = { _, _ in }
    ) async throws {
        let path = try copy("undisturbed.db")
        let undisturbed = try exercise([kind, path, subject("undisturbed"), "0"])
        #expect(undisturbed.code == 0, "\(undisturbed.output)")
        let wanted = try await outcome(path)
        #expect(wanted.unfinished == 0 && wanted.problems == [])
        try await after(path, subject("undisturbed"))
        var moment = 1
        while true {
            let name = "killed-\(moment)"
            let path = try copy(name + ".db")
            let killed = try exercise([kind, path, subject(name), "\(moment)"])
            if killed.code == 0 { break }
            #expect(killed.code == -SIGKILL, "call \(moment): \(killed.output)")
            let rest = try exercise([kind, path, subject(name), "0"])
            #expect(rest.code == 0, "call \(moment): \(rest.output)")
            let found = try await outcome(path)
            #expect(found.differences(from: wanted) == [], "call \(moment)")
            try await after(path, subject(name))
            try FileManager.default.removeItem(atPath: path)
            moment += 1
        }
        #expect(moment > calls, "only \(moment) calls")
    }

    private func bank(isLegacy: Bool = false, isEncrypted: Bool = false) async throws {
        let plain = try await folder.store("base.db")
        let ring = KeyRing(store: plain, master: try .exercise(1))
        let store: any Store = isEncrypted ? EncryptedStore(plain, encryptor: AESEncryptor(keys: ring)) : plain
        let parameters = SampleParameters(entities: 4, events: 120, isLegacy: isLegacy, seed: 3)
        _ = try await SampleFill(store: store, sample: BankSample()).run(parameters)
        await plain.close()
    }

    @Test("migrate", arguments: ["migrate", "migrate-drop"])
    func migrate(_ kind: String) async throws {
        try await bank(isLegacy: true)
        try await check(kind, atLeast: 5)
    }

    @Test("erase")
    func erase() async throws {
        try await bank(isEncrypted: true)
        try await check("erase", subject: { _ in "acc-1,acc-3" }, atLeast: 20) { path, _ in
            let bytes = try Data(contentsOf: URL(filePath: path))
            #expect(bytes.range(of: Data("\u{5}acc-1".utf8)) == nil)
        }
    }

    @Test("rotate")
    func rotate() async throws {
        try await bank(isEncrypted: true)
        try await check("rotate", atLeast: 5)
    }

    private func withSnapshots() async throws {
        try await bank()
        let store = try await SQLiteStore(path: path)
        let snapshots = Snapshots(store: store, domain: .bank, time: SystemTime(), by: .forExercise)
        for entity in try await store.entities(EntityQuery()) {
            for number in [entity.sequenceNumber.rawValue / 2, entity.sequenceNumber.rawValue] where number > 0 {
                _ = try await snapshots.create(
                    entity.persistenceID, at: SequenceNumber(number), kind: nil, isDryRun: false)
            }
        }
        await store.close()
    }

    @Test("retain")
    func retain() async throws {
        try await withSnapshots()
        try await check("retain", atLeast: 20)
    }

    @Test("retain with an archive, and archive and store together are the original")
    func archive() async throws {
        try await withSnapshots()
        let original = try await SQLiteStore(path: path)
        let events = try await StoreContent(of: original).events
        await original.close()
        try await check("retain", subject: { folder.path($0 + ".jsonl") }, atLeast: 20) { path, archive in
            let copy = path + ".copy.db"
            _ = try SQLiteStore.initialize(path: copy, storeID: "copy")
            let (left, restored) = (try await SQLiteStore(path: path), try await SQLiteStore(path: copy))
            let rest = path + ".rest.jsonl"
            let export = JournalExport(
                store: left, messages: Domain.bank.messages, selection: ExportSelection(), format: .jsonl)
            _ = try await export.write(toFile: rest)
            for file in [archive, rest] {
                let work = JournalImport(store: restored, format: .jsonl, onConflict: .skip)
                _ = try await work.run(
                    file, try await work.check(file), command: "", by: .forExercise, time: SystemTime())
            }
            let found = try await StoreContent(of: restored).events
            func sorted(_ events: [PersistedEvent]) -> [PersistedEvent] {
                events.sorted { ($0.persistenceID, $0.sequenceNumber) < ($1.persistenceID, $1.sequenceNumber) }
            }
            let isSame = sorted(found) == sorted(events)
            #expect(isSame)
            await left.close()
            await restored.close()
        }
    }
}
