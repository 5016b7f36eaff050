import CommandLineKit
import EgoCore
import EgoOperations
import SwiftProtobuf
import Synchronization

extension Command where Context == CommandContext {
    static var replay: Command {
        Command(
            "replay", summary: "fold events into state",
            discussion: [
                "Shows the state of entities as their events give it, now or at any point before. A durable-state entity shows its latest version.",
                .paragraph([
                    .flag("trace"), " shows the state after each event, ", .flag("diff"),
                    " what changed between two of them, ", .flag("verify"),
                    " folds from the first event and compares with every snapshot (exit 2 when one differs).",
                ]),
                "Several entities are all replayed, even when one fails; the exit code is 3 then.",
            ],
            output: .replay, columns: ReplayOptions.allColumns, options: { ReplayOptions() },
            flags: ReplayOptions.flags,
            operands: [
                Operand("ID", arity: .any, summary: "the entities", completion: .dynamic("entity")) {
                    (word, options) throws(UsageError) in options.ids.append(try persistenceID(word))
                }
            ],
            examples: [
                Example("replay acc-1", "the state of one entity"),
                Example("replay acc-1 --trace", "its state after each event"),
                Example("replay acc-1 --diff 1 3", "what changed between two events"),
                Example("replay --all --verify", "compare every snapshot of the store"),
            ],
            exitCodes: [
                .findings, .partial, .notFound, .timedOut, .data, .noInput, .unavailable, .busy, .noPermission, .config,
            ]
        ) { options, context in
            try options.check()
            let store = try await context.open(readOnly: true)
            let run = ReplayRun(options: options, store: store, context: context)
            return CommandOutput(
                records: RecordList("entities", columns: options.columns, rows: options.rows) {
                    try await run.nextPage()
                }
            ) { try await run.finish() }
        }
    }
}

/// What `ego replay` was told.
struct ReplayOptions: Sendable {
    var ids: [PersistenceID] = []
    var kind: String?
    var to: SequenceNumber?
    var at: String?
    var from: SequenceNumber?
    var isTrace = false
    var diff: (from: SequenceNumber, to: SequenceNumber)?
    var isVerify = false
    var isAll = false

    static let flags: [Flag<ReplayOptions>] = [
        Flag(
            "to", arity: .value(placeholder: "SEQ", completion: .none), summary: "the state after this event"
        ) { (value, options) throws(UsageError) in options.to = try sequenceNumber(value.text) },
        Flag(
            "at", arity: .value(placeholder: "TIME", completion: .none), summary: "the state at this time"
        ) { (value, options) in options.at = value.text },
        Flag(
            "from", arity: .value(placeholder: "SEQ", completion: .none),
            summary: "with --trace, begin at this event"
        ) { (value, options) throws(UsageError) in options.from = try sequenceNumber(value.text) },
        Flag("trace", arity: .toggle(negated: false), summary: "show the state after each event") {
            (value, options) in options.isTrace = value.isOn
        },
        Flag("diff", arity: .pair("A", "B"), summary: "show what changed from event A to event B") {
            (value, options) throws(UsageError) in
            guard case .pair(let from, let to) = value else { return }
            options.diff = (try sequenceNumber(from, from: 0), try sequenceNumber(to, from: 0))
        },
        Flag("verify", arity: .toggle(negated: false), summary: "compare a full fold with every snapshot") {
            (value, options) in options.isVerify = value.isOn
        },
        Flag("all", arity: .toggle(negated: false), summary: "every entity of the store") {
            (value, options) in options.isAll = value.isOn
        },
        Flag(
            "kind", arity: .value(placeholder: "KIND", completion: .dynamic("kind")),
            summary: "the kind, where it cannot be told"
        ) { (value, options) in options.kind = value.text },
    ]

    func check() throws(UsageError) {
        if ids.isEmpty, !isAll { throw UsageError("missing", subject: "ID", hint: "name entities, or use --all") }
        if !ids.isEmpty, isAll { throw UsageError("it takes no ID", subject: "--all") }
        if to != nil, at != nil { throw UsageError("it goes with no --to", subject: "--at") }
        if from != nil, !isTrace { throw UsageError("it goes with --trace only", subject: "--from") }
        if let from, let to, from > to { throw UsageError("\(from) is after --to \(to)", subject: "--from") }
        if diff != nil, isTrace || isVerify || to != nil || at != nil {
            throw UsageError("it goes with no --trace, --verify, --to or --at", subject: "--diff")
        }
        if isVerify, isTrace || to != nil || at != nil {
            throw UsageError("it goes with no --trace, --to or --at", subject: "--verify")
        }
    }

