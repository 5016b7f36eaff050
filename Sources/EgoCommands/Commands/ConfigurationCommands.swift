import CommandLineKit

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What `ego context use` was told.
private struct ContextOptions: Sendable {
    var name = ""
}

extension Command where Context == CommandContext {
    // MARK: Config

    static var config: Command {
        Command(
            "config", summary: "list every setting and where it comes from",
            discussion: [
                .paragraph([
                    "A flag comes before an environment variable, that before ./.ego.toml, that before the user's and the machine's file. The files are described in ",
                    .page("ego-config", section: 5), ".",
                ])
            ],
            output: .config, columns: settingColumns, options: { EmptyOptions() },
            examples: [Example("config", "all settings"), Example("config -o json", "the same for a script")],
            exitCodes: [.noInput, .noPermission, .config]
        ) { _, context in
            let names = GlobalOptions.flags.map(\.definition).filter { $0.long != "config" }
            var records = names.map { flag in
                setting(flag.long, flag.summary, Configuration.variable(of: flag.long), context)
            }
            records += [
                setting(
                    ConfigurationFile.protected, "ask for the context's name before anything is changed", nil, context),
                setting(ConfigurationFile.encrypt, "which entities are encrypted", nil, context),
                setting(ConfigurationFile.masterKeyCommand, "the command that prints the master key", nil, context),
            ]
            let files = context.configuration.files.map { OutputValue.text($0.path) }
            return CommandOutput(
                fields: [.init("files", .array(files))],
                records: RecordList("settings", columns: settingColumns, records))
        }
    }

    private static var settingColumns: [Column] {
        [
            .word("name"), Column("value"), Column("origin"), Column("environment", isDefault: false),
            Column("summary", isDefault: false),
        ]
    }

    private static func setting(
        _ name: String, _ summary: String, _ variable: String?, _ context: CommandContext
    ) -> OutputValue {
        let origin =
            context.givenFlags.contains(name) ? "flag" : context.configuration.origins[name]?.description ?? "default"
        return .object([
            // What has no flag has its name in files.
            .init("name", .text(variable == nil ? name.replacing("-", with: "_") : name)),
            .init("value", .optional(context.global.text(of: name))),
            .init("origin", .text(origin)), .init("environment", .optional(variable)), .init("summary", .text(summary)),
        ])
    }

    // MARK: Contexts

    static var context: Command {
        Command(
            "context", summary: "list, show or choose contexts",
            discussion: [
                .paragraph([
                    "A context is a named set of settings in a configuration file, such as the store of one environment; ",
                    .flag("context"), " chooses one for a command. The files are described in ",
                    .page("ego-config", section: 5), ".",
                ])
            ],
            output: .context, subcommands: [contextList, contextUse, contextShow])
    }

    private static var contextColumns: [Column] {
        [
            .word("name"), .word("chosen"), Column("store"), .word("protected"), .word("read_only"),
            Column("file", isDefault: false),
        ]
    }

    private static var contextList: Command {
        Command(
            "list", summary: "list contexts", output: .context, columns: contextColumns, options: { EmptyOptions() },
            examples: [Example("context list", "all contexts, and which one is chosen")],
            exitCodes: [.noInput, .noPermission, .config]
        ) { _, context in
            let records = context.configuration.contextNames.map { contextRecord($0, context) }
            return CommandOutput(records: RecordList("contexts", columns: contextColumns, records))
        }
    }

    private static func contextRecord(_ name: String, _ context: CommandContext) -> OutputValue {
        var values: [String: String] = [:]
        var path = ""
        for file in context.configuration.files {
            guard let entries = file.contexts[name] else { continue }
            for (key, entry) in entries { values[key] = entry.text }
            path = file.path
        }
        return .object([
            .init("name", .text(name)), .init("chosen", .bool(context.global.context == name)),
            .init("store", .optional(values["store"].map(StoreLocation.shown))),
            .init("protected", .bool(values["protected"] == "true")),
            .init("read_only", .bool(values["read-only"] == "true")), .init("file", .text(path)),
        ])
    }

