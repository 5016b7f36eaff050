import Synchronization

/// How far a long piece of work has come, as values; whoever shows it decides how.
public protocol ProgressReporter: Sendable {
    /// Something was done.
    ///
    /// - Parameters:
    ///   - done: how many units are done since the start.
    ///   - total: how many there are; nil when unknown.
    ///   - unit: what is counted, as `events`.
    func report(done: Int, total: Int?, unit: String)

    /// The work is over, well or not: nothing of it stays on the terminal.
    func finish()
}

/// Shows nothing.
public struct SilentProgress: ProgressReporter {
    /// Shows nothing.
    public init() {}

    public func report(done: Int, total: Int?, unit: String) {}
    public func finish() {}
}

/// Shows work that takes over a second: as a bar on a terminal, as a line every ten seconds elsewhere.
public final class ConsoleProgress: ProgressReporter {
    private struct State {
        var startedAt: ContinuousClock.Instant?
        var shownAt: ContinuousClock.Instant?
        var isDrawn = false
    }

    private let console: Console
    private let label: String
    private let bar: Bool
    private let state = Mutex(State())

    /// Progress of one piece of work, as `replay`.
    public init(_ label: String, console: Console, bar: Bool) {
        self.console = console
        self.label = label
        self.bar = bar
    }

    public func report(done: Int, total: Int?, unit: String) {
        let now = ContinuousClock.now
        let elapsed = state.withLock { state -> Duration? in
            guard let startedAt = state.startedAt else {
                state.startedAt = now
                return nil
            }
            let wait: Duration = bar ? .milliseconds(100) : .seconds(10)
            let since = state.shownAt.map { now - $0 >= wait } ?? (now - startedAt >= (bar ? .seconds(1) : wait))
            guard since else { return nil }
            state.shownAt = now
            state.isDrawn = true
            return now - startedAt
        }
        guard let elapsed else { return }
        let seconds = max(elapsed / .seconds(1), 0.001)
        let rate = Double(done) / seconds
        var text = "\(label): \(done)"
        var share = ""
        if let total, total > 0 {
            text += " of \(total) \(unit), \(Int(rate)) a second"
            let left = Double(max(0, total - done)) / max(rate, 0.001)
            text += ", \(Int(left.rounded(.up))) s left"
            let filled = min(20, done * 20 / total)
            share = "[" + String(repeating: "#", count: filled) + String(repeating: ".", count: 20 - filled) + "] "
        } else {
            text += " \(unit), \(Int(rate)) a second"
        }
        if bar {
            let line = TableLayout.fit(share + text, max(20, (console.columns() ?? 80) - 1))
            write("\r\u{1b}[K\(line)")
        } else {
            write(text + "\n")
        }
    }

    public func finish() {
        let wasDrawn = state.withLock { state in
            defer { state.isDrawn = false }
            return state.isDrawn
        }
        if bar, wasDrawn { write("\r\u{1b}[K") }
    }

    private func write(_ text: String) {
        // Progress that cannot be shown is no reason to stop the work.
        try? console.errors.write(text)
        try? console.errors.flush()
    }
}
