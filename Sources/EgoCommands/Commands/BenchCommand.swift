import CommandLineKit
import Dispatch
import EgoCore
import EgoOperations
import EgoPostgres
import EgoSQLite

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What `ego bench` was told.
struct BenchOptions: Sendable {
    var workloads: [BenchWorkload] = []
    var parameters = BenchParameters()
    /// In seconds; nil where it was not given.
    var seconds: Double?
    var compare: String?
    /// How many percent a ratio may be below that of before.
    var tolerance = 10.0

    /// Without a time a number of operations is all that ends a run.
    var final: BenchParameters {
        var parameters = parameters
        if let seconds { parameters.duration = .seconds(seconds) }
        if seconds == nil, parameters.operations != nil { parameters.duration = nil }
        return parameters
    }
}

extension Command where Context == CommandContext {
    static var bench: Command {
        Command(
            "bench", summary: "measure a store against its database's limit",
            discussion: [
                "Measures what a store does where yours is, on stores of its own that are removed in the end: a file beside that of SQLite, a schema in the database of PostgreSQL. Your store is neither read nor written, and need not be there. Without a workload, all are measured.",
                .paragraph([
                    "Each figure stands beside a limit: the same work done moments before by the bare C library in a loop, on the same tables, in transactions of the same size, as durable. The ratio to it can be compared with that of another day or machine; figures a second cannot. Of several ",
                    .flag("repeats"),
                    " the one with the median ratio is shown; latencies are of all. They are of a command, a page, an entity or a whole run, as latency_of says.",
                ]),
                "append gives the requests of all clients to the store at once; send has as many callers of the engine, send-memory the same without a database: its limit is a plain loop. Their entities have an event before, and are in memory where there is an engine: what an entity does once is not counted. send-processes has as many in each of two processes, on one store and with entities of their own: its limit is one of them alone, so that a ratio below 1 says that they are in each other's way. entities brings as many of one event each into memory as the journal has events, in a process of its own; bytes_each is what one takes. projection and rebuild-no-op hand events to a handler that does nothing, in a store of 16 shards as any new one has, or of a single one; read-model and rebuild write rows of a table. delivery sends one command after the other, each when a projection was handed the events of the one before: its latencies are those of an event from its acknowledgement until then, in delivery with the projection in the engine of the caller, in delivery-processes with it in another process. encrypted encrypts each event of send and decrypts it in replay, with a key for each entity that is there before; its limit does without. Single durability waits for a commit for each command, grouped shares one. Reading finds what it reads in memory. A ratio above 1 is no mistake: lag, for one, does not count what it counted before. A process that is killed leaves files .ego-bench-* or a schema ego_bench_* behind, which can be deleted.",
                .paragraph([
                    "With ", .flag("compare"),
                    " the ratios of an earlier run with -o json stand beside the new ones, and one that fell by more than ",
                    .flag("tolerance"), " percent gives exit code 2.",
                ]),
            ],
            output: .bench, columns: BenchView.columns(isCompared: true), options: { BenchOptions() },
            flags: benchFlags,
            operands: [
                Operand(
                    "WORKLOAD", arity: .any, summary: "what to measure; without one, everything",
                    completion: .choices(BenchWorkload.allCases.map(\.rawValue))
                ) { (word, options) throws(UsageError) in
                    let workload: BenchWorkload = try choice(word, "workload")
                    if !options.workloads.contains(workload) { options.workloads.append(workload) }
                }
            ],
            examples: [
                Example("bench append send --clients 1,64 --operations 500", "writing, by one caller and by 64"),
                Example("bench scan --seconds 0.2 --repeats 1 -o json", "reading, for a later --compare"),
            ],
            exitCodes: [
                .failure, .findings, .refused, .timedOut, .data, .noInput, .unavailable, .busy, .noPermission, .config,
                .interrupted,
            ]
        ) { options, context in try await BenchRun(options, context).run() }
    }

