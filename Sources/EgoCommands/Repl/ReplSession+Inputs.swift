import CommandLineKit
import EgoCore
import EgoOperations
import Synchronization

extension ReplSession {
    /// How an input ended.
    struct Outcome: Sendable {
        var exitCode = ExitCode.ok
        /// Whether it could not be carried out, or its answer is bad.
        var isFailure: Bool { exitCode != .ok }
    }

    /// Runs one input, and shows what it gives.
    ///
    /// - Parameter place: where it stands, as `bank.ego:12`; nil at the prompt.
    func run(_ input: String, at place: String? = nil) async -> Outcome {
        let scanned = ScannedInput(input)
        if scanned.text.isEmpty { return Outcome() }
        let text = SessionVariables.replaced(in: scanned.text, settings.variables)
        let isRepeating = text == "\\g" || text.hasPrefix("\\g ") || text.hasPrefix("\\g|")
        var line = SessionRun(session: self, text: text, place: place)
        do {
            if isRepeating {
                let last = last
                if last.text.isEmpty { throw UsageError("there was no input before", subject: "\\g") }
                if last.changed || last.isMessage {
                    throw CommandFailure(
                        .refused, "\\g", "the input before may have changed something, and is not repeated",
                        hint: "type it again, or \\e; an input can end with \\g |COMMAND")
                }
                line.text = last.text
                line.target = ScannedInput.trimmed(String(text.dropFirst(2)))
            } else {
                line.target = scanned.target
            }
        } catch {
            return line.report(error, to: context.console, RenderOptions(format: .table))
        }
        let outcome = await line.run()
        if !isRepeating, !SessionRun.isAbout(line.text) {
            last = (line.text, outcome.changed, !line.text.hasPrefix("\\"))
        }
        return Outcome(exitCode: outcome.exitCode)
    }
}

/// One input on its way.
struct SessionRun {
    let session: ReplSession
    var text: String
    let place: String?
    /// Where its output goes; nil for where that of the session goes.
    var target: String?

    /// Whether an input is about the session itself, so that `\g` means the one before it.
    static func isAbout(_ text: String) -> Bool {
        let name = text.dropFirst().prefix { !$0.isWhitespace }
        return text.hasPrefix("\\")
            && ["e", "i", "o", "x", "format", "set", "unset", "history", "?", "q"].contains(name)
    }

    struct Result {
        var exitCode = ExitCode.ok
        var changed = false
    }

    func run() async -> Result {
        var own: SessionTarget?
        var options = RenderOptions(format: .table)
        var console = session.context.console
        do {
            if let target, !target.isEmpty { own = try SessionTarget(target, session.context) }
            if let sink = (own ?? session.target)?.sink {
                console.output = sink
                console.outputIsTerminal = false
            }
            // A script's own input is no input for its commands.
            if !session.isInteractive { console.readBlock = { nil } }
            let start = ContinuousClock.now
            let completion = try await give(to: console, &options)
            try own?.close()
            if session.settings.isTiming, session.isInteractive, text.hasPrefix("\\") {
                let errors = session.context.console.errors
                try errors.write("  time \(Self.milliseconds(ContinuousClock.now - start))\n")
                try errors.flush()
            }
            return Result(exitCode: completion.exitCode, changed: completion.changed)
        } catch let error as OutputError where error == .brokenPipe && console.outputIsTerminal == false {
            try? own?.close()  // its reader has gone, and that is all there is to say
            return Result()
        } catch {
            try? own?.close()  // what went wrong first is what is told
            let outcome = report(error, to: console, options)
            return Result(exitCode: outcome.exitCode, changed: CommandFailure(error).changed)
        }
    }

    /// A duration as `1.2 ms`.
    static func milliseconds(_ duration: Duration) -> String {
        let tenths = Int((duration / .microseconds(100)).rounded())
        return "\(tenths / 10).\(tenths % 10) ms"
    }

    /// Says what went wrong; in a script also where.
    func report(_ error: any Error, to console: Console, _ options: RenderOptions) -> ReplSession.Outcome {
        var failure = CommandFailure((error as? InterruptedEnvelope)?.cause ?? error)
        var shown = error
        if let place {
            failure.what = failure.what.isEmpty ? place : "\(place): \(failure.what)"
            shown = (error as? InterruptedEnvelope)?.because(of: failure) ?? failure
        }
        let isVerbose = session.context.global.isVerbose
        _ = Presenter.report(shown, schemaName, options, console, isVerbose: isVerbose)
        return ReplSession.Outcome(exitCode: failure.exitCode)
    }

