import CommandLineKit
import EgoCore
import EgoOperations

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What a command of `ego retain` was told.
private struct RetainOptions: Sendable {
    var keepEvents: UInt64?
    var olderThan: String?
    var keepSnapshots: Int?
    var closedBy: [String] = []
    var kind: String?
    var prefix: String?
    var archive: String?
    var planFile: String?
    var applyFile: String?
    var ids: [PersistenceID] = []

    var hasPolicy: Bool {
        keepEvents != nil || olderThan != nil || keepSnapshots != nil || !closedBy.isEmpty
    }
}

extension Command where Context == CommandContext {
    static var retain: Command { retain(named: "retain", isHidden: false) }

    /// Another name of the same.
    static var retention: Command { retain(named: "retention", isHidden: true) }

    private static func retain(named name: String, isHidden: Bool) -> Command {
        Command(
            name, summary: "delete old events and snapshots that nothing needs",
            discussion: [
                .paragraph([
                    "A policy says what may go: all but the newest ", .flag("keep-events"), ", what is ",
                    .flag("older-than"), " a time, everything of entities whose last event is ", .flag("closed-by"),
                    " a type, and snapshots but the newest ", .flag("keep-snapshots"),
                    ". Several conditions have to hold together. Without any, the policies of the configuration count, [retain.NAME], the first that covers an entity.",
                ]),
                "Nothing goes that something needs: no event after the newest snapshot that was proven, which decodes and is what the events give; none that a projection has not passed; none of an entity under a legal hold. What is held back is listed.",
                .paragraph([
                    .flag("archive"),
                    " writes what goes to a file first, reads it back and compares; ego import reads it. It asks for confirmation, and needs a ",
                    .flag("reason"), ".",
                ]),
            ],
            output: .retain, options: { RetainOptions() },
            flags: policyFlags + [
                Flag(
                    "archive", arity: .value(placeholder: "FILE", completion: .file),
                    summary: "keep deleted events in a file (JSON Lines)"
                ) { (value, options) in options.archive = value.text }
            ] + PlanFile.flags(\.planFile, \.applyFile),
            examples: [
                Example("retain --keep-events 100 --dry-run", "see what would go, and what is held back"),
                Example(
                    "retain --older-than 90d --archive old.jsonl --reason \"retention 90 days\" --yes",
                    "delete what is older, and keep it in a file"),
                Example("retain hold acc-1 --reason \"case 12\"", "keep an entity from being deleted"),
            ],
            exitCodes: [
                .partial, .refused, .timedOut, .data, .noInput, .unavailable, .io, .busy, .noPermission, .config,
                .interrupted,
            ],
            subcommands: [retainHold, retainRelease, retainHolds], isHidden: isHidden
        ) { options, context in
            let isOnlyLook = context.global.isDryRun || options.planFile != nil
            if !isOnlyLook { try context.requireReason("repeat it") }
            var resolved: [String: String] = [:]
            let (policies, plan) = try policies(options, context, &resolved)
            if let archive = options.archive { try context.checkNotStore(archive, subject: "--archive") }
            let command = context.commandLine(resolved: resolved)
            return try await context.withStore(readOnly: isOnlyLook) { store in
                try await retain(policies, plan, options, command, store, context)
            }
        }
    }

    private static var policyFlags: [Flag<RetainOptions>] {
        [
            Flag(
                "keep-events", arity: .value(placeholder: "N", completion: .none),
                summary: "the newest events of each entity stay"
            ) { (value, options) throws(UsageError) in
                options.keepEvents = UInt64(try integer(value.text, in: 0...Int.max))
            },
            Flag(
                "older-than", arity: .value(placeholder: "TIME", completion: .none),
                summary: "only events written before, as 90d or a date"
            ) { (value, options) in options.olderThan = value.text },
            Flag(
                "keep-snapshots", arity: .value(placeholder: "N", completion: .none),
                summary: "the newest snapshots of each entity stay"
            ) { (value, options) throws(UsageError) in
                options.keepSnapshots = try integer(value.text, in: 1...Int.max)
            },
            Flag(
                "closed-by", arity: .value(placeholder: "TYPE", completion: .none),
                summary: "only entities whose last event is of this type", isRepeatable: true
            ) { (value, options) in options.closedBy.append(value.text) },
            Flag(
                "kind", arity: .value(placeholder: "KIND", completion: .dynamic("kind")),
                summary: "only entities of this kind"
            ) { (value, options) in options.kind = value.text },
            Flag(
                "prefix", arity: .value(placeholder: "PREFIX", completion: .dynamic("entity")),
                summary: "only entities whose ID starts so"
            ) { (value, options) in options.prefix = value.text },
        ]
    }

