import CommandLineKit
import EgoCore
import EgoOperations

/// What `ego lag` was told.
private struct LagOptions: Sendable {
    var names: [String] = []
    var showsShards = false
    var isWatching = false
    var interval: Duration = .seconds(2)
    var warn: LagThreshold?
    var crit: LagThreshold?
    var format: LagFormat?
}

/// A form that other programs read.
enum LagFormat: String, Sendable, CaseIterable {
    case nagios, prometheus
}

/// How much lag is too much.
struct LagThreshold: Sendable, Hashable {
    /// As the user wrote it.
    let text: String
    private let events: Int?
    private let time: Duration?

    /// Reads a number of events or a duration.
    init(_ text: String) throws(UsageError) {
        self.text = text
        if let events = Int(text) {
            if events < 0 { throw UsageError("\(Escape.shown(text, quoted: true)) is below zero") }
            (self.events, self.time) = (events, nil)
        } else {
            (self.events, self.time) = (nil, .nanoseconds(try TimeExpression.duration(text)))
        }
    }

    /// Whether a projection is over it. One that has events before it and cannot say how old they are is over any time.
    func isExceeded(by lag: ProjectionLag) -> Bool {
        if let events { return lag.eventsBehind > events }
        guard let time else { return false }
        return lag.lag.map { $0 > time } ?? (lag.eventsBehind > 0)
    }
}

extension Command where Context == CommandContext {
    static var lag: Command {
        Command(
            "lag", summary: "show how far projections are behind",
            discussion: [
                "For each projection: how many events it has before it, and the time between the last event that it processed and the newest one. A projection of eGo for Go on the same database is measured by its timestamps; whether it runs cannot be told.",
                .paragraph([
                    "With ", .flag("crit"),
                    ", projections that are over it, that have stopped at an event, or that are past the journal's end give exit code 2. ",
                    .flag("format"), " nagios ends with 1 for a warning, as such plugins do.",
                ]),
                .paragraph([
                    "The first call on a store counts the journal's events, and keeps marks to count by; a store that may not be written is counted each time."
                ]),
            ],
            output: .lag, columns: LagView.columns, options: { LagOptions() },
            flags: [
                Flag("shards", arity: .toggle(negated: false), summary: "a row for each shard in tables") {
                    (value, options) in options.showsShards = value.isOn
                },
                Flag("watch", short: "w", arity: .toggle(negated: false), summary: "go on, with rate and ETA") {
                    (value, options) in options.isWatching = value.isOn
                },
                Flag(
                    "interval", arity: .value(placeholder: "DURATION", completion: .none),
                    summary: "how often --watch looks (default: 2s)"
                ) { (value, options) throws(UsageError) in
                    options.interval = .nanoseconds(max(1_000_000, try TimeExpression.duration(value.text)))
                },
                Flag(
                    "warn", arity: .value(placeholder: "LIMIT", completion: .none),
                    summary: "warn beyond so many events, or a duration"
                ) { (value, options) throws(UsageError) in options.warn = try LagThreshold(value.text) },
                Flag(
                    "crit", arity: .value(placeholder: "LIMIT", completion: .none),
                    summary: "exit 2 beyond so many events, or a duration"
                ) { (value, options) throws(UsageError) in options.crit = try LagThreshold(value.text) },
                Flag(
                    "format",
                    arity: .value(placeholder: "FORMAT", completion: .choices(LagFormat.allCases.map(\.rawValue))),
                    summary: "nagios or prometheus"
                ) { (value, options) throws(UsageError) in
                    guard let format = LagFormat(rawValue: value.text) else {
                        throw UsageError(
                            "unknown format \(Escape.shown(value.text, quoted: true))",
                            hint: "one of \(LagFormat.allCases.map(\.rawValue).joined(separator: ", "))")
                    }
                    options.format = format
                },
            ],
            operands: [
                Operand(
                    "PROJECTION", arity: .any, summary: "the projections; without one, all",
                    completion: .dynamic("projection")
                ) { (word, options) in options.names.append(word) }
            ],
            examples: [
                Example("lag", "all projections"),
                Example(
                    "lag balances --crit 1000", "exit 2 when it is more than 1,000 events behind"),
                Example("lag --format prometheus", "for a scraper"),
            ],
            exitCodes: [
                .failure, .findings, .notFound, .timedOut, .data, .noInput, .unavailable, .busy, .noPermission,
                .config, .interrupted,
            ]
        ) { options, context in
            if options.isWatching, options.format != nil {
                throw UsageError("it goes with no --format", subject: "--watch")
            }
            if options.isWatching, context.global.output == .json {
                throw UsageError(
                    "it goes with no -o json, which is one document", subject: "--watch", hint: "use -o jsonl")
            }
            if options.format != nil, context.givenFlags.contains("output") {
                throw UsageError("it goes with no -o, which is a form of its own", subject: "--format")
            }
            let store = try await context.openForMeasuring()
            let run = LagRun(store: store, options: options, context: context)
            guard options.isWatching else {
                do { return try await run.once() } catch {
                    await store.close()
                    throw error
                }
            }
            return CommandOutput(
                records: RecordList(
                    "projections", columns: run.columns, isLive: true, rows: run.rows,
                    nextPage: { try await run.nextPage() })
            ) { await run.finish() }
        }
    }
}

