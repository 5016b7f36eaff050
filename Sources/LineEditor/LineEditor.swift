import CReadline
import Dispatch
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Lines that a user types at a terminal, edited by GNU readline with the user's own `inputrc`.
///
/// Readline keeps its state in variables of the process: there is one editor, ``shared``. All of its work is done on a
/// queue of its own, where it may block. It handles no signals; whoever does says so with ``interrupt()``, ``resize()``,
/// ``suspend()`` and ``stop()``, which may be called from anywhere.
public final class LineEditor: Sendable {
    /// How a line ended.
    public enum Answer: Sendable, Hashable {
        /// With Return. A paste may hold line breaks.
        case line(String)
        /// With ``LineEditor/interrupt()``: what was typed is dropped.
        case interrupted
        /// With Ctrl-D on an empty line, because the terminal is gone, or with ``LineEditor/stop()``.
        case end
    }

    /// The editor of this process.
    public static let shared = LineEditor()

    /// What is under way on the queue; readline's callbacks have no other way to reach it.
    struct State {
        var isPrepared = false
        var isReading = false
        var isStopped = false
        /// Whether a key that is waited for does not matter any more.
        var isInterrupted = false
        var answer: Answer?
        var completer: (@Sendable (String) -> LineCompletion)?
        /// The words that are left to give to readline.
        var candidates: ArraySlice<String> = []
    }

    static let state = Mutex(State())
    private let queue = DispatchQueue(label: "ego.line-editor")
    /// Signals come in through a pipe, so that nothing is missed between looking and waiting.
    private let wakeUp: (read: Int32, write: Int32)

    private enum Event: UInt8 {
        case interrupt = 0x69
        case resize = 0x77
        case suspend = 0x7a
        case stop = 0x73
    }

    private init() {
        var ends: [Int32] = [-1, -1]
        _ = pipe(&ends)
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        wakeUp = (ends[0], ends[1])
    }

    /// Reads a line. Only one may be read at a time.
    ///
    /// - Parameters:
    ///   - prompt: stands before the line.
    ///   - text: stands there to be edited.
    ///   - completer: asked at each Tab with the line up to the cursor, on the editor's queue; nil for no completion.
    public func readLine(
        prompt: String, text: String = "", completer: (@Sendable (String) -> LineCompletion)? = nil
    ) async -> Answer {
        await withCheckedContinuation { continuation in
            queue.async { continuation.resume(returning: self.read(prompt, text, completer)) }
        }
    }

    /// Drops the line that is being typed; returns whether there is one.
    public func interrupt() -> Bool {
        let isTyping = Self.state.withLock { state in
            let isTyping = state.isReading && state.answer == nil
            if isTyping { state.isInterrupted = true }
            return isTyping
        }
        if isTyping { wake(.interrupt) }
        return isTyping
    }

    /// Draws the line anew, for a window of another size.
    public func resize() { wake(.resize) }

    /// Stops the process until it is continued, with the terminal as it was; the line is there again afterwards.
    public func suspend() {
        if Self.state.withLock({ $0.isReading }) { wake(.suspend) } else { Self.stopProcess() }
    }

    /// Ends the line that is being typed, and every later one at once.
    public func stop() {
        Self.state.withLock { ($0.isStopped, $0.isInterrupted) = (true, true) }
        wake(.stop)
    }

    private func wake(_ event: Event) {
        var byte = event.rawValue
        // A full pipe holds enough to wake up for.
        _ = systemWrite(wakeUp.write, &byte, 1)
    }

    // MARK: On the queue

    private func read(_ prompt: String, _ text: String, _ completer: (@Sendable (String) -> LineCompletion)?) -> Answer
    {
        prepare()
        drain()
        if Self.state.withLock({ $0.isStopped }) { return .end }
        Self.state.withLock { state in
            state.isReading = true
            state.isInterrupted = false
            state.answer = nil
            state.completer = completer
        }
        defer { Self.state.withLock { $0.isReading = false } }
        // The window may have changed while nobody read.
        rl_reset_screen_size()
        rl_callback_handler_install(prompt) { line in
            // Here, so that the prompt is not drawn once more.
            rl_callback_handler_remove()
            let answer = line.map { Answer.line(String(decoding: Array(UnsafeCString($0)), as: UTF8.self)) } ?? .end
            free(line)
            LineEditor.state.withLock { $0.answer = answer }
        }
        if !text.isEmpty {
            rl_insert_text(text)
            rl_redisplay()
        }
        while true {
            var descriptors = [
                pollfd(fd: 0, events: Int16(POLLIN), revents: 0),
                pollfd(fd: wakeUp.read, events: Int16(POLLIN), revents: 0),
            ]
            if poll(&descriptors, 2, -1) < 0, errno != EINTR { return drop() }
            if descriptors[1].revents != 0, let answer = handleEvents() { return answer }
            if descriptors[0].revents != 0 {
                rl_callback_read_char()
                if let answer = Self.state.withLock({ $0.answer }) {
                    if answer == .end { Self.endLine() }
                    // Ctrl-C right after Return: the line is not run.
                    let events = drain().compactMap(Event.init)
                    if events.contains(.stop) { return .end }
                    return events.contains(.interrupt) ? .interrupted : answer
                }
            }
        }
    }