    /// The rows of a table: entities, or their steps or changes.
    var rows: @Sendable (OutputValue) -> [OutputValue] {
        let list = isTrace ? "steps" : diff != nil ? "changes" : nil
        guard let list else { return { [$0] } }
        return { entity in
            guard case .array(let parts) = entity[list] else { return [] }
            return parts.map { part in
                guard case .object(let fields) = part else { return part }
                return .object([.init("id", entity["id"]), .init("kind", entity["kind"])] + fields)
            }
        }
    }

    /// The columns of all forms of the command, for completion.
    static var allColumns: [Column] {
        var (verify, trace, diff) = (ReplayOptions(), ReplayOptions(), ReplayOptions())
        verify.isVerify = true
        trace.isTrace = true
        diff.diff = (1, 1)
        var all: [Column] = []
        for column in [ReplayOptions(), verify, trace, diff].flatMap(\.columns)
        where !all.contains(where: { $0.name == column.name }) {
            all.append(column)
        }
        return all
    }

    /// The columns of a table.
    var columns: [Column] {
        let base = [Column.id, .word("kind", isDefault: !isTrace && diff == nil)]
        let counts = [
            .sequenceNumber,
            Column("event_count", .right, title: "EVENTS", isDefault: !isTrace),
            Column("snapshot_sequence_number", .right, title: "SNAPSHOT", isDefault: false),
            .time("timestamp", isDefault: false),
        ]
        if isTrace {
            return base + [
                .sequenceNumber, .time("timestamp"), .type,
                Column("event", isDefault: false),
                Column("state"),
            ]
        }
        if diff != nil { return base + [Column("path"), Column("before", .right), Column("after", .right)] }
        if isVerify { return base + counts + [Column("verified"), Column("mismatches")] }
        return base + counts + [Column("state")]
    }
}

