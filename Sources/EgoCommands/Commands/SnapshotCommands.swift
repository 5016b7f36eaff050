import CommandLineKit
import EgoCore
import EgoOperations

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What a command of `ego snapshot` was told.
private struct SnapshotOptions: Sendable {
    var ids: [PersistenceID] = []
    var isAll = false
    var after: PersistenceID?
    var limit = 100
    var at: SequenceNumber?
    var through: SequenceNumber?
    var kind: String?
    var planFile: String?
    var applyFile: String?
}

private typealias SnapshotFlag = Flag<SnapshotOptions>

extension Command where Context == CommandContext {
    static var snapshot: Command {
        Command(
            "snapshot", summary: "list, make, check or delete snapshots",
            discussion: [
                "A snapshot is an entity's state at a sequence number: reading the entity begins there instead of at its first event. It can always be made again from the events, as long as they are there."
            ],
            output: .snapshot, subcommands: [snapshotList, snapshotCreate, snapshotVerify, snapshotDelete])
    }

    private static var columns: [Column] {
        [
            .id, .sequenceNumber, .time("timestamp"), .type, Column("bytes", .right),
            Column("encrypted", isDefault: false),
        ]
    }

    private static func ids(_ arity: OperandArity = .any, _ summary: String) -> [Operand<SnapshotOptions>] {
        [
            Operand("ID", arity: arity, summary: summary, completion: .dynamic("entity")) {
                (word, options) throws(UsageError) in options.ids.append(try persistenceID(word))
            }
        ]
    }

    private static var kindFlag: SnapshotFlag {
        Flag(
            "kind", arity: .value(placeholder: "KIND", completion: .dynamic("kind")),
            summary: "the kind, where it cannot be told"
        ) { (value, options) in options.kind = value.text }
    }

    // MARK: List

    private static var snapshotList: Command {
        Command(
            "list", summary: "list snapshots", output: .snapshot, columns: columns,
            options: { SnapshotOptions() },
            flags: [
                Flag(
                    "after", arity: .value(placeholder: "ID", completion: .dynamic("entity")),
                    summary: "only those of entities after this one"
                ) { (value, options) throws(UsageError) in options.after = try persistenceID(value.text) },
                Flag(
                    "limit", arity: .value(placeholder: "N", completion: .none),
                    summary: "stop after this many, at an entity's end (default: 100)"
                ) { (value, options) throws(UsageError) in options.limit = try integer(value.text, in: 1...Int.max) },
            ],
            operands: ids(.any, "the entities; without one, all of them"),
            examples: [
                Example("snapshot list", "the snapshots of all entities"),
                Example("snapshot list acc-1 -o json", "those of one entity, for a script"),
            ],
            exitCodes: [.notFound, .data, .noInput, .unavailable, .busy, .noPermission, .config]
        ) { options, context in
            let store = try await context.open(readOnly: true)
            let listing = SnapshotListing(
                store: store, ids: options.ids, after: options.after, limit: options.limit, page: context.page)
            return CommandOutput(
                records: RecordList("snapshots", columns: columns) { try await listing.nextPage() }
            ) {
                let next = try await listing.finish()
                let more = next.map { next in
                    Diagnostic(
                        .note, code: "more", "there may be more snapshots",
                        hint: "go on with --after \(Escape.shellWord(next))")
                }
                return CommandOutput.Completion(
                    fields: [.init("next", .optional(next))], diagnostics: more.map { [$0] } ?? [])
            }
        }
    }

    // MARK: Create

    private static var snapshotCreate: Command {
        Command(
            "create", summary: "keep the state of entities as snapshots",
            discussion: ["A snapshot that is there already, and is the same, is left alone."],
            output: .snapshot, columns: columns + [Column("written")], options: { SnapshotOptions() },
            flags: [
                Flag(
                    "at", arity: .value(placeholder: "SEQ", completion: .none),
                    summary: "the state after this event (default: the last)"
                ) { (value, options) throws(UsageError) in options.at = try EgoCommands.sequenceNumber(value.text) },
                kindFlag,
            ],
            operands: ids(.any, "the entities"),
            examples: [
                Example("snapshot create acc-1", "a snapshot of the latest state"),
                Example("snapshot create acc-1 --at 2 --dry-run", "see what it would keep"),
            ],
            exitCodes: [
                .partial, .refused, .notFound, .data, .noInput, .unavailable, .busy, .noPermission, .config,
            ]
        ) { options, context in
            if options.ids.isEmpty { throw UsageError("missing", subject: "ID") }
            let isDryRun = context.global.isDryRun
            if !isDryRun { try context.checkWritable() }
            return try await context.withStore(readOnly: isDryRun) { store in
                try await create(options, store, context)
            }
        }
    }

