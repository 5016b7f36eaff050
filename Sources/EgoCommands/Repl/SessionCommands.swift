import CommandLineKit
import EgoCore
import EgoOperations
import LineEditor
import ProtobufReflection
import SwiftProtobuf

extension Command where Context == CommandContext {
    /// What can be typed in a session beside the commands of `ego`, in the order in which help shows it.
    static var sessionCommands: [Command] {
        [
            use, new, sessionEvents, sessionState, sessionDiff, dry, repeated, types, describe, watch,
            expanded, format, output, again, edit, include, timing, set, unset, readWrite, readOnly, sessionPager,
            history, shell, sessionHelp, quit,
        ]
    }
}

extension Command where Context == CommandContext {
    static var watch: Command {
        Command(
            "watch", summary: "run an input again and again, until Ctrl-C", output: .repl,
            options: { WatchOptions() },
            flags: [
                Flag("count", arity: .value(placeholder: "N", completion: .none), summary: "so many times") {
                    (value, options) throws(UsageError) in options.count = try integer(value.text, in: 1...Int.max)
                }
            ],
            operands: [
                Operand("SECONDS", arity: .one, summary: "how long to wait between two runs") {
                    (word, options) throws(UsageError) in
                    guard let seconds = Double(word), (0.1...86_400).contains(seconds) else {
                        throw UsageError("a number of seconds from 0.1 to 86400 is wanted")
                    }
                    options.interval = .milliseconds(Int(seconds * 1_000))
                },
                Operand("INPUT", arity: .rest, summary: "what to run", completion: .dynamic("input")) {
                    (word, options) in options.text = word
                },
            ],
            examples: [Example("watch 2 \\lag", "how far projections are behind, every two seconds")],
            exitCodes: [.interrupted]
        ) { options, context in
            let session = try context.inSession
            if options.text.isEmpty { throw UsageError("missing", subject: "INPUT") }
            if !options.text.hasPrefix("\\") {
                throw CommandFailure(
                    .refused, "\\watch", "it repeats what looks, not commands to an entity",
                    hint: "\\repeat N sends a command several times")
            }
            if options.text.hasPrefix("\\watch") { throw UsageError("it cannot watch itself", subject: "\\watch") }
            var runs = 0
            while options.count.map({ runs < $0 }) ?? true {
                do {
                    if runs > 0 { try await Task.sleep(for: options.interval) }
                    try Task.checkCancellation()
                } catch {
                    // At a prompt, Ctrl-C is how it ends.
                    if session.isInteractive { break }
                    throw error
                }
                if session.isInteractive, context.console.outputIsTerminal {
                    let time = TimeStyle.rfc3339Brief.text(context.time.now().unixNanoseconds)
                    try context.console.output.write(
                        "-- \(time)  \(Escape.line(options.text))\n")
                    try context.console.output.flush()
                }
                let outcome = await session.run(options.text)
                if outcome.isFailure, outcome.exitCode != .findings {
                    return SessionOutput.silent(exitCode: outcome.exitCode)
                }
                runs += 1
            }
            return SessionOutput.nothing
        }
    }

    static var again: Command {
        Command(
            "g", summary: "run the input before again, or send output elsewhere",
            discussion: [
                "At the end of an input, \\g |COMMAND pipes its output to a command of the shell, \\g FILE writes it to a file. Alone it runs the input before again, unless that may have changed something. What goes to a command or a file is JSON Lines, unless \\format says otherwise."
            ], output: .repl, options: { TextOptions() },
            operands: [TextOptions.operand("|COMMAND", completion: .file)],
            examples: [Example("state \\g |jq .", "the state, shown by jq")]
        ) { _, _ in SessionOutput.nothing }
    }

    static var output: Command {
        Command(
            "o", summary: "send all output to a file or |COMMAND; alone: back", output: .repl,
            options: { TextOptions() }, operands: [TextOptions.operand("FILE", completion: .file)],
            examples: [Example("o events.jsonl", "what follows goes to a file, as JSON Lines")],
            exitCodes: [.noPermission]
        ) { options, context in
            let session = try context.inSession
            let target = options.text.isEmpty ? nil : try SessionTarget(options.text, context)
            try session.setTarget(target)
            return SessionOutput.nothing
        }
    }

    static var edit: Command {
        Command(
            "e", aliases: ["edit"], summary: "edit the input before, or a file, in $VISUAL or $EDITOR",
            discussion: ["What the editor leaves stands at the prompt, and is run with Return."],
            output: .repl, options: { TextOptions() }, operands: [TextOptions.operand("FILE", completion: .file)],
            examples: [Example("e", "the input before")], exitCodes: [.noInput]
        ) { options, context in
            let session = try context.inSession
            guard session.isInteractive else { throw UsageError("it needs a terminal", subject: "\\e") }
            let path = SessionOutput.path(options.text, context)
            session.prefill(try await SessionEditor(context).edit(path.isEmpty ? nil : path, session.last.text))
            return SessionOutput.nothing
        }
    }

