import ChildProcess
import Foundation

/// A process of the program that tests start and kill. It does not outlive this object.
package final class ExerciserProcess {
    private let process = ChildProcess()
    private let file: URL

    /// Starts it; it is built beside the tests.
    package init(_ arguments: [String]) throws {
        file = FileManager.default.temporaryDirectory.appending(path: "ego-said-\(UUID().uuidString)")
        try Data().write(to: file)
        let output = try FileHandle(forWritingTo: file)
        process.executableURL = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
            .appending(path: "StoreExerciser")
        process.arguments = arguments
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        try output.close()
    }

    deinit {
        kill()
        try? FileManager.default.removeItem(at: file)
    }

    /// The process's number.
    package var id: Int32 { process.processIdentifier }

    /// Whether it has not ended.
    package var isRunning: Bool { process.isRunning }

    /// What it has said, a line each.
    package var lines: [Substring] {
        String(decoding: FileManager.default.contents(atPath: file.path) ?? Data(), as: UTF8.self).split(
            separator: "\n")
    }

    /// How many pages it says it has processed.
    package var pages: Int { lines.count { $0.hasPrefix("page ") } }

    /// Kills it, and waits for its end.
    package func kill() {
        if process.isRunning { Foundation.kill(process.processIdentifier, SIGKILL) }
        process.waitUntilExit()
    }

    /// Waits for its end; returns its exit code, negative for a signal.
    ///
    /// - Throws: ``TooLate`` after a minute.
    package func end() async throws -> Int32 {
        // Tests share few threads; none of them is to stand still here.
        try await poll("its end") { !process.isRunning }
        return process.terminationReason == .uncaughtSignal ? -process.terminationStatus : process.terminationStatus
    }
}
