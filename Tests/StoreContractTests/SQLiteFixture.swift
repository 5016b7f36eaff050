import EgoCore
import EgoSQLite
import EgoTestKit
import Foundation
import Synchronization

/// SQLite stores in a temporary directory that goes when the fixture does.
final class SQLiteFixture: StoreFixture {
    private let directory: URL
    private let number = Mutex(0)

    init() throws {
        directory = FileManager.default.temporaryDirectory.appending(path: "ego-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(at: directory)
    }

    func makeStore() async throws -> any Store {
        let number = number.withLock { number in
            number += 1
            return number
        }
        let path = directory.appending(path: "\(number).db").path
        _ = try SQLiteStore.initialize(path: path, storeID: UUID().uuidString)
        return try await SQLiteStore(path: path)
    }

    func reopen(_ store: any Store) async throws -> any Store {
        guard let store = store as? SQLiteStore else { return store }
        // What a crash leaves: the files as they are now, with the log that no connection has checkpointed.
        let copy = store.path.replacingOccurrences(of: ".db", with: "-\(UUID().uuidString).db")
        for suffix in ["", "-wal"] where FileManager.default.fileExists(atPath: store.path + suffix) {
            try FileManager.default.copyItem(atPath: store.path + suffix, toPath: copy + suffix)
        }
        await store.close()
        return try await SQLiteStore(path: copy)
    }

    func second(_ store: any Store) async throws -> any Store {
        guard let store = store as? SQLiteStore else { return store }
        return try await SQLiteStore(path: store.path)
    }

    func count(_ name: String, in transaction: any ReadModelTransaction) throws {
        guard let transaction = transaction as? SQLiteTransaction else { return }
        try transaction.execute("CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER)")
        try transaction.execute(
            "INSERT INTO counters VALUES (?1, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1", [.text(name)])
    }

    func counter(_ name: String, of store: any Store) async throws -> Int {
        let value = Mutex(0)
        _ = try await store.commit([], under: nil) { transaction in
            guard let transaction = transaction as? SQLiteTransaction else { return }
            let tables = try transaction.rows("SELECT 1 FROM sqlite_master WHERE name = 'counters'")
            if tables.isEmpty { return }
            let rows = try transaction.rows("SELECT value FROM counters WHERE name = ?1", [.text(name)])
            if case .integer(let count)? = rows.first?.first { value.withLock { $0 = Int(count) } }
        }
        return value.withLock { $0 }
    }
}