    private static var benchFlags: [Flag<BenchOptions>] {
        [
            Flag(
                "entities", arity: .value(placeholder: "N", completion: .none),
                summary: "how many entities (default: 1000)"
            ) { (value, options) throws(UsageError) in
                options.parameters.entities = try integer(value.text, in: 1...1_000_000)
            },
            Flag(
                "clients", arity: .value(placeholder: "LIST", completion: .none),
                summary: "how many callers, as 1,64,512 (default: 1,64)"
            ) { (value, options) throws(UsageError) in
                let words = value.text.split(separator: ",", omittingEmptySubsequences: false)
                options.parameters.clients = try words.map { (word) throws(UsageError) in
                    try integer(String(word), in: 1...1_000)
                }
            },
            Flag(
                "events", arity: .value(placeholder: "N", completion: .none),
                summary: "how many events each command makes (default: 1)"
            ) { (value, options) throws(UsageError) in
                options.parameters.events = try integer(value.text, in: 1...1_000)
            },
            Flag(
                "payload", arity: .value(placeholder: "BYTES", completion: .none),
                summary: "how large the message of an event is (default: 64)"
            ) { (value, options) throws(UsageError) in
                options.parameters.payload = try integer(value.text, in: 0...1_000_000)
            },
            Flag(
                "choice",
                arity: .value(
                    placeholder: "KIND", completion: .choices(BenchChoice.Distribution.allCases.map(\.rawValue))),
                summary: "uniform or zipf: which entity a command is for"
            ) { (value, options) throws(UsageError) in options.parameters.choice = try choice(value.text, "choice") },
            Flag(
                "journal", arity: .value(placeholder: "N", completion: .none),
                summary: "how many events are there to read (default: 100000)"
            ) { (value, options) throws(UsageError) in
                options.parameters.journal = try integer(value.text, in: 1...100_000_000)
            },
            Flag(
                "seconds", arity: .value(placeholder: "N", completion: .none),
                summary: "how long each run goes on (default: 1)"
            ) { (value, options) throws(UsageError) in
                options.seconds = try decimal(value.text, in: 0.001...86_400)
            },
            Flag(
                "operations", arity: .value(placeholder: "N", completion: .none),
                summary: "how many operations each run does at most"
            ) { (value, options) throws(UsageError) in
                options.parameters.operations = try integer(value.text, in: 1...1_000_000_000)
            },
            Flag(
                "repeats", arity: .value(placeholder: "N", completion: .none),
                summary: "how many runs, the median counts (default: 3)"
            ) { (value, options) throws(UsageError) in
                options.parameters.repeats = try integer(value.text, in: 1...1_000)
            },
            Flag(
                "warm-up", arity: .value(placeholder: "SECONDS", completion: .none),
                summary: "how long before it counts (default: 0.2)"
            ) { (value, options) throws(UsageError) in
                options.parameters.warmUp = .seconds(try decimal(value.text, in: 0...3_600))
            },
            Flag(
                "seed", arity: .value(placeholder: "S", completion: .none),
                summary: "what choices are made from (default: 1)"
            ) { (value, options) throws(UsageError) in
                options.parameters.seed = try integer(value.text, in: 0...UInt64.max)
            },
            Flag(
                "compare", arity: .value(placeholder: "FILE", completion: .file),
                summary: "compare with an earlier result of -o json"
            ) { (value, options) in options.compare = value.text },
            Flag(
                "tolerance", arity: .value(placeholder: "PERCENT", completion: .none),
                summary: "how far a ratio may fall (default: 10)"
            ) { (value, options) throws(UsageError) in options.tolerance = try decimal(value.text, in: 0...100) },
        ]
    }

