import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Shows text that is taller than the terminal through a pager; shorter text goes straight to the terminal.
public final class Pager: OutputSink {
    private struct State {
        var held: [UInt8]? = []
        var lines = 0
        var process: pid_t?
        var input: FileDescriptorSink?
        var descriptor: Int32 = -1
    }

    /// Whether a pager has the terminal: then nothing else is drawn there, and Ctrl-C is for it alone.
    public static var isRunning: Bool { running.load(ordering: .relaxed) }

    private static let running = Atomic(false)

    private let command: String
    private let rows: Int
    private let terminal: any OutputSink
    private let state = Mutex(State())

    /// A pager that starts when there are more lines than rows.
    ///
    /// - Parameter command: a line of the shell, as `less -R`.
    public init(_ command: String, rows: Int, terminal: any OutputSink) {
        self.command = command
        self.rows = rows
        self.terminal = terminal
    }

    public func write(bytes: some Sequence<UInt8>) throws(OutputError) {
        let bytes = Array(bytes)
        let target: (any OutputSink)? = state.withLock { state in
            if let input = state.input { return input }
            guard state.held != nil else { return terminal }
            state.held?.append(contentsOf: bytes)
            state.lines += bytes.count { $0 == 0x0a }
            if state.lines >= rows { start(&state) }
            return nil
        }
        if let target {
            try target.write(bytes: bytes)
        } else {
            try release(always: false)
        }
    }

    public func flush() throws(OutputError) {
        if let input = state.withLock({ $0.input }) { try input.flush() }
    }

    public func check() throws(OutputError) { try terminal.check() }

    /// Writes what is left, and waits until the user has left the pager.
    public func close() throws(OutputError) {
        try release(always: true)
        let (input, process, descriptor) = state.withLock { ($0.input, $0.process, $0.descriptor) }
        var failure: OutputError?
        do throws(OutputError) { try (input ?? terminal).flush() } catch { failure = error }
        if let process {
            systemClose(descriptor)
            var status: Int32 = 0
            while waitpid(process, &status, 0) < 0, errno == EINTR {}
            Self.running.store(false, ordering: .relaxed)
        }
        if let failure { throw failure }
    }

    /// Hands on what was held back, once it is known where it goes.
    private func release(always: Bool) throws(OutputError) {
        let (held, target) = state.withLock { state -> ([UInt8], (any OutputSink)?) in
            guard let held = state.held, state.input != nil || always || state.lines >= rows else { return ([], nil) }
            state.held = nil
            return (held, state.input ?? terminal)
        }
        if let target { try target.write(bytes: held) }
    }

    /// Starts the pager; without one the text goes to the terminal.
    private func start(_ state: inout State) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { return }
        _ = fcntl(ends[1], F_SETFD, FD_CLOEXEC)
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_adddup2(&actions, ends[0], 0)
        posix_spawn_file_actions_addclose(&actions, ends[0])
        defer { posix_spawn_file_actions_destroy(&actions) }
        // A pager handles these signals itself; this process ignores or catches them.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        for number in [SIGINT, SIGTERM, SIGPIPE, SIGXFSZ] { sigaddset(&signals, number) }
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF))
        var arguments: [UnsafeMutablePointer<CChar>?] = ["sh", "-c", command].map { (word: String) in strdup(word) }
        arguments.append(nil)
        defer { for argument in arguments { free(argument) } }
        var process: pid_t = 0
        let failed = posix_spawn(&process, "/bin/sh", &actions, &attributes, &arguments, environ)
        systemClose(ends[0])
        if failed != 0 {
            systemClose(ends[1])
            return
        }
        state.process = process
        state.descriptor = ends[1]
        state.input = FileDescriptorSink(ends[1])
        Self.running.store(true, ordering: .relaxed)
    }
}

private func systemClose(_ descriptor: Int32) { close(descriptor) }
