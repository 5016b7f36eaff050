import CommandLineKit
import Ego
import EgoCore
import EgoOperations
import Synchronization

/// What a command of `ego projection` was told.
private struct ProjectionOptionsGiven: Sendable {
    var names: [String] = []
    var position: Offset?
    var to: String?
    var by: Int?
    var like: String?
    var planFile: String?
    var applyFile: String?
    var isUntilCaughtUp = false
    var isPreviousOnly = false
    var name: String { names.first ?? "" }
}

private typealias ProjectionFlag = Flag<ProjectionOptionsGiven>

extension Command where Context == CommandContext {
    static var projection: Command {
        Command(
            "projection", summary: "run and operate projections",
            discussion: [
                "A projection reads the journal in order and keeps a read model. One that another process runs is operated through the store: its runner looks within two seconds what it is to do, and what it had not committed by then is not committed any more."
            ],
            output: .projection,
            subcommands: [
                projectionList, projectionShow, projectionRun, projectionPause, projectionResume, projectionReset,
                projectionSkip, projectionWait, projectionRollback, projectionForget,
            ])
    }

    private static func name(
        _ arity: OperandArity = .one, _ summary: String = "the projection"
    ) -> Operand<ProjectionOptionsGiven> {
        Operand("PROJECTION", arity: arity, summary: summary, completion: .dynamic("projection")) {
            (word, options) in options.names.append(word)
        }
    }

    private static let looking: [ExitCode] = [.notFound, .data, .noInput, .unavailable, .busy, .noPermission, .config]
    private static let changing: [ExitCode] = [.refused] + looking

    private static func control(_ store: any Store, _ context: CommandContext) -> ProjectionControl {
        ProjectionControl(
            store: store, declared: ProjectionCatalog(context).names, by: context.person, time: context.time)
    }

    // MARK: Looking

    private static var projectionList: Command {
        Command(
            "list", summary: "list projections and what they do", output: .projection,
            columns: ProjectionView.columns, options: { ProjectionOptionsGiven() },
            examples: [Example("projection list", "those of the store, the domain and the configuration")],
            exitCodes: looking
        ) { _, context in
            try await context.measuring { store in
                try await ProjectionView(store, context).output([])
            }
        }
    }

    private static var projectionShow: Command {
        Command(
            "show", summary: "tell everything about projections", output: .projection,
            columns: ProjectionView.columns, options: { ProjectionOptionsGiven() },
            operands: [name(.any, "the projections")],
            examples: [Example("projection show balances", "its state, its error, its offsets and its versions")],
            exitCodes: looking
        ) { options, context in
            if options.names.isEmpty { throw UsageError("missing", subject: "PROJECTION") }
            return try await context.measuring { store in
                try await ProjectionView(store, context).output(options.names, isWhole: true)
            }
        }
    }

    // MARK: Running

    private static var projectionRun: Command {
        Command(
            "run", summary: "run projections until interrupted",
            discussion: [
                "Where another process runs a projection, this one waits, and takes over when that one ends. An event that cannot be processed stops its projection; the others go on.",
                "A read model in SQL is declared in a configuration file as [projection.NAME], and needs the descriptors of the messages.",
            ],
            output: .projection, columns: ProjectionView.runColumns, options: { ProjectionOptionsGiven() },
            flags: [
                Flag(
                    "until-caught-up", arity: .toggle(negated: false),
                    summary: "end when there is nothing more to process"
                ) { (value, options) in options.isUntilCaughtUp = value.isOn }
            ],
            operands: [name(.any, "the projections; without one, all that can be run")],
            examples: [Example("projection run balances --until-caught-up", "process what there is, and end")],
            exitCodes: [.failure] + changing + [.interrupted]
        ) { options, context in
            try await context.withStore(readOnly: context.global.isDryRun) { store in
                let catalog = ProjectionCatalog(context)
                let names = options.names.isEmpty ? catalog.names : options.names
                if names.isEmpty {
                    throw CommandFailure(
                        .config, "projection run", "there is no projection to run",
                        hint: "run your application's own operator binary, or declare one in SQL as [projection.NAME]")
                }
                var projections: [Projection] = []
                for name in names where !projections.contains(where: { $0.name == name }) {
                    projections.append(try await catalog.projection(name, in: store))
                }
                if context.global.isDryRun { return try await preview(projections, store, context) }
                do {
                    return try await run(projections, untilCaughtUp: options.isUntilCaughtUp, store, context)
                } catch let error as StoreError where error.code == .invalid {
                    throw CommandFailure.readModel(error)
                }
            }
        }
    }

