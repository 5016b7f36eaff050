import CommandLineKit
import EgoCore

/// What `ego repl` was told.
private struct ReplOptions: Sendable {
    var id: PersistenceID?
    var isWritable = false
    var commands: [String] = []
    var file: String?
    var keepsGoing = false
}

extension Command where Context == CommandContext {
    static var repl: Command {
        Command(
            "repl", summary: "explore and command entities in a session",
            discussion: [
                "At a prompt with the line editing of the user's inputrc ($if ego), a history and completion with Tab. A command to the chosen entity is TYPE {\"field\": value}, the text format TYPE field: value, or the TYPE alone, whose fields are asked for then. Everything else begins with a backslash: what is listed below, and every command of ego with its flags.",
                "Input goes on over lines until brackets and quotation marks are closed; the prompt shows what is open. What follows # after a space is a comment. Ctrl-C drops the line, or stops what is running; Ctrl-D leaves.",
                .paragraph([
                    "The session only looks until ", .flag("rw"),
                    " or \\rw. When standard input or output is no terminal, and with ", .flag("command"), " or ",
                    .flag("file"),
                    ", there is no prompt, output is JSON Lines, and the first input that fails ends it with its exit code, unless ",
                    .flag("keep-going"), " is given.",
                ]),
                "Inputs are kept in $XDG_STATE_HOME/ego/history, as many as HISTSIZE says (1000), for the user alone; not those that begin with a space, and nothing of encrypted entities.",
            ],
            output: .repl, options: { ReplOptions() },
            flags: [
                Flag("rw", arity: .toggle(negated: false), summary: "let the session write from the start") {
                    (value, options) in options.isWritable = value.isOn
                },
                Flag(
                    "command", short: "c", arity: .value(placeholder: "INPUT", completion: .none),
                    summary: "run this input, and leave", isRepeatable: true
                ) { (value, options) in options.commands.append(value.text) },
                Flag(
                    "file", short: "f", arity: .value(placeholder: "FILE", completion: .file),
                    summary: "run the inputs of a file, and leave; - is standard input"
                ) { (value, options) in options.file = value.text },
                Flag("keep-going", arity: .toggle(negated: false), summary: "go on after an input that fails") {
                    (value, options) in options.keepsGoing = value.isOn
                },
            ],
            operands: [
                Operand("ID", arity: .optional, summary: "the entity to begin with", completion: .dynamic("entity")) {
                    (word, options) throws(UsageError) in options.id = try persistenceID(word)
                }
            ],
            examples: [
                Example("repl -c '\\use acc-1' -c '\\state'", "the state of an account, for a script"),
                Example("repl acc-1 --rw -c 'CreditAccount balance: 75'", "a credit"),
            ],
            exitCodes: [
                .failure, .findings, .partial, .refused, .notFound, .timedOut, .rejected, .data, .noInput,
                .unavailable, .busy, .noPermission, .config, .interrupted,
            ],
            session: sessionCommands
        ) { options, context in
            if !options.commands.isEmpty, options.file != nil {
                throw UsageError("it goes with no --command", subject: "--file")
            }
            let console = context.console
            let isInteractive =
                options.commands.isEmpty && options.file == nil && console.inputIsTerminal && console.outputIsTerminal
            if options.keepsGoing, isInteractive { throw UsageError("it is for scripts", subject: "--keep-going") }
            let session = try ReplSession(context, isInteractive: isInteractive)
            // A store that cannot be opened is said at once, and not at the first command.
            _ = try await session.stores.store(readOnly: true)
            do {
                if options.isWritable { try await session.setWritable(true) }
                if let id = options.id {
                    session.entity = try await SessionEntities(session.stores.store(readOnly: true), context)
                        .existing(id, kind: nil)
                }
            } catch {
                await session.stores.close()
                throw error
            }
            var exitCode = ExitCode.ok
            if isInteractive {
                exitCode = await ReplPrompt(session).run()
            } else {
                exitCode = try await scripts(options, session)
            }
            try session.setTarget(nil)
            await session.stores.close()
            return SessionOutput.silent(exitCode: exitCode)
        }
    }

    private static func scripts(_ options: ReplOptions, _ session: ReplSession) async throws -> ExitCode {
        if let file = options.file, file != "-" {
            return await (try SessionScript(file: file, session)).run(keepsGoing: options.keepsGoing)
        }
        if options.commands.isEmpty { return await SessionScript(session).run(keepsGoing: options.keepsGoing) }
        var codes: [ExitCode] = []
        for (index, command) in options.commands.enumerated() {
            let name = options.commands.count == 1 ? "--command" : "--command \(index + 1)"
            codes.append(await SessionScript(command, name: name, session).run(keepsGoing: options.keepsGoing))
            if session.quits || Task.isCancelled || (codes.last != .ok && !options.keepsGoing) { break }
        }
        guard let failed = codes.first(where: { $0 != .ok }) else { return .ok }
        return codes.contains(.ok) && options.keepsGoing ? .partial : failed
    }
}
