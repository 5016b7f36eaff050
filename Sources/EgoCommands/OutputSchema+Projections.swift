import CommandLineKit
import EgoOperations

/// What the output of commands about projections holds. Fields are only ever added; the rest is a new version.
extension OutputSchema {
    private static let projectionState = OutputShape.choice(ProjectionState.allCases.map(\.rawValue))

    static let lag = OutputSchema(
        "ego.lag/1", records: ["projections"],
        [
            OutputField(
                "projections",
                .list(
                    .object([
                        OutputField("name", .text), OutputField("engine", .choice(["ego", "ego-go"])),
                        OutputField("state", projectionState), OutputField("events_behind", .count),
                        OutputField("lag_seconds", .optional(.real)), OutputField("last_advanced", .optional(.time)),
                        OutputField("rate", .optional(.real), "how many events it is nearer by each second"),
                        OutputField("eta_seconds", .optional(.real)),
                        OutputField("total_events", .count, "how many events the journal has"),
                        OutputField("error", .optional(.text), "why it stopped"),
                        OutputField(
                            "shards",
                            .list(
                                .object([
                                    OutputField("shard", .count), OutputField("state", projectionState),
                                    OutputField("events_behind", .count),
                                    OutputField("lag_seconds", .optional(.real)),
                                    OutputField("committed", .optional(.identifier)),
                                    OutputField("head", .optional(.identifier)),
                                    OutputField("last_advanced", .optional(.time)),
                                ]))),
                    ])))
        ])

    private static let letterFields: [OutputField] = [
        OutputField("projection", .text), OutputField("id", .text), OutputField("sequence_number", .identifier),
        OutputField("position", .identifier), OutputField("attempts", .count), OutputField("error", .text),
        OutputField("at", .time), OutputField("type", .optional(.text)), OutputField("shard", .count),
    ]

    static let projection = OutputSchema(
        "ego.projection/1", records: ["projections"],
        [
            OutputField(
                "projections",
                .list(
                    .object([
                        OutputField("name", .text), OutputField("state", .text),
                        OutputField("engine", .choice(["ego", "ego-go"]), isOccasional: true),
                        OutputField(
                            "mode", .optional(.choice(["running", "paused", "rebuilding"])), isOccasional: true),
                        OutputField("events_behind", .count, isOccasional: true),
                        OutputField("dead_letters", .count, isOccasional: true),
                        OutputField("version", .optional(.count), isOccasional: true, "of the read model in use"),
                        OutputField("previous_version", .optional(.count), isOccasional: true),
                        OutputField("shadow_version", .optional(.count), isOccasional: true),
                        OutputField("tables", .list(.text), isOccasional: true),
                        OutputField("owner", .optional(.text), isOccasional: true, "who runs it"),
                        OutputField("last_advanced", .optional(.time), isOccasional: true),
                        OutputField("error", .optional(.text), isOccasional: true, "why it stopped"),
                        OutputField("events", .count, isOccasional: true, "with run: how many it processed"),
                        OutputField(
                            "failure",
                            .optional(
                                .object([
                                    OutputField("id", .text), OutputField("sequence_number", .identifier),
                                    OutputField("position", .identifier), OutputField("shard", .count),
                                    OutputField("attempts", .count), OutputField("at", .time),
                                    OutputField("message", .text),
                                ])), isOccasional: true, "the event that it stopped at"),
                        OutputField(
                            "offsets",
                            .list(
                                .object([
                                    OutputField("shard", .count), OutputField("offset", .identifier),
                                    OutputField("committed_at", .optional(.time)),
                                ])), isOccasional: true),
                    ])), isOccasional: true),
            OutputField(
                "moves",
                .list(
                    .object([
                        OutputField("shard", .count), OutputField("from", .optional(.identifier)),
                        OutputField("to", .identifier),
                    ])), isOccasional: true, "with reset"),
            OutputField("events_again", .count, isOccasional: true, "with reset: processed before"),
            OutputField("events_passed_over", .count, isOccasional: true, "with reset: never processed"),
            OutputField("plan", plan, isOccasional: true, "with reset"),
            OutputField("skipped", .object(letterFields), isOccasional: true, "with skip"),
            OutputField("dry_run", .bool, isOccasional: true),
        ])

    static let deadLetter = OutputSchema(
        "ego.dead-letter/1", records: ["dead_letters"],
        [
            OutputField(
                "dead_letters",
                .list(
                    .object(
                        letterFields + [
                            OutputField("payload", .optional(.message), isOccasional: true, "with show"),
                            OutputField(
                                "outcome", .optional(.choice(["processed", "failed", "gone", "discarded"])),
                                isOccasional: true, "with retry and discard"),
                        ]))),
            OutputField("next", .optional(.identifier), isOccasional: true, "after which position to go on"),
            OutputField("dry_run", .bool, isOccasional: true),
        ])

    static let rebuild = OutputSchema(
        "ego.rebuild/1", records: ["projections"],
        [
            OutputField(
                "projections",
                .list(
                    .object([
                        OutputField("name", .text), OutputField("strategy", .choice(["shadow", "in-place"])),
                        OutputField("events", .count, "how many the handler took"),
                        OutputField("erased", .count, "how many were of erased entities"),
                        OutputField("dead_letters", .count), OutputField("skipped", .count),
                        OutputField("seconds", .optional(.real)), OutputField("verified", .bool),
                        OutputField("promoted", .bool, "whether the new read model is in use"),
                        OutputField("version", .count, "of the read model"),
                    ]))),
            OutputField("dry_run", .bool),
        ])
}
