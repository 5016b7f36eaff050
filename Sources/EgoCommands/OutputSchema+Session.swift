import CommandLineKit

extension OutputSchema {
    /// What the commands of a session give that no command of `ego` gives.
    static let repl = OutputSchema(
        "ego.repl/1", records: ["types", "fields", "variables"],
        [
            OutputField("id", .text, isOccasional: true, "with \\use, \\new and \\repeat"),
            OutputField("kind", .optional(.text), isOccasional: true),
            OutputField("sequence_number", .identifier, isOccasional: true),
            OutputField("encrypted", .bool, isOccasional: true),
            OutputField("commands", .count, isOccasional: true, "with \\repeat: how many were sent"),
            OutputField("events", .count, isOccasional: true, "with \\repeat"),
            OutputField("from_sequence_number", .identifier, isOccasional: true, "with \\repeat"),
            OutputField("seconds", .real, isOccasional: true, "with \\repeat"),
            OutputField("message", .text, isOccasional: true, "with \\desc: the type's full name"),
            OutputField(
                "types",
                .list(
                    .object([
                        OutputField("type", .text),
                        OutputField("role", .choice(["command", "event", "state", "message"])),
                        OutputField("kind", .optional(.text)),
                    ])), isOccasional: true, "with \\types"),
            OutputField(
                "fields",
                .list(
                    .object([
                        OutputField("number", .count), OutputField("field", .text), OutputField("json", .text),
                        OutputField("type", .text), OutputField("values", .optional(.text)),
                    ])), isOccasional: true, "with \\desc"),
            OutputField(
                "variables", .list(.object([OutputField("name", .text), OutputField("value", .text)])),
                isOccasional: true, "with \\set"),
            OutputField("lines", .list(.text), isOccasional: true, "with \\history"),
        ])
}