    private var commandName: String { String(text.dropFirst().prefix { !$0.isWhitespace }) }

    private var schemaName: String {
        if !text.hasPrefix("\\") { return OutputSchema.send.name }
        return session.table.output(of: [commandName])?.name ?? OutputSchema.error.name
    }

    // MARK: Running

    private func give(to console: Console, _ options: inout RenderOptions) async throws -> CommandOutput.Completion {
        var global = defaults(console)
        options = Presenter.options(context(global, console, given: [], arguments: []))
        guard text.hasPrefix("\\") else {
            let context = context(global, console, given: [], arguments: [])
            let isPreview = global.isDryRun
            return try await show(schemaName, options, context) { context in
                try await SessionMessages(session, context).send(text, isPreview: isPreview)
            }
        }
        let table = session.table
        let (path, arguments) = try words(table)
        let line = try table.words(arguments)
        let invocation = try table.parse(arguments, global: global)
        let given = Set(line.global.flags.map(\.long))
        global = invocation.global
        if invocation.help == nil, let command = table.command(at: line.path) {
            try EgoCommandLine.checkColumns(&global, command, isGiven: given.contains("columns"))
        }
        let context = context(global, console, given: given, arguments: arguments)
        options = Presenter.options(context)
        options.isExpanded = session.settings.isExpanded
        let run = EgoCommandLine.helpRun(invocation, table)
        var schema = table.output(of: path)?.name ?? OutputSchema.error.name
        if let help = invocation.help { schema = (help == .version ? OutputSchema.version : .help).name }
        let completion = try await show(schema, options, context, run)
        if line.path == ["init"] { await session.stores.close() }
        return completion
    }

    /// Runs a command within `--timeout`, and shows what it gives.
    private func show(
        _ schema: String, _ options: RenderOptions, _ context: CommandContext,
        _ run: @escaping Command<CommandContext>.Run
    ) async throws -> CommandOutput.Completion {
        let reply = Reply()
        _ = try await Deadline(context).run {
            let completion = try await Presenter.finish(try await run(context), schema, options, context)
            reply.completion.withLock { $0 = completion }
            return completion.exitCode.number
        }
        return reply.completion.withLock { $0 } ?? CommandOutput.Completion()
    }

    /// What the session has set, before the flags of this input.
    private func defaults(_ console: Console) -> GlobalOptions {
        var global = session.context.global
        let settings = session.settings
        // What goes to a file or a program is for programs.
        let isShown = session.isInteractive && console.outputIsTerminal
        global.output = settings.format ?? (isShown ? .table : .jsonl)
        global.pager = settings.pager
        return global
    }

    private func context(
        _ global: GlobalOptions, _ console: Console, given: Set<String>, arguments: [String]
    ) -> CommandContext {
        var context = session.context.with(global)
        context.console = console
        context.givenFlags = session.context.givenFlags.union(given)
        context.arguments = session.globalArguments + arguments
        context.session = session
        context.confirmation = Confirmation(console, global, hasContext: session.isWritable)
        return context
    }

    /// The words of a meta command, as the table reads them.
    private func words(
        _ table: CommandTable<GlobalOptions, CommandContext>
    ) throws -> (path: [String], arguments: [String]) {
        let name = commandName
        guard let command = table.command(at: [name]) else {
            let known = table.commands.filter { !$0.isHidden }.flatMap { [$0.name] + $0.aliases }
            throw UsageError(
                "unknown command", subject: "\\" + Escape.shown(name),
                hint: Suggestion.nearest(to: name, among: known).map { "did you mean \\\($0)?" } ?? "\\? lists them all"
            )
        }
        let rest = String(text.dropFirst(name.count + 1))
        guard command.operands.last?.arity == .rest else {
            return ([command.name], [command.name] + SessionWords(rest).words)
        }
        let split = SessionWords(
            rest, rawAfter: command.operands.count - 1, flagsWithValue: table.flagsWithValue(of: command))
        let flags = split.words.prefix(split.leadingFlags)
        return ([command.name], [command.name] + flags + ["--"] + split.words.dropFirst(flags.count))
    }
}

/// What a command gave, once it is done.
private final class Reply: Sendable {
    let completion = Mutex<CommandOutput.Completion?>(nil)
}