    static var include: Command {
        Command(
            "i", summary: "run the inputs of a file", discussion: ["The first one that fails ends it."],
            output: .repl, options: { TextOptions() },
            operands: [
                Operand("FILE", arity: .one, summary: "the file", completion: .file) { (word, options) in
                    options.text = word
                }
            ], examples: [Example("i open-accounts.ego", "what stands in a file")],
            exitCodes: [.noInput, .partial]
        ) { options, context in
            let session = try context.inSession
            guard session.enterFile() else {
                session.leaveFile()
                throw CommandFailure(.usage, Escape.shown(options.text), "files name each other too deeply")
            }
            defer { session.leaveFile() }
            let script = try SessionScript(file: SessionOutput.inHome(options.text, context), session)
            return SessionOutput.silent(exitCode: await script.run(keepsGoing: false))
        }
    }

    static var expanded: Command {
        toggle("x", "expanded", "show each record of a table as a block of lines", \.isExpanded)
    }

    static var timing: Command {
        toggle("timing", "timing", "say how long each input takes", \.isTiming)
    }

    private static func toggle(
        _ name: String, _ what: String, _ summary: String,
        _ setting: any (WritableKeyPath<ReplSession.Settings, Bool> & Sendable)
    ) -> Command {
        Command(
            name, summary: summary, output: .repl, options: { TextOptions() },
            operands: [
                Operand(
                    "on|off", arity: .optional, summary: "alone: the other one", completion: .choices(["on", "off"])
                ) {
                    (word, options) throws(UsageError) in
                    guard ["on", "off"].contains(word) else { throw UsageError("it is on or off") }
                    options.text = word
                }
            ], examples: [Example(name, "the other way round")]
        ) { options, context in
            let session = try context.inSession
            var settings = session.settings
            settings[keyPath: setting] = options.text.isEmpty ? !settings[keyPath: setting] : options.text == "on"
            session.settings = settings
            return SessionOutput.note("\(what) is \(settings[keyPath: setting] ? "on" : "off")", context)
        }
    }

    static var format: Command {
        Command(
            "format", summary: "choose the form of the output", output: .repl, options: { TextOptions() },
            operands: [
                Operand(
                    "FORMAT", arity: .optional, summary: "alone: say which",
                    completion: .choices(OutputFormat.allCases.map(\.rawValue))
                ) { (word, options) throws(UsageError) in
                    let _: OutputFormat = try choice(word, "format")
                    options.text = word
                }
            ], examples: [Example("format json", "one document an input")]
        ) { options, context in
            let session = try context.inSession
            if let format = OutputFormat(rawValue: options.text) { session.settings.format = format }
            let shown = session.settings.format?.rawValue ?? "table, and jsonl where it is not shown"
            return SessionOutput.note("format is \(shown)", context)
        }
    }

    static var sessionPager: Command {
        Command(
            "pager", summary: "when what is taller than the screen goes to $PAGER", output: .repl,
            options: { TextOptions() },
            operands: [
                Operand(
                    "WHEN", arity: .optional, summary: "alone: say when",
                    completion: .choices(GlobalOptions.Choice.allCases.map(\.rawValue))
                ) { (word, options) throws(UsageError) in
                    let named = ["on": "auto", "off": "never"][word] ?? word
                    let _: GlobalOptions.Choice = try choice(named, "choice")
                    options.text = named
                }
            ], examples: [Example("pager never", "everything goes to the terminal")]
        ) { options, context in
            let session = try context.inSession
            if let pager = GlobalOptions.Choice(rawValue: options.text) { session.settings.pager = pager }
            return SessionOutput.note("pager is \(session.settings.pager.rawValue)", context)
        }
    }

