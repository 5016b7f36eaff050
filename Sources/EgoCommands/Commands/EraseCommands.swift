import CommandLineKit
import EgoCore
import EgoOperations

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What a command of `ego erase` was told.
private struct EraseOptions: Sendable {
    var ids: [PersistenceID] = []
    var idFile: String?
    var keepsEvents = false
    var certificate: String?
    var rewrite = ResidueSearch.Rewrite.whereQuick
    var planFile: String?
    var applyFile: String?
}

extension Command where Context == CommandContext {
    static var erase: Command {
        Command(
            "erase", summary: "erase entities for good, and certify it",
            discussion: [
                "Each entity is fenced first: a tombstone keeps its last sequence number, and from then on nobody writes or answers with its data. Its keys are destroyed; its events, snapshots, durable state and dead letters are deleted, and its rows in read models that name a column of entities. What that leaves in the store's files is removed, everything is looked for once more, and a certificate goes into the audit log. It says what was not reached: backups, replicas, files that were exported.",
                .paragraph([
                    "Whatever interrupts it, the same command goes on. An entity that was erased before is left alone. It asks for the ID, which ",
                    .flag("confirm"), " answers beforehand, and needs a ", .flag("reason"), ".",
                ]),
                .paragraph([
                    "PostgreSQL's VACUUM leaves the bytes of deleted rows in their pages; only VACUUM FULL, which nobody can use a table beside, writes them anew. ",
                    .flag("rewrite"),
                    " quick does that for tables below 1 GiB, and the certificate names the others; always does it for all. A SQLite file is written anew only where something is found in it.",
                ]),
            ],
            output: .erase, columns: columns, options: { EraseOptions() },
            flags: [
                Flag(
                    "from", arity: .value(placeholder: "FILE", completion: .file),
                    summary: "read IDs from a file, one a line; - for standard input"
                ) { (value, options) in options.idFile = value.text },
                Flag(
                    "keep-events", arity: .toggle(negated: false),
                    summary: "destroy the keys only; encrypted records stay, unreadable"
                ) { (value, options) in options.keepsEvents = value.isOn },
                Flag(
                    "certificate", arity: .value(placeholder: "FILE", completion: .file),
                    summary: "write the certificates to a file too"
                ) { (value, options) in options.certificate = value.text },
                Flag(
                    "rewrite",
                    arity: .value(
                        placeholder: "WHEN", completion: .choices(ResidueSearch.Rewrite.allCases.map(\.rawValue))),
                    summary: "when files are written anew (default: quick)"
                ) { (value, options) throws(UsageError) in options.rewrite = try choice(value.text, "choice") },
            ] + PlanFile.flags(\.planFile, \.applyFile),
            operands: ids,
            examples: [
                Example("erase acc-1 --dry-run", "see what is there of it"),
                Example(
                    "erase acc-1 --reason \"request 4711\" --confirm acc-1 --certificate acc-1.json",
                    "erase it, without a question"),
                Example("erase verify acc-1", "repeat the proof", exitCode: .findings),
            ],
            exitCodes: [
                .failure, .partial, .refused, .notFound, .timedOut, .data, .noInput, .unavailable, .io, .busy,
                .noPermission, .config, .interrupted,
            ],
            subcommands: [eraseVerify, eraseLog]
        ) { options, context in
            let isOnlyLook = context.global.isDryRun || options.planFile != nil
            if !isOnlyLook { try context.requireReason("repeat it") }
            let (given, settings, plan) = try selection(options, context)
            return try await context.withStore(readOnly: isOnlyLook) { store in
                try await withKeyStores(readOnly: isOnlyLook, context) { keyStores in
                    let erasure = EntityErasure(
                        store: store, keyStores: keyStores, domain: context.domain, by: context.person,
                        time: context.time, page: context.page)
                    return try await erase(given, settings, plan, options, erasure, context)
                }
            }
        }
    }

    private static var columns: [Column] {
        [
            .id, .time("at"), Column("tombstone_sequence_number", .right), Column("events", .right),
            Column("snapshots", .right), Column("keys", .right), Column("residues", .right), Column("reason"),
            Column("operator", isDefault: false), Column("hash", isDefault: false),
        ]
    }