    /// What there is to process.
    private static func preview(
        _ projections: [Projection], _ store: any Store, _ context: CommandContext
    ) async throws -> CommandOutput {
        let names = projections.map(\.name)
        let lags = try await Lag(of: store, declared: names, time: context.time).measure(names)
        let records = lags.filter { $0.engine == .ego }.map { lag in
            OutputValue.object([
                .init("name", .text(lag.name)), .init("state", .text(lag.state.rawValue)),
                .init("events", .number(lag.eventsBehind)), .init("error", .optional(lag.failure?.message)),
            ])
        }
        return CommandOutput(
            fields: [.init("dry_run", .bool(true))],
            records: RecordList("projections", columns: ProjectionView.runColumns, records))
    }

    private static func run(
        _ projections: [Projection], untilCaughtUp: Bool, _ store: any Store, _ context: CommandContext
    ) async throws -> CommandOutput {
        let progress = context.progress("projection run")
        defer { progress.finish() }
        let counts = Mutex<[String: Int]>([:])
        let person = context.person
        let ends = try await withThrowingTaskGroup(of: (String, ProjectionRunner.End).self) { group in
            for projection in projections {
                let runner = ProjectionRunner(
                    projection, store: store, reader: context.readingDomain.reader,
                    owner: person.leaseOwner(), time: context.time, log: context.log, isGone: person.isGone,
                    progress: { events in
                        let done = counts.withLock { counts in
                            counts[projection.name, default: 0] += events
                            return counts.values.reduce(0, +)
                        }
                        progress.report(done: done, total: nil, unit: "events")
                    },
                    observer: { status in
                        let name = Escape.shown(projection.name)
                        switch status {
                        case .standby: context.note("\(name): another process runs it; this one waits for it to end")
                        case .paused where !untilCaughtUp: context.note("\(name) is paused; it waits to be resumed")
                        case .waiting(let error): context.note("\(name) waits: \(Escape.shown(error))")
                        default: break
                        }
                    })
                group.addTask {
                    if untilCaughtUp { return (projection.name, try await runner.runUntilCaughtUp()) }
                    try await runner.run()
                    return (projection.name, .cancelled)
                }
            }
            var ends: [String: ProjectionRunner.End] = [:]
            for try await (name, end) in group { ends[name] = end }
            return ends
        }
        let done = counts.withLock { $0 }
        if Task.isCancelled {
            var failure = CommandFailure(CancellationError())
            failure.changed = !done.isEmpty
            failure.hint = "\(done.values.reduce(0, +)) events were processed; what was committed is kept"
            throw failure
        }
        let records = projections.map { projection in
            var state = "caught_up"
            var error: String?
            switch ends[projection.name] {
            case .failed(let failure): (state, error) = ("failed", failure.message)
            case .paused: state = "paused"
            default: break
            }
            return OutputValue.object([
                .init("name", .text(projection.name)), .init("state", .text(state)),
                .init("events", .number(done[projection.name] ?? 0)), .init("error", .optional(error)),
            ])
        }
        let diagnostics = projections.compactMap { projection -> Diagnostic? in
            switch ends[projection.name] {
            case .failed(let failure):
                Diagnostic(
                    .error, code: "failed",
                    "\(Escape.shown(projection.name)) has stopped at event \(failure.sequenceNumber) of \(Escape.shown(failure.persistenceID.rawValue)): \(Escape.shown(failure.message))",
                    hint:
                        "mend the handler, or name --keys where the payload is encrypted, and run it again; ego projection skip passes the event over"
                )
            case .paused:
                Diagnostic(
                    .warning, code: "paused", "\(Escape.shown(projection.name)) is paused",
                    hint:
                        "ego projection show \(Escape.shellWord(projection.name)) tells whether an operator or a rebuild holds it"
                )
            default: nil
            }
        }
        let hasFailed = ends.values.contains { if case .failed = $0 { true } else { false } }
        let code: ExitCode = hasFailed ? .failure : ends.values.contains(.paused) ? .refused : .ok
        return CommandOutput(records: RecordList("projections", columns: ProjectionView.runColumns, records)) {
            CommandOutput.Completion(
                changed: !done.isEmpty, exitCode: code, diagnostics: diagnostics)
        }
    }

