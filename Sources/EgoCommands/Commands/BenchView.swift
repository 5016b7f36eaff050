import CommandLineKit
import EgoOperations

/// How measurements are shown.
struct BenchView: Sendable {
    let parameters: BenchParameters
    let location: StoreLocation
    let comparison: BenchComparison?

    /// The columns of the table. Those that are shown fit eighty columns of a terminal.
    static func columns(isCompared: Bool) -> [Column] {
        [
            Column("name", shortening: .never(asked: false)), Column("clients", .right),
            .word("durability", title: "DURABLE"), Column("per_second", .right, title: "PER S"), .word("unit"),
            Column("p50_us", .right, title: "P50 US", isDefault: !isCompared),
            Column("p99_us", .right, title: "P99 US"), Column("p99_9_us", .right, title: "P99.9 US", isDefault: false),
            .word("latency_of", isDefault: false), Column("ratio", .right),
            Column("change_percent", .right, title: "CHANGE %", isDefault: isCompared),
            Column("previous_ratio", .right, isDefault: false),
            Column("limit_per_second", .right, title: "LIMIT/S", isDefault: false), .sentence("limit_name").hidden,
            Column("operations", .right, isDefault: false), Column("seconds", .right, isDefault: false),
            Column("peak_rss_bytes", .right, title: "PEAK RSS", isDefault: false),
            Column("bytes_each", .right, title: "BYTES EACH", isDefault: false),
        ]
    }

    private var columns: [Column] { Self.columns(isCompared: comparison != nil) }

    /// What would be measured.
    func output(planned cases: [BenchCase]) -> CommandOutput {
        output(cases.map { value($0, nil) }, [.init("dry_run", .bool(true))]) { CommandOutput.Completion() }
    }

    /// What was measured, and what others took of the processors' time meanwhile.
    func output(_ results: [BenchResult], _ load: (others: Double, stolen: Double)?) -> CommandOutput {
        let changes = results.map { comparison?.change(of: $0.measured.key, to: $0.ratio) }
        let falls = zip(results, changes).filter { comparison?.isFall($1) ?? false }
        var diagnostics = busy(load)
        if let comparison {
            diagnostics += compared(results, changes, comparison)
            for (result, change) in falls {
                diagnostics.append(
                    Diagnostic(
                        .error, code: "slower",
                        "\(result.measured.title): its ratio fell by \(Self.rounded(-(change ?? 0), 1)) %",
                        hint: "measure again when nothing else runs; --tolerance says how much may be chance"))
            }
        }
        let said = diagnostics
        let fields: [OutputValue.Field] = [
            .init("dry_run", .bool(false)),
            .init("others_share", load.map { .real(Self.rounded($0.others, 3)) } ?? .null),
            .init("stolen_share", load.map { .real(Self.rounded($0.stolen, 3)) } ?? .null),
        ]
        return output(results.map { value($0.measured, $0) }, fields) {
            CommandOutput.Completion(exitCode: falls.isEmpty ? .ok : .findings, diagnostics: said)
        }
    }

    private func output(
        _ records: [OutputValue], _ fields: [OutputValue.Field],
        finish: @escaping @Sendable () async throws -> CommandOutput.Completion
    ) -> CommandOutput {
        let head: [OutputValue.Field] = [
            .init(
                "store",
                .object([.init("kind", .text(location.kind)), .init("location", .text(location.description))])),
            .init("parameters", .object(parameterFields)),
        ]
        var list = RecordList("results", columns: columns, records)
        list.rows = { [Self.row($0)] }
        return CommandOutput(fields: head + fields, records: list, finish: finish)
    }

    private var parameterFields: [OutputValue.Field] {
        [
            .init("entities", .number(parameters.entities)),
            .init("clients", .array(parameters.clients.map(OutputValue.number))),
            .init("events", .number(parameters.events)), .init("payload_bytes", .number(parameters.payload)),
            .init("choice", .text(parameters.choice.rawValue)), .init("journal", .number(parameters.journal)),
            .init("seconds", parameters.duration.map { .real($0 / .seconds(1)) } ?? .null),
            .init("operations", parameters.operations.map(OutputValue.number) ?? .null),
            .init("repeats", .number(parameters.repeats)),
            .init("warm_up_seconds", .real(parameters.warmUp / .seconds(1))),
            .init("seed", .identifier(parameters.seed)),
        ]
    }

