import CommandLineKit
import EgoCore
import EgoSQLite

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What `ego init` was told.
private struct InitOptions: Sendable {
    var isCheck = false
    var shards: UInt32 = 16
}

extension Command where Context == CommandContext {
    static var initialize: Command {
        Command(
            "init", summary: "create a store, or bring it up to date",
            discussion: [
                "Creates the schema of a new store, or adds what an older one lacks, in one transaction. A store that is up to date is left alone. Tables of other programs in the same file are not touched.",
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
                    summary: "how many shards a new store has (default: 16)"
                ) { (value, options) throws(UsageError) in options.shards = try integer(value.text, in: 1...65_536) },
            ],
            examples: [
                Example("init", "create ./ego.db, or bring it up to date"),
                Example("init --check", "exit 2 when the store is not up to date", exitCode: .findings),
            ],
            exitCodes: [.findings, .data, .noInput, .busy, .noPermission, .config]
        ) { options, context in
            switch try context.location {
            case .sqlite(let path): try initialize(options.isCheck, options.shards, path, context)
            }
        }
    }

    private static func initialize(
        _ isCheck: Bool, _ shards: UInt32, _ path: String, _ context: CommandContext
    ) throws -> CommandOutput {
        let isOnlyLook = isCheck || context.global.isDryRun
        let sqlite = context.sqliteOptions(readOnly: isOnlyLook)
        let before: SQLiteSchemaState
        if isOnlyLook {
            before = try SQLiteStore.schema(path: path, options: sqlite)
            if case .newer(let version) = before { throw newer(path, version) }
        } else {
            try context.checkWritable()
            before = try SQLiteStore.initialize(
                path: path, shardCount: shards, storeID: UUID().uuidString.lowercased(), options: sqlite)
        }
        let (was, isPending) = describe(before)
        let action = isPending ? (isOnlyLook ? "would be \(was)" : was) : "up to date"
        return CommandOutput(
            fields: [
                .init("store", .text(path)), .init("schema_version", .number(SQLiteStore.schemaVersion)),
                .init("action", .text(action)), .init("pending", .bool(isOnlyLook && isPending)),
            ]
        ) {
            CommandOutput.Completion(
                changed: !isOnlyLook && isPending, exitCode: isCheck && isPending ? .findings : .ok)
        }
    }

    private static func describe(_ state: SQLiteSchemaState) -> (String, isPending: Bool) {
        switch state {
        case .missing: ("created", true)
        case .absent: ("created in an existing database", true)
        case .older(let version): ("brought up from version \(version)", true)
        case .current, .newer: ("up to date", false)
        }
    }

    private static func newer(_ path: String, _ version: Int) -> StoreError {
        StoreError(
            .newerSchema, "\(path) has schema version \(version), this program knows \(SQLiteStore.schemaVersion)")
    }
}