    // MARK: Pause and resume

    private static var projectionPause: Command {
        Command(
            "pause", summary: "let projections wait", output: .projection, columns: ProjectionView.columns,
            options: { ProjectionOptionsGiven() }, operands: [name(.any, "the projections")],
            examples: [Example("projection pause balances --dry-run", "see what would change")],
            exitCodes: changing
        ) { options, context in
            try await change(options.names, context) { try await $0.pause($1, isDryRun: $2) }
        }
    }

    private static var projectionResume: Command {
        Command(
            "resume", summary: "let projections go on",
            discussion: ["One that has stopped at an event tries that event again."], output: .projection,
            columns: ProjectionView.columns, options: { ProjectionOptionsGiven() },
            operands: [name(.any, "the projections")],
            examples: [Example("projection resume balances", "after the cause of its error was mended")],
            exitCodes: changing
        ) { options, context in
            try await change(options.names, context) { try await $0.resume($1, isDryRun: $2) }
        }
    }

    private static func change(
        _ names: [String], _ context: CommandContext,
        _ body: (ProjectionControl, String, _ isDryRun: Bool) async throws -> Bool
    ) async throws -> CommandOutput {
        if names.isEmpty { throw UsageError("missing", subject: "PROJECTION") }
        let isDryRun = context.global.isDryRun
        return try await context.withStore(readOnly: isDryRun) { store in
            let control = control(store, context)
            // All of them or none: a misspelled name is told before anything is changed.
            for name in names { _ = try await control.record(name) }
            var changed = false
            for name in names where try await body(control, name, isDryRun) { changed = true }
            return try await ProjectionView(store, context).output(
                names, changed: changed && !isDryRun, isDryRun: isDryRun)
        }
    }

    // MARK: Reset

    private static var projectionReset: Command {
        Command(
            "reset", summary: "set a projection to another place",
            discussion: [
                .paragraph([
                    "It then processes the events after that place, again where it had processed them before: the read model stays as it is. ",
                    .command("rebuild"), " makes it anew.",
                ]),
                .paragraph([
                    "It is asked for confirmation first, unless ", .flag("yes"), " is given; ", .flag("reason"),
                    " is required. ", .flag("plan"), " writes what would be done to a file instead, and ",
                    .flag("apply"), " does it later, if the projection stands where it stood.",
                ]),
            ],
            output: .projection, options: { ProjectionOptionsGiven() },
            flags: [
                Flag(
                    "to", arity: .value(placeholder: "PLACE", completion: .choices(["start", "end"])),
                    summary: "start, end, a time or a position"
                ) { (value, options) in options.to = value.text },
                Flag(
                    "by", arity: .value(placeholder: "N", completion: .none),
                    summary: "so many events on, or back where negative"
                ) { (value, options) throws(UsageError) in
                    options.by = try integer(value.text, in: -1_000_000_000_000...1_000_000_000_000)
                },
                Flag(
                    "like", arity: .value(placeholder: "PROJECTION", completion: .dynamic("projection")),
                    summary: "where another projection stands"
                ) { (value, options) in options.like = value.text },
            ] + PlanFile.flags(\.planFile, \.applyFile),
            operands: [name(.optional)],
            examples: [
                Example("projection reset balances --to start --dry-run", "see how many events come again"),
                Example(
                    "projection reset balances --by -100 --dry-run", "the last hundred events again",
                    exitCode: .refused),
            ],
            exitCodes: changing
        ) { options, context in
            let isOnlyLook = context.global.isDryRun || options.planFile != nil
            let plan = try options.applyFile.map { try PlanFile.read($0) }
            let (name, target) = try resetTarget(options, plan, context)
            if !isOnlyLook { try context.requireReason("reset") }
            return try await context.withStore(readOnly: isOnlyLook) { store in
                let control = control(store, context)
                let planned = try await control.planReset(name, to: target)
                if let plan { try plan.check(against: planned.plan) }
                if let file = options.planFile { try PlanFile.write(planned.plan, to: file, context) }
                var changed = false
                if !isOnlyLook, !planned.moves.isEmpty {
                    let counts = planned.plan.counts
                    try context.confirmation.confirm(
                        "\(Escape.shown(name)) will process \(counts["again"] ?? 0) events again, and pass \(counts["passed_over"] ?? 0) over"
                    )
                    changed = try await control.reset(name, as: planned)
                }
                return resetOutput(planned, changed: changed, isDryRun: isOnlyLook)
            }
        }
    }

