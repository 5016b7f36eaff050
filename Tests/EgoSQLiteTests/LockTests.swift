import ChildProcess
import EgoCore
import EgoSQLite
import EgoTestKit
import Foundation
import Testing

@Suite("Locks of a SQLite store")
struct LockTests {
    @Test("stay when the same process looks at the file once more")
    func second() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "ego-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appending(path: "ego.db").path
        _ = try SQLiteStore.initialize(path: path, storeID: "locks")
        let store = try await SQLiteStore(path: path)
        _ = try await store.append([
            AppendRequest(
                persistenceID: PersistenceID(stored: "a"), expectedVersion: .any,
                events: [NewEvent(timestamp: SystemTime().now(), payload: [10, 3, 97, 47, 98])])
        ])

        // Closing any descriptor of a file gives up all locks that the process holds on it.
        guard case .current = try SQLiteStore.schema(path: path) else { throw POSIXError(.EINVAL) }
        await (try SQLiteStore(path: path, options: SQLiteStoreOptions(readOnly: true))).close()

        // Another process that comes and goes must see that it is not the last one: the last one deletes the log.
        let process = ChildProcess()
        process.executableURL = URL(filePath: "/usr/bin/python3")
        process.arguments = [
            "-c",
            "import sqlite3,sys; d=sqlite3.connect(sys.argv[1]); d.execute('select count(*) from sqlite_master').fetchall(); d.close()",
            path,
        ]
        process.standardInput = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        #expect(FileManager.default.fileExists(atPath: path + "-wal"), "the log of an open store is gone")
        await store.close()
    }
}
