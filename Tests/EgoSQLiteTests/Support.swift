import ChildProcess
import EgoCore
import EgoSQLite
import Foundation

/// A folder that goes when it is no longer used.
final class TemporaryFolder: Sendable {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appending(path: "ego-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(at: url)
    }

    func path(_ name: String) -> String { url.appending(path: name).path }
}

func newStore(_ path: String, options: SQLiteStoreOptions = SQLiteStoreOptions()) async throws -> SQLiteStore {
    _ = try SQLiteStore.initialize(path: path, storeID: UUID().uuidString, options: options)
    return try await SQLiteStore(path: path, options: options)
}

/// The program that tests start and kill, built beside them.
func exerciser(_ arguments: [String], output: Pipe? = nil, input: Pipe? = nil) throws -> ChildProcess {
    let process = ChildProcess()
    process.executableURL = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
        .appending(path: "StoreExerciser")
    process.arguments = arguments
    if let output { process.standardOutput = output }
    if let input { process.standardInput = input }
    process.standardError = FileHandle.nullDevice
    try process.run()
    return process
}

func allEvents(of id: PersistenceID, in store: any Store) async throws -> [PersistedEvent] {
    var events: [PersistedEvent] = []
    while true {
        let next = events.last?.sequenceNumber.next ?? 1
        let page = try await store.events(of: id, from: next, through: .max, limit: .standard)
        if page.isEmpty { return events }
        events += page
    }
}