    private static func resetTarget(
        _ options: ProjectionOptionsGiven, _ plan: Plan?, _ context: CommandContext
    ) throws -> (String, ProjectionControl.Target) {
        let given = [options.to != nil, options.by != nil, options.like != nil].count { $0 }
        if let plan {
            if given > 0 || !options.names.isEmpty {
                throw UsageError("it takes no projection and no place; the plan has them", subject: "--apply")
            }
            if options.planFile != nil { throw UsageError("it goes with no --plan", subject: "--apply") }
            let (name, target) = try ProjectionControl.target(of: plan)
            return (name, target)
        }
        if options.names.isEmpty { throw UsageError("missing", subject: "PROJECTION") }
        if given != 1 {
            throw UsageError(
                given == 0 ? "missing" : "it goes with neither --by nor --like", subject: "--to",
                hint: "one of --to start|end|TIME|POSITION, --by N, --like PROJECTION")
        }
        if let by = options.by { return (options.name, .by(by)) }
        if let like = options.like { return (options.name, .like(like)) }
        let text = options.to ?? ""
        switch text {
        case "start": return (options.name, .start)
        case "end": return (options.name, .end)
        default:
            if let offset = Offset(text) { return (options.name, .offset(offset)) }
            return (options.name, .time(try context.moment(text, flag: "to")))
        }
    }

    private static func resetOutput(
        _ planned: ProjectionControl.ResetPlan, changed: Bool, isDryRun: Bool
    ) -> CommandOutput {
        let moves = planned.moves.map { move in
            OutputValue.object([
                .init("shard", .number(Int(clamping: move.shard.rawValue))),
                .init("from", move.from.map { .identifier($0.description) } ?? .null),
                .init("to", .identifier(move.to.description)),
            ])
        }
        let counts = planned.plan.counts
        return CommandOutput(
            fields: [
                .init("moves", .array(moves)), .init("events_again", .number(counts["again"] ?? 0)),
                .init("events_passed_over", .number(counts["passed_over"] ?? 0)),
                .init("plan", PlanFile.value(planned.plan)), .init("dry_run", .bool(isDryRun)),
            ]
        ) { CommandOutput.Completion(changed: changed) }
    }

    // MARK: Skip

    private static var projectionSkip: Command {
        Command(
            "skip", summary: "pass one event over",
            discussion: [
                .paragraph([
                    "The event becomes a dead letter, which can be retried later. Only the next event of a shard can be passed over; without a position that is the one at which the projection has stopped. ",
                    .flag("reason"), " is required.",
                ])
            ],
            output: .projection, options: { ProjectionOptionsGiven() },
            operands: [
                name(),
                Operand("POSITION", arity: .optional, summary: "the event's position", completion: .none) {
                    (word, options) throws(UsageError) in options.position = try position(word)
                },
            ],
            examples: [
                Example(
                    "projection skip balances --dry-run", "see which event it has stopped at", exitCode: .refused)
            ],
            exitCodes: changing
        ) { options, context in
            let isDryRun = context.global.isDryRun
            if !isDryRun { try context.requireReason("skip") }
            return try await context.withStore(readOnly: isDryRun) { store in
                let letter = try await control(store, context).skip(
                    options.name, at: options.position, isDryRun: isDryRun)
                return CommandOutput(
                    fields: [.init("skipped", DeadLetterView.value(letter)), .init("dry_run", .bool(isDryRun))]
                ) { CommandOutput.Completion(changed: !isDryRun) }
            }
        }
    }

    // MARK: Wait

