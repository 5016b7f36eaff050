import CommandLineKit
import EgoCore
import EgoOperations

/// What a command of `ego dead-letter` was told.
private struct DeadLetterOptions: Sendable {
    var projection: String?
    var positions: [Offset] = []
    var isAll = false
    var limit = 100
    var after: Offset?
}

private typealias LetterFlag = Flag<DeadLetterOptions>

extension Command where Context == CommandContext {
    static var deadLetter: Command {
        Command(
            "dead-letter", summary: "events that a projection could not process",
            discussion: [
                "A projection whose policy is to skip, a rebuild with --on-error dead-letter, and ego projection skip keep what they pass over as dead letters. An event is named by its position in the journal."
            ],
            output: .deadLetter,
            subcommands: [deadLetterList, deadLetterShow, deadLetterRetry, deadLetterDiscard])
    }

    private static func projection(_ arity: OperandArity) -> Operand<DeadLetterOptions> {
        Operand("PROJECTION", arity: arity, summary: "the projection", completion: .dynamic("projection")) {
            (word, options) in options.projection = word
        }
    }

    private static func positions(_ arity: OperandArity) -> Operand<DeadLetterOptions> {
        Operand("POSITION", arity: arity, summary: "the events' positions", completion: .none) {
            (word, options) throws(UsageError) in options.positions.append(try position(word))
        }
    }

    private static var allFlag: LetterFlag {
        Flag("all", arity: .toggle(negated: false), summary: "all of the projection") {
            (value, options) in options.isAll = value.isOn
        }
    }

    private static let looking: [ExitCode] = [.notFound, .data, .noInput, .unavailable, .busy, .noPermission, .config]

    private static func letters(_ store: any Store, _ context: CommandContext) -> DeadLetters {
        DeadLetters(store: store, reader: context.readingDomain.reader, by: context.person, time: context.time)
    }

    // MARK: List and show

    private static var deadLetterList: Command {
        Command(
            "list", summary: "list dead letters", output: .deadLetter, columns: DeadLetterView.columns,
            options: { DeadLetterOptions() },
            flags: [
                Flag(
                    "after", arity: .value(placeholder: "POSITION", completion: .none),
                    summary: "only those after this one of the projection"
                ) { (value, options) throws(UsageError) in options.after = try position(value.text) },
                Flag(
                    "limit", arity: .value(placeholder: "N", completion: .none),
                    summary: "the most to show (default: 100)"
                ) { (value, options) throws(UsageError) in options.limit = try integer(value.text, in: 1...Int.max - 1)
                },
            ],
            operands: [projection(.optional)],
            examples: [Example("dead-letter list", "those of all projections")], exitCodes: looking
        ) { options, context in
            if options.after != nil, options.projection == nil {
                throw UsageError("it goes with a projection", subject: "--after")
            }
            return try await context.reading { store in
                if let name = options.projection {
                    _ = try await ProjectionControl(
                        store: store, declared: ProjectionCatalog(context).names, by: context.person,
                        time: context.time
                    ).record(name)
                }
                var found = try await store.deadLetters(
                    DeadLetterQuery(
                        projection: options.projection,
                        after: options.after.map { (options.projection ?? "", $0) }, limit: options.limit + 1))
                let hasMore = found.count > options.limit
                if hasMore { found.removeLast() }
                let next = hasMore ? found.last : nil
                return CommandOutput(
                    records: RecordList(
                        "dead_letters", columns: DeadLetterView.columns, found.map { DeadLetterView.value($0) })
                ) {
                    CommandOutput.Completion(
                        fields: [.init("next", next.map { .identifier($0.offset.description) } ?? .null)],
                        diagnostics: next.map {
                            [
                                Diagnostic(
                                    .note, code: "more", "there are more dead letters",
                                    hint: "go on with \(Escape.shellWord($0.projection)) --after \($0.offset)")
                            ]
                        } ?? [])
                }
            }
        }
    }

    private static var deadLetterShow: Command {
        Command(
            "show", summary: "show dead letters with their events", output: .deadLetter,
            columns: DeadLetterView.columns + [Column("payload")], options: { DeadLetterOptions() },
            operands: [projection(.one), positions(.any)],
            examples: [
                Example("dead-letter show balances 17", "its error and its event", exitCode: .notFound)
            ],
            exitCodes: looking
        ) { options, context in
            if options.positions.isEmpty { throw UsageError("missing", subject: "POSITION") }
            return try await context.reading { store in
                let letters = letters(store, context)
                let view = PayloadView(context)
                var records: [OutputValue] = []
                for position in options.positions {
                    let letter = try await letters.letter(options.projection ?? "", at: position)
                    let event = try await letters.event(of: letter)
                    records.append(
                        DeadLetterView.value(letter, [.init("payload", event.map { view.stored($0).payload } ?? .null)])
                    )
                }
                return CommandOutput(
                    records: RecordList("dead_letters", columns: DeadLetterView.columns + [Column("payload")], records))
            }
        }
    }

    // MARK: Retry and discard

