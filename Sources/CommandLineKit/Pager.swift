import Synchronization

/// Shows text that is taller than the terminal through a pager; shorter text goes straight to the terminal.
public final class Pager: OutputSink {
    private struct State {
        var held: [UInt8]? = []
        var lines = 0
        var pipe: ShellPipe?
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
            if let pipe = state.pipe { return pipe }
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
        if let pipe = state.withLock({ $0.pipe }) { try pipe.flush() }
    }

    public func check() throws(OutputError) { try terminal.check() }

    /// Writes what is left, and waits until the user has left the pager.
    public func close() throws(OutputError) {
        try release(always: true)
        guard let pipe = state.withLock({ $0.pipe }) else { return try terminal.flush() }
        defer { Self.running.store(false, ordering: .relaxed) }
        try pipe.close()
    }

    /// Hands on what was held back, once it is known where it goes.
    private func release(always: Bool) throws(OutputError) {
        let (held, target) = state.withLock { state -> ([UInt8], (any OutputSink)?) in
            guard let held = state.held, state.pipe != nil || always || state.lines >= rows else { return ([], nil) }
            state.held = nil
            return (held, state.pipe ?? terminal)
        }
        if let target { try target.write(bytes: held) }
    }

    /// Starts the pager; without one the text goes to the terminal.
    private func start(_ state: inout State) {
        guard let pipe = ShellPipe(command) else { return }
        state.pipe = pipe
        Self.running.store(true, ordering: .relaxed)
    }
}
