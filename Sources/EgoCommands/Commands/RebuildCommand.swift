import CommandLineKit
import EgoCore
import EgoOperations

/// What `ego rebuild` was told.
private struct RebuildOptions: Sendable {
    var names: [String] = []
    var isAll = false
    var from: String?
    var strategy: Rebuild.Strategy?
    var onError = Rebuild.OnError.fail
}

extension Command where Context == CommandContext {
    static var rebuild: Command {
        Command(
            "rebuild", summary: "replay events into projections",
            discussion: [
                "A read model in the store's database is made anew beside the one in use, and takes its place in one step when it has caught up; until then everybody sees the old one whole, and afterwards ego projection rollback takes that one again. A read model elsewhere is emptied and filled again in place, and its projection waits meanwhile.",
                .paragraph([
                    .flag("from"),
                    " hands only later events again, into the read model as it is. Several projections share one pass over the journal. A rebuild that was stopped goes on where it was when the command is repeated. Publishers and sagas take no part in it.",
                ]),
            ],
            output: .rebuild, columns: columns, options: { RebuildOptions() },
            flags: [
                Flag("all", arity: .toggle(negated: false), summary: "all projections that can be run here") {
                    (value, options) in options.isAll = value.isOn
                },
                Flag(
                    "from", arity: .value(placeholder: "PLACE", completion: .none),
                    summary: "only events after a time or a position"
                ) { (value, options) in options.from = value.text },
                Flag(
                    "strategy",
                    arity: .value(
                        placeholder: "STRATEGY", completion: .choices(Rebuild.Strategy.allCases.map(\.rawValue))),
                    summary: "shadow or in-place (default: what fits)"
                ) { (value, options) throws(UsageError) in
                    options.strategy = try choice(
                        value.text, Rebuild.Strategy.init, Rebuild.Strategy.allCases.map(\.rawValue))
                },
                Flag(
                    "on-error",
                    arity: .value(placeholder: "WHAT", completion: .choices(Rebuild.OnError.allCases.map(\.rawValue))),
                    summary: "fail, dead-letter or skip (default: fail)"
                ) { (value, options) throws(UsageError) in
                    options.onError = try choice(
                        value.text, Rebuild.OnError.init, Rebuild.OnError.allCases.map(\.rawValue))
                },
            ],
            operands: [
                Operand(
                    "PROJECTION", arity: .any, summary: "the projections", completion: .dynamic("projection")
                ) { (word, options) in options.names.append(word) }
            ],
            examples: [
                Example("rebuild balances --dry-run", "see how many events it takes"),
                Example("rebuild balances", "make its read model anew beside the one in use"),
            ],
            exitCodes: [
                .failure, .partial, .refused, .notFound, .timedOut, .data, .noInput, .unavailable, .busy,
                .noPermission, .config, .interrupted,
            ]
        ) { options, context in
            if options.names.isEmpty != options.isAll {
                throw options.isAll
                    ? UsageError("it takes no projection", subject: "--all")
                    : UsageError("missing", subject: "PROJECTION", hint: "name projections, or use --all")
            }
            let isDryRun = context.global.isDryRun
            return try await context.withStore(readOnly: isDryRun) { store in
                do { return try await rebuild(options, store, context) } catch let error as StoreError
                    where error.code == .invalid
                {
                    throw CommandFailure.readModel(error)
                }
            }
        }
    }

    private static func choice<Value>(
        _ text: String, _ value: (String) -> Value?, _ all: [String]
    ) throws(UsageError) -> Value {
        guard let found = value(text) else {
            throw UsageError(
                "unknown value \(Escape.shown(text, quoted: true))",
                hint: Suggestion.hint(for: text, among: all) ?? "one of \(all.joined(separator: ", "))")
        }
        return found
    }

    private static var columns: [Column] {
        [
            Column("name"), .word("strategy"), Column("events", .right), Column("erased", .right),
            Column("dead_letters", .right), Column("skipped", .right), Column("seconds", .right), Column("verified"),
            Column("promoted"), Column("version", .right, isDefault: false),
        ]
    }

