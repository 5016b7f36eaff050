import CommandLineKit

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What a command of `ego generate` was told.
private struct GenerateOptions: Sendable {
    var name: String?
    var folder: String?
}

extension Command where Context == CommandContext {
    static var generate: Command {
        Command(
            "generate", summary: "write man pages, completions and JSON schemas",
            discussion: ["All of it is made from the same definition table as the commands and their help."],
            output: .generate,
            subcommands: [
                generateManual, script("bash", { $0.bashScript }, "source <(ego generate bash)"),
                script("zsh", { $0.zshScript }, "source <(ego generate zsh)"),
                script("fish", { $0.fishScript }, "ego generate fish | source"), generateSchema,
            ])
    }

    private static var generateManual: Command {
        Command(
            "man", summary: "write pages of the manual",
            discussion: [
                .paragraph([
                    "Without ", .flag("into"), ", one page to standard output: that of ego, or the one that is named.",
                ])
            ],
            output: .generate, options: { GenerateOptions() },
            flags: [
                Flag(
                    "into", arity: .value(placeholder: "FOLDER", completion: .file),
                    summary: "write all pages into this folder"
                ) { (value, options) in options.folder = value.text }
            ],
            operands: [
                Operand("PAGE", arity: .optional, summary: "the page, as ego-replay.1", completion: .dynamic("page")) {
                    (word, options) in options.name = word
                }
            ],
            examples: [
                Example("generate man ego-replay.1", "one page"),
                Example("generate man --into man", "all of them, into a folder"),
            ],
            exitCodes: [.noInput, .noPermission]
        ) { options, context in
            let pages = context.table().manualPages
            if let folder = options.folder {
                if options.name != nil { throw UsageError("it takes no PAGE", subject: "--into") }
                try FileWriter.write(pages.map { ($0.file, $0.text) }, into: folder)
                return CommandOutput(fields: [.init("files", .array(pages.map { .text("\(folder)/\($0.file)") }))]) {
                    CommandOutput.Completion(changed: true)
                }
            }
            let name = options.name ?? "ego.1"
            guard let page = pages.first(where: { $0.file == name }) else {
                throw UsageError(
                    "there is no such page", subject: Escape.shown(name),
                    hint: Suggestion.hint(for: name, among: pages.map(\.file))
                        ?? "pages: \(pages.map(\.file).joined(separator: ", "))")
            }
            return CommandOutput(fields: [.init("text", .text(page.text))], text: page.text)
        }
    }

    private static func script(
        _ shell: String, _ text: @escaping @Sendable (CommandTable<GlobalOptions, CommandContext>) -> String,
        _ use: String
    ) -> Command {
        Command(
            shell, summary: "write the completion script for \(shell)",
            discussion: [.paragraph(["To use it in this shell:"]), .code(use)], output: .generate,
            options: { GenerateOptions() }, examples: [Example("generate \(shell)", "the script")]
        ) { _, context in
            let text = text(context.table())
            return CommandOutput(fields: [.init("text", .text(text))], text: text)
        }
    }

    private static var generateSchema: Command {
        Command(
            "schema", summary: "write the JSON schema of a command's output",
            discussion: [
                "Without a name, all of them, a record each. The schema is that of the envelope of -o json; its definitions record and summary are the lines of -o jsonl."
            ],
            output: .generate, columns: [Column("name"), Column("schema")], options: { GenerateOptions() },
            operands: [
                Operand(
                    "NAME", arity: .optional, summary: "the command, as lag, or the schema, as ego.lag/1",
                    completion: .dynamic("schema")
                ) { (word, options) in options.name = word }
            ],
            examples: [Example("generate schema entities", "what ego entities -o json gives")]
        ) { options, context in
            let schemas = OutputSchema.all(of: context.table().commands)
            guard let wanted = options.name else {
                return CommandOutput(
                    records: RecordList(
                        "schemas", columns: [.word("name"), Column("schema")],
                        schemas.map {
                            .object([.init("name", .text($0.name)), .init("schema", .text($0.jsonSchema))])
                        }))
            }
            guard let schema = schemas.first(where: { $0.name == wanted || $0.name == "ego.\(wanted)/1" }) else {
                let names = schemas.map { $0.name.dropFirst(4).prefix { $0 != "/" } }.map(String.init)
                throw UsageError(
                    "there is no such schema", subject: Escape.shown(wanted),
                    hint: Suggestion.hint(for: wanted, among: names) ?? "schemas: \(names.joined(separator: ", "))")
            }
            let text = schema.jsonSchema + "\n"
            return CommandOutput(fields: [.init("text", .text(text))], text: text)
        }
    }
}

extension OutputSchema {
    /// The schemas of all commands, and of a line that names none, ascending by name.
    static func all(of commands: [Command<CommandContext>]) -> [OutputSchema] {
        (commands.filter { !$0.isHidden }.map(\.output) + [.error]).sorted { $0.name < $1.name }
    }
}

/// Writes generated files.
private enum FileWriter {
    static func write(_ files: [(name: String, text: String)], into folder: String) throws(CommandFailure) {
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            for file in files {
                try Data(file.text.utf8).write(to: URL(fileURLWithPath: "\(folder)/\(file.name)"))
            }
        } catch {
            throw CommandFailure(.io, folder, "it cannot be written: \(SystemError.text(error))")
        }
    }
}