    private static var projectionWait: Command {
        Command(
            "wait", summary: "wait until projections have caught up",
            discussion: [
                .paragraph([
                    "It ends when they have processed everything that was in the journal when the command began. ",
                    .flag("timeout"), " limits how long that may take.",
                ])
            ],
            output: .projection, columns: ProjectionView.columns, options: { ProjectionOptionsGiven() },
            operands: [name(.any, "the projections")],
            examples: [
                Example(
                    "projection wait balances --timeout 200ms", "in a deployment, before traffic is let in",
                    exitCode: .timedOut)
            ],
            exitCodes: [.failure, .timedOut] + looking + [.interrupted]
        ) { options, context in
            if options.names.isEmpty { throw UsageError("missing", subject: "PROJECTION") }
            return try await context.measuring { store in
                let progress = context.progress("projection wait")
                defer { progress.finish() }
                let control = control(store, context)
                for name in options.names {
                    let record = try await control.record(name)
                    if record.mode != .running {
                        context.note(
                            "\(Escape.shown(name)) is \(record.mode.rawValue); it will not come nearer until that ends")
                    }
                    let most = Mutex(0)
                    try await control.waitUntilCaughtUp(name) { behind in
                        let total = most.withLock { most in
                            most = max(most, behind)
                            return most
                        }
                        progress.report(done: total - behind, total: total, unit: "events")
                    }
                }
                return try await ProjectionView(store, context).output(options.names)
            }
        }
    }

    // MARK: Versions

    private static var projectionRollback: Command {
        Command(
            "rollback", summary: "take the read model before the last rebuild",
            discussion: [
                "The version that is in use becomes the previous one, so that a second rollback takes it again. The projection goes on where the other version had come to."
            ],
            output: .projection, columns: ProjectionView.columns, options: { ProjectionOptionsGiven() },
            operands: [name()],
            examples: [
                Example("projection rollback balances --dry-run", "see whether there is one", exitCode: .refused)
            ],
            exitCodes: changing
        ) { options, context in
            let isDryRun = context.global.isDryRun
            return try await context.withStore(readOnly: isDryRun) { store in
                try await control(store, context).rollback(options.name, isDryRun: isDryRun)
                return try await ProjectionView(store, context).output(
                    options.names, changed: !isDryRun, isDryRun: isDryRun)
            }
        }
    }

    private static var projectionForget: Command {
        Command(
            "forget", summary: "forget a projection, or its previous version",
            discussion: [
                .paragraph([
                    "Offsets, dead letters and the read model's tables in the store's database are deleted. ",
                    .flag("previous"), " deletes only the version before the last rebuild.",
                ])
            ],
            output: .projection, columns: ProjectionView.columns, options: { ProjectionOptionsGiven() },
            flags: [
                Flag(
                    "previous", arity: .toggle(negated: false), summary: "only the version before the last rebuild"
                ) { (value, options) in options.isPreviousOnly = value.isOn }
            ],
            operands: [name()],
            examples: [Example("projection forget balances --dry-run", "see whether it could be forgotten")],
            exitCodes: changing
        ) { options, context in
            let isDryRun = context.global.isDryRun
            return try await context.withStore(readOnly: isDryRun) { store in
                let control = control(store, context)
                let record = try await control.record(options.name)
                let what =
                    options.isPreviousOnly
                    ? "The previous version of \(Escape.shown(options.name))"
                    : "\(Escape.shown(options.name)), its offsets, dead letters and tables"
                let isThere = options.isPreviousOnly ? record.previousVersion != nil : record.revision > 0
                if !isDryRun, isThere { try context.confirmation.confirm("\(what) will be deleted") }
                let changed =
                    options.isPreviousOnly
                    ? try await control.forgetPrevious(options.name, isDryRun: isDryRun)
                    : try await control.forget(options.name, isDryRun: isDryRun)
                return try await ProjectionView(store, context).output(
                    isDryRun || options.isPreviousOnly ? options.names : nil, changed: changed && !isDryRun,
                    isDryRun: isDryRun)
            }
        }
    }
}

/// Reads a position that the user wrote.
func position(_ text: String) throws(UsageError) -> Offset {
    guard let offset = Offset(text) else {
        throw UsageError("\(Escape.shown(text, quoted: true)) is no position", hint: "ego events lists them")
    }
    return offset
}
