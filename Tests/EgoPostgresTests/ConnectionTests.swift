import EgoCore
import EgoTestKit
import Foundation
import PostgresServer
import Testing

@testable import EgoPostgres

@Suite("A connection to PostgreSQL", .serialized)
struct ConnectionTests {
    private func code(_ url: String, readOnly: Bool = false) async -> StoreError.Code? {
        do {
            let store = try await PostgresStore(
                url: PostgresURL(url), options: PostgresStoreOptions(readOnly: readOnly))
            await store.close()
            return nil
        } catch {
            return error.code
        }
    }

    @Test("fails with what is wrong: database, user, password, host, permission, tables")
    func fails() async throws {
        let fresh = try await Fresh("connection")
        let (server, schema) = (fresh.server, fresh.schema)
        try fresh.sql("CREATE ROLE nobody_\(schema) LOGIN; CREATE ROLE locked_\(schema) LOGIN PASSWORD 'secret'")
        try server.require(password: "locked_\(schema)")
        #expect(await code(server.url(schema: schema, database: "nosuch")) == .unavailable)
        #expect(await code(server.url(schema: schema, user: "nosuch")) == .unavailable)
        #expect(await code(server.url(schema: schema, user: "locked_\(schema)")) == .unavailable)
        #expect(await code("postgres://nosuch.invalid/db?connect_timeout=2") == .unavailable)
        #expect(await code("postgres://127.0.0.1:1/db") == .unavailable)
        #expect(await code(server.url(schema: "nosuch")) == .corrupt)
        #expect(await code(server.url(schema: schema, user: "nobody_\(schema)"), readOnly: true) != nil)
        try fresh.sql("GRANT USAGE ON SCHEMA \(schema) TO nobody_\(schema)")
        #expect(await code(server.url(schema: schema, user: "nobody_\(schema)"), readOnly: true) == .permission)
        let empty = try server.makeSchema()
        #expect(await code(server.url(schema: empty)) == .notInitialized)
        try server.sql("CREATE TABLE events_store (id int)", schema: empty)
        #expect(await code(server.url(schema: empty)) == .notAStore)
        let refused = await #expect(throws: StoreError.self) {
            try await PostgresStore.initialize(url: PostgresURL(server.url(schema: empty)), storeID: "x")
        }
        #expect(refused?.code == .notAStore)
        try fresh.sql("UPDATE ego_metadata SET value = '99' WHERE key = 'schema_version'")
        #expect(await code(fresh.text) == .newerSchema)
        try fresh.sql("UPDATE ego_metadata SET value = '\(PostgresStore.schemaVersion)' WHERE key = 'schema_version'")
        try fresh.sql("ALTER TABLE events_store DROP COLUMN metadata")
        #expect(await code(fresh.text) == .corrupt)
    }

    @Test("says what went wrong without any value, and with the server's SQLSTATE as the cause")
    func noValues() async throws {
        let fresh = try await Fresh("connection")
        let store = try await fresh.open()
        try fresh.sql("ALTER TABLE events_store ADD CHECK (octet_length(event_payload) < 100)")
        let request = AppendRequest(
            persistenceID: try PersistenceID("secret-person"), expectedVersion: .noStream,
            events: [event(65, bytes: 200)])
        let error = await #expect(throws: StoreError.self) { try await store.append([request]) }
        #expect(error?.code == .invalid)
        let cause = try #require(error?.cause as? PostgresError)
        #expect(cause.sqlState == "23514")
        for text in ["\(cause)", error?.message ?? ""] {
            #expect(!text.contains("secret-person") && !text.contains("AAAA") && !text.contains("4141"), "\(text)")
        }
        #expect(try await store.stream(of: PersistenceID("secret-person"))?.last ?? .zero == .zero)
        await store.close()
    }

    @Test("tells what belongs to which statement, whatever was read before")
    func together() async throws {
        let fresh = try await Fresh("connection")
        let store = try await fresh.open(PostgresStoreOptions(connections: 1))
        _ = try await store.append([append("a", 3), append("b", 2)])
        for _ in 0..<3 {
            // Rows one by one, then several statements in one go.
            #expect(try await store.entities(EntityQuery()).count == 2)
            let page = try await store.journal(after: .start, shard: nil, limit: .standard)
            #expect(page.events.map(\.sequenceNumber.rawValue) == [1, 2, 3, 1, 2])
            #expect(page.reachedHead)
            // A page that is full before its rows are all there.
            let part = try await store.journal(after: .start, shard: nil, limit: PageLimit(rows: 5, bytes: 1))
            #expect(part.events.count == 1 && part.next == page.events[0].offset && !part.reachedHead)
            #expect(try await store.leases().isEmpty)
            let lease = try await store.acquireLease("one", owner: "test", for: .seconds(30), now: SystemTime().now())
            let advance = ProjectionAdvance(
                projection: "p", version: 1,
                offsets: [CommittedOffset(shard: Shard(0), offset: page.next, committedAt: SystemTime().now())])
            #expect(try await store.commit([.advance(advance)], under: lease) == [1])
            try await store.release(lease)
            await #expect(throws: StoreError.self) { try await store.commit([.advance(advance)], under: lease) }
        }
        await store.close()
    }

    @Test(
        "tells the meaning of what a server says",
        arguments: [
            ("53100", StoreError.Code.full), ("40001", .busy), ("40P01", .busy), ("55P03", .busy), ("57014", .timedOut),
            ("25006", .readOnly), ("42501", .permission), ("42P01", .corrupt), ("42703", .corrupt), ("XX001", .corrupt),
            ("53300", .unavailable), ("57P03", .unavailable), ("08006", .unavailable), ("58030", .io),
        ])
    func meanings(_ state: String, _ code: StoreError.Code) {
        #expect(StoreError(PostgresError(sqlState: state, message: "m"), during: "test").code == code)
    }

    @Test("gives up on the server what was cancelled here, and what takes longer than the timeout")
    func cancelled() async throws {
        let fresh = try await Fresh("connection")
        let store = try await fresh.open()
        let patient = try await fresh.open(PostgresStoreOptions(statementTimeout: .milliseconds(200)))
        let holder = try Session(fresh)
        try holder.send("BEGIN; LOCK TABLE events_store IN ACCESS EXCLUSIVE MODE;")
        let late = await #expect(throws: StoreError.self) { try await patient.head() }
        #expect(late?.code == .busy || late?.code == .timedOut)
        for write in [false, true] {
            let work = Task { () async throws -> Void in
                if write { _ = try await store.append([append("c")]) } else { _ = try await store.head() }
            }
            try await eventually { try fresh.sql(Self.waiting) != "0" }
            work.cancel()
            let error = await #expect(throws: StoreError.self) { try await work.value }
            #expect(error?.code == .cancelled)
            try await eventually { try fresh.sql(Self.waiting) == "0" }
        }
        try holder.send("ROLLBACK;")
        try holder.end()
        #expect(try await store.stream(of: PersistenceID("c")) == nil)
        _ = try await store.append([append("c")])
        #expect(try await store.head() > .start)
        await store.close()
        await patient.close()
    }

    private static let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ego' AND wait_event_type = 'Lock'"

    @Test("makes what it acknowledges durable, whatever the role is set to")
    func durable() async throws {
        let fresh = try await Fresh("connection")
        let role = "careless_\(fresh.schema)"
        try fresh.sql(
            """
            CREATE ROLE \(role) LOGIN SUPERUSER; ALTER ROLE \(role) SET synchronous_commit = off;
            ALTER ROLE \(role) SET default_transaction_isolation = 'serializable'
            """)
        let url = try PostgresURL(fresh.server.url(schema: fresh.schema, user: role))
        let store = try await PostgresStore(url: url)
        let setting = try await store.read("look") { (connection) throws(PostgresError) in
            try connection.first("SELECT current_setting('synchronous_commit')") { $0.text(0) }
        }
        #expect(setting == "on")
        #expect(
            try await store.hazards(now: SystemTime().now(), isThorough: true).contains { $0.code == "not_durable" })
        await store.close()
    }

    @Test("does not call a transaction committed in which a statement has failed")
    func swallowedError() async throws {
        let fresh = try await Fresh("connection")
        let store = try await fresh.open()
        func advance(_ position: Int64) -> [OperatorChange] {
            let offset = CommittedOffset(
                shard: Shard(0), offset: Offset(position: Position(position)), committedAt: SystemTime().now())
            return [.advance(ProjectionAdvance(projection: "p", version: 1, offsets: [offset]))]
        }
        _ = try await store.commit(advance(1), under: nil)
        await #expect(throws: StoreError.self) {
            _ = try await store.commit(advance(2), under: nil) { transaction in
                _ = try? (transaction as? PostgresTransaction)?.execute("INSERT INTO nowhere VALUES (1)")
            }
        }
        #expect(try await store.offsets(of: "p", version: 1).map(\.offset.position.rawValue) == [1])
        await store.close()
    }

    @Test("takes a parameter for what it is, whatever it was the time before")
    func parameterTypes() async throws {
        let fresh = try await Fresh("connection")
        try fresh.sql("CREATE TABLE read_model (n int, x float8)")
        let store = try await fresh.open()
        for value in [PostgresValue.null, .integer(5), .real(2.5), .integer(7)] {
            _ = try await store.commit([], under: nil) { transaction in
                try (transaction as? PostgresTransaction)?.execute("INSERT INTO read_model (x) VALUES ($1)", [value])
            }
        }
        #expect(try fresh.sql("SELECT string_agg(coalesce(x::text, '-'), ' ') FROM read_model") == "- 5 2.5 7")
        await store.close()
    }

    @Test("refuses what cannot be adopted before anything is written")
    func refusesAdoption() async throws {
        let server = try PostgresServer.shared("connection")
        for change in [
            "ALTER TABLE events_store DROP CONSTRAINT events_store_pkey",
            "ALTER TABLE events_store ALTER \"timestamp\" TYPE timestamptz USING to_timestamp(\"timestamp\" / 1e9)",
            "ALTER TABLE events_store RENAME TO real; CREATE VIEW events_store AS SELECT * FROM real",
        ] {
            let database = try EgoGoDatabase(.v4, on: server)
            try database.sql(change)
            let error = await #expect(throws: StoreError.self) {
                try await PostgresStore.initialize(url: database.url, storeID: "x")
            }
            #expect(error?.code == .notAStore, "\(change)")
            #expect(try database.sql("SELECT count(*) FROM pg_class WHERE relname LIKE 'ego_%'") == "0")
        }
        // Numbers that nobody should have written end no process.
        let database = try EgoGoDatabase(.v4, on: server)
        try database.sql(
            """
            INSERT INTO events_store VALUES ('odd', -5, false, '', 'x', -9, 9223372036854775807, '', false),
                ('odd', 0, false, '\\x00', 'x', 9223372036854775807, -3, '', false)
            """)
        try await database.adopt()
        let store = try await database.open()
        #expect(try await journal(of: store).count == 1_762)
        _ = try await store.entities(EntityQuery(limit: 100))
        _ = try await store.hazards(now: SystemTime().now(), isThorough: true)
        await store.close()
    }

    @Test("keeps every law behind a proxy that gives each transaction another session", arguments: StoreContract.laws)
    func pooled(_ law: StoreLaw) async throws {
        try await law.check(PooledFixture(Proxy.shared()))
    }

    @Test("names a transaction that holds readers back, a clock that differs, and settings that lose data")
    func hazards() async throws {
        let fresh = try await Fresh("connection")
        let store = try await fresh.open()
        let later = SystemTime().now().advanced(by: .seconds(3_600))
        #expect(try await store.hazards(now: later, isThorough: true).map(\.code) == ["clock_skew"])
        try fresh.sql(
            "INSERT INTO events_store (persistence_id, sequence_number, event_payload, event_manifest, \"timestamp\", shard_number, transaction_id) VALUES ('x', 1, '', '', 1, 0, '99999999999')"
        )
        #expect(try await store.hazards(now: SystemTime().now(), isThorough: true).map(\.code) == ["foreign_order"])
        try fresh.sql("DROP INDEX ego_events_order")
        let flaws = try await store.flaws(isThorough: false)
        #expect(flaws.contains { $0.message.contains("transaction_id,position") })
        await store.close()
    }
}

