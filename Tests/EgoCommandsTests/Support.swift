import BankDomain
import ChildProcess
import CommandLineKit
import EgoCommands
import EgoCore
import Foundation
import Synchronization

/// A clock that stands still.
struct FixedTime: TimeSource {
    func now() -> Timestamp { Timestamp(unixNanoseconds: 1_772_447_400_123_456_789) }
    func sleep(for duration: Duration) async throws { try await Task.sleep(for: duration) }
}

/// A folder with stores that goes when it is no longer used.
final class Workplace: Sendable {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appending(path: "ego-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(at: url)
    }

    func path(_ name: String) -> String { url.appending(path: name).path }

    /// A bank of three accounts and sixty events.
    func bank(_ name: String = "bank.db", _ more: String...) async throws -> String {
        let store = "sqlite:\(path(name))"
        let result = await run(["demo", "--store", store, "--entities", "3", "--events", "60", "--seed", "7"] + more)
        precondition(result.code == 0, result.errors)
        return store
    }

    /// Runs a command line in this process.
    func run(
        _ arguments: [String], environment: [String: String] = [:], input: String? = nil, domain: Domain = .bank
    ) async -> (code: Int32, output: String, errors: String) {
        let (output, errors) = (MemorySink(), MemorySink())
        var variables = ["XDG_CONFIG_HOME": url.appending(path: "none").path]
        variables.merge(environment) { $1 }
        let rest = Mutex(input.map { Array($0.utf8) })
        let console = Console(
            output: output, errors: errors, environment: variables,
            readBlock: {
                rest.withLock { rest in
                    defer { if rest != nil { rest = [] } }
                    return rest
                }
            })
        let code = await EgoCommandLine(domain: domain, sample: BankSample(), time: FixedTime())
            .run(arguments, console: console)
        return (code, output.text, errors.text)
    }

    /// What a store holds, byte for byte.
    func snapshot(of name: String) -> [String: Data] {
        var files: [String: Data] = [:]
        for suffix in ["", "-wal"] {
            // Reading a database in WAL mode leaves an empty log behind.
            guard let data = FileManager.default.contents(atPath: path(name + suffix)), !data.isEmpty else { continue }
            files[suffix] = data
        }
        return files
    }
}

/// The built program.
let egoBinary = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent().appending(path: "ego")

/// Runs a shell script in which `$EGO` is the built program.
func shell(
    _ script: String, in folder: URL, environment: [String: String] = [:]
) throws -> (code: Int32, output: String, errors: String) {
    let process = ChildProcess()
    process.executableURL = URL(filePath: "/bin/bash")
    process.arguments = ["-c", script]
    process.currentDirectoryURL = folder
    var variables = [
        "PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "EGO": egoBinary.path, "XDG_CONFIG_HOME": folder.path,
        "SWIFT_BACKTRACE": "enable=no",
    ]
    variables.merge(environment) { $1 }
    process.environment = variables
    // Not in the folder itself, which a test may have made unwritable.
    let files = try Workplace()
    let (output, errors) = (files.url.appending(path: "output"), files.url.appending(path: "errors"))
    for file in [output, errors] { try Data().write(to: file) }
    process.standardOutput = try FileHandle(forWritingTo: output)
    process.standardError = try FileHandle(forWritingTo: errors)
    process.standardInput = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    return (
        process.terminationReason == .uncaughtSignal ? -process.terminationStatus : process.terminationStatus,
        try String(contentsOf: output, encoding: .utf8), try String(contentsOf: errors, encoding: .utf8)
    )
}

/// The one JSON document of a text; nil when it is none.
func json(_ text: String) -> [String: Any]? {
    (try? JSONSerialization.jsonObject(with: Data(text.utf8))) as? [String: Any]
}
