package import Foundation
import Synchronization

/// A program that a test starts: what `Foundation.Process` does, but nothing of this process is open in it but its three
/// streams.
///
/// Foundation's leaves descriptors open that other threads make at that moment. A program that got the end of another's
/// pipe in this way keeps that one from ever seeing its input's end, and a test that waits for it waits for ever.
package final class ChildProcess: @unchecked Sendable {
    /// The program, an absolute path.
    package var executableURL: URL?
    package var arguments: [String] = []
    /// Its environment; this process's when nil.
    package var environment: [String: String]?
    package var currentDirectoryURL: URL?
    /// A `Pipe` or a `FileHandle`; nothing to read when nil.
    package var standardInput: Any?
    /// A `Pipe` or a `FileHandle`; this process's when nil.
    package var standardOutput: Any?
    /// A `Pipe` or a `FileHandle`; this process's when nil.
    package var standardError: Any?
    /// How long ``waitUntilExit()`` waits before it kills the program.
    package static let limit: Duration = .seconds(300)

    private struct State {
        var id: pid_t = 0
        var status: Int32?
    }
    private let state = Mutex(State())

    /// A program could not be started, by the number of the system's error.
    package struct Failure: Error, CustomStringConvertible {
        package let description: String
    }

    package init() {}

    /// The process's number; 0 before it runs.
    package var processIdentifier: pid_t { state.withLock(\.id) }

    /// Whether it was started and has not ended.
    package var isRunning: Bool {
        state.withLock { state in
            if state.id == 0 || state.status != nil { return false }
            var status: Int32 = 0
            guard waitpid(state.id, &status, WNOHANG) == state.id else { return true }
            state.status = status
            return false
        }
    }

    /// Its exit code, or the signal that ended it.
    package var terminationStatus: Int32 {
        let status = state.withLock { $0.status } ?? 0
        return status & 0x7f == 0 ? (status >> 8) & 0xff : status & 0x7f
    }

    package var terminationReason: Process.TerminationReason {
        (state.withLock { $0.status } ?? 0) & 0x7f == 0 ? .exit : .uncaughtSignal
    }

    /// Its exit code, or the signal that ended it as a negative number.
    package var result: Int32 { terminationReason == .uncaughtSignal ? -terminationStatus : terminationStatus }

    /// Starts it. The program's ends of its pipes are closed in this process.
    package func run() throws {
        guard let program = executableURL?.path else { throw Failure(description: "no program") }
        let nothing = try FileHandle(forUpdating: URL(filePath: "/dev/null"))
        let input = Self.end(standardInput ?? nothing, \.fileHandleForReading)
        let output = Self.end(standardOutput, \.fileHandleForWriting)
        let errors = Self.end(standardError, \.fileHandleForWriting)

        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (handle, number) in [(input, STDIN_FILENO), (output, STDOUT_FILENO), (errors, STDERR_FILENO)] {
            if let handle { posix_spawn_file_actions_adddup2(&actions, handle.fileDescriptor, number) }
        }
        _ = addCloseFrom(&actions, 3)
        if let folder = currentDirectoryURL?.path { _ = addChangeDirectory(&actions, folder) }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var (none, ordinary) = (sigset_t(), sigset_t())
        sigemptyset(&none)
        sigemptyset(&ordinary)
        for signal in [SIGPIPE, SIGINT, SIGTERM, SIGHUP] { sigaddset(&ordinary, signal) }
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &ordinary)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))

        let words = ([program] + arguments).map { strdup($0) } + [nil]
        let variables = (environment ?? ProcessInfo.processInfo.environment).map { strdup("\($0)=\($1)") } + [nil]
        defer { for text in words + variables { free(text) } }
        var id: pid_t = 0
        let code = posix_spawn(&id, program, &actions, &attributes, words, variables)
        guard code == 0 else { throw Failure(description: "\(program): \(String(cString: strerror(code)))") }
        state.withLock { $0.id = id }
        if standardInput is Pipe { try input?.close() }
        for (stream, end) in [(standardOutput, output), (standardError, errors)] where stream is Pipe {
            try? end?.close()
        }
    }

    private static func end(_ stream: Any?, _ end: KeyPath<Pipe, FileHandle>) -> FileHandle? {
        if let pipe = stream as? Pipe { return pipe[keyPath: end] }
        return stream as? FileHandle
    }

    /// Waits for its end, and kills it after ``limit``.
    package func waitUntilExit() {
        let deadline = ContinuousClock.now + Self.limit
        while isRunning {
            if ContinuousClock.now > deadline { kill(processIdentifier, SIGKILL) }
            usleep(1000)
        }
    }
}

// Of the GNU C library (2.34 and later), whose module does not show them.
@_silgen_name("posix_spawn_file_actions_addclosefrom_np")
private func addCloseFrom(_ actions: UnsafeMutablePointer<posix_spawn_file_actions_t>, _ first: Int32) -> Int32

@_silgen_name("posix_spawn_file_actions_addchdir_np")
private func addChangeDirectory(
    _ actions: UnsafeMutablePointer<posix_spawn_file_actions_t>, _ path: UnsafePointer<CChar>
) -> Int32