/// Stores behind a real proxy, in transaction mode.
private struct PooledFixture: StoreFixture {
    let proxy: Proxy

    init(_ proxy: Proxy) { self.proxy = proxy }

    func makeStore() async throws -> any Store {
        let database = try proxy.makeDatabase()
        _ = try await PostgresStore.initialize(url: PostgresURL(proxy.direct(database)), storeID: database)
        let store = try await PostgresStore(url: PostgresURL(proxy.url(database)))
        #expect(try await store.server().isPooled)
        return store
    }

    func reopen(_ store: any Store) async throws -> any Store {
        guard let store = store as? PostgresStore else { return store }
        await store.close()
        return try await PostgresStore(url: store.url)
    }

    func second(_ store: any Store) async throws -> any Store {
        guard let store = store as? PostgresStore else { return store }
        return try await PostgresStore(url: store.url)
    }

    func count(_ name: String, in transaction: any ReadModelTransaction) throws {
        guard let transaction = transaction as? PostgresTransaction else { return }
        try transaction.execute("CREATE TABLE IF NOT EXISTS counters (name text PRIMARY KEY, value bigint)")
        try transaction.execute(
            "INSERT INTO counters AS c VALUES ($1, 1) ON CONFLICT (name) DO UPDATE SET value = c.value + 1",
            [.text(name)])
    }

    func counter(_ name: String, of store: any Store) async throws -> Int {
        guard let store = store as? PostgresStore else { return 0 }
        return try await store.read("look") { (connection) throws(PostgresError) in
            guard try connection.first("SELECT to_regclass('counters') IS NOT NULL", [], { $0.bool(0) }) == true else {
                return 0
            }
            return try connection.first("SELECT value FROM counters WHERE name = $1", [.text(name)]) {
                Int($0.integer(0))
            } ?? 0
        }
    }
}
