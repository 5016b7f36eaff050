import CommandLineKit
import EgoCore
import EgoOperations

extension Command where Context == CommandContext {
    static var projectionReset: Command {
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
            operands: [.projection(.optional)],
            examples: [
                Example("projection reset balances --to start --dry-run", "see how many events come again"),
                Example(
                    "projection reset balances --by -100 --dry-run", "the last hundred events again",
                    exitCode: .refused),
            ],
            exitCodes: ProjectionOptionsGiven.changing
        ) { options, context in
            let isOnlyLook = context.global.isDryRun || options.planFile != nil
            let plan = try options.applyFile.map { try PlanFile.read($0) }
            let (name, target) = try resetTarget(options, plan, context)
            if !isOnlyLook { try context.requireReason("reset") }
            return try await context.withStore(readOnly: isOnlyLook) { store in
                let control = ProjectionControl(store, context)
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

    static var projectionSkip: Command {
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
                .projection(),
                Operand("POSITION", arity: .optional, summary: "the event's position", completion: .none) {
                    (word, options) throws(UsageError) in options.position = try position(word)
                },
            ],
            examples: [
                Example(
                    "projection skip balances --dry-run", "see which event it has stopped at", exitCode: .refused)
            ],
            exitCodes: ProjectionOptionsGiven.changing
        ) { options, context in
            let isDryRun = context.global.isDryRun
            if !isDryRun { try context.requireReason("skip") }
            return try await context.withStore(readOnly: isDryRun) { store in
                let letter = try await ProjectionControl(store, context).skip(
                    options.name, at: options.position, isDryRun: isDryRun)
                return CommandOutput(
                    fields: [.init("skipped", DeadLetterView.value(letter)), .init("dry_run", .bool(isDryRun))]
                ) { CommandOutput.Completion(changed: !isDryRun) }
            }
        }
    }
}
