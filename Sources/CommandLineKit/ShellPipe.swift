import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A line of the shell that reads what is written here.
public final class ShellPipe: OutputSink {
    private struct State {
        var process: pid_t
        var descriptor: Int32
        var isClosed = false
        var exitStatus: Int32 = 0
    }

    private let sink: FileDescriptorSink
    private let state: Mutex<State>

    /// Starts `sh -c` with the line; nil when it cannot be started.
    public init?(_ line: String) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { return nil }
        _ = fcntl(ends[1], F_SETFD, FD_CLOEXEC)
        guard let process = Shell.start(line, input: ends[0]) else {
            for end in ends { systemClose(end) }
            return nil
        }
        systemClose(ends[0])
        sink = FileDescriptorSink(ends[1])
        state = Mutex(State(process: process, descriptor: ends[1]))
    }

    public func write(bytes: some Sequence<UInt8>) throws(OutputError) { try sink.write(bytes: bytes) }

    public func flush() throws(OutputError) { try sink.flush() }

    /// Writes what is left, and waits until the program has ended.
    ///
    /// - Returns: its exit code; that of a shell for one that a signal ended.
    @discardableResult
    public func close() throws(OutputError) -> Int32 {
        var failure: OutputError?
        do throws(OutputError) { try sink.flush() } catch { failure = error }
        let code = state.withLock { state in
            if state.isClosed { return state.exitStatus }
            state.isClosed = true
            systemClose(state.descriptor)
            state.exitStatus = Shell.wait(for: state.process)
            return state.exitStatus
        }
        if let failure { throw failure }
        return code
    }
}

/// Runs lines of the shell with this process's terminal.
public enum Shell {
    /// Whether a line has the terminal: then Ctrl-C is for it alone.
    public static var isRunning: Bool { running.load(ordering: .relaxed) > 0 }

    private static let running = Atomic(0)

    /// Runs a line and waits for its end; nil when it cannot be started.
    public static func run(_ line: String) -> Int32? {
        running.add(1, ordering: .relaxed)
        defer { running.subtract(1, ordering: .relaxed) }
        return start(line, input: nil).map { wait(for: $0) }
    }

    static func start(_ line: String, input: Int32?) -> pid_t? {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let input {
            posix_spawn_file_actions_adddup2(&actions, input, 0)
            posix_spawn_file_actions_addclose(&actions, input)
        }
        // What this process ignores or catches, a program handles itself.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        for number in [SIGINT, SIGTERM, SIGPIPE, SIGXFSZ, SIGTSTP, SIGWINCH, SIGQUIT, SIGHUP] {
            sigaddset(&signals, number)
        }
        posix_spawnattr_setsigdefault(&attributes, &signals)
        // A thread of this process may hold signals back; that is no reason for a program to do so.
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))
        var arguments: [UnsafeMutablePointer<CChar>?] = ["sh", "-c", line].map { (word: String) in strdup(word) }
        arguments.append(nil)
        defer { for argument in arguments { free(argument) } }
        var process: pid_t = 0
        return posix_spawn(&process, "/bin/sh", &actions, &attributes, &arguments, environ) == 0 ? process : nil
    }

    static func wait(for process: pid_t) -> Int32 {
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        return status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f)
    }
}

private func systemClose(_ descriptor: Int32) { close(descriptor) }
