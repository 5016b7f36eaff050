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

/// The form in which progress is shown.
public enum ProgressStyle: Sendable {
    /// A bar at the bottom of the terminal.
    case bar
    /// A line every ten seconds.
    case lines
    /// A JSON object a line, every second.
    case json
}

/// Shows work that takes over a second, on the error stream.
public final class ConsoleProgress: ProgressReporter {
    private struct State {
        var startedAt: ContinuousClock.Instant?
        /// What was done when the work began: a resumed job does not get its earlier part for free.
        var doneBefore = 0
        var shownAt: ContinuousClock.Instant?
    }

    private let console: Console
    private let label: String
    private let style: ProgressStyle
    private let state = Mutex(State())

    /// Progress of one piece of work, as `replay`.
    public init(_ label: String, console: Console, style: ProgressStyle) {
        self.console = console
        self.label = label
        self.style = style
    }

    public func report(done: Int, total: Int?, unit: String) {
        if Pager.isRunning { return }
        let now = ContinuousClock.now
        let shown = state.withLock { state -> (elapsed: Duration, before: Int)? in
            guard let startedAt = state.startedAt else {
                state.startedAt = now
                state.doneBefore = done
                return nil
            }
            guard now - (state.shownAt ?? startedAt) >= (state.shownAt == nil ? firstWait : wait) else { return nil }
            state.shownAt = now
            return (now - startedAt, state.doneBefore)
        }
        guard let shown else { return }
        let report = ProgressReport(
            label: label, done: done, before: shown.before, total: total, unit: unit, elapsed: shown.elapsed)
        // Progress that cannot be shown is no reason to stop the work.
        switch style {
        case .bar:
            try? status?.show(report.line(columns: max(10, (console.columns() ?? 80) - 1)))
        case .lines: say(report.text)
        case .json: say(report.json)
        }
    }

    public func finish() {
        if style == .bar { try? status?.show("") }
    }

    private var status: StatusLine? { console.errors as? StatusLine }
    private var firstWait: Duration { style == .lines ? wait : .seconds(1) }

    private var wait: Duration {
        switch style {
        case .bar: .milliseconds(100)
        case .lines: .seconds(10)
        case .json: .seconds(1)
        }
    }

    private func say(_ line: String) {
        try? console.errors.write(line + "\n")
        try? console.errors.flush()
    }
}

/// One look at the progress of a piece of work.
struct ProgressReport {
    var label: String
    var done: Int
    var before: Int
    var total: Int?
    var unit: String
    var elapsed: Duration

    private static let barWidth = 20

    private var perSecond: Double { Double(done - before) / max(elapsed / .seconds(1), 0.001) }

    /// How many seconds are left at the rate so far; nil when nothing is known.
    private var secondsLeft: Int? {
        guard let total, total > 0, perSecond > 0 else { return nil }
        return Int((Double(max(0, total - done)) / perSecond).rounded(.up))
    }

    var text: String {
        var text = "\(label): \(done)"
        if let total, total > 0 { text += " of \(total)" }
        text += " \(unit), \(Int(perSecond)) a second"
        if let secondsLeft { text += ", \(Self.span(secondsLeft)) left" }
        return text
    }

    /// As much as fits on one line.
    func line(columns: Int) -> String {
        let share = total.map { $0 > 0 ? "\(label): \(min(100, done * 100 / $0)) %" : text } ?? text
        return [bar, text, share].first { TextWidth.columns($0) <= columns } ?? TableLayout.fit(share, columns)
    }

    var bar: String {
        guard let total, total > 0 else { return text }
        let filled = max(0, min(Self.barWidth, done * Self.barWidth / total))
        return "[" + String(repeating: "#", count: filled) + String(repeating: ".", count: Self.barWidth - filled)
            + "] "
            + text
    }

    var json: String {
        OutputValue.object([
            .init("type", .text("progress")), .init("label", .text(label)), .init("done", .number(done)),
            .init("total", total.map(OutputValue.number) ?? .null), .init("unit", .text(unit)),
            .init("per_second", .number(Int(perSecond))),
            .init("eta_seconds", secondsLeft.map(OutputValue.number) ?? .null),
        ]).json(.rfc3339)
    }

    /// Seconds as `45 s`, `3 min 20 s` or `2 h 5 min`.
    static func span(_ seconds: Int) -> String {
        switch seconds {
        case ..<60: "\(seconds) s"
        case ..<3_600: "\(seconds / 60) min \(seconds % 60) s"
        default: "\(seconds / 3_600) h \(seconds % 3_600 / 60) min"
        }
    }
}
