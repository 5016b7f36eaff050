import BankDomain
import ChildProcess
import EgoCore
import EgoOperations
import EgoPostgres
import EgoTestKit
import ExerciserSupport
import Foundation
import PostgresServer
import SwiftProtobuf
import Synchronization
import Testing

@Suite("An erasure on PostgreSQL", .serialized, .timeLimit(.minutes(5)))
struct ErasurePostgresTests {
    private static let marker = "MARKER-7f3a91c2-"
    private let person = Operator(name: "ann@test", process: 0, reason: "a test")

    private func id(_ text: String) -> PersistenceID { PersistenceID(stored: text) }

    private func erasure(_ store: any Store) -> EntityErasure {
        EntityErasure(store: store, domain: .bank, by: person, time: SystemTime(), staleness: .zero)
    }

    @discardableResult
    private func erase(_ names: [String], _ store: any Store) async throws -> [RecordedCertificate] {
        let (work, options) = (erasure(store), EntityErasure.Options())
        let ids = names.map(id)
        return try await work.run(ids, options, as: try await work.plan(ids, options), command: "ego erase")
    }

    private func payload(_ text: String) throws -> [UInt8] {
        try AnyPayload(packing: Samplepb_AccountCreated.with { $0.accountID = "\(Self.marker)\(text)" }).serialized()
    }

    /// Notes what was opened, in a table that names its column of entities.
    private struct Notes: ReadModel {
        let tables = [
            ReadModelTable(
                "notes", columns: "position TEXT PRIMARY KEY, id TEXT NOT NULL, note TEXT NOT NULL", indexes: ["note"],
                entityColumn: "id")
        ]

        func handle(_ event: ProjectedEvent, in model: ReadModelWriter) throws {
            guard let created = try event.decoded(as: Samplepb_AccountCreated.self) else { return }
            try model.change(
                "INSERT INTO {notes} VALUES (:position, :id, :note)",
                [
                    "position": .text(event.offset.description), "id": .text(event.persistenceID.rawValue),
                    "note": .text(String(created.accountID.prefix(100))),
                ])
        }
    }

    /// An entity with a marker in everything, small and large, among others without one.
    private func fill(_ store: PostgresStore) async throws {
        for number in 0..<200 {
            // Every tenth is too long for its row, and is stored beside the table.
            let text = number.isMultiple(of: 10) ? "large \(number) \(Self.noise(20_000))" : "event \(number)"
            _ = try await store.append([
                AppendRequest(
                    persistenceID: id("gone"), kind: "account", expectedVersion: .any,
                    events: [NewEvent(timestamp: SystemTime().now(), payload: try payload(text))],
                    metadata: EventMetadata(commandID: CommandID("\(Self.marker)command-\(number)"))),
                append("living"),
            ])
        }
        for number in [50, 100] {
            try await store.save(
                StoredSnapshot(
                    persistenceID: id("gone"), sequenceNumber: SequenceNumber(UInt64(number)),
                    timestamp: SystemTime().now(), payload: try payload("snapshot \(number)")))
        }
        _ = try await store.save([
            StateWrite(
                persistenceID: id("gone-wallet"), kind: "wallet", expectedVersion: 0, timestamp: SystemTime().now(),
                payload: try payload("state"))
        ])
        try await store.add(
            StoredKey(
                id: "k", persistenceID: id("gone"), wrapped: Array("\(Self.marker)key".utf8),
                createdAt: SystemTime().now()))
        for _ in 0..<2 {
            let work = Rebuild(store: store, reader: EventReader(), by: person, time: SystemTime())
            _ = try await work.run([Projection("notes", Notes())], Rebuild.Options(), command: "rebuild")
        }
        let letter = DeadLetter(
            projection: "other", version: 1, offset: Offset(transactionID: 1, position: Position(1)), shard: Shard(0),
            persistenceID: id("gone"), sequenceNumber: 1, type: "T", error: "\(Self.marker)letter", attempts: 1,
            failedAt: SystemTime().now())
        _ = try await store.commit(
            [
                .advance(
                    ProjectionAdvance(projection: "other", version: 1, offsets: [], deadLetters: [letter]))
            ], under: nil)
    }

    /// Text that does not get shorter by compression.
    private static func noise(_ count: Int) -> String {
        var random = SeededGenerator(seed: 1)
        return String(
            decoding: (0..<count).map { _ in UInt8.random(in: 97...122, using: &random) }, as: UTF8.self)
    }

