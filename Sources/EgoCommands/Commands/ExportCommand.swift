import CommandLineKit
import EgoCore
import EgoOperations
import Synchronization

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What `ego export` was told.
private struct ExportOptions: Sendable {
    var selection = ExportSelection()
    var ids: [PersistenceID] = []
    var format: ExportFormat?
    var file: String?
    var since: String?
    var until: String?
}

extension Command where Context == CommandContext {
    static var export: Command {
        Command(
            "export", summary: "write the journal to a file or a pipe",
            discussion: [
                .paragraph([
                    "As JSON Lines, which people can read and ", .command("import"),
                    " takes as it was, with snapshots, durable states, erasures and a checksum (not with the IDs of commands that changed nothing, or whose events were deleted); or as length-delimited egopb.Event messages, which eGo for Go reads. What is appended after the command began is not included.",
                ]),
                .paragraph([
                    "With ", .flag("to"),
                    " it is a job: the file has the suffix .partial until it is whole, and when it was stopped, however hard, the same command goes on with it. Without a file the export goes to standard output, and nothing is recorded; ",
                    .flag("after"), " goes on from a position.",
                ]),
                "Encrypted payloads stay encrypted; keys are not exported.",
            ],
            output: .export, options: { ExportOptions() },
            flags: [
                Flag(
                    "to", arity: .value(placeholder: "FILE", completion: .file),
                    summary: "the file to write (default: standard output)"
                ) { (value, options) in options.file = value.text == "-" ? nil : value.text },
                formatFlag { (format, options) in options.format = format },
                Flag(
                    "kind", arity: .value(placeholder: "KIND", completion: .dynamic("kind")),
                    summary: "only entities that were recorded with this kind"
                ) { (value, options) in options.selection.kind = value.text },
                Flag(
                    "shard", arity: .value(placeholder: "N", completion: .none), summary: "only entities of this shard"
                ) { (value, options) throws(UsageError) in
                    options.selection.shard = try integer(value.text, in: 0...UInt64(Int64.max))
                },
                Flag(
                    "since", arity: .value(placeholder: "TIME", completion: .none),
                    summary: "only events written at this time or later"
                ) { (value, options) in options.since = value.text },
                Flag(
                    "until", arity: .value(placeholder: "TIME", completion: .none),
                    summary: "only events written before this time"
                ) { (value, options) in options.until = value.text },
                Flag(
                    "after", arity: .value(placeholder: "POSITION", completion: .none),
                    summary: "only events after this position"
                ) { (value, options) throws(UsageError) in
                    guard let offset = Offset(value.text) else {
                        throw UsageError("\(Escape.shown(value.text, quoted: true)) is no position")
                    }
                    options.selection.after = offset.description
                },
                Flag(
                    "events-only", arity: .toggle(negated: false), summary: "leave out snapshots and durable states"
                ) { (value, options) in options.selection.isEventsOnly = value.isOn },
            ],
            operands: [
                Operand(
                    "ID", arity: .any, summary: "the entities; without one, all of them",
                    completion: .dynamic("entity")
                ) { (word, options) throws(UsageError) in options.ids.append(try persistenceID(word)) }
            ],
            examples: [
                Example("export --to bank.jsonl", "the whole store as JSON Lines"),
                Example("export --format protobuf --to bank.pb", "its events as eGo for Go reads them"),
                Example("export acc-1 --since 2026-01-01", "one entity's events of this year, to the terminal"),
            ],
            exitCodes: [
                .refused, .notFound, .timedOut, .data, .noInput, .unavailable, .busy, .noPermission, .config,
                .interrupted,
            ]
        ) { options, context in
            var selection = options.selection
            for id in options.ids.map(\.rawValue) where !selection.ids.contains(id) { selection.ids.append(id) }
            var resolved: [String: String] = [:]
            if let since = options.since {
                let moment = try context.moment(since, flag: "since").unixNanoseconds
                (selection.since, resolved["since"]) = (moment, TimeStyle.rfc3339.text(moment))
            }
            if let until = options.until {
                let moment = try context.moment(until, flag: "until").unixNanoseconds
                (selection.until, resolved["until"]) = (moment, TimeStyle.rfc3339.text(moment))
            }
            let format = options.format ?? .jsonl
            guard let file = options.file else { return try pipe(selection, format, context) }
            let target = try ExportTarget(file)
            try context.checkNotStore(target.path, subject: "--to")
            // Only a job can go on after it was stopped; where the store may not be changed there is none.
            let hasJob = !context.global.isReadOnly && !context.global.isDryRun
            let command = context.commandLine(resolved: resolved)
            let final = selection
            return try await context.withStore(readOnly: !hasJob) { store in
                try await check(final, store, context)
                let export = JournalExport(
                    store: store, messages: context.domain.messages, selection: final, format: format,
                    page: context.page)
                if context.global.isDryRun { return try await preview(store, file, format) }
                if target.exists, let done = try await export.finished(toFile: target.path) {
                    return CommandOutput(fields: fields(done, target.name, format)) {
                        CommandOutput.Completion(
                            diagnostics: [
                                Diagnostic(
                                    .note, code: "unchanged", "the file is there, and nothing was appended since")
                            ])
                    }
                }
                let isUnfinished = try await export.isUnfinished(toFile: target.path)
                if target.exists, !isUnfinished {
                    try context.confirmation.confirm("\(Escape.shown(file)) will be replaced")
                }
                return try await write(export, to: target, hasJob: hasJob, command, store, format, context)
            }
        }
    }