    private func value(_ measured: BenchCase, _ result: BenchResult?) -> OutputValue {
        func real(_ value: Double?, _ digits: Int) -> OutputValue {
            value.map { .real(Self.rounded($0, digits)) } ?? .null
        }
        var fields: [OutputValue.Field] = [
            .init("name", .text(measured.name)), .init("clients", .number(measured.clients)),
            .init("durability", .optional(measured.durability?.rawValue)), .init("unit", .text(measured.unit)),
            .init("operations", result.map { .number($0.operations) } ?? .null),
            .init("seconds", real(result?.seconds, 6)), .init("per_second", real(result?.perSecond, 3)),
            .init("p50_us", real(result?.latencies.microseconds(at: 0.5), 1)),
            .init("p99_us", real(result?.latencies.microseconds(at: 0.99), 1)),
            .init("p99_9_us", real(result?.latencies.microseconds(at: 0.999), 1)),
            .init("latency_of", .text(measured.step)), .init("limit_name", .text(measured.limitName)),
            .init("limit_per_second", real(result?.limitPerSecond, 3)), .init("ratio", real(result?.ratio, 4)),
            .init("peak_rss_bytes", result?.peakMemoryBytes.map(OutputValue.number) ?? .null),
            .init("bytes_each", result?.bytesEach.map(OutputValue.number) ?? .null),
        ]
        if let comparison {
            fields.append(.init("previous_ratio", comparison.ratios[measured.key].map(OutputValue.real) ?? .null))
            fields.append(
                .init(
                    "change_percent",
                    real(result.flatMap { comparison.change(of: measured.key, to: $0.ratio) }, 1)))
        }
        return .object(fields)
    }

    /// Large figures without what is behind the point, which is chance; the column's title says that it is durable.
    private static func row(_ value: OutputValue) -> OutputValue {
        guard case .object(let fields) = value else { return value }
        return .object(
            fields.map { field in
                switch field.value {
                case .real(let number) where number >= 1_000: .init(field.name, .number(Int(number.rounded())))
                case .text(let word) where field.name == "durability":
                    .init(field.name, .text(word.replacing("durable ", with: "")))
                default: field
                }
            })
    }

    private func busy(_ load: (others: Double, stolen: Double)?) -> [Diagnostic] {
        guard let load else { return [] }
        var words: [String] = []
        if load.others > 0.1 { words.append("other processes used \(Self.percent(load.others)) of its processors") }
        if load.stolen > 0.02 {
            words.append("\(Self.percent(load.stolen)) of their time was stolen by other machines")
        }
        if words.isEmpty { return [] }
        return [
            Diagnostic(
                .warning, code: "busy_machine", "this machine was busy: \(words.joined(separator: ", "))",
                hint: "ratios are closer to the truth than figures a second; measure again when nothing else runs")
        ]
    }

    private func compared(
        _ results: [BenchResult], _ changes: [Double?], _ comparison: BenchComparison
    ) -> [Diagnostic] {
        var diagnostics: [Diagnostic] = []
        if !results.isEmpty, changes.allSatisfy({ $0 == nil }) {
            diagnostics.append(
                Diagnostic(.warning, code: "nothing_compared", "the earlier result has none of these measurements"))
        }
        // How long and how often is measured changes how sure a figure is, not what it is of.
        let now = ["entities", "events", "payload_bytes", "journal"].filter { name in
            guard case .number(let number)? = parameterFields.first(where: { $0.name == name })?.value else {
                return false
            }
            return comparison.parameters[name].map { $0 != "\(Double(number))" } ?? false
        }
        let isOtherChoice = comparison.parameters["choice"].map { $0 != parameters.choice.rawValue } ?? false
        let others = now + (isOtherChoice ? ["choice"] : [])
        if !others.isEmpty {
            diagnostics.append(
                Diagnostic(
                    .warning, code: "other_parameters",
                    "the earlier result was measured with other \(others.joined(separator: ", "))"))
        }
        return diagnostics
    }

    private static func percent(_ share: Double) -> String { "\(Int((share * 100).rounded())) %" }

    private static func rounded(_ value: Double, _ digits: Int) -> Double {
        var scale = 1.0
        for _ in 0..<digits { scale *= 10 }
        return (value * scale).rounded() / scale
    }
}

extension BenchCase {
    /// What it is compared by.
    var key: BenchComparison.Key {
        BenchComparison.Key(name: name, clients: clients, durability: durability?.rawValue)
    }

    /// What it is called in a sentence.
    var title: String { clients == 1 ? name : "\(name) of \(clients) clients" }
}

extension Column {
    /// The same, shown only when it is asked for.
    fileprivate var hidden: Column {
        var column = self
        column.isDefault = false
        return column
    }
}
