import CommandLineKit
import EgoOperations

/// What the output of commands about entities holds. Fields are only ever added; the rest is a new version.
extension OutputSchema {
    static let entities = OutputSchema(
        "ego.entities/1", records: ["entities"],
        [
            OutputField(
                "entities",
                .list(
                    .object([
                        OutputField("id", .text), OutputField("kind", .optional(.text)),
                        OutputField("sequence_number", .identifier), OutputField("event_count", .count),
                        OutputField("shard", .count), OutputField("first_timestamp", .optional(.time)),
                        OutputField("last_timestamp", .optional(.time)), OutputField("encrypted", .bool),
                        OutputField("erased", .bool),
                    ]))),
            OutputField("next", .optional(.text), "after which entity to go on"),
        ])

    static let events = OutputSchema(
        "ego.events/1", records: ["events"],
        [
            OutputField("since", .time, isOccasional: true), OutputField("until", .time, isOccasional: true),
            OutputField(
                "events",
                .list(
                    .object([
                        OutputField("id", .text), OutputField("sequence_number", .identifier),
                        OutputField("position", .identifier), OutputField("timestamp", .time),
                        OutputField("shard", .count), OutputField("type", .optional(.text)),
                        OutputField("encrypted", .bool), OutputField("payload", .message),
                    ]))),
            OutputField("next", .optional(.identifier), "after which position to go on"),
        ])

    private static let mismatches = OutputShape.list(
        .object([
            OutputField("id", .text), OutputField("sequence_number", .identifier), OutputField("message", .text),
        ]))

    static let replay = OutputSchema(
        "ego.replay/1", records: ["entities"],
        [
            OutputField(
                "entities",
                .list(
                    .object([
                        OutputField("id", .text), OutputField("kind", .optional(.text)),
                        OutputField("sequence_number", .identifier), OutputField("event_count", .count),
                        OutputField("snapshot_sequence_number", .optional(.identifier)),
                        OutputField("timestamp", .optional(.time)), OutputField("state", .message),
                        OutputField(
                            "steps",
                            .list(
                                .object([
                                    OutputField("sequence_number", .identifier), OutputField("timestamp", .time),
                                    OutputField("type", .text), OutputField("event", .message),
                                    OutputField("state", .message),
                                ])), isOccasional: true, "with --trace"),
                        OutputField("from_sequence_number", .identifier, isOccasional: true, "with --diff"),
                        OutputField(
                            "changes",
                            .list(
                                .object([
                                    OutputField("path", .text), OutputField("before", .any), OutputField("after", .any),
                                ])), isOccasional: true, "with --diff"),
                        OutputField("verified", .bool, isOccasional: true, "with --verify"),
                        OutputField("mismatches", mismatches, isOccasional: true, "with --verify"),
                    ]))),
            OutputField("verified", .bool, isOccasional: true, "with --verify"),
            OutputField("mismatches", mismatches, isOccasional: true, "with --verify"),
        ])

    static let send = OutputSchema(
        "ego.send/1", records: ["events"],
        [
            OutputField("id", .text), OutputField("kind", .text),
            OutputField(
                "events",
                .list(
                    .object([
                        OutputField("sequence_number", .identifier), OutputField("type", .text),
                        OutputField("payload", .message),
                    ]))),
            OutputField("sequence_number", .identifier), OutputField("state", .message),
            OutputField("dry_run", .bool),
        ])

    static let snapshot = OutputSchema(
        "ego.snapshot/1", records: ["snapshots"],
        [
            OutputField(
                "snapshots",
                .list(
                    .object([
                        OutputField("id", .text), OutputField("sequence_number", .identifier),
                        OutputField("timestamp", .time), OutputField("type", .optional(.text)),
                        OutputField("bytes", .count), OutputField("encrypted", .bool),
                        OutputField("written", .bool, isOccasional: true, "with create"),
                    ])), isOccasional: true, "with list and create"),
            OutputField("next", .optional(.text), isOccasional: true, "with list: after which entity to go on"),
            OutputField("verified", .bool, isOccasional: true, "with verify"),
            OutputField("mismatches", mismatches, isOccasional: true, "with verify"),
            OutputField("checked", .count, isOccasional: true, "with verify: how many entities"),
            OutputField("deleted", .count, isOccasional: true, "with delete"),
            OutputField("plan", plan, isOccasional: true, "with delete --dry-run"),
            OutputField("guards", guards, isOccasional: true, "with delete"),
            OutputField("dry_run", .bool, isOccasional: true),
        ])

    static let guards = OutputShape.list(
        .object([OutputField("name", .text), OutputField("id", .text), OutputField("detail", .text)]))