/// One run of `ego lag`.
private actor LagRun {
    private let store: any Store
    private let options: LagOptions
    private let context: CommandContext
    private var earlier: (at: ContinuousClock.Instant, lags: [ProjectionLag])?

    init(store: any Store, options: LagOptions, context: CommandContext) {
        self.store = store
        self.options = options
        self.context = context
    }

    nonisolated var rows: @Sendable (OutputValue) -> [OutputValue] { LagView.rows(byShard: options.showsShards) }

    nonisolated var columns: [Column] {
        LagView.columns(byShard: options.showsShards, isWatching: options.isWatching)
    }

    private func measure() async throws -> [ProjectionLag] {
        // What a database of another engine could have is of no interest there.
        let isAdopted = try await store.metadata().schemaVersion > 0
        let declared = isAdopted || !options.names.isEmpty ? ProjectionCatalog(context).names : []
        return try await Lag(of: store, declared: declared, time: context.time).measure(options.names)
    }

    func once() async throws -> CommandOutput {
        let lags = try await measure()
        // What holds all readers back is no fault of a projection.
        let held = try await store.hazards(now: context.time.now(), isThorough: false)
            .filter { $0.code == "long_transaction" }
        await store.close()
        var completion = completion(lags)
        if options.format == nil {
            completion.diagnostics += held.map { Diagnostic(.warning, code: $0.code, $0.message, hint: $0.remedy) }
        }
        let final = completion
        if let format = options.format {
            let text = LagView.text(lags, format, completion.exitCode, warned: warned(lags))
            return CommandOutput(text: text) { final }
        }
        let list = RecordList("projections", columns: columns, lags.map { LagView.value($0, nil) })
        var records = list
        records.rows = rows
        return CommandOutput(records: records) { final }
    }

    func nextPage() async throws -> [OutputValue]? {
        if earlier != nil { try await context.time.sleep(for: options.interval) }
        let lags = try await measure()
        let now = ContinuousClock.now
        defer { earlier = (now, lags) }
        return lags.map { lag in
            let before = earlier?.lags.first { $0.name == lag.name && $0.engine == lag.engine }
            let rate = before.flatMap { before in
                earlier.flatMap { DrainRate(from: before, to: lag, after: now - $0.at) }
            }
            return LagView.value(lag, rate)
        }
    }

    func finish() async -> CommandOutput.Completion {
        await store.close()
        return completion(earlier?.lags ?? [])
    }

    private func warned(_ lags: [ProjectionLag]) -> [ProjectionLag] {
        lags.filter { options.warn?.isExceeded(by: $0) ?? false }
    }

    private func completion(_ lags: [ProjectionLag]) -> CommandOutput.Completion {
        let critical = lags.filter { lag in
            guard let crit = options.crit else { return false }
            return crit.isExceeded(by: lag) || lag.state == .failed || lag.state == .aheadOfHead
        }
        var diagnostics = critical.map { Self.diagnostic($0, .error, options.crit) }
        let warned = warned(lags).filter { lag in !critical.contains(lag) }
        diagnostics += warned.map { Self.diagnostic($0, .warning, options.warn) }
        var exitCode = critical.isEmpty ? ExitCode.ok : .findings
        // The codes of a plugin: 1 is a warning, 2 is critical.
        if options.format == .nagios, critical.isEmpty, !warned.isEmpty { exitCode = .failure }
        return CommandOutput.Completion(exitCode: exitCode, diagnostics: options.format == .nagios ? [] : diagnostics)
    }

    private static func diagnostic(
        _ lag: ProjectionLag, _ severity: Diagnostic.Severity, _ threshold: LagThreshold?
    ) -> Diagnostic {
        let name = Escape.shown(lag.name)
        switch lag.state {
        case .failed:
            return Diagnostic(
                severity, code: "failed",
                "\(name) has stopped at an event: \(Escape.shown(lag.failure?.message ?? ""))",
                hint: "ego projection show \(Escape.shellWord(lag.name)) tells more")
        case .aheadOfHead:
            return Diagnostic(
                severity, code: "ahead_of_head", "\(name) is past the journal's end, and misses what comes",
                hint: "ego projection reset, or a rebuild, sets it right")
        default:
            let time = lag.lag.map { ", \(LagView.duration($0))" } ?? ""
            return Diagnostic(
                severity, code: "lag",
                "\(name) is \(lag.eventsBehind) \(lag.eventsBehind == 1 ? "event" : "events")\(time) behind; the limit is \(threshold?.text ?? "")"
            )
        }
    }
}
