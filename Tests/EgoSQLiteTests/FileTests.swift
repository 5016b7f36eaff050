import CSQLite
import ChildProcess
import EgoCore
import EgoSQLite
import Foundation
import Testing

@Suite("A file that is no good store")
struct FileTests {
    private func expectError(
        _ code: StoreError.Code, _ path: String, options: SQLiteStoreOptions = SQLiteStoreOptions(),
        _ location: SourceLocation = #_sourceLocation
    ) async {
        do {
            _ = try await SQLiteStore(path: path, options: options)
            Issue.record("it opens", sourceLocation: location)
        } catch {
            #expect(error.code == code, "\(error)", sourceLocation: location)
        }
    }

    private func execute(_ sql: String, on path: String) {
        var handle: OpaquePointer?
        #expect(sqlite3_open(path, &handle) == SQLITE_OK)
        #expect(sqlite3_exec(handle, sql, nil, nil, nil) == SQLITE_OK)
        sqlite3_close(handle)
    }

    @Test("is refused with the reason, and stays as it is")
    func refused() async throws {
        let folder = try TemporaryFolder()
        await expectError(.notFound, folder.path("missing.db"))
        #expect(!FileManager.default.fileExists(atPath: folder.path("missing.db")))
        await expectError(.notFound, folder.path("no/such/folder.db"))
        await expectError(.isDirectory, folder.url.path)

        let text = folder.path("text.db")
        try Data("this is no database, and never was one".utf8).write(to: URL(filePath: text))
        await expectError(.notAStore, text)
        #expect(throws: StoreError.self) { _ = try SQLiteStore.initialize(path: text, storeID: "x") }
        #expect(try String(contentsOfFile: text, encoding: .utf8).hasPrefix("this is no database"))

        let other = folder.path("other.db")
        execute("CREATE TABLE mine (a); INSERT INTO mine VALUES (1)", on: other)
        await expectError(.notAStore, other)

        let newer = folder.path("newer.db")
        await (try newStore(newer)).close()
        execute("UPDATE ego_metadata SET value = '99' WHERE key = 'schema_version'", on: newer)
        await expectError(.newerSchema, newer)
        #expect(throws: StoreError.self) { _ = try SQLiteStore.initialize(path: newer, storeID: "x") }

        let damaged = folder.path("damaged.db")
        let store = try await newStore(damaged)
        for number in 0..<200 { _ = try await store.append([request("e-\(number)")]) }
        await store.close()
        let file = try FileHandle(forUpdating: URL(filePath: damaged))
        try file.seek(toOffset: 4_096)
        try file.write(contentsOf: Data(repeating: 0xff, count: 8_192))
        try file.close()
        do {
            let store = try await SQLiteStore(path: damaged)
            _ = try await store.statistics()
            _ = try await store.journal(after: .start, shard: nil, limit: .standard)
            Issue.record("damage goes unnoticed")
        } catch {
            #expect([.corrupt, .notAStore].contains(error.code), "\(error)")
        }
    }

    @Test("can hold an application's own tables beside")
    func shared() async throws {
        let folder = try TemporaryFolder()
        let path = folder.path("shared.db")
        execute("CREATE TABLE mine (a); INSERT INTO mine VALUES (1)", on: path)
        let store = try await newStore(path)
        _ = try await store.append([request("a")])
        await store.close()
        #expect(try SQLiteStore.initialize(path: path, storeID: "again") == SQLiteStore.schema(path: path))
    }

    @Test("that is full takes no part of a write, and goes on when there is room")
    func full() async throws {
        let folder = try TemporaryFolder()
        let path = folder.path("full.db")
        let store = try await newStore(path, options: SQLiteStoreOptions(maximumPages: 80))
        var appended = 0
        do {
            for _ in 0..<1_000 {
                _ = try await store.append([request("a", events: 10, bytes: 1_000)])
                appended += 10
            }
            Issue.record("it is never full")
        } catch {
            #expect(error.code == .full, "\(error)")
        }
        #expect(appended > 0)
        #expect(try await allEvents(of: try PersistenceID("a"), in: store).count == appended)
        await store.close()
        let roomy = try await SQLiteStore(path: path)
        _ = try await roomy.append([request("a")])
        #expect(try await allEvents(of: try PersistenceID("a"), in: roomy).count == appended + 1)
        await roomy.close()
    }

    @Test("that is locked by another process is busy, and nothing is written")
    func locked() async throws {
        let folder = try TemporaryFolder()
        let path = folder.path("locked.db")
        await (try newStore(path)).close()
        let (output, input) = (Pipe(), Pipe())
        let process = try exerciser(["lock", path], output: output, input: input)
        #expect(String(decoding: output.fileHandleForReading.availableData, as: UTF8.self) == "locked\n")
        let store = try await SQLiteStore(path: path, options: SQLiteStoreOptions(busyTimeout: .milliseconds(100)))
        let error = await #expect(throws: StoreError.self) { _ = try await store.append([request("a")]) }
        #expect(error?.code == .busy)
        try input.fileHandleForWriting.close()
        process.waitUntilExit()
        _ = try await store.append([request("a")])
        #expect(try await allEvents(of: try PersistenceID("a"), in: store).count == 1)
        await store.close()
    }

    @Test("opened for reading is never written")
    func readOnly() async throws {
        let folder = try TemporaryFolder()
        let path = folder.path("ro.db")
        await (try newStore(path)).close()
        let before = try Data(contentsOf: URL(filePath: path))
        let store = try await SQLiteStore(path: path, options: SQLiteStoreOptions(readOnly: true))
        let error = await #expect(throws: StoreError.self) { _ = try await store.append([request("a")]) }
        #expect(error?.code == .readOnly)
        _ = try await store.statistics()
        await store.close()
        #expect(try Data(contentsOf: URL(filePath: path)) == before)
    }

