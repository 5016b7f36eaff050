import EgoCore
import EgoPostgres
import EgoTestKit
import Foundation
import PostgresServer
import Synchronization

/// PostgreSQL stores, each in a schema of its own.
final class PostgresFixture: StoreFixture {
    private let server: PostgresServer

    init() throws {
        server = try PostgresServer.shared("contract")
    }

    func makeStore() async throws -> any Store {
        let url = try PostgresURL(server.url(schema: try server.makeSchema()))
        _ = try await PostgresStore.initialize(url: url, storeID: UUID().uuidString)
        return try await PostgresStore(url: url)
    }

    func reopen(_ store: any Store) async throws -> any Store {
        guard let store = store as? PostgresStore else { return store }
        server.kill()
        try server.start()
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
        let value = Mutex(0)
        _ = try await store.commit([], under: nil) { transaction in
            guard let transaction = transaction as? PostgresTransaction else { return }
            let tables = try transaction.rows("SELECT 1 WHERE to_regclass('counters') IS NOT NULL")
            if tables.isEmpty { return }
            let rows = try transaction.rows("SELECT value FROM counters WHERE name = $1", [.text(name)])
            if case .integer(let count)? = rows.first?.first { value.withLock { $0 = Int(count) } }
        }
        return value.withLock { $0 }
    }
}
