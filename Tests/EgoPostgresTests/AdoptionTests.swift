import ChildProcess
import EgoCore
import EgoOperations
import EgoPostgres
import Foundation
import PostgresServer
import Synchronization
import Testing

@Suite("Adopting a database of eGo for Go", .serialized)
struct AdoptionTests {
    private let server: PostgresServer

    init() throws {
        server = try PostgresServer.shared("adoption")
    }

    /// Inserts as eGo for Go does, in a loop, until it is told to stop; returns how many.
    ///
    /// An insert that has to wait for a lock for a second fails, and ends it. What a busy machine takes is not counted.
    private func insert(into database: EgoGoDatabase, until isDone: Flag) throws -> Int {
        var count = 0
        let process = ChildProcess()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [
            "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", server.url(database: database.name),
        ]
        let (input, output) = (Pipe(), Pipe())
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        let inline = database.version == .v3
        try input.fileHandleForWriting.write(contentsOf: Data("SET lock_timeout = '1s';\n".utf8))
        while !isDone.isSet || count < 50 {
            count += 1
            try input.fileHandleForWriting.write(
                contentsOf: Data(
                    """
                    INSERT INTO events_store (persistence_id, sequence_number, is_deleted, event_payload, event_manifest,
                        \(inline ? "state_payload, state_manifest," : "") "timestamp", shard_number)
                    VALUES ('beside', \(count), false, '\\x0a0178', 'google.protobuf.Any',
                        \(inline ? "'\\x0a0178', 'google.protobuf.Any'," : "") \(inline ? "1795404900" : "1795404900000000000"), 0);
                    \\echo done

                    """.utf8))
            if output.fileHandleForReading.availableData.isEmpty { break }
        }
        try input.fileHandleForWriting.close()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "a writer waited for a lock")
        return count
    }

    @Test("stops no writer, and orders what is inserted meanwhile", arguments: EgoGoDatabase.Version.allCases)
    func besideWriter(_ version: EgoGoDatabase.Version) async throws {
        let database = try EgoGoDatabase(version, on: server)
        let isDone = Flag()
        let result = Mutex<Result<Int, any Error>?>(nil)
        // A thread of its own: it blocks.
        let thread = Thread {
            let inserted = Result { try insert(into: database, until: isDone) }
            result.withLock { $0 = inserted }
        }
        thread.start()
        try await database.adopt()
        isDone.set()
        try await eventually { result.withLock { $0 != nil } }
        let count = try #require(result.withLock { $0 }).get()
        let store = try await database.open(readOnly: false)
        let all = try await journal(of: store)
        #expect(all.count == (try Expected.of(version).totals.events) + count)
        #expect(
            all.filter { $0.persistenceID.rawValue == "beside" }.map(\.sequenceNumber.rawValue)
                == Array(1...UInt64(count)))
        #expect(try await store.flaws(isThorough: true) == [])
        // And on it goes, from both sides.
        _ = try await store.append([append("beside", 3, expecting: .exact(SequenceNumber(UInt64(count))))])
        let stamp = try database.sql(
            "SELECT \"timestamp\" FROM events_store WHERE persistence_id = 'beside' ORDER BY sequence_number DESC LIMIT 1"
        )
        #expect(stamp.count == (version == .v3 ? 10 : 19), "the unit of timestamps is the database's own, not \(stamp)")
        await store.close()
    }

    @Test("is a no-op the second time, and goes on where it was stopped at every page")
    func resumes() async throws {
        let database = try EgoGoDatabase(.v3, on: server)
        let url = try database.url
        _ = try await PostgresStore.initialize(url: url, storeID: "x")
        let opened = await #expect(throws: StoreError.self) { try await PostgresStore(url: url) }
        #expect(opened?.code == .notInitialized)
        _ = try await PostgresStore.prepareOrder(url: url)
        var options = PostgresStoreOptions()
        options.isAdopting = true
        // Pages of which each is committed by a store of its own, as if each had been killed.
        var pages = 0
        while true {
            let store = try await PostgresStore(url: url, options: options)
            let done = try await store.commit([.orderOlderEvents(limit: 700)], under: nil)[0]
            await store.close()
            if done == 0 { break }
            pages += 1
            #expect(try await PostgresStore.schema(url: url).changes.count == 1)
        }
        #expect(pages == 9)
        // An index that was begun and never finished.
        _ = try? database.sql(
            "SET statement_timeout = 1; CREATE UNIQUE INDEX CONCURRENTLY ego_events_order ON events_store (transaction_id, position)"
        )
        try await PostgresStore.finishOrder(url: url)
        #expect(try await PostgresStore.schema(url: url).changes == [])
        let before = try database.sql(
            "SELECT md5(string_agg(e::text, ',' ORDER BY persistence_id, sequence_number)) FROM events_store e")
        let again = try await PostgresStore.initialize(url: url, storeID: "y")
        guard case .current(let metadata) = again.kind else {
            Issue.record("adopted twice: \(again.kind)")
            return
        }
        #expect(metadata.storeID == "x")
        #expect(metadata.origin == .egoGoV3)
        try await PostgresStore.finishOrder(url: url)
        #expect(
            try database.sql(
                "SELECT md5(string_agg(e::text, ',' ORDER BY persistence_id, sequence_number)) FROM events_store e")
                == before)
        let store = try await database.open()
        #expect(try await journal(of: store).count == 5_706)
        await store.close()
    }

    @Test("waits for a lock that another session holds, gives writers their turn, and says who is in the way")
    func lockedOut() async throws {
        let database = try EgoGoDatabase(.v4, on: server)
        let url = try database.url
        let holder = try Session(server.url(database: database.name))
        try holder.send("BEGIN; SELECT count(*) FROM events_store;")
        let error = await #expect(throws: StoreError.self) {
            try await PostgresStore.initialize(url: url, storeID: "x", patience: .milliseconds(600))
        }
        #expect(error?.code == .busy)
        guard case .egoGo = try await PostgresStore.schema(url: url).kind else {
            Issue.record("half adopted")
            return
        }
        async let adopted = PostgresStore.initialize(url: url, storeID: "x")
        try await Task.sleep(for: .milliseconds(700))
        try holder.send("COMMIT;")
        _ = try await adopted
        try holder.end()
        guard case .unordered = try await PostgresStore.schema(url: url).kind else {
            Issue.record("not adopted")
            return
        }
    }

    @Test("takes added events where columns of eGo for Go are narrower, and none that is too large for them")
    func narrow() async throws {
        let database = try EgoGoDatabase(.v4, on: server)
        try database.sql(
            "ALTER TABLE events_store ALTER sequence_number TYPE integer, ALTER shard_number TYPE integer")
        try await database.adopt()
        let store = try await database.open(readOnly: false)
        func event(_ id: String, _ number: UInt64) throws -> PersistedEvent {
            PersistedEvent(
                persistenceID: try PersistenceID(id), sequenceNumber: SequenceNumber(number),
                timestamp: Timestamp(unixNanoseconds: 1_795_404_900_000_000_123), shard: Shard(0),
                payload: [UInt8](repeating: 7, count: 100_000), isDeleted: number == 2)
        }
        let added = try (1...9).map { try event("added", $0) }
        #expect(try await store.commit([.addEvents(added)], under: nil) == [9])
        let found = try await store.events(of: PersistenceID("added"), from: 1, through: .max, limit: .standard)
        #expect(found.map(\.sequenceNumber) == added.map(\.sequenceNumber))
        #expect(found.map(\.timestamp) == added.map(\.timestamp) && found.allSatisfy { !$0.isDamaged })
        #expect(found.map(\.payload) == added.map(\.payload) && found.map(\.isDeleted) == added.map(\.isDeleted))
        let error = await #expect(throws: StoreError.self) {
            _ = try await store.commit([.addEvents([event("added", 10), event("far", 1 << 32)])], under: nil)
        }
        #expect(error?.code == .invalid)
        #expect(try await store.stream(of: PersistenceID("added"))?.last == 9)
        #expect(try await store.stream(of: PersistenceID("far")) == nil)
        // The connection goes on.
        #expect(try await store.commit([.addEvents([event("added", 10)])], under: nil) == [1])
        await store.close()
    }

    @Test("keeps the unit and the trimmed entities of eGo for Go")
    func trimmed() async throws {
        let database = try EgoGoDatabase(.v4, on: server)
        // What its retention does after a snapshot: all events are gone.
        try database.sql("DELETE FROM events_store WHERE persistence_id = 'account-013' AND sequence_number <= 40")
        try database.sql(
            """
            INSERT INTO snapshots_store SELECT 'gone', 20, state_payload, state_manifest, "timestamp"
            FROM snapshots_store WHERE persistence_id = 'account-013' LIMIT 1
            """)
        try await database.adopt()
        let store = try await database.open(readOnly: false)
        #expect(try await store.stream(of: PersistenceID("gone"))?.last == 20)
        #expect(try await store.stream(of: PersistenceID("gone"))?.floor == 20)
        #expect(try await store.append([append("gone", expecting: .noStream)]) == [.conflict(actual: 20)])
        guard case .appended(let last, _)? = try await store.append([append("gone", expecting: .exact(20))]).first
        else {
            Issue.record("an entity whose events eGo for Go has deleted cannot go on")
            return
        }
        #expect(last == 21)
        #expect(
            try await store.hazards(now: SystemTime().now(), isThorough: true).filter { $0.code == "sequence_gap" }
                == [])
        try database.sql("DELETE FROM events_store WHERE persistence_id = 'account-012' AND sequence_number = 7")
        #expect(
            try await store.hazards(now: SystemTime().now(), isThorough: true).contains { $0.code == "sequence_gap" })
        await store.close()
    }
}