    private static func policies(
        _ options: RetainOptions, _ context: CommandContext, _ resolved: inout [String: String]
    ) throws -> ([RetentionPolicy], Plan?) {
        if let file = options.applyFile {
            if options.hasPolicy || options.kind != nil || options.prefix != nil || options.planFile != nil {
                throw UsageError("the plan has the policy; it goes with no other flag of it", subject: "--apply")
            }
            let plan = try PlanFile.read(file)
            return (try JournalRetention.policies(of: plan), plan)
        }
        if options.hasPolicy {
            var policy = RetentionPolicy(
                kind: options.kind, prefix: options.prefix, keepEvents: options.keepEvents,
                keepSnapshots: options.keepSnapshots, closedBy: options.closedBy.map(fullName(context)))
            if let text = options.olderThan {
                let moment = try context.moment(text, flag: "older-than")
                policy.olderThan = moment.unixNanoseconds
                resolved["older-than"] = TimeStyle.rfc3339.text(moment.unixNanoseconds)
            }
            return ([policy], nil)
        }
        if options.kind != nil || options.prefix != nil {
            throw UsageError(
                "it narrows a policy, and there is none", subject: options.kind != nil ? "--kind" : "--prefix",
                hint: "add --keep-events, --older-than, --keep-snapshots or --closed-by")
        }
        // The least important file first: a policy of the same name replaces one before.
        var declared: [RetentionDeclaration] = []
        for file in context.configuration.files {
            for declaration in file.retentions {
                declared.removeAll { $0.name == declaration.name }
                declared.append(declaration)
            }
        }
        if declared.isEmpty {
            throw UsageError(
                "there is no policy", subject: "retain",
                hint: "add --keep-events, --older-than, --keep-snapshots or --closed-by, or declare [retain.NAME]")
        }
        let now = context.time.now().unixNanoseconds
        return (
            try declared.map { declaration throws(CommandFailure) in
                var policy = try declaration.policy(now: now)
                policy.closedBy = policy.closedBy.map(fullName(context))
                return policy
            }, nil
        )
    }

    /// The full name of an event's type that may have been given by its short one.
    private static func fullName(_ context: CommandContext) -> (String) -> String {
        { name in
            let types = context.domain.kinds.flatMap(\.eventTypes)
            return types.first { $0.shortName == name }?.name ?? name
        }
    }

    private static func retain(
        _ policies: [RetentionPolicy], _ confirmed: Plan?, _ options: RetainOptions, _ command: String,
        _ store: any Store, _ context: CommandContext
    ) async throws -> CommandOutput {
        let descriptors = context.descriptors
        let retention = JournalRetention(
            store: store, domain: context.readingDomain, by: context.person, time: context.time, page: context.page,
            decodes: { descriptors?.decodes($0) ?? false })
        let progress = context.progress("retain")
        defer { progress.finish() }
        let (plan, summary) = try await retention.plan(policies) { done in
            progress.report(done: done, total: nil, unit: "entities")
        }
        if let confirmed { try confirmed.check(against: plan) }
        if let file = options.planFile { try PlanFile.write(plan, to: file, context) }
        if context.global.isDryRun || options.planFile != nil { return output(summary, plan) }
        let isUnfinished = try await retention.isUnfinished(policies, archive: options.archive)
        if summary.events + summary.snapshots == 0, !isUnfinished { return output(summary, nil) }
        if summary.events + summary.snapshots > 0 {
            try context.confirmation.confirm(
                "\(summary.events) events and \(summary.snapshots) snapshots of \(summary.entities) entities will be deleted"
            )
        }
        if let archive = options.archive, !isUnfinished, FileManager.default.fileExists(atPath: archive) {
            try context.confirmation.confirm("\(Escape.shown(archive)) will be replaced")
        }
        let done = try await retention.run(
            policies, archive: options.archive, as: isUnfinished ? nil : confirmed, command: command
        ) { count in
            progress.report(done: count, total: max(count, summary.events), unit: "events")
        }
        return output(done, nil)
    }

