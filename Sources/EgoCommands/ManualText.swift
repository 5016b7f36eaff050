import CommandLineKit

/// What the manual tells beside flags and commands.
extension Manual {
    /// - Parameter outputs: what the commands' output holds.
    static func ego(outputs: [OutputSchema]) -> Manual {
        Manual(
            description: [
                "ego operates the stores of event-sourced and durable-state entities that the Ego engine writes: it fills, inspects, replays, commands, checks, exports and imports them, from a shell, a script or CI.",
                "Data goes to standard output, everything else to standard error. Output is a table on a terminal and tab-separated in a pipe; -o json gives one envelope, also for errors, and -o jsonl a record a line and then a summary.",
                .paragraph([
                    "Settings come from flags, the environment and configuration files; see ",
                    .page("ego-config", section: 5), ". What the output holds is described in ",
                    .page("ego-output", section: 5), ".",
                ]),
            ],
            environment: environment, files: files, topics: [configuration, output(outputs)])
    }

    private static var environment: [ManualEntry] {
        [
            ManualEntry(
                "EGO_STORE",
                [
                    "The store, as --store names it. Every flag of every command has such a variable: its name in capitals, with _ for -."
                ]),
            ManualEntry(
                "PGHOST, PGUSER, PGPASSWORD, PGSERVICE",
                ["What a postgres:// URL leaves out, as for every program on libpq; PGPASSFILE (~/.pgpass) too."]),
            ManualEntry("EGO_CONTEXT", ["The context of the configuration to use."]),
            ManualEntry("EGO_CONFIG", ["The only configuration file to read."]),
            ManualEntry("NO_COLOR", ["When set, no color."]),
            ManualEntry("FORCE_COLOR", ["When set, color also in a pipe."]),
            ManualEntry("TERM", ["When dumb, no color, no bar, no pager."]),
            ManualEntry("PAGER", ["Shows tables and help that are taller than the terminal (default: less -FRX)."]),
            ManualEntry("CI", ["When set, no bar, no pager and no question."]),
            ManualEntry("XDG_CONFIG_HOME", ["Where the user's configuration is (default: ~/.config)."]),
        ]
    }

    private static var files: [ManualEntry] {
        [
            ManualEntry("./ego.db", ["The store, where nothing else is said."]),
            ManualEntry("./.ego.toml", ["Settings of a project."]),
            ManualEntry("~/.config/ego/config.toml", ["Settings of a user."]),
            ManualEntry("/etc/ego/config.toml", ["Settings of a machine."]),
        ]
    }

    // MARK: ego-config(5)

