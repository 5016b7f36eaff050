import CommandLineKit

/// What the output of commands about the program itself holds. Fields are only ever added; the rest is a new version.
extension OutputSchema {
    static let config = OutputSchema(
        "ego.config/1", records: ["settings"],
        [
            OutputField(
                "settings",
                .list(
                    .object([
                        OutputField("name", .text), OutputField("value", .optional(.text)),
                        OutputField("origin", .text),
                        OutputField("environment", .optional(.text)), OutputField("summary", .text),
                    ]))),
            OutputField("files", .list(.text), "the configuration files that were read"),
        ])

    static let context = OutputSchema(
        "ego.context/1", records: ["contexts"],
        [
            OutputField(
                "contexts",
                .list(
                    .object([
                        OutputField("name", .text), OutputField("chosen", .bool),
                        OutputField("store", .optional(.text)),
                        OutputField("protected", .bool), OutputField("read_only", .bool), OutputField("file", .text),
                    ])), isOccasional: true, "with list and show"),
            OutputField("context", .text, isOccasional: true, "with use"),
            OutputField("file", .text, isOccasional: true, "with use"),
        ])

    static let generate = OutputSchema(
        "ego.generate/1", records: ["schemas"],
        [
            OutputField("text", .text, isOccasional: true), OutputField("files", .list(.text), isOccasional: true),
            OutputField(
                "schemas", .list(.object([OutputField("name", .text), OutputField("schema", .text)])),
                isOccasional: true),
        ])

    static let help = OutputSchema("ego.help/1", [OutputField("command", .text), OutputField("text", .text)])

    static let version = OutputSchema(
        "ego.version/1",
        [OutputField("version", .text), OutputField("sqlite", .text), OutputField("schema_version", .count)])

    static let exitCodes = OutputSchema(
        "ego.exit-codes/1", records: ["exit_codes"],
        [
            OutputField(
                "exit_codes",
                .list(
                    .object([
                        OutputField("code", .count), OutputField("name", .text), OutputField("meaning", .text),
                    ])))
        ])

    /// The envelope of a command line that names no command.
    static let error = OutputSchema("ego.error/1", [])
}
