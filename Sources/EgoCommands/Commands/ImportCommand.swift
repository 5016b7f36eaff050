import CommandLineKit
import EgoCore
import EgoOperations
import Synchronization

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What `ego import` was told.
private struct ImportOptions: Sendable {
    var file = ""
    var format: ExportFormat?
    var onConflict = JournalImport.OnConflict.fail
}

extension Command where Context == CommandContext {
    static var importing: Command {
        Command(
            "import", summary: "take an exported journal into a store",
            discussion: [
                "First the whole file is read: its checksum, its order, and whether its events can follow what the store has. Only then its records are written, page by page; each page is there whole or not at all. When it was stopped, however hard, the same command goes on. A file that was imported before is left alone.",
                .paragraph([
                    "Events keep their sequence numbers, times and payloads; positions are given anew. An event that the store has already stops the import before anything is written, or with ",
                    .flag("on-conflict"), " skip stays as it is. Entities that were erased in the store stay erased.",
                ]),
                "With - the file is read from standard input, into a temporary file first.",
            ],
            output: .importing, options: { ImportOptions() },
            flags: [
                formatFlag { (format, options) in options.format = format },
                Flag(
                    "on-conflict",
                    arity: .value(
                        placeholder: "WHAT",
                        completion: .choices(JournalImport.OnConflict.allCases.map(\.rawValue))),
                    summary: "what to do with events that are there (default: fail)"
                ) { (value, options) throws(UsageError) in options.onConflict = try choice(value.text, "choice") },
            ],
            operands: [
                Operand("FILE", arity: .one, summary: "the file, or - for standard input", completion: .file) {
                    (word, options) in options.file = word
                }
            ],
            examples: [
                Example("import bank.jsonl --store sqlite:copy.db", "fill an empty store"),
                Example("import bank.jsonl --on-conflict skip --dry-run", "check a file against a store"),
                Example("import bank.jsonl --on-conflict skip", "take what the store does not have"),
            ],
            exitCodes: [
                .refused, .timedOut, .data, .noInput, .unavailable, .busy, .noPermission, .config, .interrupted,
            ]
        ) { options, context in
            let isDryRun = context.global.isDryRun
            if !isDryRun { try context.checkWritable() }
            let format = options.format ?? (options.file.hasSuffix(".pb") ? .protobuf : .jsonl)
            let input = try ImportInput(options.file, isProtobuf: format == .protobuf, context)
            defer { input.remove() }
            return try await context.withStore(readOnly: isDryRun) { store in
                let work = JournalImport(
                    store: store, format: format, onConflict: options.onConflict, page: context.page)
                do {
                    return try await take(work, input, isDryRun: isDryRun, context)
                } catch let error as OperationError where error.persistenceID == nil {
                    throw CommandFailure(
                        CommandFailure(error).exitCode, options.file, error.message, hint: error.hint)
                }
            }
        }
    }

    private static func take(
        _ work: JournalImport, _ input: ImportInput, isDryRun: Bool, _ context: CommandContext
    ) async throws -> CommandOutput {
        let checking = context.progress("check")
        defer { checking.finish() }
        let checked = try await work.check(input.path) { done, total in
            checking.report(done: done, total: total, unit: "bytes")
        }
        checking.finish()
        var summary = checked
        if !isDryRun {
            summary = try await run(work, input, checked, context)
        }
        return answer(summary, input, isDryRun: isDryRun)
    }

    private static func run(
        _ work: JournalImport, _ input: ImportInput, _ checked: JournalImport.Summary, _ context: CommandContext
    ) async throws -> JournalImport.Summary {
        let progress = context.progress("import")
        defer { progress.finish() }
        let pages = Mutex(0)
        do {
            return try await work.run(
                input.path, checked, command: context.commandLine(), by: context.person, time: context.time
            ) { done, total in
                pages.withLock { $0 += 1 }
                progress.report(done: done, total: total, unit: "bytes")
            }
        } catch {
            var failure = CommandFailure(error)
            if pages.withLock({ $0 }) > 0, !failure.changed {
                failure.changed = true
                if failure.exitCode == .refused { failure.exitCode = .partial }
                failure.hint = "pages before it were imported; the same command goes on from there"
            }
            throw failure
        }
    }