    private static var deadLetterRetry: Command {
        Command(
            "retry", summary: "hand events to the handler again",
            discussion: [
                "The handler gets an event after later ones: it has to be one that does not mind. What fails again stays, with its new error."
            ],
            output: .deadLetter, columns: DeadLetterView.columns + [.word("outcome")],
            options: { DeadLetterOptions() }, flags: [allFlag], operands: [projection(.one), positions(.any)],
            examples: [Example("dead-letter retry balances --all", "once the handler is mended")],
            exitCodes: [.partial, .refused] + looking + [.interrupted]
        ) { options, context in
            try await each(options, context, needsProjection: true) { store, letters, projection in
                guard let projection else { return [:] }
                var outcomes: [Offset: String] = [:]
                try await Self.letters(store, context).retry(letters, with: projection) { letter, retry in
                    switch retry {
                    case .processed: outcomes[letter.offset] = "processed"
                    case .gone: outcomes[letter.offset] = "gone"
                    case .failed: outcomes[letter.offset] = "failed"
                    }
                }
                return outcomes
            }
        }
    }

    private static var deadLetterDiscard: Command {
        Command(
            "discard", summary: "delete dead letters: they are given up",
            discussion: [.paragraph(["It is asked for confirmation first; ", .flag("reason"), " is required."])],
            output: .deadLetter, columns: DeadLetterView.columns + [.word("outcome")],
            options: { DeadLetterOptions() }, flags: [allFlag], operands: [projection(.one), positions(.any)],
            examples: [Example("dead-letter discard balances --all --dry-run", "see what would be given up")],
            exitCodes: [.refused] + looking
        ) { options, context in
            if !context.global.isDryRun { try context.requireReason("discard") }
            return try await each(options, context, needsProjection: false) { store, letters, _ in
                try context.confirmation.confirm("\(letters.count, "dead letter", "dead letters") will be deleted")
                try await Self.letters(store, context).discard(letters)
                return Dictionary(uniqueKeysWithValues: letters.map { ($0.offset, "discarded") })
            }
        }
    }

    private static func each(
        _ options: DeadLetterOptions, _ context: CommandContext, needsProjection: Bool,
        _ body: (any Store, [DeadLetter], Projection?) async throws -> [Offset: String]
    ) async throws -> CommandOutput {
        if options.positions.isEmpty != options.isAll {
            throw options.isAll
                ? UsageError("it takes no position", subject: "--all")
                : UsageError("missing", subject: "POSITION", hint: "name events, or use --all")
        }
        let name = options.projection ?? ""
        let isDryRun = context.global.isDryRun
        return try await context.withStore(readOnly: isDryRun) { store in
            let catalog = ProjectionCatalog(context)
            let projection = needsProjection ? try await catalog.projection(name, in: store) : nil
            _ = try await ProjectionControl(
                store: store, declared: catalog.names, by: context.person, time: context.time
            ).record(name)
            let known = letters(store, context)
            var found: [DeadLetter] = []
            if options.isAll {
                while true {
                    let page = try await store.deadLetters(
                        DeadLetterQuery(projection: name, after: found.last.map { (name, $0.offset) }))
                    found += page
                    if page.isEmpty { break }
                }
            } else {
                for position in options.positions where !found.contains(where: { $0.offset == position }) {
                    found.append(try await known.letter(name, at: position))
                }
            }
            let outcomes = isDryRun || found.isEmpty ? [:] : try await body(store, found, projection)
            var records: [OutputValue] = []
            for letter in found {
                let outcome = outcomes[letter.offset]
                // What failed again has another error now.
                let shown = outcome == "failed" ? try await known.letter(name, at: letter.offset) : letter
                records.append(DeadLetterView.value(shown, [.init("outcome", .optional(outcome))]))
            }
            let (failed, total) = (outcomes.values.count { $0 == "failed" }, found.count)
            let columns = DeadLetterView.columns + [.word("outcome")]
            return CommandOutput(
                fields: [.init("dry_run", .bool(isDryRun))],
                records: RecordList("dead_letters", columns: columns, records)
            ) {
                CommandOutput.Completion(
                    changed: outcomes.count > failed, exitCode: failed > 0 ? .partial : .ok,
                    diagnostics: failed == 0
                        ? []
                        : [
                            Diagnostic(
                                .error, code: "failed", "\(failed) of \(total, "event", "events") failed again",
                                hint: "mend the handler, and retry them")
                        ])
            }
        }
    }
}

/// How dead letters are shown.
enum DeadLetterView {
    static var columns: [Column] {
        [
            Column("projection"), .id, .sequenceNumber, Column("position", .right), Column("attempts", .right),
            .sentence("error"), .time("at"), .type, Column("shard", .right, isDefault: false),
        ]
    }

    static func value(_ letter: DeadLetter, _ more: [OutputValue.Field] = []) -> OutputValue {
        .object(
            [
                .init("projection", .text(letter.projection)), .init("id", .text(letter.persistenceID.rawValue)),
                .init("sequence_number", .number(letter.sequenceNumber)),
                .init("position", .identifier(letter.offset.description)), .init("attempts", .number(letter.attempts)),
                .init("error", .text(letter.error)), .init("at", .moment(letter.failedAt)),
                .init("type", letter.type.isEmpty ? .null : .text(letter.type)),
                .init("shard", .number(Int(clamping: letter.shard.rawValue))),
            ] + more)
    }
}