/// Replays one entity after the other.
private actor ReplayRun {
    private let options: ReplayOptions
    private let store: any Store
    private let context: CommandContext
    private let replay: Replay
    private let progress: any ProgressReporter
    private var waiting: [PersistenceID]
    private var after: PersistenceID?
    private var hasMore: Bool
    private var done = 0
    private var failures = ItemFailures()
    private var succeeded = 0
    private var mismatches: [OutputValue] = []
    private var absent = 0

    init(options: ReplayOptions, store: any Store, context: CommandContext) {
        self.options = options
        self.store = store
        self.context = context
        self.replay = Replay(store: store, domain: context.readingDomain, page: context.page)
        self.progress = context.progress("replay")
        self.waiting = options.ids
        self.hasMore = options.isAll
    }

    func nextPage() async throws -> [OutputValue]? {
        do {
            while true {
                if waiting.isEmpty { try await fetch() }
                if waiting.isEmpty { return nil }
                var records: [OutputValue] = []
                for id in waiting.prefix(100) {
                    try Task.checkCancellation()
                    do {
                        records.append(try await record(id))
                        succeeded += 1
                    } catch let error as OperationError where options.isAll && error.code == .notFound {
                        absent += 1  // of all entities, some were not there yet at that point
                        continue
                    } catch {
                        try failures.add(id.rawValue, error)
                    }
                    done += 1
                    progress.report(done: done, total: options.isAll ? nil : options.ids.count, unit: "entities")
                }
                waiting.removeFirst(min(100, waiting.count))
                if !records.isEmpty { return records }
            }
        } catch {
            await close()
            throw error
        }
    }

    func finish() async throws -> CommandOutput.Completion {
        await close()
        var fields: [OutputValue.Field] = []
        if options.isVerify {
            fields = [
                .init("verified", .bool(mismatches.isEmpty && failures.isEmpty)),
                .init("mismatches", .array(mismatches)),
            ]
        }
        var completion = try failures.completion(
            done: succeeded, changed: false, fields: fields, isNamed: !options.isAll)
        if !mismatches.isEmpty, completion.exitCode == .ok { completion.exitCode = .findings }
        if absent > 0 {
            completion.diagnostics.append(
                Diagnostic(.note, code: "absent", "\(absent) entities did not exist at that point"))
        }
        if let at = options.at {
            let time = TimeStyle.rfc3339Brief.text(try context.moment(at, flag: "at").unixNanoseconds)
            completion.diagnostics.append(Diagnostic(.note, code: "time", "at \(time)"))
        }
        return completion
    }

    private func close() async {
        progress.finish()
        await store.close()
    }

    private func fetch() async throws {
        while hasMore, waiting.isEmpty {
            let found = try await store.entities(EntityQuery(after: after, limit: 1_000))
            hasMore = found.count == 1_000
            after = found.last?.persistenceID
            // There is nothing to fold in an erased entity; that is no failure.
            waiting = found.filter { !$0.isErased }.map(\.persistenceID)
        }
    }

    private func record(_ id: PersistenceID) async throws -> OutputValue {
        if let diff = options.diff { return try await difference(id, diff.from, diff.to) }
        var end = Replay.End.head
        if let to = options.to { end = .sequenceNumber(to) }
        if let at = options.at { end = .time(try context.moment(at, flag: "at")) }
        let steps = Mutex<[OutputValue]>([])
        let problem = Mutex<(any Error)?>(nil)
        var consumer: StepConsumer?
        let view = PayloadView(context)
        if options.isTrace {
            consumer = StepConsumer(from: options.from ?? 1) { step in
                do {
                    let value = try Self.step(step, view)
                    steps.withLock { $0.append(value) }
                } catch {
                    problem.withLock { $0 = error }
                }
            }
        }
        let entity = try await replay.entity(id, to: end, kind: options.kind, steps: consumer)
        if let problem = problem.withLock({ $0 }) { throw problem }
        if let from = options.from, from > entity.sequenceNumber {
            throw OperationError(
                .notFound, "there is no event \(from) up to \(entity.sequenceNumber)", persistenceID: id)
        }
        var fields =
            EntityView.fields(entity) + [.init("state", try view.json(entity.state, key: entity.encryptionKeyID))]
        if options.isTrace { fields.append(.init("steps", .array(steps.withLock { $0 }))) }
        if options.isVerify { fields += try await verification(id) }
        return .object(fields)
    }

    private func verification(_ id: PersistenceID) async throws -> [OutputValue.Field] {
        let found = try await replay.verify(id, kind: options.kind).map { mismatch in
            OutputValue.object([
                .init("id", .text(id.rawValue)), .init("sequence_number", .number(mismatch.sequenceNumber)),
                .init("message", .text(mismatch.message)),
            ])
        }
        mismatches += found
        return [.init("verified", .bool(found.isEmpty)), .init("mismatches", .array(found))]
    }

    private func difference(
        _ id: PersistenceID, _ from: SequenceNumber, _ to: SequenceNumber
    ) async throws -> OutputValue {
        let before = try await replay.entity(id, to: .sequenceNumber(from), kind: options.kind)
        let after = try await replay.entity(id, to: .sequenceNumber(to), kind: options.kind)
        let view = PayloadView(context)
        if view.hides(after.encryptionKeyID) {
            throw CommandFailure(
                .noPermission, Escape.shown(id.rawValue), "it is encrypted", hint: "--decrypt shows what changed")
        }
        return .object(
            EntityView.fields(after) + [
                .init("state", try view.json(after.state, key: after.encryptionKeyID)),
                .init("from_sequence_number", .number(from)),
                .init("changes", try EntityView.changes(before.state, after.state)),
            ])
    }

    private static func step(_ step: ReplayStep, _ view: PayloadView) throws -> OutputValue {
        let key = step.encryptionKeyID
        return .object([
            .init("sequence_number", .number(step.sequenceNumber)), .init("timestamp", .moment(step.timestamp)),
            .init("type", .text(Swift.type(of: step.event).protoMessageName)),
            .init("event", try view.json(step.event, key: key)),
            .init("state", try view.json(step.state, key: key)),
        ])
    }
}
