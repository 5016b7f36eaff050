import CommandLineKit
import EgoCore
import EgoOperations

/// What a command of `ego key` was told.
private struct KeyOptions: Sendable {
    var after: String?
    var limit = 100
    var newMasterKey: String?
    var id: PersistenceID?
}

extension Command where Context == CommandContext {
    static var key: Command {
        Command(
            "key", summary: "list, rotate or destroy encryption keys",
            discussion: [
                "Each encrypted entity has a key of its own. Keys are stored wrapped by a master key, which the store never sees: a file that only its owner can read, or what a command prints.",
                .paragraph([
                    "They are in the store, or where ", .flag("keys"),
                    " says: another store, apart from the data and its backups.",
                ]),
            ],
            output: .key, subcommands: [keyList, keyRotate, keyDestroy])
    }

    private static var columns: [Column] {
        [Column("id"), Column("entity"), .time("created_at"), .word("state"), .word("master_key")]
    }

    /// The store, and where the keys are.
    private static func withKeys<Value>(
        readOnly: Bool, _ context: CommandContext, _ body: (any Store, any KeyStore) async throws -> Value
    ) async throws -> Value {
        if case .file? = context.keys?.location {
            throw UsageError("keys of eGo for Go in a file are only read", subject: "--keys")
        }
        return try await context.withStore(readOnly: readOnly) { store in
            guard let other = try await context.keys?.keyStore(readOnly: readOnly, context) else {
                return try await body(store, store)
            }
            do {
                let value = try await body(store, other)
                await other.close()
                return value
            } catch {
                await other.close()
                throw error
            }
        }
    }

    private static var keyList: Command {
        Command(
            "list", summary: "list keys, without their bytes", output: .key, columns: columns,
            options: { KeyOptions() },
            flags: [
                Flag(
                    "after", arity: .value(placeholder: "KEY", completion: .none), summary: "only keys after this one"
                ) { (value, options) in options.after = value.text },
                Flag(
                    "limit", arity: .value(placeholder: "N", completion: .none),
                    summary: "the most keys to list (default: 100)"
                ) { (value, options) throws(UsageError) in options.limit = try integer(value.text, in: 1...100_000) },
            ],
            examples: [Example("key list", "which entity has which key, and what it is wrapped by")],
            exitCodes: [.data, .noInput, .unavailable, .busy, .noPermission, .config]
        ) { options, context in
            let found = try await withKeys(readOnly: true, context) { _, keys in
                try await keys.keys(after: options.after, limit: options.limit + 1)
            }
            let shown = found.prefix(options.limit)
            let next = found.count > shown.count ? shown.last?.key.id : nil
            let records = shown.map { listing in
                OutputValue.object([
                    .init("id", .text(listing.key.id)), .init("entity", .text(listing.key.persistenceID.rawValue)),
                    .init("created_at", .moment(listing.key.createdAt)),
                    .init("state", .text(listing.isDestroyed ? "destroyed" : "active")),
                    .init(
                        "master_key", .optional(listing.isDestroyed ? nil : MasterKey.fingerprint(of: listing.key))),
                ])
            }
            return CommandOutput(records: RecordList("keys", columns: columns, records)) {
                CommandOutput.Completion(
                    fields: [.init("next", .optional(next))],
                    diagnostics: next.map { next in
                        [
                            Diagnostic(
                                .note, code: "more", "there are more keys",
                                hint: "go on with --after \(Escape.shellWord(next))")
                        ]
                    } ?? [])
            }
        }
    }

