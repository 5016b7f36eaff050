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

/// How lag is shown.
enum LagView {
    /// All columns that there are.
    static var columns: [Column] { columns(byShard: true, isWatching: true) }

    /// The columns, of which those are shown that have something to say.
    static func columns(byShard: Bool, isWatching: Bool) -> [Column] {
        [
            Column("name"), Column("shard", .right, isDefault: byShard), .word("state"),
            Column("events_behind", .right, title: "BEHIND"),
            .word("lag"), .word("bar", title: "DONE", isDefault: !byShard),
            Column("rate", .right, title: "RATE/S", isDefault: isWatching && !byShard),
            .word("eta", isDefault: isWatching && !byShard),
            .time("last_advanced", title: "ADVANCED", isDefault: false),
            Column("committed", .right, isDefault: false),
            Column("head", .right, isDefault: false), Column("engine", isDefault: false),
        ]
    }

    static func value(_ lag: ProjectionLag, _ rate: DrainRate?) -> OutputValue {
        .object([
            .init("name", .text(lag.name)), .init("engine", .text(lag.engine.rawValue)),
            .init("state", .text(lag.state.rawValue)), .init("events_behind", .number(lag.eventsBehind)),
            .init("lag_seconds", seconds(lag.lag)), .init("last_advanced", .moment(lag.lastAdvanced)),
            .init("rate", rate.map { .real($0.eventsPerSecond) } ?? .null), .init("eta_seconds", seconds(rate?.eta)),
            .init("total_events", .number(lag.totalEvents)), .init("error", .optional(lag.failure?.message)),
            .init(
                "shards",
                .array(
                    lag.shards.map { shard in
                        .object([
                            .init("shard", .number(Int(clamping: shard.shard.rawValue))),
                            .init("state", .text(shard.state.rawValue)),
                            .init("events_behind", .number(shard.eventsBehind)),
                            .init("lag_seconds", seconds(shard.lag)),
                            .init("committed", shard.committed.map { .identifier($0.description) } ?? .null),
                            .init("head", shard.head.map { .identifier($0.description) } ?? .null),
                            .init("last_advanced", .moment(shard.lastAdvanced)),
                        ])
                    })),
        ])
    }

    private static func seconds(_ duration: Duration?) -> OutputValue {
        duration.map { .real($0 / .seconds(1)) } ?? .null
    }

    /// What tables, CSV and plain text show of a projection.
    static func rows(byShard: Bool) -> @Sendable (OutputValue) -> [OutputValue] {
        { value in
            guard case .object(let fields) = value else { return [value] }
            if byShard, case .array(let shards) = value["shards"] {
                return shards.map { shard in
                    guard case .object(let own) = shard else { return shard }
                    return .object(
                        [.init("name", value["name"]), .init("engine", value["engine"])] + own + cells(of: shard))
                }
            }
            return [.object(fields + cells(of: value))]
        }
    }

    private static func cells(of value: OutputValue) -> [OutputValue.Field] {
        func time(_ name: String) -> OutputValue {
            guard case .real(let seconds) = value[name] else { return .null }
            return .text(duration(.seconds(seconds)))
        }
        var bar = OutputValue.null
        if case .number(let total) = value["total_events"], case .number(let behind) = value["events_behind"], total > 0
        {
            bar = .text(Self.bar(Double(total - behind) / Double(total)))
        }
        return [.init("lag", time("lag_seconds")), .init("eta", time("eta_seconds")), .init("bar", bar)]
    }

    private static func bar(_ share: Double) -> String {
        let width = 10
        // Only what is done to the end looks so.
        let filled = share >= 1 ? width : min(width - 1, Int(share * Double(width)))
        let percent = share >= 1 ? 100 : min(99, Int(share * 100))
        return "[" + String(repeating: "#", count: max(0, filled))
            + String(repeating: ".", count: width - max(0, filled)) + "] \(max(0, percent))%"
    }