    private static func decimal(_ text: String, in range: ClosedRange<Double>) throws(UsageError) -> Double {
        guard let number = Double(text), range.contains(number) else {
            throw UsageError(
                "\(Escape.shown(text, quoted: true)) is no number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }
}

/// One run of `ego bench`.
private struct BenchRun {
    private let options: BenchOptions
    private let context: CommandContext

    init(_ options: BenchOptions, _ context: CommandContext) { (self.options, self.context) = (options, context) }

    func run() async throws -> CommandOutput {
        let earlier = try options.compare.map { try BenchComparison(file: $0, tolerance: options.tolerance) }
        let parameters = options.final
        let place = try place()
        let bench = Bench(at: place, parameters, program: program, time: context.time)
        let cases = bench.cases(options.workloads.isEmpty ? BenchWorkload.allCases : options.workloads)
        let view = BenchView(parameters: parameters, location: try context.location, comparison: earlier)
        if context.global.isDryRun { return view.output(planned: cases) }
        try context.checkWritable()
        let progress = context.progress("bench")
        defer { progress.finish() }
        var watch = MachineWatch(isInProcess: place.isInProcess)
        try await watch.lookBefore(context.time)
        var results: [BenchResult] = []
        let removal = BenchRemoval(context.signals, place)
        defer { removal.isDone() }
        for measured in cases {
            progress.report(done: results.count, total: cases.count, unit: "measurements")
            results.append(try await bench.run(measured))
        }
        return view.output(results, watch.finish())
    }

    private func place() throws -> any ScratchPlace {
        switch try context.location {
        case .sqlite(let path):
            var options = SQLiteStoreOptions()
            options.busyTimeout = context.global.timeout.map { .nanoseconds($0) } ?? options.busyTimeout
            return try SQLiteScratchPlace(beside: path, options: options)
        case .postgres(let url):
            let folder = context.console.environment["TMPDIR"].flatMap { $0.isEmpty ? nil : $0 } ?? "/tmp"
            let timeout = context.global.timeout.map { Duration.nanoseconds($0) }
            return PostgresScratchPlace(
                url: url, options: PostgresStoreOptions(statementTimeout: timeout), folder: folder)
        }
    }

    /// This program; nil where the command line does not have a process of its own.
    private var program: String? {
        if context.signals == nil { return nil }
        return try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    }
}

/// Keeps somebody who presses Ctrl-C twice from ending the process between the first, which ends the measurement, and the
/// removal of its stores a moment later.
private struct BenchRemoval: Sendable {
    private let signals: SignalTrap?
    private let end = DispatchSemaphore(value: 0)
    /// What a store takes at most to be removed; a longer wait would not be an end at once.
    private static let patience = DispatchTimeInterval.seconds(2)

    init(_ signals: SignalTrap?, _ place: any ScratchPlace) {
        self.signals = signals
        let end = end
        signals?.beforeEnd {
            if end.wait(timeout: .now() + Self.patience) == .timedOut { place.abandon() }
        }
    }

    /// The stores are removed.
    func isDone() {
        signals?.beforeEnd(nil)
        end.signal()
    }
}

/// Looks whether the machine has time for a measurement.
struct MachineWatch {
    private let isInProcess: Bool
    private var start: MachineLoad?
    private var othersBefore = 0.0

    /// - Parameter isInProcess: whether all of the work is done by this process; otherwise nobody can tell a server's work
    ///   from that of others, and only the moment before counts.
    init(isInProcess: Bool) { self.isInProcess = isInProcess }

    /// Looks at the machine while nothing is measured.
    mutating func lookBefore(_ time: any TimeSource) async throws {
        guard let first = MachineLoad() else { return }
        try await time.sleep(for: .milliseconds(300))
        guard let second = MachineLoad() else { return }
        othersBefore = second.others(since: first)
        start = second
    }

    /// What others took of the processors' time meanwhile; nil where the system does not tell.
    func finish() -> (others: Double, stolen: Double)? {
        guard let start, let end = MachineLoad() else { return nil }
        let others = isInProcess ? max(othersBefore, end.others(since: start)) : othersBefore
        return (others, end.stolen(since: start))
    }
}