    private static var ids: [Operand<EraseOptions>] {
        [
            Operand("ID", arity: .any, summary: "the entities", completion: .dynamic("entity")) {
                (word, options) throws(UsageError) in options.ids.append(try persistenceID(word))
            }
        ]
    }

    /// Hands the key stores that are not the store to `body`, and closes them.
    private static func withKeyStores<Value>(
        readOnly: Bool, _ context: CommandContext, _ body: ([any KeyStore]) async throws -> Value
    ) async throws -> Value {
        guard let other = try await context.keys?.keyStore(readOnly: readOnly, context) else {
            return try await body([])
        }
        do {
            let value = try await body([other])
            await other.close()
            return value
        } catch {
            await other.close()
            throw error
        }
    }

    private static func selection(
        _ options: EraseOptions, _ context: CommandContext
    ) throws -> (ids: [PersistenceID], settings: EntityErasure.Options, plan: Plan?) {
        var ids = options.ids
        var plan: Plan?
        var keepsEvents = options.keepsEvents
        if let file = options.applyFile {
            if !ids.isEmpty || options.idFile != nil || options.planFile != nil {
                throw UsageError("the plan has the entities; it goes with no ID, --from or --plan", subject: "--apply")
            }
            let read = try PlanFile.read(file)
            plan = read
            ids = try (read.arguments["ids"] ?? []).map { text throws(UsageError) in try persistenceID(text) }
            keepsEvents = read.arguments["keep_events"] == ["true"]
        }
        if let file = options.idFile { ids += try read(file, context) }
        var seen: Set<PersistenceID> = []
        ids = ids.filter { seen.insert($0).inserted }
        if ids.isEmpty, plan == nil { throw UsageError("missing", subject: "ID", hint: "name entities, or use --from") }
        return (ids, EntityErasure.Options(keepsEvents: keepsEvents, rewrite: options.rewrite), plan)
    }

    private static func read(_ file: String, _ context: CommandContext) throws -> [PersistenceID] {
        var bytes: [UInt8] = []
        if file == "-" {
            while let block = context.console.readBlock(), !block.isEmpty { bytes += block }
        } else {
            guard let data = FileManager.default.contents(atPath: file) else {
                throw CommandFailure(.noInput, Escape.shown(file), "there is no such file, or it cannot be read")
            }
            bytes = Array(data)
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw CommandFailure(.data, Escape.shown(file), "it is not UTF-8")
        }
        return try text.split(whereSeparator: \.isNewline).enumerated().map { number, line in
            do throws(UsageError) { return try persistenceID(String(line)) } catch {
                throw CommandFailure(.data, Escape.shown(file), "line \(number + 1): \(error.message)")
            }
        }
    }

    private static func erase(
        _ given: [PersistenceID], _ settings: EntityErasure.Options, _ confirmed: Plan?, _ options: EraseOptions,
        _ erasure: EntityErasure, _ context: CommandContext
    ) async throws -> CommandOutput {
        var failures = ItemFailures()
        var ids: [PersistenceID] = []
        for id in given {
            do {
                try await erasure.check(id)
                ids.append(id)
            } catch {
                try failures.add(id.rawValue, error)
            }
        }
        let plan = try await erasure.plan(ids, settings)
        if let confirmed { try confirmed.check(against: plan) }
        if let file = options.planFile { try PlanFile.write(plan, to: file, context) }
        let wanted = Set(ids.map(\.rawValue))
        let earlier = try await erasure.certificates().filter { wanted.contains($0.certificate.id) }
        if context.global.isDryRun || options.planFile != nil {
            return try output(earlier, new: 0, plan, failures, isDryRun: true)
        }
        let open = plan.counts["entities"] ?? 0
        let isUnfinished = try await erasure.isUnfinished(ids)
        if let file = options.certificate { try context.checkNotStore(file, subject: "--certificate") }
        if open == 0, !isUnfinished {
            if let file = options.certificate, !earlier.isEmpty { try write(earlier, to: file, context) }
            return try output(earlier, new: 0, plan, failures, isDryRun: false)
        }
        if open == 0 {
            // What is left is to end the job: everything that cannot be undone is done.
        } else if open == 1, let id = plan.samples.first {
            try context.confirmation.confirm(
                "\(Escape.shown(id)) will be erased, and nobody can bring it back", byTyping: id, as: "its ID")
        } else {
            try context.confirmation.confirm(
                "\(open) entities will be erased, and nobody can bring them back", byTyping: "\(open)",
                as: "how many there are")
        }
        let progress = context.progress("erase")
        defer { progress.finish() }
        let new = try await erasure.run(ids, settings, as: plan, command: context.commandLine()) { done in
            progress.report(done: done, total: open, unit: "entities")
        }
        if let file = options.certificate { try write(earlier + new, to: file, context) }
        return try output(earlier + new, new: new.count, plan, failures, isDryRun: false)
    }

