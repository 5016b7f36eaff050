import CommandLineKit
import EgoCore
import EgoOperations

/// What `ego jobs` was told.
private struct JobOptions: Sendable {
    var id = ""
    var isUnfinished = false
}

/// What `ego audit` was told.
private struct AuditOptions: Sendable {
    var after: UInt64 = 0
    var limit = 100
    var action: String?
    var expected: String?
}

extension Command where Context == CommandContext {
    // MARK: Jobs

    static var jobs: Command {
        Command(
            "jobs", summary: "list durable jobs and how far they came",
            discussion: [
                "Work that changes or copies a store is a job: its pages are written together with checkpoints, so that the command that started it goes on with it after any interruption. Newest first."
            ],
            output: .jobs, columns: jobColumns, options: { JobOptions() },
            flags: [
                Flag("unfinished", arity: .toggle(negated: false), summary: "only jobs that can go on") {
                    (value, options) in options.isUnfinished = value.isOn
                }
            ],
            examples: [Example("jobs --unfinished", "what was stopped before its end")],
            exitCodes: [.data, .noInput, .unavailable, .busy, .noPermission, .config],
            subcommands: [jobShow, jobDiscard]
        ) { options, context in
            let jobs = try await context.reading { try await $0.jobs() }
                .filter { !options.isUnfinished || $0.state.isUnfinished }
            return CommandOutput(records: RecordList("jobs", columns: jobColumns, jobs.map(record)))
        }
    }

    private static var jobShow: Command {
        Command(
            "show", summary: "tell everything about a job", output: .jobs, columns: jobColumns,
            options: { JobOptions() },
            operands: [
                Operand("JOB", arity: .one, summary: "the job's ID", completion: .dynamic("job")) {
                    (word, options) in options.id = word
                }
            ],
            examples: [
                Example("jobs show export-abc123", "its arguments and its checkpoint", exitCode: .notFound)
            ],
            exitCodes: [.notFound, .data, .noInput, .unavailable, .busy, .noPermission, .config]
        ) { options, context in
            guard let job = try await context.reading({ try await $0.job(options.id) }) else {
                throw CommandFailure(
                    .notFound, Escape.shown(options.id), "there is no such job", hint: "ego jobs lists them")
            }
            return CommandOutput(
                records: RecordList("jobs", columns: jobColumns.map { $0.shown }, [record(job)]))
        }
    }

    private static var jobDiscard: Command {
        Command(
            "discard", summary: "give an unfinished job up",
            discussion: [
                "What it has done so far stays as it is. A read model that a rebuild has not put into use is deleted, and a projection that waits for a rebuild in place goes on."
            ],
            output: .jobs, columns: jobColumns, options: { JobOptions() },
            operands: [
                Operand("JOB", arity: .one, summary: "the job's ID", completion: .dynamic("job")) {
                    (word, options) in options.id = word
                }
            ],
            examples: [Example("jobs discard export-abc123", "never go on with it", exitCode: .notFound)],
            exitCodes: [.refused, .notFound, .data, .noInput, .unavailable, .busy, .noPermission, .config]
        ) { options, context in
            try await context.writing { store in
                let (job, isChanged) = try await Jobs(store: store, time: context.time, by: context.person)
                    .discard(options.id, isDryRun: context.global.isDryRun)
                return CommandOutput(records: RecordList("jobs", columns: jobColumns, [record(job)])) {
                    CommandOutput.Completion(changed: isChanged && !context.global.isDryRun)
                }
            }
        }
    }

    private static var jobColumns: [Column] {
        [
            .word("id"), .word("kind"), .word("state"), .time("created_at", title: "CREATED", isDefault: false),
            .time("updated_at", title: "UPDATED"), Column("arguments"), Column("checkpoint", isDefault: false),
        ]
    }

    private static func record(_ job: Job) -> OutputValue {
        .object([
            .init("id", .text(job.id)), .init("kind", .text(job.kind)), .init("state", .text(job.state.rawValue)),
            .init("created_at", .moment(job.createdAt)), .init("updated_at", .moment(job.updatedAt)),
            .init("arguments", .storedJSON(job.arguments)), .init("checkpoint", .storedJSON(job.checkpoint)),
        ])
    }

    // MARK: Audit