    private static var configuration: ManualTopic {
        let keys = GlobalOptions.flags.map(\.definition).filter { $0.long != "config" }.map { flag in
            let name = flag.long == "context" ? ConfigurationFile.currentContext : flag.long
            return ManualEntry(name.replacing("-", with: "_"), [.text(sentence(flag.summary, of: flag.arity))])
        }
        return ManualTopic(
            "ego-config", section: 5, summary: "configuration files of ego",
            chapters: [
                .init(
                    "DESCRIPTION",
                    [
                        "Configuration files are TOML. A value comes from the first of: a flag; an environment variable, EGO_ and the flag's name in capitals; ./.ego.toml; $XDG_CONFIG_HOME/ego/config.toml; /etc/ego/config.toml; the default. Within the files, what the chosen context says comes before what stands outside of it.",
                        .paragraph([
                            .command("config"),
                            " lists every value with its origin. With --config only that file is read. A file that does not parse, an unknown key and a value of a wrong type are errors (exit code 78), with file, line and column.",
                        ]),
                        .code(
                            """
                            store = "sqlite:./ego.db"
                            current_context = "staging"

                            [context.staging]
                            store = "sqlite:/srv/staging/ego.db"

                            [context.production]
                            store = "sqlite:/srv/production/ego.db"
                            protected = true
                            """),
                    ]),
                .init(
                    "KEYS",
                    [
                        "Each is a flag of every command, with _ for -.",
                        .definitions(
                            keys + [
                                ManualEntry(
                                    "protected",
                                    [
                                        "Before anything is changed, the context's name is asked for; --confirm NAME gives it beforehand. A boolean; there is no flag for it."
                                    ]),
                                ManualEntry(
                                    "encrypt",
                                    [
                                        "Which entities are encrypted once there is a master key: existing, those that have a key (the default); all; or kinds, with commas between. A string; there is no flag for it."
                                    ]),
                                ManualEntry(
                                    "master_key_command",
                                    [
                                        "A command of the shell that prints the master key, as 64 hexadecimal digits or base64; --master-key comes before it. A string; there is no flag for it."
                                    ]),
                            ]),
                    ]),
                .init(
                    "RETENTION",
                    [
                        .paragraph([
                            "A table [retain.NAME] is a policy of ", .command("retain"),
                            " without flags. Of several, the first that covers an entity counts.",
                        ]),
                        .code(
                            """
                            [retain.accounts]
                            kind = "account"
                            keep_events = 100
                            older_than = "90d"
                            keep_snapshots = 2
                            """),
                        "The other keys are prefix, and closed_by: the type of the last event of entities that are closed, or a list of types.",
                    ]),
                .init(
                    "CONTEXTS",
                    [
                        .paragraph([
                            "A table [context.NAME] holds keys that count when that context is chosen: by -C, by EGO_CONTEXT, or by the key current_context of a file, which ",
                            .command("context use"), " writes.",
                        ])
                    ]),
            ])
    }

    private static func sentence(_ summary: String, of arity: FlagArity) -> String {
        let kind =
            switch arity {
            case .toggle: "A boolean."
            case .value("N", _): "A whole number."
            case .value(_, .choices(let choices)): "One of \(choices.joined(separator: ", "))."
            case .value, .pair: "A string."
            }
        return summary.prefix(1).uppercased() + summary.dropFirst() + ". " + kind
    }

    // MARK: ego-output(5)

    private static func output(_ schemas: [OutputSchema]) -> ManualTopic {
        let chapters = schemas.filter { !$0.fields.isEmpty }.map { schema in
            ManualTopic.Chapter(
                schema.name.uppercased(), [.definitions(entries(schema.fields, in: ""))])
        }
        return ManualTopic(
            "ego-output", section: 5, summary: "machine-readable output of ego",
            chapters: [
                .init(
                    "DESCRIPTION",
                    [
                        "With -o json a command writes one object, also when it fails:",
                        .code(
                            """
                            {"schema":"ego.entities/1","ok":true,"code":"ok","changed":false,
                             "data":{},"diagnostics":[]}
                            """),
                        "The member code is the name of the exit code, changed whether anything was changed, data what the command gives, or null when it failed. Each diagnostic has severity (note, warning or error), code, message and hint. A list of more than about 4 MB is written as it is read; then data stands before ok and code, and a failure in the middle leaves in data what was given so far.",
                        "With -o jsonl each record of the list is a line, and the last line is an object with type summary, the members above and those of data that are not the list.",
                        "Sequence numbers, positions and nanoseconds are strings, counts, seconds and bytes are numbers, times are as --time-format says, messages are protobuf JSON with @type. What is unknown or does not apply is null. Members are only ever added.",
                        .paragraph([.command("generate schema"), " writes the JSON Schema of each."]),
                    ])
            ] + chapters)
    }

    private static func entries(_ fields: [OutputField], in parent: String) -> [ManualEntry] {
        fields.flatMap { field -> [ManualEntry] in
            let name = parent + field.name
            let notes = [field.shape.manualWords, field.isOccasional ? "not always there" : "", field.summary]
                .filter { !$0.isEmpty }
            let entry = ManualEntry(name, [.text(notes.joined(separator: "; ") + ".")])
            return [entry] + entries(field.shape.innerFields, in: name + ".")
        }
    }
}