    private static func write(
        _ export: JournalExport, to target: ExportTarget, hasJob: Bool, _ command: String, _ store: any Store,
        _ format: ExportFormat, _ context: CommandContext
    ) async throws -> CommandOutput {
        let total = try await store.statistics().events
        let progress = context.progress("export")
        defer { progress.finish() }
        let report: @Sendable (Int) -> Void = { progress.report(done: $0, total: total, unit: "events") }
        let summary: JournalExport.Summary
        if hasJob {
            summary = try await export.write(
                toFile: target.path, command: command, by: context.person, time: context.time, progress: report)
        } else {
            summary = try await export.write(toFile: target.path, progress: report)
        }
        return CommandOutput(fields: fields(summary, target.name, format)) {
            CommandOutput.Completion(changed: true, diagnostics: notes(format))
        }
    }

    /// The flag of the form of a file, for export and import.
    static func formatFlag<Options>(
        _ apply: @escaping @Sendable (ExportFormat, inout Options) -> Void
    ) -> Flag<Options> {
        Flag(
            "format",
            arity: .value(placeholder: "FORMAT", completion: .choices(ExportFormat.allCases.map(\.rawValue))),
            summary: "the form of the file"
        ) { (value, options) throws(UsageError) in apply(try choice(value.text, "format"), &options) }
    }

    private static func check(
        _ selection: ExportSelection, _ store: any Store, _ context: CommandContext
    ) async throws {
        if let shard = selection.shard { try await checkShard(Shard(shard), of: store) }
        if let kind = selection.kind, !context.domain.kinds.isEmpty {
            let found = try await store.entities(EntityQuery(kind: kind, limit: 1))
            // No entity was recorded with it, and no behavior has it: more likely misspelled than empty.
            if found.isEmpty { _ = try context.domain.kind(named: kind) }
        }
        let resolver = EntityResolver(store: store, domain: context.domain)
        for id in selection.ids { _ = try await resolver.existing(try PersistenceID(id)) }
    }

    private static func notes(_ format: ExportFormat) -> [Diagnostic] {
        if format == .jsonl { return [] }
        return [
            Diagnostic(
                .note, code: "events_only",
                "egopb.Event has no room for kinds, command IDs, snapshots and durable states; the format jsonl has them"
            )
        ]
    }

    private static func fields(
        _ summary: JournalExport.Summary, _ file: String, _ format: ExportFormat, isDryRun: Bool = false
    ) -> [OutputValue.Field] {
        [
            .init("file", .text(file)), .init("format", .text(format.rawValue)),
            .init("events", .number(summary.events)), .init("entities", .number(summary.entities)),
            .init("snapshots", .number(summary.snapshots)), .init("states", .number(summary.states)),
            .init("bytes", .number(summary.bytes)), .init("position", .identifier(summary.position)),
            .init("sha256", summary.sha256.isEmpty ? .null : .text(summary.sha256)), .init("dry_run", .bool(isDryRun)),
        ]
    }

