import CommandLineKit
import EgoCore
import EgoOperations

/// What `ego migrate` was told.
private struct MigrateOptions: Sendable {
    var isCheck = false
    var verifies = false
    var drops = false
}

extension Command where Context == CommandContext {
    static var migrate: Command {
        Command(
            "migrate", summary: "turn the inline state of eGo v3 into snapshots",
            discussion: [
                "eGo v3 stored the state after each event with that event. The newest one of each entity that decodes becomes a snapshot, unless there is a snapshot as new. One that does not decode is named, and the rest goes on. With a master key, the snapshots of entities that have a key are encrypted.",
                .paragraph([
                    .flag("verify"), " folds each entity's events and compares. ", .flag("drop-inline-state"),
                    " verifies too, and then removes the inline states of the entities where it holds; it is asked for confirmation first.",
                ]),
            ],
            output: .migrate, options: { MigrateOptions() },
            flags: [
                Flag("check", arity: .toggle(negated: false), summary: "only look; exit 2 while anything is left to do")
                {
                    (value, options) in options.isCheck = value.isOn
                },
                Flag("verify", arity: .toggle(negated: false), summary: "compare each state with a fold of the events")
                {
                    (value, options) in options.verifies = value.isOn
                },
                Flag("drop-inline-state", arity: .toggle(negated: false), summary: "remove inline states once verified")
                {
                    (value, options) in options.drops = value.isOn
                },
            ],
            examples: [
                Example("migrate --check", "for CI: exit 2 while anything is left to migrate"),
                Example("migrate --verify", "migrate, and compare with the events"),
            ],
            exitCodes: [
                .findings, .partial, .refused, .timedOut, .data, .noInput, .unavailable, .busy, .noPermission, .config,
                .interrupted,
            ]
        ) { options, context in
            let isOnlyLook = context.global.isDryRun || options.isCheck
            if options.verifies || options.drops, context.domain.kinds.isEmpty {
                throw CommandFailure(
                    .config, "migrate", "without a domain nothing folds the events to compare with",
                    hint: "run your application's own operator binary, or name it with --domain FILE")
            }
            let settings = InlineStateMigration.Options(
                verifies: options.verifies, drops: options.drops, jobs: context.global.jobs)
            return try await context.withStore(readOnly: isOnlyLook) { store in
                try await migrate(settings, isOnlyLook, options.isCheck, store, context)
            }
        }
    }

    private static func migrate(
        _ settings: InlineStateMigration.Options, _ isOnlyLook: Bool, _ isCheck: Bool, _ store: any Store,
        _ context: CommandContext
    ) async throws -> CommandOutput {
        let descriptors = context.descriptors
        let migration = InlineStateMigration(
            store: store, domain: context.readingDomain, by: context.person, time: context.time, page: context.page,
            decodes: { descriptors?.decodes($0) })
        let progress = context.progress("migrate")
        defer { progress.finish() }
        if isOnlyLook {
            let summary = try await migration.preview(settings) { done in
                progress.report(done: done, total: nil, unit: "entities")
            }
            return output(summary, isDryRun: true, isCheck: isCheck)
        }
        let before = try await migration.preview { done in
            progress.report(done: done, total: nil, unit: "entities")
        }
        let isThere = before.entities > before.withoutInlineState
        if before.written == 0, !(settings.verifies && isThere), try await !migration.isUnfinished(settings) {
            return output(before, isDryRun: false, isCheck: false)
        }
        if settings.drops {
            try context.confirmation.confirm(
                "The inline states of \(before.entities - before.withoutInlineState, "entity", "entities") will be removed, once they are verified"
            )
        }
        let summary = try await migration.run(settings, command: context.commandLine()) { done in
            progress.report(done: done, total: before.entities, unit: "entities")
        }
        return output(summary, isDryRun: false, isCheck: false)
    }

    private static func output(
        _ summary: InlineStateMigration.Summary, isDryRun: Bool, isCheck: Bool
    ) -> CommandOutput {
        let failed = summary.failed.map { failure in
            OutputValue.object([
                .init("id", .text(failure.id)),
                .init("sequence_number", .number(SequenceNumber(failure.sequenceNumber))),
                .init("code", .text(failure.code)), .init("message", .text(failure.message)),
            ])
        }
        var exitCode = summary.failures > 0 ? ExitCode.partial : .ok
        var diagnostics = summary.failed.map { failure in
            Diagnostic(
                .error, code: failure.code,
                "\(Escape.shown(failure.id)), event \(failure.sequenceNumber): \(failure.message)",
                hint: failure.code == "undecodable"
                    ? "the events are the truth: ego replay \(Escape.shellWord(failure.id)) folds them"
                    : "ego replay \(Escape.shellWord(failure.id)) --trace shows what the events give")
        }
        if isCheck {
            exitCode = summary.written > 0 ? .findings : .ok
            diagnostics = diagnostics.map { Diagnostic(.warning, code: $0.code, $0.message, hint: $0.hint) }
            if summary.written > 0 {
                diagnostics.append(
                    Diagnostic(
                        .warning, code: "pending", "\(summary.written, "entity is", "entities are") left to migrate",
                        hint: "ego migrate does it"))
            }
        }
        let (code, all) = (exitCode, diagnostics)
        return CommandOutput(
            fields: [
                .init("entities", .number(summary.entities)), .init("written", .number(summary.written)),
                .init("kept", .number(summary.kept)),
                .init("without_inline_state", .number(summary.withoutInlineState)),
                .init("encrypted", .number(summary.encrypted)), .init("verified", .number(summary.verified)),
                .init("dropped", .number(summary.dropped)), .init("failed", .array(failed)),
                .init("dry_run", .bool(isDryRun)),
            ]
        ) {
            CommandOutput.Completion(
                changed: !isDryRun && summary.written + summary.dropped > 0, exitCode: code, diagnostics: all)
        }
    }
}
