import CommandLineKit
import EgoCore

/// What `ego init` was told.
private struct InitOptions: Sendable {
    var isCheck = false
    var shards: UInt32?
}

extension Command where Context == CommandContext {
    static var initialize: Command {
        Command(
            "init", summary: "create a store, or bring it up to date",
            discussion: [
                "Creates the schema of a new store, or adds what an older one lacks, in one transaction. A store that is up to date is left alone. Tables of other programs in the same file or database are not touched.",
                "With --store postgres://USER@HOST/DATABASE it does the same for PostgreSQL. A database of eGo for Go, v3 or v4, is adopted where it is: columns and tables are added, which takes a lock that writers wait for at most half a second; then the events that are there get their place in the journal by a job, page by page, beside writers. No payload is changed, and eGo for Go goes on reading and writing the database. When it is stopped, the same command goes on.",
                .paragraph([
                    "With ", .flag("check"), " or ", .flag("dry-run"),
                    " nothing is changed; with the former the exit code says whether there is work.",
                ]),
            ],
            output: .initialize, options: { InitOptions() },
            flags: [
                Flag("check", arity: .toggle(negated: false), summary: "only report; exit 2 when there is work to do") {
                    (value, options) in options.isCheck = value.isOn
                },
                Flag(
                    "shards", arity: .value(placeholder: "N", completion: .none),
                    summary: "shards of a new store (default: 16, or eGo for Go's)"
                ) { (value, options) throws(UsageError) in options.shards = try integer(value.text, in: 1...65_536) },
            ],
            examples: [
                Example("init", "create ./ego.db, or bring it up to date"),
                Example("init --check", "exit 2 when the store is not up to date", exitCode: .findings),
            ],
            exitCodes: [.findings, .data, .noInput, .unavailable, .busy, .noPermission, .config]
        ) { options, context in
            let isOnlyLook = options.isCheck || context.global.isDryRun
            let schema = StoreSchema(context: context)
            let report = isOnlyLook ? try await schema.look() : try await schema.make(shards: options.shards)
            let action = report.isPending ? (isOnlyLook ? "would be \(report.action)" : report.action) : "up to date"
            let isCheck = options.isCheck
            return CommandOutput(
                fields: [
                    .init("store", .text(try context.location.description)),
                    .init("schema_version", .number(report.version)), .init("action", .text(action)),
                    .init("changes", .array(report.changes.map(OutputValue.text))),
                    .init("pending", .bool(isOnlyLook && report.isPending)),
                ]
            ) {
                CommandOutput.Completion(
                    changed: !isOnlyLook && report.isPending,
                    exitCode: isCheck && report.isPending ? .findings : .ok)
            }
        }
    }
}