    static var set: Command {
        Command(
            "set", summary: "set a variable, used as :name; alone: list them",
            discussion: [
                "A variable stands for what it was set to wherever :name stands after a space or a bracket, :\"name\" for the same as a string of JSON. Names that are not set stay as they are."
            ], output: .repl, columns: [Column("name"), Column("value")], options: { VariableOptions() },
            operands: [
                Operand("NAME", arity: .optional, summary: "the variable", completion: .dynamic("variable")) {
                    (word, options) throws(UsageError) in
                    guard SessionVariables.isName(word) else {
                        throw UsageError("a name is made of letters, digits and _, and begins with no digit")
                    }
                    options.name = word
                },
                Operand("VALUE", arity: .rest, summary: "what it stands for") { (word, options) in
                    options.value = SessionOutput.word(word)
                },
            ], examples: [Example("set amount 75", "CreditAccount {\"balance\": :amount} is a credit of 75")]
        ) { options, context in
            let session = try context.inSession
            if let name = options.name {
                session.settings.variables[name] = options.value
                return SessionOutput.nothing
            }
            let records = session.settings.variables.sorted { $0.key < $1.key }.map { name, value in
                OutputValue.object([.init("name", .text(name)), .init("value", .text(value))])
            }
            return CommandOutput(records: RecordList("variables", columns: [Column("name"), Column("value")], records))
        }
    }

    static var unset: Command {
        Command(
            "unset", summary: "forget a variable", output: .repl, options: { VariableOptions() },
            operands: [
                Operand("NAME", arity: .one, summary: "the variable", completion: .dynamic("variable")) {
                    (word, options) in options.name = word
                }
            ], examples: [Example("unset amount", ":amount stays as it is from now on")], exitCodes: [.notFound]
        ) { options, context in
            let session = try context.inSession
            guard let name = options.name, session.settings.variables.removeValue(forKey: name) != nil else {
                throw CommandFailure(.notFound, Escape.shown(options.name ?? ""), "there is no such variable")
            }
            return SessionOutput.nothing
        }
    }

    static var readWrite: Command {
        Command(
            "rw", summary: "let the session write",
            discussion: ["In a protected context its name is asked for."], output: .repl,
            options: { EmptyOptions() }, examples: [Example("rw", "commands are carried out from now on")],
            exitCodes: [.refused, .noPermission]
        ) { _, context in
            try await context.inSession.setWritable(true)
            return SessionOutput.nothing
        }
    }

    static var readOnly: Command {
        Command(
            "ro", summary: "let the session only look", output: .repl, options: { EmptyOptions() },
            examples: [Example("ro", "whatever would write is refused")]
        ) { _, context in
            try await context.inSession.setWritable(false)
            return SessionOutput.nothing
        }
    }

    static var history: Command {
        Command(
            "history", summary: "show what was typed", output: .repl, options: { CountedOptions() },
            operands: [
                Operand("N", arity: .optional, summary: "the last so many") { (word, options) throws(UsageError) in
                    options.count = try integer(word, in: 1...Int.max)
                }
            ], examples: [Example("history 20", "the last twenty inputs")]
        ) { options, context in
            let lines = SessionHistory(context).file.load().suffix(options.count)
            return CommandOutput(
                fields: [.init("lines", .array(lines.map(OutputValue.text)))],
                text: lines.map { SessionOutput.typed($0) + "\n" }.joined())
        }
    }

    static var shell: Command {
        Command(
            "!", summary: "run a command of the shell", output: .repl, options: { TextOptions() },
            operands: [TextOptions.operand("COMMAND", completion: .file)],
            examples: [Example("! ls", "what is here")],
            exitCodes: [.failure]
        ) { options, context in
            let line = options.text.isEmpty ? context.console.environment["SHELL"] ?? "/bin/sh" : options.text
            try context.console.output.flush()
            guard let code = await SessionEditor.shell(line) else {
                throw CommandFailure(.io, Escape.shown(line), "it cannot be started")
            }
            if code != 0 { throw CommandFailure(.failure, Escape.shown(line), "exit code \(code)") }
            return SessionOutput.nothing
        }
    }

    static var sessionHelp: Command {
        Command(
            "?", summary: "tell about the session, or about one of its commands", output: .help,
            options: { TextOptions() },
            operands: [
                Operand("COMMAND", arity: .optional, summary: "the command", completion: .dynamic("meta-command")) {
                    (word, options) in options.text = word.hasPrefix("\\") ? String(word.dropFirst()) : word
                }
            ], examples: [Example("? dry", "everything about \\dry")]
        ) { options, context in
            let table = try context.inSession.table
            if options.text.isEmpty { return SessionHelp.overview(table, context) }
            guard table.command(at: [options.text]) != nil else {
                throw UsageError(
                    "unknown command", subject: "\\" + Escape.shown(options.text), hint: "\\? lists them all")
            }
            return HelpText.output(table, [options.text], .long, context)
        }
    }

    static var quit: Command {
        Command(
            "q", aliases: ["quit", "exit"], summary: "leave", output: .repl, options: { EmptyOptions() },
            examples: [Example("q", "as Ctrl-D does")]
        ) { _, context in
            try context.inSession.quits = true
            return SessionOutput.nothing
        }
    }
}
