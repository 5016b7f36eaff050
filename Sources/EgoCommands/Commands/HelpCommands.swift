import CommandLineKit
import EgoSQLite

/// What `ego help` was told.
private struct HelpOptions: Sendable {
    var path: [String] = []
}

extension Command where Context == CommandContext {
    static var help: Command {
        Command(
            "help", summary: "tell about a command",
            discussion: [
                "Without a command, lists all of them. With one, tells everything about it, as its --help does."
            ],
            output: .help, options: { HelpOptions() },
            operands: [
                Operand("COMMAND", arity: .any, summary: "the command to tell about", completion: .dynamic("command")) {
                    (word, options) in options.path.append(word)
                }
            ],
            examples: [Example("help replay", "everything about ego replay")]
        ) { options, context in
            let table = context.table()
            guard options.path.isEmpty || table.command(at: options.path) != nil else {
                let names = table.allCommands.map { $0.path.joined(separator: " ") }
                let wanted = options.path.joined(separator: " ")
                throw UsageError(
                    "unknown command", subject: Escape.shown(wanted),
                    hint: Suggestion.hint(for: wanted, among: names) ?? "ego help lists all commands")
            }
            return HelpText.output(table, options.path, .long, context)
        }
    }

    static var version: Command {
        Command(
            "version", summary: "show the version of this program", output: .version, options: { EmptyOptions() },
            examples: [Example("version -o json", "the version for a script")]
        ) { _, _ in VersionReport.output }
    }

    private static var exitCodeColumns: [Column] { [Column("code", .right), Column("name"), .sentence("meaning")] }

    static var exitCodes: Command {
        Command(
            "exit-codes", summary: "list how commands end", output: .exitCodes, columns: exitCodeColumns,
            options: { EmptyOptions() },
            examples: [Example("exit-codes", "all exit codes and their meaning")]
        ) { _, _ in
            let records = ExitCode.all.map { code in
                OutputValue.object([
                    .init("code", .number(Int(code.number))), .init("name", .text(code.name)),
                    .init("meaning", .text(code.meaning)),
                ])
            }
            return CommandOutput(
                records: RecordList(
                    "exit_codes",
                    columns: exitCodeColumns, records))
        }
    }
}

/// The options of a command that has none.
struct EmptyOptions: Sendable {}

/// Help as a command's output.
enum HelpText {
    static func output(
        _ table: CommandTable<GlobalOptions, CommandContext>, _ path: [String], _ request: HelpRequest,
        _ context: CommandContext
    ) -> CommandOutput {
        let width = min(context.console.columns() ?? 80, 100)
        let text = table.help(for: path, request, width: width) ?? table.overview(width: width)
        return CommandOutput(
            fields: [.init("command", .text(path.joined(separator: " "))), .init("text", .text(text))],
            text: text)
    }
}

/// What `ego version` and `--version` show.
enum VersionReport {
    static let version = "0.1.0"

    static var output: CommandOutput {
        let text = "ego \(version) (SQLite \(SQLiteStore.libraryVersion), schema \(SQLiteStore.schemaVersion))\n"
        return CommandOutput(
            fields: [
                .init("version", .text(version)), .init("sqlite", .text(SQLiteStore.libraryVersion)),
                .init("schema_version", .number(SQLiteStore.schemaVersion)),
            ], text: text)
    }
}
