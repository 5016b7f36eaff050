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

    // MARK: The entity

    private static var use: Command {
        Command(
            "use", summary: "choose the entity that commands go to",
            discussion: ["Without an ID, none is chosen any more."], output: .repl, options: { EntityOptions() },
            flags: [EntityOptions.kindFlag], operands: [EntityOptions.operand],
            examples: [Example("use acc-1", "the account acc-1")], exitCodes: [.notFound]
        ) { options, context in
            let session = try context.inSession
            guard let id = options.id else {
                session.entity = nil
                return SessionOutput.nothing
            }
            let entity = try await context.reading { store in
                try await SessionEntities(store, context).existing(id, kind: options.kind)
            }
            session.entity = entity
            return SessionOutput.entity(entity)
        }
    }

    private static var new: Command {
        Command(
            "new", summary: "begin an entity that is not there yet",
            discussion: ["It is there with its first event. Without an ID it gets one that nobody else has."],
            output: .repl, options: { EntityOptions() }, flags: [EntityOptions.kindFlag],
            operands: [EntityOptions.operand],
            examples: [Example("new acc-9001", "commands go to acc-9001 from now on")],
            exitCodes: [.refused]
        ) { options, context in
            let session = try context.inSession
            let id = try options.id ?? persistenceID(SessionEntities.newID())
            if let kind = options.kind { _ = try context.domain.kind(named: kind) }
            let entity = try await context.reading { store in
                try await SessionEntities(store, context).absent(id, kind: options.kind)
            }
            session.entity = entity
            return SessionOutput.entity(entity)
        }
    }

    private static var sessionState: Command {
        Command(
            "state", summary: "show the entity's state, now or at a point before",
            output: .replay, columns: [.id, .word("kind"), .sequenceNumber, Column("state")],
            options: { PointOptions() },
            operands: [
                Operand("@SEQ|@TIME", arity: .optional, summary: "a sequence number, or a time") {
                    (word, options) in options.point = word
                }
            ],
            examples: [
                Example("state", "the state now"), Example("state @3", "the state after event 3"),
                Example("state @2026-03-01T10:00Z", "the state at that time"),
            ], exitCodes: [.notFound, .data]
        ) { options, context in
            let entity = try context.chosenEntity
            let end = try options.end(context)
            let replayed = try await context.reading { store in
                try await Replay(store: store, domain: context.readingDomain, page: context.page)
                    .entity(entity.id, to: end, kind: entity.kind)
            }
            if end == .head { try context.inSession.entity?.sequenceNumber = replayed.sequenceNumber }
            let view = PayloadView(context)
            let state = try view.json(replayed.state, key: replayed.encryptionKeyID)
            let record = OutputValue.object(EntityView.fields(replayed) + [.init("state", state)])
            var output = CommandOutput(
                records: RecordList(
                    "entities", columns: [.id, .word("kind"), .sequenceNumber, Column("state")], [record]))
            if context.global.output == .table, context.global.columns == nil {
                output.text = try SessionOutput.state(replayed, view)
            }
            return output
        }
    }

    private static var sessionDiff: Command {
        Command(
            "diff", summary: "show what changed from one event to another",
            discussion: ["With one number, from there to now."], output: .replay,
            columns: [Column("path"), Column("before", .right), Column("after", .right)], options: { RangeOptions() },
            operands: [
                Operand("A", arity: .one, summary: "the state after this event, or 0") {
                    (word, options) throws(UsageError) in options.from = try sequenceNumber(number(word), from: 0)
                },
                Operand("B", arity: .optional, summary: "the state after this one") {
                    (word, options) throws(UsageError) in options.to = try sequenceNumber(number(word), from: 0)
                },
            ],
            examples: [Example("diff 3 9", "what events 4 to 9 have changed")], exitCodes: [.notFound, .data]
        ) { options, context in
            let entity = try context.chosenEntity
            let view = PayloadView(context)
            let (before, after) = try await context.reading { store in
                let replay = Replay(store: store, domain: context.readingDomain, page: context.page)
                let before = try await replay.entity(entity.id, to: .sequenceNumber(options.from), kind: entity.kind)
                let end = options.to.map { Replay.End.sequenceNumber($0) } ?? .head
                return (before, try await replay.entity(entity.id, to: end, kind: entity.kind))
            }
            if view.hides(after.encryptionKeyID) {
                throw CommandFailure(
                    .noPermission, Escape.shown(entity.id.rawValue), "it is encrypted",
                    hint: "--decrypt shows what changed")
            }
            let record = OutputValue.object(
                EntityView.fields(after) + [
                    .init("state", try view.json(after.state, key: after.encryptionKeyID)),
                    .init("from_sequence_number", .number(options.from)),
                    .init("changes", try EntityView.changes(before.state, after.state)),
                ])
            var output = CommandOutput(
                records: RecordList(
                    "entities", columns: [Column("path"), Column("before", .right), Column("after", .right)],
                    rows: { entity in
                        if case .array(let changes) = entity["changes"] { return changes }
                        return []
                    }, nextPage: RecordList("", columns: [], [record]).nextPage))
            if context.global.output == .table, context.global.columns == nil {
                let lines = try EntityView.lines(before.state, after.state)
                output.text = lines.isEmpty ? "  nothing changed\n" : lines.map { "  \($0)\n" }.joined()
            }
            return output
        }
    }

    private static func number(_ word: String) -> String { word.hasPrefix("@") ? String(word.dropFirst()) : word }

    // MARK: Messages

    private static var dry: Command {
        Command(
            "dry", summary: "show what a command would do, and write nothing", output: .send,
            options: { TextOptions() }, operands: [TextOptions.operand("MESSAGE", completion: .dynamic("message"))],
            examples: [Example("dry DebitAccount {\"balance\": 900}", "whether it would be rejected")],
            exitCodes: [.rejected, .data]
        ) { options, context in
            if options.text.isEmpty { throw UsageError("missing", subject: "MESSAGE") }
            return try await SessionMessages(context.inSession, context).send(options.text, isPreview: true)
        }
    }

    private static var repeated: Command {
        Command(
            "repeat", summary: "send a command several times, one after the other",
            discussion: ["The first one that is rejected ends it."], output: .repl, options: { CountedOptions() },
            operands: [
                Operand("N", arity: .one, summary: "how often") { (word, options) throws(UsageError) in
                    options.count = try integer(word, in: 1...Int.max)
                },
                Operand("MESSAGE", arity: .rest, summary: "the command", completion: .dynamic("message")) {
                    (word, options) in options.text = word
                },
            ],
            examples: [Example("repeat 100 CreditAccount {\"balance\": 1}", "a hundred credits")],
            exitCodes: [.rejected, .data, .interrupted]
        ) { options, context in
            if options.text.isEmpty { throw UsageError("missing", subject: "MESSAGE") }
            if context.global.isDryRun {
                throw UsageError(
                    "it goes with no --dry-run", subject: "\\repeat", hint: "\\dry shows what one would do")
            }
            return try await SessionMessages(context.inSession, context).repeated(options.count, options.text)
        }
    }

    private static var types: Command {
        let columns = [Column("type", shortening: .package), Column("role"), .word("kind")]
        return Command(
            "types", summary: "list the message types", output: .repl, columns: columns, options: { TextOptions() },
            operands: [
                Operand("START", arity: .optional, summary: "only those whose name begins with this") {
                    (word, options) in options.text = word
                }
            ], examples: [Example("types", "commands, events, states and other messages")]
        ) { options, context in
            let session = try context.inSession
            let records = SessionTypes.all(session.schema, of: session.entity).filter { type in
                let short = String(type.name.split(separator: ".").last ?? "")
                return type.name.hasPrefix(options.text) || short.hasPrefix(options.text)
            }
            return CommandOutput(records: RecordList("types", columns: columns, records.map(\.value)))
        }
    }

    private static var describe: Command {
        let columns = [
            Column("number", .right, title: "NO"), Column("field", shortening: .never(asked: false)),
            Column("json", isDefault: false), Column("type", shortening: .package), .sentence("values"),
        ]
        return Command(
            "desc", summary: "show the fields of a message type", output: .repl, columns: columns,
            options: { TextOptions() },
            operands: [
                Operand("TYPE", arity: .one, summary: "the type", completion: .dynamic("message-type")) {
                    (word, options) in options.text = word
                }
            ], examples: [Example("desc CreditAccount", "what a CreditAccount holds")]
        ) { options, context in
            let type = try context.inSession.schema.descriptor(matching: options.text)
            let records = type.fields.map { field in
                var values = ""
                if case .enumeration(let names) = field.value { values = names.joined(separator: ", ") }
                return OutputValue.object([
                    .init("number", .number(field.number)), .init("field", .text(field.name)),
                    .init("json", .text(field.jsonName)), .init("type", .text(field.typeName)),
                    .init("values", values.isEmpty ? .null : .text(values)),
                ])
            }
            return CommandOutput(
                fields: [.init("message", .text(type.fullName))],
                records: RecordList("fields", columns: columns, records),
                text: records.isEmpty && context.global.output == .table ? "\(type.fullName) has no fields\n" : nil)
        }
    }

    // MARK: The session

    private static var watch: Command {
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

    private static var again: Command {
        Command(
            "g", summary: "run the input before again, or send output elsewhere",
            discussion: [
                "At the end of an input, \\g |COMMAND pipes its output to a command of the shell, \\g FILE writes it to a file. Alone it runs the input before again, unless that may have changed something. What goes to a command or a file is JSON Lines, unless \\format says otherwise."
            ], output: .repl, options: { TextOptions() },
            operands: [TextOptions.operand("|COMMAND", completion: .file)],
            examples: [Example("state \\g |jq .", "the state, shown by jq")]
        ) { _, _ in SessionOutput.nothing }
    }

    private static var output: Command {
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

    private static var edit: Command {
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

    private static var include: Command {
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

    private static var expanded: Command {
        toggle("x", "expanded", "show each record of a table as a block of lines", \.isExpanded)
    }

    private static var timing: Command {
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

    private static var format: Command {
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

    private static var sessionPager: Command {
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

    private static var set: Command {
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

    private static var unset: Command {
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

    private static var readWrite: Command {
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

    private static var readOnly: Command {
        Command(
            "ro", summary: "let the session only look", output: .repl, options: { EmptyOptions() },
            examples: [Example("ro", "whatever would write is refused")]
        ) { _, context in
            try await context.inSession.setWritable(false)
            return SessionOutput.nothing
        }
    }

    private static var history: Command {
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

    private static var shell: Command {
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

    private static var sessionHelp: Command {
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

    private static var quit: Command {
        Command(
            "q", aliases: ["quit", "exit"], summary: "leave", output: .repl, options: { EmptyOptions() },
            examples: [Example("q", "as Ctrl-D does")]
        ) { _, context in
            try context.inSession.quits = true
            return SessionOutput.nothing
        }
    }
}

extension CommandContext {
    /// The entity that was chosen with `\use`.
    var chosenEntity: ReplSession.Entity {
        get throws {
            guard let entity = try inSession.entity else {
                throw CommandFailure(
                    .usage, "", "no entity is chosen", hint: "\\use ID chooses one, \\new ID begins one")
            }
            return entity
        }
    }
}