    private static func rebuild(
        _ given: RebuildOptions, _ store: any Store, _ context: CommandContext
    ) async throws -> CommandOutput {
        let catalog = ProjectionCatalog(context)
        var projections: [Projection] = []
        if given.isAll {
            projections = try await catalog.all(in: store)
            if projections.isEmpty {
                throw CommandFailure(
                    .config, "rebuild", "there is no projection that can be run here",
                    hint: "run your application's own operator binary, or declare one in SQL as [projection.NAME]")
            }
        }
        for name in given.names where !projections.contains(where: { $0.name == name }) {
            projections.append(try await catalog.projection(name, in: store))
        }
        var resolved: [String: String] = [:]
        let from = try await place(given.from, store, context, &resolved)
        let options = Rebuild.Options(
            strategy: given.strategy, from: from, onError: given.onError, page: context.page)
        var inPlace: [String] = []
        for projection in projections where try Rebuild.strategy(of: projection, options) == .inPlace {
            inPlace.append(projection.name)
        }
        if context.global.isDryRun { return try await preview(projections, options, store) }
        if !inPlace.isEmpty, from == nil {
            try context.confirmation.confirm(
                "The read models of \(inPlace.map { Escape.shown($0) }.joined(separator: ", ")) will be emptied and filled again"
            )
        }
        if from == nil, let trimmed = try await TrimmedHistory(store: store).first() {
            try context.confirmation.confirm(
                "Events of \(Escape.shown(trimmed.rawValue)) and maybe of other entities were deleted: the new read models will not have what they told"
            )
        }
        let progress = context.progress("rebuild")
        defer { progress.finish() }
        let start = ContinuousClock.now
        let outcomes = try await Rebuild(
            store: store, reader: context.readingDomain.reader, by: context.person, time: context.time
        ).run(projections, options, command: context.commandLine(resolved: resolved)) { done, total in
            progress.report(done: done, total: total, unit: "events")
        }
        return output(outcomes, seconds: (ContinuousClock.now - start) / .seconds(1), isDryRun: false)
    }

    private static func place(
        _ text: String?, _ store: any Store, _ context: CommandContext, _ resolved: inout [String: String]
    ) async throws -> Offset? {
        guard let text else { return nil }
        if let offset = Offset(text) { return offset }
        let offset = try await store.offset(before: try context.moment(text, flag: "from"))
        resolved["from"] = offset.description
        return offset
    }

    private static func preview(
        _ projections: [Projection], _ options: Rebuild.Options, _ store: any Store
    ) async throws -> CommandOutput {
        let shards = try await store.metadata().shardCount
        let from = options.from ?? .start
        let events = try await store.backlog(
            after: Dictionary(uniqueKeysWithValues: (0..<UInt64(shards)).map { (Shard($0), from) })
        ).reduce(0) { $0 + $1.events }
        var outcomes: [Rebuild.Outcome] = []
        for projection in projections {
            let record = try await store.projection(projection.name) ?? ProjectionRecord(name: projection.name)
            let strategy = try Rebuild.strategy(of: projection, options)
            var outcome = Rebuild.Outcome(
                name: projection.name, strategy: strategy,
                version: strategy == .shadow ? record.nextVersion : record.activeVersion)
            outcome.events = events
            outcomes.append(outcome)
        }
        return output(outcomes, seconds: nil, isDryRun: true)
    }

    private static func output(_ outcomes: [Rebuild.Outcome], seconds: Double?, isDryRun: Bool) -> CommandOutput {
        let records = outcomes.map { outcome in
            OutputValue.object([
                .init("name", .text(outcome.name)), .init("strategy", .text(outcome.strategy.rawValue)),
                .init("events", .number(outcome.events)), .init("erased", .number(outcome.erased)),
                .init("dead_letters", .number(outcome.deadLetters)), .init("skipped", .number(outcome.skipped)),
                .init("seconds", seconds.map { .real(($0 * 1_000).rounded() / 1_000) } ?? .null),
                .init("verified", .bool(outcome.isVerified)), .init("promoted", .bool(outcome.isPromoted)),
                .init("version", .number(outcome.version)),
            ])
        }
        let left = outcomes.filter { $0.deadLetters + $0.skipped > 0 }
        let diagnostics = left.map { outcome in
            Diagnostic(
                .error, code: "skipped",
                "\(Escape.shown(outcome.name)): its handler failed on \(outcome.deadLetters + outcome.skipped) events, which are not in its read model",
                hint: outcome.deadLetters > 0
                    ? "ego dead-letter list \(Escape.shellWord(outcome.name)) shows them; ego dead-letter retry hands them to it again"
                    : "rebuild it with --on-error dead-letter to keep them")
        }
        let kept = outcomes.filter { $0.isPromoted && $0.strategy == .shadow }.map { outcome in
            Diagnostic(
                .note, code: "previous_version",
                "\(Escape.shown(outcome.name)): the version before this one is kept, and its events with it",
                hint:
                    "ego projection rollback \(Escape.shellWord(outcome.name)) takes it again, forget --previous deletes it"
            )
        }
        return CommandOutput(
            fields: [.init("dry_run", .bool(isDryRun))], records: RecordList("projections", columns: columns, records)
        ) {
            CommandOutput.Completion(
                changed: !isDryRun, exitCode: left.isEmpty || isDryRun ? .ok : .partial,
                diagnostics: diagnostics + kept)
        }
    }
}