    private static func preview(
        _ store: any Store, _ file: String, _ format: ExportFormat
    ) async throws -> CommandOutput {
        let statistics = try await store.statistics()
        var summary = JournalExport.Summary()
        (summary.events, summary.position) = (statistics.events, statistics.head.description)
        if format == .jsonl {
            (summary.entities, summary.snapshots, summary.states) = (
                statistics.entities, statistics.snapshots, statistics.durableStates
            )
        }
        return CommandOutput(fields: fields(summary, file, format, isDryRun: true))
    }

    /// Writes to standard output, where there is room for nothing else.
    private static func pipe(
        _ selection: ExportSelection, _ format: ExportFormat, _ context: CommandContext
    ) throws -> CommandOutput {
        if context.givenFlags.contains("output") {
            throw UsageError(
                "the export itself goes to standard output", subject: "--output", hint: "name a file with --to FILE")
        }
        if format == .protobuf, context.console.outputIsTerminal {
            throw UsageError(
                "binary data is not for a terminal", subject: "--format",
                hint: "name a file with --to FILE, or use a pipe")
        }
        let written = Mutex(JournalExport.Summary())
        var output = CommandOutput {
            let summary = written.withLock { $0 }
            return CommandOutput.Completion(
                diagnostics: [
                    Diagnostic(
                        .note, code: "exported",
                        "\(summary.events) events up to position \(summary.position), SHA-256 \(summary.sha256)")
                ] + notes(format))
        }
        output.stream = { sink in
            let last = Mutex(Offset.start.description)
            do {
                let summary = try await context.reading { store in
                    try await check(selection, store, context)
                    let export = JournalExport(
                        store: store, messages: context.domain.messages, selection: selection, format: format,
                        page: context.page)
                    return try await export.write(
                        to: { bytes in try sink.write(bytes: bytes) },
                        progress: { position in last.withLock { $0 = position } })
                }
                written.withLock { $0 = summary }
            } catch {
                if error is OutputError { throw error }
                var failure = CommandFailure(error)
                // The pipe has the export in it, and room for nothing else.
                failure.isAfterStream = true
                if error is CancellationError { failure = interrupted(last.withLock { $0 }, selection, format) }
                throw failure
            }
        }
        return output
    }

    private static func interrupted(
        _ position: String, _ selection: ExportSelection, _ format: ExportFormat
    ) -> CommandFailure {
        // JSON Lines without their trailer are no export; and positions do not ascend from one named entity to the next.
        let hint =
            format == .protobuf && selection.ids.isEmpty
            ? "go on with --after \(position)" : "what was written is not whole; start again, or name a file with --to"
        var failure = CommandFailure(
            .interrupted, "interrupted", "events up to position \(position) were written", hint: hint)
        failure.isAfterStream = true
        return failure
    }
}

/// The file of an export, by its full name: a job is the same in whichever folder it is gone on with.
private struct ExportTarget: Sendable {
    let name: String
    let path: String
    let exists: Bool

    init(_ file: String) throws {
        name = file
        if file.isEmpty { throw UsageError("it is empty", subject: "--to", hint: "--to FILE") }
        if isFolder(file) { throw CommandFailure(.noInput, file, "a folder is no export") }
        // A link stays one: what it points to is replaced.
        path = URL(fileURLWithPath: file).resolvingSymlinksInPath().path
        let attributes = try? FileManager.default.attributesOfItem(atPath: path)
        exists = attributes != nil
        if let type = attributes?[.type] as? FileAttributeType, type != .typeRegular {
            throw UsageError(
                "\(Escape.shown(file)) is no regular file", subject: "--to", hint: "leave --to out, and use a pipe or >"
            )
        }
    }
}

/// Whether a path names a folder.
func isFolder(_ path: String) -> Bool {
    (try? FileManager.default.contentsOfDirectory(atPath: path)) != nil
}