    /// A duration in the two largest units.
    static func duration(_ duration: Duration) -> String {
        let total = Int64((duration / .seconds(1)).rounded(.down))
        if total < 1 { return duration <= .zero ? "0s" : "\(Int64((duration / .milliseconds(1)).rounded(.up)))ms" }
        let units: [(Int64, String)] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")]
        guard let index = units.firstIndex(where: { total >= $0.0 }) else { return "0s" }
        let (size, name) = units[index]
        let rest = total % size
        if index + 1 == units.count || rest / units[index + 1].0 == 0 { return "\(total / size)\(name)" }
        return "\(total / size)\(name)\(rest / units[index + 1].0)\(units[index + 1].1)"
    }

    // MARK: Other programs

    static func text(
        _ lags: [ProjectionLag], _ format: LagFormat, _ exitCode: ExitCode, warned: [ProjectionLag]
    ) -> String {
        switch format {
        case .nagios: nagios(lags, exitCode)
        case .prometheus: prometheus(lags)
        }
    }

    /// One line: state, text, performance data (nagios-plugins.org/doc/guidelines.html).
    private static func nagios(_ lags: [ProjectionLag], _ exitCode: ExitCode) -> String {
        let word = exitCode == .findings ? "CRITICAL" : exitCode == .failure ? "WARNING" : "OK"
        let parts = lags.map { lag in
            "\(Escape.shown(lag.name)) \(lag.state.rawValue) \(lag.eventsBehind) behind"
                + (lag.lag.map { " \(duration($0))" } ?? "")
        }
        func label(_ name: String) -> String {
            "'" + Escape.shown(name).replacing("'", with: "''").replacing("=", with: "_") + "'"
        }
        let data = lags.flatMap { lag in
            ["\(label("\(lag.name)_events"))=\(lag.eventsBehind)"]
                + (lag.lag.map { ["\(label("\(lag.name)_lag"))=\($0 / .seconds(1))s"] } ?? [])
        }
        return "LAG \(word) - \(parts.isEmpty ? "no projections" : parts.joined(separator: ", "))"
            + (data.isEmpty ? "" : " | \(data.joined(separator: " "))") + "\n"
    }

    /// The text format of metrics (prometheus.io/docs/instrumenting/exposition_formats).
    private static func prometheus(_ lags: [ProjectionLag]) -> String {
        func escaped(_ text: String) -> String {
            text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
        }
        func labels(_ lag: ProjectionLag, _ more: String = "") -> String {
            "{projection=\"\(escaped(lag.name))\",engine=\"\(lag.engine.rawValue)\"\(more)}"
        }
        var text = ""
        func metric(_ name: String, _ help: String, _ samples: [(String, String)]) {
            text += "# HELP \(name) \(help)\n# TYPE \(name) gauge\n"
            for (labels, value) in samples { text += "\(name)\(labels) \(value)\n" }
        }
        func byShard(_ value: (ShardLag) -> String?) -> [(String, String)] {
            lags.flatMap { lag in
                lag.shards.compactMap { shard in
                    value(shard).map { (labels(lag, ",shard=\"\(shard.shard.rawValue)\""), $0) }
                }
            }
        }
        metric(
            "ego_projection_events_behind", "Events that the projection has before it.",
            byShard { "\($0.eventsBehind)" })
        metric(
            "ego_projection_lag_seconds", "Time between the last processed event and the newest one.",
            byShard { shard in shard.lag.map { "\($0 / .seconds(1))" } })
        metric(
            "ego_projection_last_advanced_timestamp_seconds", "When the projection committed an offset last.",
            lags.compactMap { lag in
                lag.lastAdvanced.map { (labels(lag), "\(Double($0.unixNanoseconds) / 1e9)") }
            })
        metric(
            "ego_projection_state", "1 for the state that the projection is in.",
            lags.flatMap { lag in
                ProjectionState.allCases.map { state in
                    (labels(lag, ",state=\"\(state.rawValue)\""), lag.state == state ? "1" : "0")
                }
            })
        return text
    }
}
