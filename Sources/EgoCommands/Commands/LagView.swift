import CommandLineKit
import EgoCore
import EgoOperations

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