    private static func answer(
        _ final: JournalImport.Summary, _ input: ImportInput, isDryRun: Bool
    ) -> CommandOutput {
        CommandOutput(
            fields: [
                .init("file", .text(input.name)), .init("events", .number(final.events)),
                .init("skipped", .number(final.skipped)), .init("trimmed", .number(final.trimmed)),
                .init("differing", .number(final.differing)),
                .init("erased", .number(final.erased)), .init("not_erased", .number(final.notErased)),
                .init("entities", .number(final.entities)),
                .init("snapshots", .number(final.snapshots)), .init("states", .number(final.states)),
                .init("sha256", .text(final.sha256)), .init("checked", .bool(final.isChecked)),
                .init("dry_run", .bool(isDryRun)),
            ]
        ) {
            var diagnostics: [Diagnostic] = []
            if final.differing > 0 {
                diagnostics.append(
                    Diagnostic(
                        .warning, code: "differing",
                        "\(final.differing) records are not the same in the store; they were left as they are there"))
            }
            if !final.diverged.isEmpty {
                let names = final.diverged.sorted().prefix(10).map { Escape.shown($0) }.joined(separator: ", ")
                diagnostics.append(
                    Diagnostic(
                        .warning, code: "diverged",
                        "the store has another history of \(final.diverged.count) entities, and nothing more of them was taken: \(names)"
                    ))
            }
            if final.trimmed > 0 {
                diagnostics.append(
                    Diagnostic(
                        .note, code: "trimmed", "\(final.trimmed) events were deleted here, and were not brought back"))
            }
            if final.begun > 0, input.isProtobuf {
                diagnostics.append(
                    Diagnostic(
                        .warning, code: "begun",
                        "\(final.begun) entities begin after their first event; what came before counts as deleted"))
            }
            if final.notErased > 0 {
                diagnostics.append(
                    Diagnostic(
                        .warning, code: "not_erased",
                        "\(final.notErased) entities were erased where the file is from, and live here"))
            }
            if !final.isChecked {
                diagnostics.append(
                    Diagnostic(
                        .warning, code: "unchecked", "there was no \(input.name).sha256 to compare the file with",
                        hint: "a flipped bit in it would not be seen"))
            }
            return CommandOutput.Completion(
                changed: !isDryRun && final.hasChanges,
                exitCode: final.differing + final.notErased > 0 ? .partial : .ok,
                diagnostics: diagnostics)
        }
    }
}

/// The file of an import; standard input is kept in a temporary one, so that it can be read twice.
private struct ImportInput: Sendable {
    let name: String
    let path: String
    let isProtobuf: Bool
    private let isTemporary: Bool

    init(_ file: String, isProtobuf: Bool, _ context: CommandContext) throws {
        name = file
        self.isProtobuf = isProtobuf
        if isFolder(file) { throw CommandFailure(.noInput, file, "a folder is no export") }
        // What cannot be read twice, such as a pipe, is kept.
        isTemporary = file == "-" || !TransferCopy.isRepeatable(file)
        if !isTemporary {
            path = file
            return
        }
        path = FileManager.default.temporaryDirectory.appendingPathComponent("ego-\(UUID().uuidString)").path
        do {
            if file == "-" {
                try TransferCopy.write(to: path) { context.console.readBlock() }
            } else {
                try TransferCopy.write(to: path, from: file)
            }
        } catch {
            remove()
            throw error
        }
    }

    func remove() {
        if isTemporary { try? FileManager.default.removeItem(atPath: path) }
    }
}