    /// Once before the first line.
    private func prepare() {
        let isFirst = Self.state.withLock { state in
            defer { state.isPrepared = true }
            return !state.isPrepared
        }
        guard isFirst else { return }
        // Without a locale of the user's, text is UTF-8 all the same.
        setlocale(LC_ALL, "")
        if String(cString: nl_langinfo(Int32(CODESET))) == "ANSI_X3.4-1968" { setlocale(LC_CTYPE, "C.UTF-8") }
        ego_rl_set_name()
        ego_rl_leave_signals_alone()
        ego_rl_set_word_breaks()
        ego_rl_set_completer { LineEditor.complete($0, from: $1, to: $2) }
        using_history()
        ego_rl_set_reader { _ in LineEditor.readByte() }
        rl_initialize()
        let marksPastes = rl_variable_value("enable-bracketed-paste").map { String(cString: $0) }
        TerminalGuard.install(marksPastes: marksPastes == "on")
    }

    /// The next key, for readline; where it waits for one by itself, an interruption is its key to give up.
    private static func readByte() -> Int32 {
        while true {
            var descriptor = pollfd(fd: 0, events: Int16(POLLIN), revents: 0)
            let ready = poll(&descriptor, 1, 100)
            if ready < 0, errno != EINTR { return -1 }
            if ready > 0 {
                var byte: UInt8 = 0
                let count = systemRead(0, &byte, 1)
                if count == 1 { return Int32(byte) }
                if count == 0 || errno != EINTR { return -1 }
            } else if state.withLock({ $0.isInterrupted }) {
                return 0x07
            }
        }
    }

    /// Stops the process as Ctrl-Z does where nobody handles it: not at all where no shell could continue it.
    private static func stopProcess() {
        var (stop, before) = (sigset_t(), sigset_t())
        sigemptyset(&stop)
        sigaddset(&stop, SIGTSTP)
        signal(SIGTSTP, SIG_DFL)
        pthread_sigmask(SIG_UNBLOCK, &stop, &before)
        raise(SIGTSTP)
        pthread_sigmask(SIG_SETMASK, &before, nil)
        signal(SIGTSTP, SIG_IGN)
    }

    @discardableResult
    private func drain() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = systemRead(wakeUp.read, &bytes, bytes.count)
        return Array(bytes.prefix(max(0, count)))
    }

    private func handleEvents() -> Answer? {
        for event in drain().compactMap(Event.init) {
            switch event {
            case .interrupt:
                ego_rl_move_to_end()
                rl_redisplay()
                Self.write("^C")
                _ = drop()
                return .interrupted
            case .stop: return drop()
            case .resize: rl_resize_terminal()
            case .suspend:
                ego_rl_release_terminal()
                Self.stopProcess()
                ego_rl_prepare_terminal()
                rl_forced_update_display()
            }
        }
        return nil
    }

    /// Leaves the line as it stands, with the terminal as it was before.
    private func drop() -> Answer {
        rl_free_line_state()
        rl_callback_sigcleanup()
        rl_callback_handler_remove()
        Self.endLine()
        return .end
    }

    private static func endLine() { write("\n") }

    /// Readline writes through the C library, and leaves nothing in its buffer.
    private static func write(_ text: String) {
        let bytes = Array(text.utf8)
        _ = systemWrite(1, bytes, bytes.count)
    }

    // MARK: History

    /// Takes a line into the list that the arrow keys go through, which holds `limit` lines at most.
    public func remember(_ lines: [String], limit: Int) {
        queue.async {
            self.prepare()
            stifle_history(Int32(clamping: limit))
            for line in lines { add_history(line) }
        }
    }
}

private func systemWrite(_ descriptor: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
    write(descriptor, bytes, count)
}

private func systemRead(_ descriptor: Int32, _ bytes: UnsafeMutableRawPointer, _ count: Int) -> Int {
    read(descriptor, bytes, count)
}

/// The bytes of a C string.
private struct UnsafeCString: Sequence {
    private let start: UnsafePointer<CChar>

    init(_ start: UnsafePointer<CChar>) { self.start = start }

    func makeIterator() -> AnyIterator<UInt8> {
        var next = start
        return AnyIterator {
            guard next.pointee != 0 else { return nil }
            defer { next += 1 }
            return UInt8(bitPattern: next.pointee)
        }
    }
}