    private static var contextOperand: [Operand<ContextOptions>] {
        [
            Operand("NAME", arity: .one, summary: "the context", completion: .dynamic("context")) {
                (word, options) in options.name = word
            }
        ]
    }

    /// Writes a file anew, whole or not at all; a link stays one, and its permissions stay as they are.
    private static func replace(_ path: String, with text: String) throws(CommandFailure) {
        let url = URL(fileURLWithPath: path).resolvingSymlinksInPath()
        do {
            let mode = try FileManager.default.attributesOfItem(atPath: url.path)[.posixPermissions]
            try Data(text.utf8).write(to: url, options: .atomic)
            if let mode { try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: url.path) }
        } catch {
            throw CommandFailure(.io, path, "it cannot be written: \(SystemError.text(error))")
        }
    }

    private static func known(_ name: String, _ context: CommandContext) throws(CommandFailure) {
        let names = context.configuration.contextNames
        if names.contains(name) { return }
        throw CommandFailure(
            .config, "context \(Escape.shown(name, quoted: true))", "no configuration file has it",
            hint: Suggestion.hint(for: name, among: names)
                ?? (names.isEmpty ? "add [context.NAME] to ./.ego.toml" : "contexts: \(names.joined(separator: ", "))"))
    }

    private static var contextShow: Command {
        Command(
            "show", summary: "show a context", output: .context, columns: contextColumns,
            options: { ContextOptions() }, operands: contextOperand,
            examples: [Example("context show staging", "the store of a context, and its guards", exitCode: .config)],
            exitCodes: [.noInput, .noPermission, .config]
        ) { options, context in
            try known(options.name, context)
            return CommandOutput(
                records: RecordList("contexts", columns: contextColumns, [contextRecord(options.name, context)]))
        }
    }

    private static var contextUse: Command {
        Command(
            "use", summary: "choose the context of later commands",
            discussion: ["Writes it into the configuration file that defines the context; comments stay as they are."],
            output: .context, options: { ContextOptions() }, operands: contextOperand,
            examples: [Example("context use staging", "from now on, the staging store", exitCode: .config)],
            exitCodes: [.refused, .noInput, .io, .noPermission, .config]
        ) { options, context in
            try known(options.name, context)
            let files = context.configuration.files
            guard let index = files.lastIndex(where: { $0.contexts[options.name] != nil }) else {
                throw CommandFailure(.config, options.name, "no configuration file has it")
            }
            let file = files[index]
            // A file that is read later wins: choosing the context here would do nothing.
            if let later = files[(index + 1)...].first(where: { $0.values["context"] != nil }) {
                throw CommandFailure(
                    .refused, later.path, "it chooses a context too, and comes before \(file.path)",
                    hint: "remove current_context from \(later.path), or define the context there")
            }
            // A context that is for reading only can be left all the same.
            if context.global.isReadOnly, context.givenFlags.contains("read-only") {
                throw CommandFailure(
                    .refused, file.path, "--read-only forbids this command", hint: "nothing was changed")
            }
            let isChosen = file.values["context"]?.text == options.name
            if !isChosen, !context.global.isDryRun {
                try replace(file.path, with: try file.text(choosingContext: options.name))
            }
            let variable = context.configuration.origins["context"]
            return CommandOutput(
                fields: [.init("context", .text(options.name)), .init("file", .text(file.path))]
            ) {
                var diagnostics: [Diagnostic] = []
                if case .environment(let name)? = variable {
                    diagnostics.append(
                        Diagnostic(.warning, code: "overridden", "\(name) is set, and comes before any file"))
                }
                return CommandOutput.Completion(
                    changed: !isChosen && !context.global.isDryRun, diagnostics: diagnostics)
            }
        }
    }
}