    private static func create(
        _ options: SnapshotOptions, _ store: any Store, _ context: CommandContext
    ) async throws -> CommandOutput {
        let snapshots = Snapshots(store: store, domain: context.domain, time: context.time, by: context.person)
        var records: [OutputValue] = []
        var failures = ItemFailures()
        var written = 0
        for id in options.ids {
            try Task.checkCancellation()
            do {
                let (snapshot, isNew) = try await snapshots.create(
                    id, at: options.at, kind: options.kind, isDryRun: context.global.isDryRun)
                if isNew { written += 1 }
                records.append(
                    SnapshotListing.record(snapshot, [.init("written", .bool(isNew && !context.global.isDryRun))]))
            } catch {
                try failures.add(id.rawValue, error)
            }
        }
        let changed = written > 0 && !context.global.isDryRun
        let completion = try failures.completion(
            done: records.count, changed: changed, fields: [.init("dry_run", .bool(context.global.isDryRun))])
        return CommandOutput(
            records: RecordList("snapshots", columns: columns + [Column("written")], records)
        ) { completion }
    }

    // MARK: Verify

    private static var snapshotVerify: Command {
        Command(
            "verify", summary: "compare snapshots with a fold of the events", output: .snapshot,
            options: { SnapshotOptions() },
            flags: [
                Flag("all", arity: .toggle(negated: false), summary: "those of all entities") {
                    (value, options) in options.isAll = value.isOn
                },
                kindFlag,
            ],
            operands: ids(.any, "the entities"),
            examples: [Example("snapshot verify --all", "exit 2 when a snapshot is not what its events give")],
            exitCodes: [
                .findings, .partial, .notFound, .data, .noInput, .unavailable, .busy, .noPermission, .config,
            ]
        ) { options, context in
            if options.ids.isEmpty != options.isAll {
                throw options.isAll
                    ? UsageError("it takes no ID", subject: "--all")
                    : UsageError("missing", subject: "ID", hint: "name entities, or use --all")
            }
            return try await context.reading { store in try await verify(options, store, context) }
        }
    }

    private static func verify(
        _ options: SnapshotOptions, _ store: any Store, _ context: CommandContext
    ) async throws -> CommandOutput {
        let replay = Replay(store: store, domain: context.domain, page: context.page)
        let progress = context.progress("snapshot verify")
        defer { progress.finish() }
        var mismatches: [OutputValue] = []
        var failures = ItemFailures()
        var checked = 0
        var waiting = options.ids
        var after: PersistenceID?
        while true {
            if waiting.isEmpty, options.isAll {
                let found = try await store.entities(EntityQuery(after: after, limit: 1_000))
                after = found.last?.persistenceID
                waiting = found.filter { !$0.isErased }.map(\.persistenceID)
                if found.isEmpty { break }
                continue
            }
            if waiting.isEmpty { break }
            try Task.checkCancellation()
            let id = waiting.removeFirst()
            do {
                mismatches += try await replay.verify(id, kind: options.kind).map { mismatch in
                    OutputValue.object([
                        .init("id", .text(id.rawValue)), .init("sequence_number", .number(mismatch.sequenceNumber)),
                        .init("message", .text(mismatch.message)),
                    ])
                }
                checked += 1
                progress.report(done: checked, total: nil, unit: "entities")
            } catch {
                try failures.add(id.rawValue, error)
            }
        }
        var completion = try failures.completion(done: checked, changed: false)
        if !mismatches.isEmpty, completion.exitCode == .ok { completion.exitCode = .findings }
        let final = completion
        return CommandOutput(
            fields: [
                .init("verified", .bool(mismatches.isEmpty && failures.isEmpty)), .init("checked", .number(checked)),
                .init("mismatches", .array(mismatches)),
            ]
        ) { final }
    }

    // MARK: Delete

    private static var snapshotDelete: Command {
        Command(
            "delete", summary: "delete snapshots of entities",
            discussion: [
                "A snapshot that stands for events which were deleted stays, as does any of an entity under a legal hold; these are listed.",
                .paragraph([
                    "It is asked for confirmation first, unless ", .flag("yes"), " is given. ", .flag("plan"),
                    " writes what would be done to a file instead, and ", .flag("apply"),
                    " does it later, if nothing of these entities has changed until then.",
                ]),
            ],
            output: .snapshot, options: { SnapshotOptions() },
            flags: [
                Flag(
                    "through", arity: .value(placeholder: "SEQ", completion: .none),
                    summary: "only up to and including this number"
                ) { (value, options) throws(UsageError) in
                    options.through = try EgoCommands.sequenceNumber(value.text)
                }
            ] + PlanFile.flags(\.planFile, \.applyFile),
            operands: ids(.any, "the entities"),
            examples: [
                Example("snapshot delete acc-1 --dry-run", "see how many there are to delete"),
                Example("snapshot delete acc-1 --through 100 --yes", "delete the older ones, without a question"),
            ],
            exitCodes: [
                .partial, .refused, .notFound, .data, .noInput, .unavailable, .busy, .noPermission, .config,
                .interrupted,
            ]
        ) { options, context in
            let isOnlyLook = context.global.isDryRun || options.planFile != nil
            let deletion = try selection(options)
            return try await context.withStore(readOnly: isOnlyLook) { store in
                let snapshots = Snapshots(store: store, domain: context.domain, time: context.time, by: context.person)
                let planned = try await snapshots.planDeletion(deletion.selection)
                if let plan = deletion.plan { try plan.check(against: planned.plan) }
                if let file = options.planFile { try PlanFile.write(planned.plan, to: file, context) }
                if isOnlyLook { return output(planned.plan, deleted: 0, isDryRun: true) }
                let count = planned.plan.counts["snapshots"] ?? 0
                if count > 0 {
                    try context.confirmation.confirm("\(count, "snapshot", "snapshots") will be deleted")
                }
                if count == 0, try await !snapshots.isUnfinished(deletion.selection) {
                    return output(planned.plan, deleted: 0, isDryRun: false)
                }
                let progress = context.progress("snapshot delete")
                defer { progress.finish() }
                let deleted = try await snapshots.delete(
                    deletion.selection, as: planned, command: context.commandLine()
                ) { done in
                    progress.report(done: done, total: count, unit: "snapshots")
                }
                return output(planned.plan, deleted: deleted, isDryRun: false)
            }
        }
    }