    /// The files of tables and indexes that hold a text, as names of those.
    private func holders(_ text: String, _ fresh: Fresh) throws -> Set<String> {
        try fresh.server.sql("CHECKPOINT")
        let folder = try fresh.server.sql("SHOW data_directory")
        let list = "\(folder)/found"
        try fresh.server.run("grep -rlaF -- '\(text)' '\(folder)/base' > '\(list)' || true; chmod 644 '\(list)'")
        let paths = try fresh.server.sql("SELECT pg_read_file('\(list)')").split(separator: "\n")
        var names: Set<String> = []
        for path in paths {
            let node = path.split(separator: "/").last?.prefix { $0.isNumber } ?? ""
            let name = try fresh.server.sql(
                "SELECT coalesce((SELECT relname FROM pg_class WHERE oid = pg_filenode_relation(0, '\(node)')), '')")
            names.insert(name.isEmpty ? String(path) : name)
        }
        return names
    }

    // MARK: What is gone

    @Test("leaves no byte in the files of tables and indexes, and says what is not covered")
    func files() async throws {
        let fresh = try await Fresh(try PostgresServer(settings: ["autovacuum = off"]))
        let store = try await fresh.open()
        try await fill(store)
        let before = try holders(Self.marker, fresh)
        for table in ["events_store", "snapshots_store", "states_store", "ego_keys", "ego_dead_letters", "notes_v3"] {
            #expect(before.contains(table), "\(before)")
        }
        let noise = String(Self.noise(60).suffix(40))
        #expect(try holders(noise, fresh).contains { $0.hasPrefix("pg_toast") }, "stored beside the table")
        let living = try await allEvents(of: "living", in: store)
        let certificates = try await erase(["gone", "gone-wallet"], store)
        #expect(try holders(Self.marker, fresh) == [])
        #expect(try holders(noise, fresh) == [])
        let deleted = try #require(certificates.first?.certificate.deleted)
        #expect(deleted.events == 200 && deleted.snapshots == 2 && deleted.keys == 1 && deleted.deadLetters == 1)
        #expect(deleted.rows == 400)
        for what in ["write-ahead log", "replicas", "backups"] {
            #expect(certificates.allSatisfy { $0.certificate.notCovered.contains { $0.contains(what) } })
        }
        #expect(certificates.allSatisfy { $0.certificate.verified.scannedBytes == 0 }, "nobody looked at files")
        #expect(try await allEvents(of: "living", in: store) == living)
        for name in ["gone", "gone-wallet"] { #expect(try await erasure(store).verify(id(name)).problems == []) }
        try fresh.sql("INSERT INTO notes_v3 VALUES ('x', 'gone', 'again')")
        #expect(try await erasure(store).verify(id("gone")).problems.count == 1)
        await store.close()
    }

    @Test("leaves none in what the planner knows of the tables, or says so")
    func statistics() async throws {
        let fresh = try await Fresh(try PostgresServer(settings: ["autovacuum = off"]))
        let store = try await fresh.open()
        try await fill(store)
        try fresh.sql("ANALYZE")
        #expect(try !holders(Self.marker, fresh).contains("pg_statistic"))
        let certificate = try #require(try await erase(["gone", "gone-wallet"], store).first?.certificate)
        let left = try holders(Self.marker, fresh)
        #expect(
            left.isEmpty || certificate.notCovered.contains { $0.contains("statistic") },
            "\(left), \(certificate.notCovered)")
        await store.close()
    }

    @Test("leaves none of the error that stopped a projection")
    func failure() async throws {
        let fresh = try await Fresh(try PostgresServer(settings: ["autovacuum = off"]))
        let store = try await fresh.open()
        _ = try await store.append([append("gone", 3), append("living", 3)])
        var record = ProjectionRecord(name: "stopped")
        record.failure = ProjectionFailure(
            message: "\(Self.marker)failure", persistenceID: id("gone"), sequenceNumber: 1, offset: .start,
            shard: Shard(0), attempts: 1, failedAt: SystemTime().now())
        _ = try await store.commit([.saveProjection(record)], under: nil)
        #expect(try !holders(Self.marker, fresh).isEmpty)
        try await erase(["gone"], store)
        #expect(try await store.projection("stopped")?.failure == nil)
        #expect(try holders(Self.marker, fresh) == [])
        await store.close()
    }

    @Test("keeps no hash of what was erased, which could confirm a guess")
    func sample() async throws {
        let fresh = try await Fresh(try PostgresServer(settings: ["autovacuum = off"]))
        let store = try await fresh.open()
        try await fill(store)
        try await erase(["gone"], store)
        #expect(try holders("hashes", fresh) == [])
        await store.close()
    }

    // MARK: Others at work