    private static func write(
        _ certificates: [RecordedCertificate], to path: String, _ context: CommandContext
    ) throws {
        let lines = certificates.map { record($0).json(.rfc3339) }
        let text = lines.count == 1 ? lines[0] : "[\(lines.joined(separator: ",\n"))]"
        do { try Data("\(text)\n".utf8).write(to: URL(fileURLWithPath: path)) } catch {
            throw CommandFailure(
                .io, path, "the certificate cannot be written: \(SystemError.text(error))",
                hint: "the entities were erased; ego erase log has the certificates")
        }
    }

    private static func record(_ recorded: RecordedCertificate) -> OutputValue {
        let certificate = recorded.certificate
        let (deleted, verified) = (certificate.deleted, certificate.verified)
        let scan: OutputValue =
            verified.scannedBytes == 0 ? .null : .text(verified.residues == 0 ? "clean" : "residue")
        return .object([
            .init("id", .text(certificate.id)), .init("at", .moment(certificate.moment)),
            .init("reason", .text(certificate.reason)), .init("operator", .text(certificate.operator)),
            .init(
                "tombstone_sequence_number",
                .number(SequenceNumber(UInt64(certificate.tombstoneSequenceNumber) ?? 0))),
            .init("kept_events", .bool(certificate.keptEvents)),
            .init(
                "deleted",
                .object([
                    .init("events", .number(deleted.events)), .init("snapshots", .number(deleted.snapshots)),
                    .init("durable_states", .number(deleted.durableStates)),
                    .init("dead_letters", .number(deleted.deadLetters)), .init("keys", .number(deleted.keys)),
                    .init("rows", .number(deleted.rows)),
                ])),
            .init(
                "verified",
                .object([
                    .init("decrypts", .bool(verified.decrypts)), .init("rows", .number(verified.rows)),
                    .init("raw_scan", scan), .init("scanned_bytes", .number(verified.scannedBytes)),
                ])),
            .init("not_covered", .array(certificate.notCovered.map(OutputValue.text))),
            .init("audit_record", .text("\(recorded.number)")),
            .init("hash", .text(recorded.hash)), .init("previous_hash", .text(recorded.previousHash)),
            // For tables.
            .init("events", .number(deleted.events)), .init("snapshots", .number(deleted.snapshots)),
            .init("keys", .number(deleted.keys)), .init("residues", .number(verified.residues)),
        ])
    }

    private static func output(
        _ certificates: [RecordedCertificate], new: Int, _ plan: Plan, _ failures: ItemFailures, isDryRun: Bool
    ) throws -> CommandOutput {
        let guards = plan.guards.map { held in
            OutputValue.object([
                .init("name", .text(held.name)), .init("id", .text(held.id)), .init("detail", .text(held.detail)),
            ])
        }
        var completion = try failures.completion(done: certificates.count + guards.count, changed: new > 0)
        if !guards.isEmpty, !isDryRun {
            completion.exitCode = certificates.isEmpty && failures.isEmpty ? .refused : .partial
        }
        completion.diagnostics += plan.guards.map {
            Diagnostic(.error, code: $0.name, "\(Escape.shown($0.id)): \($0.detail)", hint: "it was left as it is")
        }
        for text in Set(certificates.suffix(new).flatMap(\.certificate.notCovered)).sorted() {
            completion.diagnostics.append(Diagnostic(.note, code: "not_covered", "not covered: \(Escape.shown(text))"))
        }
        var fields: [OutputValue.Field] = [.init("guards", .array(guards)), .init("dry_run", .bool(isDryRun))]
        if isDryRun { fields.insert(.init("plan", PlanFile.value(plan)), at: 0) }
        let (final, all) = (completion, fields)
        return CommandOutput(
            fields: all, records: RecordList("certificates", columns: columns, certificates.map(record))
        ) { final }
    }

