import CommandLineKit
import Ego
import EgoCore
import EgoOperations
import Synchronization

/// What a command of `ego projection` was told.
struct ProjectionOptionsGiven: Sendable {
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

    /// The exit codes of commands that look, and of those that change something.
    static let looking: [ExitCode] = [.notFound, .data, .noInput, .unavailable, .busy, .noPermission, .config]
    static let changing: [ExitCode] = [.refused] + looking
}

extension Operand<ProjectionOptionsGiven> {
    static func projection(_ arity: OperandArity = .one, _ summary: String = "the projection") -> Self {
        Operand("PROJECTION", arity: arity, summary: summary, completion: .dynamic("projection")) {
            (word, options) in options.names.append(word)
        }
    }
}

extension ProjectionControl {
    init(_ store: any Store, _ context: CommandContext) {
        self.init(store: store, declared: ProjectionCatalog(context).names, by: context.person, time: context.time)
    }
}

typealias ProjectionFlag = Flag<ProjectionOptionsGiven>

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

    // MARK: Looking

    private static var projectionList: Command {
        Command(
            "list", summary: "list projections and what they do", output: .projection,
            columns: ProjectionView.columns, options: { ProjectionOptionsGiven() },
            examples: [Example("projection list", "those of the store, the domain and the configuration")],
            exitCodes: ProjectionOptionsGiven.looking
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
            operands: [.projection(.any, "the projections")],
            examples: [Example("projection show balances", "its state, its error, its offsets and its versions")],
            exitCodes: ProjectionOptionsGiven.looking
        ) { options, context in
            if options.names.isEmpty { throw UsageError("missing", subject: "PROJECTION") }
            return try await context.measuring { store in
                try await ProjectionView(store, context).output(options.names, isWhole: true)
            }
        }
    }

    // MARK: Pause and resume

    private static var projectionPause: Command {
        Command(
            "pause", summary: "let projections wait", output: .projection, columns: ProjectionView.columns,
            options: { ProjectionOptionsGiven() }, operands: [.projection(.any, "the projections")],
            examples: [Example("projection pause balances --dry-run", "see what would change")],
            exitCodes: ProjectionOptionsGiven.changing
        ) { options, context in
            try await change(options.names, context) { try await $0.pause($1, isDryRun: $2) }
        }
    }

    private static var projectionResume: Command {
        Command(
            "resume", summary: "let projections go on",
            discussion: ["One that has stopped at an event tries that event again."], output: .projection,
            columns: ProjectionView.columns, options: { ProjectionOptionsGiven() },
            operands: [.projection(.any, "the projections")],
            examples: [Example("projection resume balances", "after the cause of its error was mended")],
            exitCodes: ProjectionOptionsGiven.changing
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
            let control = ProjectionControl(store, context)
            // All of them or none: a misspelled name is told before anything is changed.
            for name in names { _ = try await control.record(name) }
            var changed = false
            for name in names where try await body(control, name, isDryRun) { changed = true }
            return try await ProjectionView(store, context).output(
                names, changed: changed && !isDryRun, isDryRun: isDryRun)
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
            operands: [.projection(.any, "the projections")],
            examples: [
                Example(
                    "projection wait balances --timeout 200ms", "in a deployment, before traffic is let in",
                    exitCode: .timedOut)
            ],
            exitCodes: [.failure, .timedOut] + ProjectionOptionsGiven.looking + [.interrupted]
        ) { options, context in
            if options.names.isEmpty { throw UsageError("missing", subject: "PROJECTION") }
            return try await context.measuring { store in
                let progress = context.progress("projection wait")
                defer { progress.finish() }
                let control = ProjectionControl(store, context)
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
            operands: [.projection()],
            examples: [
                Example("projection rollback balances --dry-run", "see whether there is one", exitCode: .refused)
            ],
            exitCodes: ProjectionOptionsGiven.changing
        ) { options, context in
            let isDryRun = context.global.isDryRun
            return try await context.withStore(readOnly: isDryRun) { store in
                try await ProjectionControl(store, context).rollback(options.name, isDryRun: isDryRun)
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
            operands: [.projection()],
            examples: [Example("projection forget balances --dry-run", "see whether it could be forgotten")],
            exitCodes: ProjectionOptionsGiven.changing
        ) { options, context in
            let isDryRun = context.global.isDryRun
            return try await context.withStore(readOnly: isDryRun) { store in
                let control = ProjectionControl(store, context)
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