    @Test("waits for a session that can still see what was deleted, and says so when that takes too long")
    func oldSnapshot() async throws {
        let fresh = try await Fresh("erasure")
        let store = try await fresh.open()
        try await fill(store)
        let session = try Session(fresh)
        try session.send("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1;")
        let isErased = Mutex(false)
        let work = Task {
            try await erase(["gone"], store)
            isErased.withLock { $0 = true }
        }
        try await eventually { try await store.stream(of: id("gone"))?.isErased == true }
        try await eventually {
            try await store.events(of: id("gone"), from: 1, through: .max, limit: .standard).isEmpty
        }
        try await Task.sleep(for: .seconds(1))
        #expect(!isErased.withLock { $0 }, "the session still sees it")
        // Others are not kept from writing meanwhile.
        _ = try await store.append([append("living")])
        try session.send("COMMIT;")
        try session.end()
        try await work.value
        #expect(try await erasure(store).verify(id("gone")).problems == [])
        #expect(try holders("\(Self.marker)event", fresh) == [])
        await store.close()
    }

    @Test("beside writers in another process loses none of their events, and stops no projection")
    func load() async throws {
        let fresh = try await Fresh("erasure")
        let store = try await fresh.open()
        for name in ["gone-1", "gone-2", "gone-3"] {
            _ = try await store.append([append(name, 50)])
        }
        let projection = try ExerciserProcess(["project", fresh.text, "noted", "300", "1"])
        let writer = try ExerciserProcess(["credit", fresh.text, "4"])
        defer {
            projection.kill()
            writer.kill()
        }
        func acknowledged() -> Int { writer.lines.count { $0.hasPrefix("ack ") } }
        try await poll("commands") { acknowledged() > 50 && projection.pages > 0 }
        for name in ["gone-1", "gone-2", "gone-3"] {
            let before = acknowledged()
            try await erase([name], store)
            try await poll("commands after an erasure") { acknowledged() > before + 20 }
        }
        #expect(writer.isRunning && projection.isRunning)
        writer.kill()
        // A line that was cut off by the kill is none.
        for client in 0..<4 {
            let acks = writer.lines.filter { $0.hasPrefix("ack \(client) ") }.map { $0.split(separator: " ") }
            let numbers = acks.filter { $0.count == 5 }.compactMap { Int($0[2]) }.dropLast()
            let events = try await allEvents(of: "c-\(client)", in: store)
            #expect(events.map(\.sequenceNumber.rawValue) == (1...UInt64(events.count)).map { $0 })
            let stored = Set(events.compactMap { $0.metadata.commandID?.rawValue })
            for number in numbers { #expect(stored.contains("\(client)-\(number)")) }
        }
        try await poll("the projection") { try await SeenEvents.isCaughtUp("noted", store) }
        #expect(try await store.projection("noted")?.failure == nil)
        let rows = try await SeenEvents.query(store, "SELECT id FROM seen_entities WHERE id LIKE 'gone-%'")
        #expect(rows.isEmpty)
        // What was on its way to the server when the writer was killed may be committed a moment later.
        var missing: Set<SeenEvents.Row> = []
        try? await poll("no event is missing") {
            let seen = try await SeenEvents.rows(store).filter { $0.id.hasPrefix("c-") }
            #expect(seen.count == Set(seen).count, "counted twice")
            missing = Set(try await SeenEvents.journal(store)).subtracting(seen)
            return missing.isEmpty
        }
        #expect(missing.isEmpty)
        await store.close()
    }

    @Test("does not keep others from writing while somebody has a table in use")
    func tableInUse() async throws {
        let fresh = try await Fresh("erasure")
        let store = try await fresh.open()
        let other = try await fresh.open()
        _ = try await store.append([append("gone", 3), append("living")])
        // Between two statements of a transaction nothing keeps old rows alive, but the lock on the table stays.
        let session = try Session(fresh)
        try session.send("BEGIN; SELECT count(*) FROM events_store;")
        let isErased = Mutex(false)
        let work = Task {
            defer { isErased.withLock { $0 = true } }
            return try await erase(["gone"], store)
        }
        try await eventually {
            try await store.events(of: id("gone"), from: 1, through: .max, limit: .standard).isEmpty
        }
        let appends = Mutex(0)
        let writer = Task {
            while !Task.isCancelled {
                _ = try await other.append([append("living")])
                appends.withLock { $0 += 1 }
            }
        }
        // Somebody waits for the table, and all others wait behind.
        try? await poll("a request for the table", within: .seconds(5)) {
            try fresh.sql("SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND NOT granted") != "0"
        }
        let before = appends.withLock { $0 }
        try? await poll("appends meanwhile", within: .seconds(10)) { appends.withLock { $0 } > before + 10 }
        #expect(appends.withLock { $0 } > before + 10, "nobody could write for ten seconds")
        try session.send("COMMIT;")
        try session.end()
        _ = try? await work.value
        writer.cancel()
        _ = try? await writer.value
        try await erase(["gone"], store)
        #expect(try await erasure(store).verify(id("gone")).problems == [])
        await other.close()
        await store.close()
    }
}
