import BankDomain
import ChildProcess
import EgoCore
import EgoOperations
import EgoSQLite
import EgoTestKit
import Foundation

/// A folder that goes when it is no longer used.
final class Folder: Sendable {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appending(path: "ego-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    func path(_ name: String) -> String { url.appending(path: name).path }

    func bytes(_ name: String) -> Data? { FileManager.default.contents(atPath: path(name)) }

    func text(_ name: String) -> String { String(decoding: bytes(name) ?? Data(), as: UTF8.self) }

    func write(_ text: String, to name: String) throws {
        try text.write(toFile: path(name), atomically: true, encoding: .utf8)
    }

    /// A new store.
    func store(_ name: String, shards: UInt32 = 16) async throws -> SQLiteStore {
        _ = try SQLiteStore.initialize(path: path(name), shardCount: shards, storeID: "store of \(name)")
        return try await SQLiteStore(path: path(name))
    }

    /// A new store with the sample bank.
    func bank(_ name: String, entities: Int = 3, events: Int = 60) async throws -> SQLiteStore {
        let store = try await store(name)
        let parameters = SampleParameters(entities: entities, events: events, isLegacy: false, seed: 7)
        _ = try await SampleFill(store: store, sample: BankSample()).run(parameters)
        return store
    }
}

let operatorForTests = Operator(name: "ann@test", process: 0, reason: "a test")

/// Runs the exerciser; returns what it printed and how it ended, negative for a signal.
func exercise(_ arguments: [String]) throws -> (code: Int32, output: String) {
    let process = ChildProcess()
    process.executableURL = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
        .appending(path: "StoreExerciser")
    process.arguments = arguments
    let output = Pipe()
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    try process.run()
    let data = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    let code =
        process.terminationReason == .uncaughtSignal ? -process.terminationStatus : process.terminationStatus
    return (code, String(decoding: data, as: UTF8.self))
}