    // MARK: Verify

    private static var eraseVerify: Command {
        Command(
            "verify", summary: "repeat the proof that entities are gone",
            discussion: [
                "It looks for records, keys, dead letters and rows of read models, checks the certificate and the chain that it is in, and looks for the ID in the space of the store's files that no record uses. Hashes of what was erased are not kept: they could confirm a guess."
            ],
            output: .erase, columns: proofColumns, options: { EraseOptions() },
            operands: [
                Operand("ID", arity: .any, summary: "the entities", completion: .dynamic("entity")) {
                    (word, options) throws(UsageError) in options.ids.append(try persistenceID(word))
                }
            ],
            examples: [Example("erase verify acc-1", "exit 2 when something of it is there", exitCode: .findings)],
            exitCodes: [
                .findings, .partial, .notFound, .data, .noInput, .unavailable, .busy, .noPermission, .config,
            ]
        ) { options, context in
            if options.ids.isEmpty { throw UsageError("missing", subject: "ID") }
            return try await context.reading { store in
                try await withKeyStores(readOnly: true, context) { keyStores in
                    let erasure = EntityErasure(
                        store: store, keyStores: keyStores, domain: context.domain, by: context.person,
                        time: context.time, page: context.page)
                    return try await verify(options.ids, erasure, store)
                }
            }
        }
    }

    private static func verify(
        _ ids: [PersistenceID], _ erasure: EntityErasure, _ store: any Store
    ) async throws -> CommandOutput {
        var failures = ItemFailures()
        var proofs: [OutputValue] = []
        var problems: [Diagnostic] = []
        let chain = try await AuditLog(store: store).verify()
        for id in ids {
            do {
                let proof = try await erasure.verify(id)
                proofs.append(
                    .object([
                        .init("id", .text(id.rawValue)), .init("verified", .bool(proof.problems.isEmpty)),
                        .init("problems", .array(proof.problems.map(OutputValue.text))),
                        .init("scanned_bytes", .number(proof.scannedBytes)),
                        .init("hash", .optional(proof.certificate?.hash)),
                    ]))
                problems += proof.problems.map {
                    Diagnostic(.error, code: "not_erased", "\(Escape.shown(id.rawValue)): \($0)")
                }
            } catch {
                try failures.add(id.rawValue, error)
            }
        }
        problems += chain.problems.map {
            Diagnostic(.error, code: "audit_chain", "audit record \($0.number): \($0.message)")
        }
        var completion = try failures.completion(done: proofs.count, changed: false)
        if !problems.isEmpty, completion.exitCode == .ok { completion.exitCode = .findings }
        completion.diagnostics += problems
        let (final, isVerified) = (completion, problems.isEmpty && failures.isEmpty)
        return CommandOutput(
            fields: [.init("verified", .bool(isVerified))],
            records: RecordList("proofs", columns: proofColumns, proofs)
        ) { final }
    }

    private static var proofColumns: [Column] {
        [
            .id, Column("verified"), Column("problems"), Column("scanned_bytes", .right),
            Column("hash", isDefault: false),
        ]
    }

    // MARK: Log

    private static var eraseLog: Command {
        Command(
            "log", summary: "list certificates, and check the chain that they are in", output: .erase,
            columns: columns, options: { EraseOptions() },
            examples: [Example("erase log", "every erasure of this store, oldest first")],
            exitCodes: [.findings, .data, .noInput, .unavailable, .busy, .noPermission, .config]
        ) { options, context in
            try await context.reading { store in
                let erasure = EntityErasure(
                    store: store, domain: context.domain, by: context.person, time: context.time)
                let certificates = try await erasure.certificates()
                let chain = try await AuditLog(store: store).verify()
                return CommandOutput(
                    fields: [.init("verified", .bool(chain.problems.isEmpty))],
                    records: RecordList("certificates", columns: columns, certificates.map(record))
                ) {
                    CommandOutput.Completion(
                        exitCode: chain.problems.isEmpty ? .ok : .findings,
                        diagnostics: chain.problems.map {
                            Diagnostic(.error, code: "audit_chain", "audit record \($0.number): \($0.message)")
                        })
                }
            }
        }
    }
}