    static let plan = OutputShape.object([
        OutputField("operation", .text), OutputField("store_id", .text), OutputField("head", .identifier),
        OutputField("counts", .any), OutputField("samples", .list(.text)),
    ])

    static let erase = OutputSchema(
        "ego.erase/1", records: ["certificates", "proofs"],
        [
            OutputField("plan", plan, isOccasional: true, "with --dry-run"),
            OutputField("guards", guards, isOccasional: true, "what was left as it is"),
            OutputField("dry_run", .bool, isOccasional: true),
            OutputField(
                "certificates",
                .list(
                    .object([
                        OutputField("id", .text), OutputField("at", .time), OutputField("reason", .text),
                        OutputField("operator", .text), OutputField("tombstone_sequence_number", .identifier),
                        OutputField("kept_events", .bool, "whether only the keys were destroyed"),
                        OutputField(
                            "deleted",
                            .object([
                                OutputField("events", .count), OutputField("snapshots", .count),
                                OutputField("durable_states", .count), OutputField("dead_letters", .count),
                                OutputField("keys", .count), OutputField("rows", .count, "of read models"),
                            ])),
                        OutputField(
                            "verified",
                            .object([
                                OutputField("decrypts", .bool, "whether anything of it still does"),
                                OutputField("rows", .count, "records that were found afterwards"),
                                OutputField(
                                    "raw_scan", .optional(.choice(["clean", "residue"])),
                                    "what a look through the files gave"),
                                OutputField("scanned_bytes", .count),
                            ])),
                        OutputField("not_covered", .list(.text), "what was not reached"),
                        OutputField("audit_record", .identifier), OutputField("hash", .text),
                        OutputField("previous_hash", .text), OutputField("events", .count),
                        OutputField("snapshots", .count), OutputField("keys", .count),
                        OutputField("residues", .count),
                    ])), isOccasional: true, "not with verify"),
            OutputField("verified", .bool, isOccasional: true, "with verify and log"),
            OutputField(
                "proofs",
                .list(
                    .object([
                        OutputField("id", .text), OutputField("verified", .bool),
                        OutputField("problems", .list(.text)), OutputField("scanned_bytes", .count),
                        OutputField("hash", .optional(.text), "of the certificate"),
                    ])), isOccasional: true, "with verify"),
        ])

    static let retain = OutputSchema(
        "ego.retain/1", records: ["holds"],
        [
            OutputField("entities", .count, isOccasional: true, "that lose something"),
            OutputField("events", .count, isOccasional: true), OutputField("snapshots", .count, isOccasional: true),
            OutputField("bytes", .count, isOccasional: true, "of the events' payloads"),
            OutputField(
                "archive",
                .optional(
                    .object([
                        OutputField("file", .text), OutputField("events", .count), OutputField("sha256", .text),
                    ])), isOccasional: true),
            OutputField(
                "guards",
                .list(
                    .object([
                        OutputField("guard", .choice(RetentionGuard.allCases.map(\.rawValue))),
                        OutputField("entities", .count), OutputField("detail", .text),
                    ])), isOccasional: true, "what is held back"),
            OutputField("plan", plan, isOccasional: true, "with --dry-run"),
            OutputField(
                "holds",
                .list(
                    .object([
                        OutputField("id", .text), OutputField("placed_at", .time), OutputField("reason", .text),
                    ])), isOccasional: true, "with hold, release and holds"),
            OutputField("dry_run", .bool, isOccasional: true),
        ])

    static let key = OutputSchema(
        "ego.key/1", records: ["keys"],
        [
            OutputField(
                "keys",
                .list(
                    .object([
                        OutputField("id", .text), OutputField("entity", .text), OutputField("created_at", .time),
                        OutputField("state", .choice(["active", "destroyed"])),
                        OutputField("master_key", .optional(.text), "the fingerprint of what wraps it"),
                    ])), isOccasional: true, "with list"),
            OutputField("next", .optional(.text), isOccasional: true, "with list: after which key to go on"),
            OutputField("rotated", .count, isOccasional: true, "with rotate"),
            OutputField("kept", .count, isOccasional: true, "with rotate: wrapped by the new one already"),
            OutputField(
                "failed", .list(.text), isOccasional: true, "with rotate: the first of the keys that stay as they are"),
            OutputField("failures", .count, isOccasional: true, "with rotate: how many of them there are"),
            OutputField("from", .text, isOccasional: true, "with rotate"),
            OutputField("to", .text, isOccasional: true, "with rotate"),
            OutputField("destroyed", .count, isOccasional: true, "with destroy"),
            OutputField("dry_run", .bool, isOccasional: true),
        ])
}
