import CommandLineKit
import EgoOperations

/// What the output of each command holds. Fields are only ever added; the rest is a new version.
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

    private static let guards = OutputShape.list(
        .object([OutputField("name", .text), OutputField("id", .text), OutputField("detail", .text)]))

    private static let plan = OutputShape.object([
        OutputField("operation", .text), OutputField("store_id", .text), OutputField("head", .identifier),
        OutputField("counts", .any), OutputField("samples", .list(.text)),
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

extension Column {
    static let id = Column("id", shortening: .middle)
    static let sequenceNumber = Column("sequence_number", .right, title: "SEQ")
    static let type = Column("type", shortening: .package)

    /// A moment; part of one would be another.
    static func time(_ name: String, title: String? = nil, isDefault: Bool = true) -> Column {
        Column(name, title: title, isDefault: isDefault, shortening: .never(asked: false))
    }

    /// A sentence; cut off it says nothing.
    static func sentence(_ name: String) -> Column { Column(name, shortening: .wrap) }

    /// A word of a fixed set, such as a state.
    static func word(_ name: String, title: String? = nil, isDefault: Bool = true) -> Column {
        Column(name, title: title, isDefault: isDefault, shortening: .never(asked: false))
    }
}