    @Test("of the first schema version is brought up to date with everything in it, plain and legacy")
    func fixtures() async throws {
        let fixtures = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../Fixtures")
        let folder = try TemporaryFolder()
        for (name, isLegacy) in [("v1-plain.db", false), ("v1-legacy.db", true)] {
            let path = folder.path(name)
            try FileManager.default.copyItem(at: fixtures.appending(path: "sqlite/\(name)"), to: URL(filePath: path))
            let error = await #expect(throws: StoreError.self) { _ = try await SQLiteStore(path: path) }
            #expect(error?.code == .notInitialized)
            execute("INSERT INTO ego_offsets VALUES ('view', 3, 17, 9, 5), ('view', 4, 18, 9, 6)", on: path)
            #expect(try SQLiteStore.initialize(path: path, storeID: "other") == .older(version: 1))
            let store = try await SQLiteStore(path: path)
            let metadata = try await store.metadata()
            #expect(metadata.schemaVersion == SQLiteStore.schemaVersion && metadata.storeID != "other")
            let offsets = try await store.offsets(of: "view", version: 1)
            #expect(offsets.map(\.offset.position.rawValue) == [17, 18])
            #expect(offsets.map(\.committedAt.unixNanoseconds) == [5, 6])
            #expect(try await store.projections().map(\.name) == ["view"])
            let counts = try await store.statistics()
            #expect(counts.entities == 5 && counts.events == 300)
            #expect((counts.snapshots > 0) == !isLegacy)
            let events = try await allEvents(of: try PersistenceID("acc-1"), in: store)
            for event in events { #expect((try event.inlineState() != nil) == isLegacy) }
            await store.close()
        }
    }

    @Test("of the second schema version keeps its projection, and what has no checksum is not called damaged")
    func fixtureOfVersion2() async throws {
        let fixtures = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../Fixtures")
        let folder = try TemporaryFolder()
        let path = folder.path("v2.db")
        try FileManager.default.copyItem(
            at: fixtures.appending(path: "sqlite/v2-projected.db"), to: URL(filePath: path))
        execute(
            "INSERT INTO ego_tombstones SELECT id, 9, 5 FROM ego_entities WHERE persistence_id <> 'acc-1'", on: path)
        #expect(try SQLiteStore.initialize(path: path, storeID: "other") == .older(version: 2))
        let store = try await SQLiteStore(path: path)
        #expect(try await store.projections().map(\.name) == ["balances"])
        #expect(try await store.erasures(after: 0, limit: 9).map(\.number) == [1, 2])
        #expect(try await store.flaws(isThorough: true) == [])
        let id = try PersistenceID("acc-1")
        let before = try await allEvents(of: id, in: store)
        #expect(before.count > 1 && before.allSatisfy { !$0.isDamaged })
        await store.close()
        execute("UPDATE ego_events SET payload = x'00' WHERE sequence_number = 1", on: path)
        let again = try await SQLiteStore(path: path)
        _ = try await again.append([request("new")])
        await again.close()
        execute("UPDATE ego_events SET payload = x'0a' WHERE checksum IS NOT NULL", on: path)
        let damaged = try await SQLiteStore(path: path)
        #expect(try await allEvents(of: id, in: damaged).allSatisfy { !$0.isDamaged }, "it has no checksum to tell")
        #expect(try await allEvents(of: try PersistenceID("new"), in: damaged).map(\.isDamaged) == [true])
        await damaged.close()
    }

    @Test("whose statement has more than one part is told so")
    func oneStatement() async throws {
        let folder = try TemporaryFolder()
        let store = try await newStore(folder.path("s.db"))
        let offset = CommittedOffset(
            shard: Shard(0), offset: .start, committedAt: Timestamp(unixNanoseconds: 0))
        let advance = OperatorChange.advance(ProjectionAdvance(projection: "p", version: 1, offsets: [offset]))
        await #expect(throws: StoreError.self) {
            _ = try await store.commit([advance], under: nil) { transaction in
                guard let transaction = transaction as? SQLiteTransaction else { return }
                try transaction.execute("CREATE TABLE a (b); INSERT INTO a VALUES (1)")
            }
        }
        // A statement that makes SQLite roll back by itself ends the transaction for good.
        await #expect(throws: StoreError.self) {
            _ = try await store.commit([advance], under: nil) { transaction in
                guard let transaction = transaction as? SQLiteTransaction else { return }
                try transaction.execute("CREATE TABLE a (b UNIQUE)")
                try transaction.execute("INSERT INTO a VALUES (1)")
                _ = try? transaction.execute("INSERT OR ROLLBACK INTO a VALUES (1)")
                try transaction.execute("CREATE TABLE left_over (b)")
            }
        }
        #expect(try await store.offsets(of: "p", version: 1) == [])
        _ = try await store.commit([advance], under: nil) { transaction in
            guard let transaction = transaction as? SQLiteTransaction else { return }
            let tables = try transaction.rows("SELECT name FROM sqlite_master WHERE name IN ('a', 'left_over')")
            #expect(tables.isEmpty)
        }
        await store.close()
    }

    private func request(_ name: String, events: Int = 1, bytes: Int = 10) -> AppendRequest {
        let event = NewEvent(
            timestamp: Timestamp(unixNanoseconds: 1), payload: [UInt8](repeating: 1, count: bytes))
        return AppendRequest(
            persistenceID: PersistenceID(stored: name), expectedVersion: .any,
            events: [NewEvent](repeating: event, count: events))
    }
}