    private static var keyRotate: Command {
        Command(
            "rotate", summary: "wrap all keys by another master key",
            discussion: [
                "Payloads stay as they are: only the keys are wrapped anew. The old master key is needed until it is done; keep it for as long as backups hold keys that it wraps. What is interrupted goes on when it is repeated."
            ],
            output: .key, options: { KeyOptions() },
            flags: [
                Flag(
                    "new-master-key", arity: .value(placeholder: "FILE", completion: .file),
                    summary: "the file of the new master key"
                ) { (value, options) in options.newMasterKey = value.text }
            ],
            examples: [
                Example(
                    "key rotate --master-key old.key --new-master-key new.key", "replace the master key",
                    exitCode: .noInput)
            ],
            exitCodes: [
                .partial, .refused, .timedOut, .data, .noInput, .unavailable, .busy, .noPermission, .config,
                .interrupted,
            ]
        ) { options, context in
            guard let file = options.newMasterKey else { throw UsageError("missing", subject: "--new-master-key") }
            guard let old = try context.keys?.masterKey() else {
                throw CommandFailure(.config, "master key", "none is configured")
            }
            let new = try CommandKeys.masterKey(file: file)
            let isDryRun = context.global.isDryRun
            let progress = context.progress("key rotate")
            defer { progress.finish() }
            let summary = try await withKeys(readOnly: isDryRun, context) { store, keys in
                try await KeyRotation(store: store, keys: keys, by: context.person, time: context.time).rotate(
                    from: old, to: new, isDryRun: isDryRun, command: context.commandLine()
                ) { done in progress.report(done: done, total: nil, unit: "keys") }
            }
            return CommandOutput(
                fields: [
                    .init("rotated", .number(summary.rotated)), .init("kept", .number(summary.kept)),
                    .init("failed", .array(summary.failed.map(OutputValue.text))),
                    .init("failures", .number(summary.failures)),
                    .init("from", .text(old.fingerprint)), .init("to", .text(new.fingerprint)),
                    .init("dry_run", .bool(isDryRun)),
                ]
            ) {
                CommandOutput.Completion(
                    changed: summary.rotated > 0 && !isDryRun, exitCode: exitCode(of: summary),
                    diagnostics: diagnostics(of: summary))
            }
        }
    }

    /// A master key that unwraps none of the keys is the wrong one.
    private static func exitCode(of summary: KeyRotation.Summary) -> ExitCode {
        if summary.failures == 0 { return .ok }
        return summary.rotated + summary.kept == 0 ? .config : .partial
    }

    private static func diagnostics(of summary: KeyRotation.Summary) -> [Diagnostic] {
        var lines = summary.failed.map { "\($0): the old master key does not unwrap it" }
        let more = summary.failures - summary.failed.count
        if more > 0 { lines.append("\(more) more: the old master key does not unwrap them") }
        var diagnostics = lines.map { Diagnostic(.error, code: "not_unwrapped", $0) }
        if let last = diagnostics.indices.last { diagnostics[last].hint = "ego key list shows which master key does" }
        return diagnostics
    }

    private static var keyDestroy: Command {
        Command(
            "destroy", summary: "destroy the keys of an entity",
            discussion: [
                "Whatever is encrypted with them cannot be read any more, by anybody. The entity itself stays, and refuses commands; ego erase removes it. It asks for the ID, which --confirm answers beforehand, and needs a --reason."
            ],
            output: .key, options: { KeyOptions() },
            operands: [
                Operand("ID", arity: .one, summary: "the entity", completion: .dynamic("entity")) {
                    (word, options) throws(UsageError) in options.id = try persistenceID(word)
                }
            ],
            examples: [Example("key destroy acc-1 --dry-run", "see how many it has", exitCode: .notFound)],
            exitCodes: [.refused, .notFound, .data, .noInput, .unavailable, .busy, .noPermission, .config]
        ) { options, context in
            guard let id = options.id else { throw UsageError("missing", subject: "ID") }
            let isDryRun = context.global.isDryRun
            if !isDryRun { try context.requireReason("repeat it") }
            let destroyed = try await withKeys(readOnly: isDryRun, context) { store, keys in
                let rotation = KeyRotation(store: store, keys: keys, by: context.person, time: context.time)
                let living = try await rotation.destroy(id, isDryRun: true)
                if isDryRun || living == 0 { return living }
                try context.confirmation.confirm(
                    "\(living, "key", "keys") of \(Escape.shown(id.rawValue)) will be destroyed: what they encrypt is lost",
                    byTyping: id.rawValue, as: "its ID")
                return try await rotation.destroy(id, isDryRun: false)
            }
            return CommandOutput(
                fields: [.init("destroyed", .number(destroyed)), .init("dry_run", .bool(isDryRun))]
            ) { CommandOutput.Completion(changed: destroyed > 0 && !isDryRun) }
        }
    }
}