    private static func selection(
        _ options: SnapshotOptions
    ) throws -> (selection: Snapshots.Deletion, plan: Plan?) {
        guard let file = options.applyFile else {
            if options.ids.isEmpty { throw UsageError("missing", subject: "ID") }
            var ids: [PersistenceID] = []
            for id in options.ids where !ids.contains(id) { ids.append(id) }
            return (Snapshots.Deletion(ids: ids, through: options.through), nil)
        }
        if !options.ids.isEmpty { throw UsageError("it takes no ID; the plan has them", subject: "--apply") }
        if options.planFile != nil { throw UsageError("it goes with no --plan", subject: "--apply") }
        let plan = try PlanFile.read(file)
        return (try Snapshots.Deletion(plan), plan)
    }

    private static func output(_ plan: Plan, deleted: Int, isDryRun: Bool) -> CommandOutput {
        let guards = plan.guards.map { held in
            OutputValue.object([
                .init("name", .text(held.name)), .init("id", .text(held.id)), .init("detail", .text(held.detail)),
            ])
        }
        var fields: [OutputValue.Field] = [
            .init("deleted", .number(deleted)), .init("guards", .array(guards)), .init("dry_run", .bool(isDryRun)),
        ]
        if isDryRun { fields.insert(.init("plan", PlanFile.value(plan)), at: 0) }
        let final = fields
        return CommandOutput(fields: final) {
            var exitCode = ExitCode.ok
            if !guards.isEmpty, !isDryRun { exitCode = deleted > 0 ? .partial : .refused }
            return CommandOutput.Completion(
                changed: deleted > 0, exitCode: exitCode,
                diagnostics: plan.guards.map {
                    Diagnostic(.warning, code: $0.name, "\(Escape.shown($0.id)): \($0.detail)")
                })
        }
    }
}

/// Lists snapshots entity by entity.
private actor SnapshotListing {
    private let store: any Store
    private let limit: Int
    private let page: PageLimit
    private let isAll: Bool
    private var waiting: [PersistenceID]
    private var after: PersistenceID?
    private var last: PersistenceID?
    private var given = 0
    private var isCut = false

    init(store: any Store, ids: [PersistenceID], after: PersistenceID?, limit: Int, page: PageLimit) {
        self.store = store
        self.limit = limit
        self.page = page
        self.isAll = ids.isEmpty
        self.waiting = ids
        self.after = after
    }

    func nextPage() async throws -> [OutputValue]? {
        while true {
            try Task.checkCancellation()
            if given >= limit, isAll {
                isCut = true
                return nil
            }
            if waiting.isEmpty, isAll {
                let found = try await store.entities(EntityQuery(after: after, limit: 200))
                after = found.last?.persistenceID
                waiting = found.map(\.persistenceID)
            }
            if waiting.isEmpty { return nil }
            let id = waiting.removeFirst()
            if !isAll, try await store.stream(of: id) == nil {
                throw OperationError(.notFound, "there is no such entity", persistenceID: id)
            }
            last = id
            var records: [OutputValue] = []
            var next = SequenceNumber.zero
            while true {
                let snapshots = try await store.snapshots(of: id, from: next, limit: page)
                guard let newest = snapshots.last else { break }
                records += snapshots.map { Self.record($0) }
                next = newest.sequenceNumber.next
            }
            given += records.count
            if !records.isEmpty { return records }
        }
    }

    /// Closes the store; returns after which entity to go on.
    func finish() async throws -> String? {
        await store.close()
        return isCut ? last?.rawValue : nil
    }

    static func record(_ snapshot: StoredSnapshot, _ more: [OutputValue.Field] = []) -> OutputValue {
        let type = try? AnyPayload(serialized: snapshot.payload).typeName
        return .object(
            [
                .init("id", .text(snapshot.persistenceID.rawValue)),
                .init("sequence_number", .number(snapshot.sequenceNumber)),
                .init("timestamp", .moment(snapshot.timestamp)), .init("type", .optional(type)),
                .init("bytes", .number(snapshot.payload.count)), .init("encrypted", .bool(snapshot.isEncrypted)),
            ] + more)
    }
}
