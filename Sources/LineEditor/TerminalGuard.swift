import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Gives the terminal back as it was, also when the process crashes while a line is being edited.
public enum TerminalGuard {
    private static let signals = [SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGABRT, SIGFPE, SIGHUP]
    private static let isInstalled = Atomic(false)

    // Written once before the handlers are installed; a handler of signals may take no lock and no memory.
    nonisolated(unsafe) private static let settings = UnsafeMutablePointer<termios>.allocate(capacity: 1)
    nonisolated(unsafe) private static let earlier = UnsafeMutablePointer<sigaction>.allocate(capacity: 65)
    private static let pasteOff: [UInt8] = Array("\u{1b}[?2004l".utf8)
    nonisolated(unsafe) private static var hasSettings = false
    nonisolated(unsafe) private static var marksPastes = false

    /// Keeps the terminal's settings, and catches the signals of a crash.
    ///
    /// - Parameter marksPastes: whether the terminal is told to mark what is pasted.
    public static func install(marksPastes: Bool) {
        guard !isInstalled.exchange(true, ordering: .acquiringAndReleasing) else { return }
        hasSettings = tcgetattr(0, settings) == 0
        self.marksPastes = marksPastes
        _ = pasteOff
        for number in signals {
            var action = sigaction()
            sigemptyset(&action.sa_mask)
            action.__sigaction_handler.sa_handler = { number in
                TerminalGuard.restore()
                // What would have happened without this handler happens now.
                sigaction(number, TerminalGuard.earlier + Int(number), nil)
                raise(number)
            }
            sigaction(number, &action, earlier + Int(number))
        }
    }

    /// Gives the terminal back as it was when the guard was installed.
    public static func restore() {
        guard hasSettings else { return }
        tcsetattr(0, TCSANOW, settings)
        if marksPastes { pasteOff.withUnsafeBytes { _ = write(1, $0.baseAddress, $0.count) } }
    }
}