    static var audit: Command {
        Command(
            "audit", summary: "show what operators did, and check the log",
            discussion: [
                .paragraph([
                    "What operators do to a store leaves a record: imports, exports to a file, snapshots that are made or deleted by hand, jobs that are given up. It tells who, when, with which arguments, why, and with what result. Each record holds the hash of the one before; ",
                    .command("audit verify"),
                    " finds what was changed, put in between, or removed before the last record.",
                ])
            ],
            output: .audit, columns: auditColumns, options: { AuditOptions() },
            flags: [
                Flag(
                    "after", arity: .value(placeholder: "NUMBER", completion: .none),
                    summary: "only records after this one"
                ) { (value, options) throws(UsageError) in options.after = try integer(value.text, in: 0...UInt64.max)
                },
                Flag(
                    "limit", arity: .value(placeholder: "N", completion: .none),
                    summary: "the most records to show (default: 100)"
                ) { (value, options) throws(UsageError) in options.limit = try integer(value.text, in: 1...Int.max) },
                Flag(
                    "action", arity: .value(placeholder: "ACTION", completion: .none),
                    summary: "only records of this operation"
                ) { (value, options) in options.action = value.text },
            ],
            examples: [Example("audit --limit 20", "the first twenty records")],
            exitCodes: [.data, .noInput, .unavailable, .busy, .noPermission, .config],
            subcommands: [auditVerify]
        ) { options, context in
            let store = try await context.open(readOnly: true)
            let listing = AuditListing(store: store, options: options)
            return CommandOutput(records: RecordList("records", columns: auditColumns, nextPage: listing.nextPage)) {
                await listing.finish()
            }
        }
    }

    private static var auditVerify: Command {
        Command(
            "verify", summary: "check the chain of the audit log",
            discussion: [
                "A log that was cut off at its end looks like a shorter one: keep the last hash that this command gives somewhere else, and give it to the next check."
            ],
            output: .audit, options: { AuditOptions() },
            flags: [
                Flag(
                    "expect", arity: .value(placeholder: "HASH", completion: .none),
                    summary: "a hash that the log must have, from an earlier check"
                ) { (value, options) in options.expected = value.text }
            ],
            examples: [Example("audit verify", "exit 2 when a record was changed or is missing")],
            exitCodes: [.findings, .data, .noInput, .unavailable, .busy, .noPermission, .config]
        ) { options, context in
            let verdict = try await context.reading {
                try await AuditLog(store: $0).verify(expecting: options.expected)
            }
            let problems = verdict.problems.map { problem in
                OutputValue.object([
                    .init("number", .identifier(problem.number)), .init("message", .text(problem.message)),
                ])
            }
            return CommandOutput(
                fields: [
                    .init("verified", .bool(problems.isEmpty)), .init("count", .number(verdict.records)),
                    .init("last_hash", .text(verdict.lastHash)), .init("problems", .array(problems)),
                ]
            ) {
                CommandOutput.Completion(
                    exitCode: problems.isEmpty ? .ok : .findings,
                    diagnostics: verdict.problems.map {
                        Diagnostic(
                            .error, code: "audit_chain", "audit record \($0.number): \($0.message)",
                            hint: "compare with a backup: the log was changed outside of ego")
                    })
            }
        }
    }

    private static var auditColumns: [Column] {
        [
            Column("number", .right, title: "NO"), .time("at"), Column("operator"), .word("action"),
            Column("arguments"), .sentence("reason"), Column("result"), Column("hash", isDefault: false),
            Column("previous_hash", isDefault: false),
        ]
    }
}

extension Column {
    /// The column as one that is shown without being asked for.
    fileprivate var shown: Column {
        var column = self
        column.isDefault = true
        return column
    }
}

/// Lists audit records page by page.
private actor AuditListing {
    private let store: any Store
    private let options: AuditOptions
    private var after: UInt64
    private var given = 0
    private var isCut = false

    init(store: any Store, options: AuditOptions) {
        self.store = store
        self.options = options
        self.after = options.after
    }

    func nextPage() async throws -> [OutputValue]? {
        while true {
            try Task.checkCancellation()
            let page = try await AuditLog(store: store).page(after: after)
            if page.isEmpty { return nil }
            if let records = take(page) { return records.isEmpty ? nil : records }
        }
    }

    /// The wanted records of a page, empty when there were enough before it; nil when none of them is wanted.
    private func take(_ page: [AuditRecord]) -> [OutputValue]? {
        if given >= options.limit {
            isCut = true
            return []
        }
        var records: [OutputValue] = []
        for record in page where given < options.limit {
            after = record.number
            if let action = options.action, action != record.entry.action { continue }
            records.append(Self.value(record))
            given += 1
        }
        return records.isEmpty ? nil : records
    }

    func finish() async -> CommandOutput.Completion {
        await store.close()
        guard isCut else { return CommandOutput.Completion(fields: [.init("next", .null)]) }
        return CommandOutput.Completion(
            fields: [.init("next", .identifier(after))],
            diagnostics: [
                Diagnostic(.note, code: "more", "there are more records", hint: "go on with --after \(after)")
            ])
    }

    private static func value(_ record: AuditRecord) -> OutputValue {
        let entry = record.entry
        return .object([
            .init("number", .identifier(record.number)), .init("at", .moment(entry.timestamp)),
            .init("operator", .text(entry.actor)), .init("action", .text(entry.action)),
            .init("arguments", .storedJSON(entry.arguments)), .init("reason", .text(entry.reason)),
            .init("result", .storedJSON(entry.result)), .init("hash", .text(record.hash)),
            .init("previous_hash", .text(record.previousHash)),
        ])
    }
}