    private static func output(_ summary: JournalRetention.Summary, _ plan: Plan?) -> CommandOutput {
        let guards = summary.guards.map { held in
            OutputValue.object([
                .init("guard", .text(held.guard.rawValue)), .init("entities", .number(held.entities)),
                .init("detail", .text(held.samples.joined(separator: "; "))),
            ])
        }
        let archive = summary.archive.map { archive in
            OutputValue.object([
                .init("file", .text(archive.file)), .init("events", .number(archive.events)),
                .init("sha256", .text(archive.sha256)),
            ])
        }
        var fields: [OutputValue.Field] = [
            .init("entities", .number(summary.entities)), .init("events", .number(summary.events)),
            .init("snapshots", .number(summary.snapshots)), .init("bytes", .number(summary.bytes)),
            .init("archive", archive ?? .null), .init("guards", .array(guards)),
            .init("dry_run", .bool(plan != nil)),
        ]
        if let plan { fields.append(.init("plan", PlanFile.value(plan))) }
        let final = fields
        return CommandOutput(fields: final) {
            CommandOutput.Completion(
                changed: plan == nil && summary.events + summary.snapshots > 0,
                diagnostics: summary.guards.map { held in
                    Diagnostic(
                        .note, code: held.guard.rawValue,
                        "\(held.entities) entities are held back: \(Escape.shown(held.samples.first ?? ""))"
                            + (held.entities > 1 ? ", and others" : ""), hint: hint(for: held.guard))
                })
        }
    }

    private static func hint(for held: RetentionGuard) -> String {
        switch held {
        case .legalHold: "ego retain holds lists the holds"
        case .noSnapshot: "ego snapshot create makes one"
        case .unprovenSnapshot: "ego snapshot verify shows what is wrong with it; ego snapshot create makes a right one"
        case .projection: "ego lag shows who is behind"
        }
    }

    // MARK: Legal holds

    private static var holdOperand: [Operand<RetainOptions>] {
        [
            Operand("ID", arity: .any, summary: "the entities", completion: .dynamic("entity")) {
                (word, options) throws(UsageError) in options.ids.append(try persistenceID(word))
            }
        ]
    }

    private static var retainHold: Command {
        Command(
            "hold", summary: "keep entities from retention and erasure", output: .retain, options: { RetainOptions() },
            operands: holdOperand,
            examples: [Example("retain hold acc-1 --reason \"case 12\"", "place a legal hold")],
            exitCodes: [.partial, .refused, .notFound, .data, .noInput, .unavailable, .busy, .noPermission, .config]
        ) { options, context in
            if !context.global.isDryRun { try context.requireReason("repeat it") }
            return try await changeHolds(options.ids, context) { holds, id in try await holds.place(id) }
        }
    }

    private static var retainRelease: Command {
        Command(
            "release", summary: "lift legal holds", output: .retain, options: { RetainOptions() },
            operands: holdOperand,
            examples: [Example("retain release acc-1 --reason \"case closed\" --yes", "lift it")],
            exitCodes: [.partial, .refused, .notFound, .data, .noInput, .unavailable, .busy, .noPermission, .config]
        ) { options, context in
            if !context.global.isDryRun {
                try context.requireReason("repeat it")
                try context.confirmation.confirm("Retention and erasure may delete \(options.ids.count) entities then")
            }
            return try await changeHolds(options.ids, context) { holds, id in try await holds.release(id) }
        }
    }

    private static func changeHolds(
        _ ids: [PersistenceID], _ context: CommandContext,
        _ change: (LegalHolds, PersistenceID) async throws -> Bool
    ) async throws -> CommandOutput {
        if ids.isEmpty { throw UsageError("missing", subject: "ID") }
        let isDryRun = context.global.isDryRun
        return try await context.withStore(readOnly: isDryRun) { store in
            let holds = LegalHolds(store: store, by: context.person, time: context.time)
            var failures = ItemFailures()
            var (done, changed) = (0, 0)
            for id in ids {
                do {
                    if isDryRun {
                        _ = try await EntityResolver(store: store, domain: .none).existing(id)
                    } else if try await change(holds, id) {
                        changed += 1
                    }
                    done += 1
                } catch {
                    try failures.add(id.rawValue, error)
                }
            }
            let all = try await store.holds().map(holdRecord)
            let completion = try failures.completion(
                done: done, changed: changed > 0, fields: [.init("dry_run", .bool(isDryRun))])
            return CommandOutput(records: RecordList("holds", columns: holdColumns, all)) { completion }
        }
    }

    private static var holdColumns: [Column] { [.id, .time("placed_at"), Column("reason")] }

    private static func holdRecord(_ hold: LegalHold) -> OutputValue {
        .object([
            .init("id", .text(hold.persistenceID.rawValue)), .init("placed_at", .moment(hold.placedAt)),
            .init("reason", .text(hold.reason)),
        ])
    }

    private static var retainHolds: Command {
        Command(
            "holds", summary: "list legal holds", output: .retain, columns: holdColumns, options: { RetainOptions() },
            examples: [Example("retain holds", "who is under a legal hold, and why")],
            exitCodes: [.data, .noInput, .unavailable, .busy, .noPermission, .config]
        ) { options, context in
            let holds = try await context.reading { try await $0.holds() }
            return CommandOutput(records: RecordList("holds", columns: holdColumns, holds.map(holdRecord)))
        }
    }
}
