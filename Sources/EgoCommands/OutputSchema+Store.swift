import CommandLineKit
import EgoOperations

/// What the output of commands about a whole store holds. Fields are only ever added; the rest is a new version.
extension OutputSchema {
    static let initialize = OutputSchema(
        "ego.init/1",
        [
            OutputField("store", .text), OutputField("schema_version", .count), OutputField("action", .text),
            OutputField("changes", .list(.text), "what that takes, a sentence each"),
            OutputField("pending", .bool, "whether there is work that was not done"),
        ])

    static let demo = OutputSchema(
        "ego.demo/1",
        [
            OutputField("store", .text), OutputField("entities", .count), OutputField("events", .count),
            OutputField("snapshots", .count, isOccasional: true), OutputField("written", .count),
            OutputField("kept", .count, "events that were there already"), OutputField("encrypted", .bool),
            OutputField("dry_run", .bool),
        ])

    static let status = OutputSchema(
        "ego.status/1",
        [
            OutputField(
                "store",
                .object([
                    OutputField("kind", .text), OutputField("location", .text),
                    OutputField("schema_version", .count), OutputField("origin", .text),
                ])),
            OutputField("entities", .count), OutputField("events", .count), OutputField("snapshots", .count),
            OutputField("durable_states", .count), OutputField("shards", .count), OutputField("head", .identifier),
            OutputField("bytes", .optional(.count)),
            OutputField(
                "projections",
                .list(
                    .object([
                        OutputField("name", .text), OutputField("shards", .count), OutputField("offset", .identifier),
                    ]))),
            OutputField(
                "jobs",
                .list(
                    .object([
                        OutputField("id", .text), OutputField("kind", .text), OutputField("state", .text),
                        OutputField("updated_at", .time),
                    ]))),
            OutputField(
                "hazards", .list(.object([OutputField("code", .text), OutputField("message", .text)]))),
        ])

    static let export = OutputSchema(
        "ego.export/1",
        [
            OutputField("file", .text), OutputField("format", .choice(["jsonl", "protobuf"])),
            OutputField("events", .count), OutputField("entities", .count), OutputField("snapshots", .count),
            OutputField("states", .count), OutputField("bytes", .count),
            OutputField("position", .identifier, "the last exported event's place"),
            OutputField("sha256", .optional(.text)), OutputField("dry_run", .bool),
        ])

    static let importing = OutputSchema(
        "ego.import/1",
        [
            OutputField("file", .text), OutputField("events", .count), OutputField("skipped", .count),
            OutputField("trimmed", .count, "events that were deleted in the store, and were not brought back"),
            OutputField("differing", .count, "records that are not the same in the store, and were left"),
            OutputField("erased", .count, "events of entities that were erased in the store"),
            OutputField("not_erased", .count, "entities that were erased elsewhere, and live in the store"),
            OutputField("entities", .count), OutputField("snapshots", .count), OutputField("states", .count),
            OutputField("sha256", .text), OutputField("checked", .bool, "whether there was a checksum to compare"),
            OutputField("dry_run", .bool),
        ])

    static let verify = OutputSchema(
        "ego.verify/1", records: ["findings"],
        [
            OutputField(
                "checked",
                .object([
                    OutputField("entities", .count), OutputField("events", .count), OutputField("snapshots", .count),
                    OutputField("offsets", .count), OutputField("audit_records", .count),
                ])),
            OutputField(
                "findings",
                .list(
                    .object([
                        OutputField("kind", .text), OutputField("id", .optional(.text)),
                        OutputField("sequence_number", .optional(.identifier)), OutputField("message", .text),
                        OutputField("remedy", .text),
                    ]))),
        ])

    static let doctor = OutputSchema(
        "ego.doctor/1", records: ["checks"],
        [
            OutputField(
                "checks",
                .list(
                    .object([
                        OutputField("check", .text), OutputField("status", .choice(["ok", "warning", "problem"])),
                        OutputField("message", .text), OutputField("remedy", .optional(.text)),
                    ]))),
            OutputField("problems", .count), OutputField("warnings", .count),
        ])

    static let jobs = OutputSchema(
        "ego.jobs/1", records: ["jobs"],
        [
            OutputField(
                "jobs",
                .list(
                    .object([
                        OutputField("id", .text), OutputField("kind", .text),
                        OutputField("state", .choice(["running", "interrupted", "failed", "done", "discarded"])),
                        OutputField("created_at", .time), OutputField("updated_at", .time),
                        OutputField("arguments", .any), OutputField("checkpoint", .any),
                    ])))
        ])

    static let audit = OutputSchema(
        "ego.audit/1", records: ["records"],
        [
            OutputField(
                "records",
                .list(
                    .object([
                        OutputField("number", .identifier), OutputField("at", .time), OutputField("operator", .text),
                        OutputField("action", .text), OutputField("arguments", .any), OutputField("reason", .text),
                        OutputField("result", .any), OutputField("hash", .text), OutputField("previous_hash", .text),
                    ])), isOccasional: true),
            OutputField("next", .optional(.identifier), isOccasional: true, "after which record to go on"),
            OutputField("verified", .bool, isOccasional: true, "with verify"),
            OutputField("count", .count, isOccasional: true, "with verify: how many records"),
            OutputField("last_hash", .text, isOccasional: true, "with verify: keep it, to give to --expect"),
            OutputField(
                "problems",
                .list(.object([OutputField("number", .identifier), OutputField("message", .text)])),
                isOccasional: true, "with verify"),
        ])

    static let migrate = OutputSchema(
        "ego.migrate/1",
        [
            OutputField("entities", .count), OutputField("written", .count, "snapshots"),
            OutputField("kept", .count, "entities that have a snapshot as new"),
            OutputField("without_inline_state", .count), OutputField("encrypted", .count, "of the written ones"),
            OutputField("verified", .count, "entities that were compared with a fold"),
            OutputField("dropped", .count, "events that lost their inline state"),
            OutputField(
                "failed",
                .list(
                    .object([
                        OutputField("id", .text), OutputField("sequence_number", .identifier),
                        OutputField("code", .choice(["undecodable", "mismatch", "not_folded"])),
                        OutputField("message", .text),
                    ]))),
            OutputField("dry_run", .bool),
        ])
}
