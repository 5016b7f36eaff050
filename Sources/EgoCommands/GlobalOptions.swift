import CommandLineKit

/// What every command can be told.
struct GlobalOptions: Sendable {
    var store = "sqlite:./ego.db"
    var context: String?
    var config: String?
    var domain: String?
    var output: OutputFormat?
    var columns: [String]?
    var headers = true
    var timeFormat = TimeFormat.rfc3339
    var color = Choice.auto
    var progress = ProgressChoice.auto
    var isQuiet = false
    var isVerbose = false
    /// In nanoseconds; nil for no limit.
    var timeout: Int64?
    var isDryRun = false
    var isReadOnly = false
    /// How many events a page has.
    var page = 5_000

    enum TimeFormat: String, CaseIterable {
        case rfc3339, relative, unix
    }

    enum Choice: String, CaseIterable {
        case auto, always, never
    }

    enum ProgressChoice: String, CaseIterable {
        case auto, bar, plain, none
    }

    static let flags: [Flag<GlobalOptions>] = [
        Flag(
            "store", arity: .value(placeholder: "URL", completion: .file), summary: "the store, as sqlite:PATH"
        ) { (value, options) in options.store = value.text },
        Flag(
            "context", short: "C", arity: .value(placeholder: "NAME", completion: .dynamic("context")),
            summary: "the context of the configuration to use"
        ) { (value, options) in options.context = value.text },
        Flag(
            "config", arity: .value(placeholder: "FILE", completion: .file),
            summary: "the only configuration file to read"
        ) { (value, options) in options.config = value.text },
        Flag(
            "domain", arity: .value(placeholder: "FILE", completion: .file),
            summary: "an application's operator binary to run instead"
        ) { (value, options) in options.domain = value.text },
        Flag(
            "output", short: "o",
            arity: .value(placeholder: "FORMAT", completion: .choices(OutputFormat.allCases.map(\.rawValue))),
            summary: "the form of the output"
        ) { (value, options) throws(UsageError) in options.output = try choice(value.text, "format") },
        Flag(
            "columns", arity: .value(placeholder: "NAME,...", completion: .dynamic("column")),
            summary: "the columns to show, in this order"
        ) { (value, options) in
            options.columns = value.text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        },
        Flag("headers", arity: .toggle(negated: true), summary: "a line of column titles (default: yes)") {
            (value, options) in options.headers = value.isOn
        },
        Flag(
            "time-format",
            arity: .value(placeholder: "FORMAT", completion: .choices(TimeFormat.allCases.map(\.rawValue))),
            summary: "how times are written"
        ) { (value, options) throws(UsageError) in options.timeFormat = try choice(value.text, "time format") },
        Flag(
            "color", arity: .value(placeholder: "WHEN", completion: .choices(Choice.allCases.map(\.rawValue))),
            summary: "when to use color"
        ) { (value, options) throws(UsageError) in options.color = try choice(value.text, "choice") },
        Flag(
            "progress",
            arity: .value(placeholder: "HOW", completion: .choices(ProgressChoice.allCases.map(\.rawValue))),
            summary: "how progress is shown"
        ) { (value, options) throws(UsageError) in options.progress = try choice(value.text, "choice") },
        Flag("quiet", short: "q", arity: .toggle(negated: false), summary: "say nothing beside data and errors") {
            (value, options) in options.isQuiet = value.isOn
        },
        Flag("verbose", short: "v", arity: .toggle(negated: false), summary: "log what the engine does") {
            (value, options) in options.isVerbose = value.isOn
        },
        Flag(
            "timeout", arity: .value(placeholder: "DURATION", completion: .none),
            summary: "give up after this long, as 10s"
        ) { (value, options) throws(UsageError) in options.timeout = try TimeExpression.duration(value.text) },
        Flag("dry-run", short: "n", arity: .toggle(negated: false), summary: "show what would be done, change nothing")
        {
            (value, options) in options.isDryRun = value.isOn
        },
        Flag("read-only", arity: .toggle(negated: false), summary: "refuse every command that changes something") {
            (value, options) in options.isReadOnly = value.isOn
        },
        Flag(
            "page", arity: .value(placeholder: "N", completion: .none), summary: "events read at a time, 1 to 5000"
        ) { (value, options) throws(UsageError) in
            options.page = try integer(value.text, in: 1...5_000)
        },
    ]
}

/// One of the values of an enumeration, by its name.
func choice<Value: RawRepresentable<String> & CaseIterable>(
    _ text: String, _ what: String
) throws(UsageError) -> Value {
    if let value = Value(rawValue: text) { return value }
    let names = Value.allCases.map(\.rawValue)
    throw UsageError(
        "unknown \(what) \(Escape.shown(text, quoted: true))",
        hint: Suggestion.hint(for: text, among: names) ?? "one of \(names.joined(separator: ", "))")
}

/// A whole number within bounds.
func integer<Value: FixedWidthInteger & Sendable>(
    _ text: String, in range: ClosedRange<Value>
) throws(UsageError) -> Value {
    guard let number = Value(text), range.contains(number) else {
        let bounds =
            range.upperBound == .max ? "from \(range.lowerBound) on" : "from \(range.lowerBound) to \(range.upperBound)"
        throw UsageError("\(Escape.shown(text, quoted: true)) is no whole number \(bounds)")
    }
    return number
}
