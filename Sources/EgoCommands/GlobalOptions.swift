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
    var pager = Choice.auto
    var logFormat = LogFormat.text
    var isAssumingYes = false
    var hasNoInput = false
    var reason = ""
    /// The words that were typed beforehand in answer to a question.
    var confirmations: [String] = []
    /// Whether anything that changes the store needs the context's name. There is no flag for it.
    var isProtected = false
    var isQuiet = false
    var isVerbose = false
    /// In nanoseconds; nil for no limit.
    var timeout: Int64?
    var isDryRun = false
    var isReadOnly = false
    /// Where the encryption keys are; the store itself when nil.
    var keys: String?
    /// The file of the master key.
    var masterKey: String?
    /// The command that prints the master key.
    var masterKeyCommand: String?
    /// Which entities are encrypted.
    var encrypt: String?
    /// How many entities are worked on at the same time.
    var jobs = 1
    var isDecrypting = false
    /// The file of message types.
    var descriptorSet: String?
    /// How many events a page has.
    var page = 5_000

    enum TimeFormat: String, CaseIterable {
        case rfc3339, relative, unix
    }

    enum Choice: String, CaseIterable {
        case auto, always, never
    }

    enum ProgressChoice: String, CaseIterable {
        case auto, bar, plain, json, none
    }

    enum LogFormat: String, CaseIterable {
        case text, json
    }

    static let flags: [Flag<GlobalOptions>] = [
        Flag(
            "store", arity: .value(placeholder: "URL", completion: .file),
            summary: "the store, as sqlite:PATH or a postgres:// URL"
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
        Flag(
            "pager", arity: .value(placeholder: "WHEN", completion: .choices(Choice.allCases.map(\.rawValue))),
            summary: "when tables and help go through $PAGER"
        ) { (value, options) throws(UsageError) in options.pager = try choice(value.text, "choice") },
        Flag("quiet", short: "q", arity: .toggle(negated: false), summary: "say nothing beside data and errors") {
            (value, options) in options.isQuiet = value.isOn
        },
        Flag("verbose", short: "v", arity: .toggle(negated: false), summary: "log what the engine does") {
            (value, options) in options.isVerbose = value.isOn
        },
        Flag(
            "log-format",
            arity: .value(placeholder: "FORMAT", completion: .choices(LogFormat.allCases.map(\.rawValue))),
            summary: "the form of the log on standard error"
        ) { (value, options) throws(UsageError) in options.logFormat = try choice(value.text, "log format") },
        Flag(
            "timeout", arity: .value(placeholder: "DURATION", completion: .none),
            summary: "give up after this long, as 10s"
        ) { (value, options) throws(UsageError) in options.timeout = try TimeExpression.duration(value.text) },
        Flag("dry-run", short: "n", arity: .toggle(negated: false), summary: "show what would be done, change nothing")
        {
            (value, options) in options.isDryRun = value.isOn
        },
        Flag("yes", short: "y", arity: .toggle(negated: false), summary: "answer yes where yes or no is asked") {
            (value, options) in options.isAssumingYes = value.isOn
        },
        Flag(
            "confirm", arity: .value(placeholder: "WORD", completion: .none),
            summary: "answer with this where a name is asked for", isRepeatable: true
        ) { (value, options) in options.confirmations.append(value.text) },
        Flag("no-input", arity: .toggle(negated: false), summary: "ask nothing; what needs an answer is refused") {
            (value, options) in options.hasNoInput = value.isOn
        },
        Flag(
            "reason", arity: .value(placeholder: "TEXT", completion: .none),
            summary: "why, for the audit log"
        ) { (value, options) in options.reason = value.text },
        Flag("read-only", arity: .toggle(negated: false), summary: "refuse every command that changes something") {
            (value, options) in options.isReadOnly = value.isOn
        },
        Flag(
            "keys", arity: .value(placeholder: "LOCATION", completion: .file),
            summary: "where keys are: store, sqlite:, postgres:// or file:PATH"
        ) { (value, options) in options.keys = value.text },
        Flag(
            "master-key", arity: .value(placeholder: "FILE", completion: .file),
            summary: "the key that wraps the keys of entities"
        ) { (value, options) in options.masterKey = value.text },
        Flag(
            "descriptor-set", arity: .value(placeholder: "FILE", completion: .file),
            summary: "a FileDescriptorSet with the message types"
        ) { (value, options) in options.descriptorSet = value.text },
        Flag("decrypt", arity: .toggle(negated: false), summary: "show payloads of encrypted entities in the clear") {
            (value, options) in options.isDecrypting = value.isOn
        },
        Flag(
            "page", arity: .value(placeholder: "N", completion: .none), summary: "events read at a time, 1 to 5000"
        ) { (value, options) throws(UsageError) in
            options.page = try integer(value.text, in: 1...5_000)
        },
        Flag(
            "jobs", arity: .value(placeholder: "N", completion: .none),
            summary: "entities worked on at a time, 1 to 64"
        ) { (value, options) throws(UsageError) in
            options.jobs = try integer(value.text, in: 1...64)
        },
    ]
}

extension GlobalOptions {
    /// The value of an option as it would be written in a configuration file; nil when it has none.
    func text(of flag: String) -> String? {
        switch flag {
        case "store": StoreLocation.shown(store)
        case "context": context
        case "domain": domain
        case "output": output?.rawValue
        case "columns": columns?.joined(separator: ",")
        case "headers": String(headers)
        case "time-format": timeFormat.rawValue
        case "color": color.rawValue
        case "progress": progress.rawValue
        case "pager": pager.rawValue
        case "quiet": String(isQuiet)
        case "verbose": String(isVerbose)
        case "log-format": logFormat.rawValue
        case "timeout": timeout.map { "\(Double($0) / 1e9)s" }
        case "dry-run": String(isDryRun)
        case "yes": String(isAssumingYes)
        case "confirm": confirmations.isEmpty ? nil : confirmations.joined(separator: ",")
        case "no-input": String(hasNoInput)
        case "reason": reason.isEmpty ? nil : reason
        case "read-only": String(isReadOnly)
        case "keys": keys.map(StoreLocation.shown)
        case "master-key": masterKey
        case "jobs": String(jobs)
        case ConfigurationFile.masterKeyCommand: masterKeyCommand
        case ConfigurationFile.encrypt: encrypt
        case "descriptor-set": descriptorSet
        case "decrypt": String(isDecrypting)
        case "page": String(page)
        case ConfigurationFile.protected: String(isProtected)
        default: nil
        }
    }
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
