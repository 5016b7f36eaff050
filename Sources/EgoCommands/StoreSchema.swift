import CommandLineKit
import EgoCore
import EgoOperations
import EgoPostgres
import EgoSQLite

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What there is to do until a store is ready, and doing it; the same for every kind of store.
struct StoreSchema: Sendable {
    /// What was found, and what it takes.
    struct Report: Sendable {
        /// The version that the store has afterwards.
        var version: Int
        /// What was done, or would be: `created`, `adopted`.
        var action: String
        /// Whether there was anything to do.
        var isPending: Bool
        /// What that is, a sentence each.
        var changes: [String] = []
    }

    let context: CommandContext

    /// Looks, and changes nothing.
    func look() async throws -> Report {
        switch try context.location {
        case .sqlite(let path):
            let found = try SQLiteStore.schema(path: path, options: context.sqliteOptions(readOnly: true))
            if case .newer(let version) = found {
                throw StoreError(
                    .newerSchema,
                    "\(path) has schema version \(version), this program knows \(SQLiteStore.schemaVersion)")
            }
            return Self.report(found)
        case .postgres(let url):
            let found = try await PostgresStore.schema(url: url, options: context.postgresOptions(readOnly: true))
            switch found.kind {
            case .newer, .unknown: throw found.openError(url)
            default:
                if let problem = found.adoptionError(url) { throw problem }
                return Self.report(found)
            }
        }
    }

    /// Does what there is to do.
    ///
    /// - Parameter shards: how many shards a new store has; nil for what the store's kind has by default.
    func make(shards: UInt32?) async throws -> Report {
        try context.checkWritable()
        let storeID = UUID().uuidString.lowercased()
        switch try context.location {
        case .sqlite(let path):
            let before = try SQLiteStore.initialize(
                path: path, shardCount: shards ?? 16, storeID: storeID, options: context.sqliteOptions(readOnly: false))
            return Self.report(before)
        case .postgres(let url): return try await make(url, shards: shards, storeID: storeID)
        }
    }

    private func make(_ url: PostgresURL, shards: UInt32?, storeID: String) async throws -> Report {
        var options = context.postgresOptions(readOnly: false)
        let found = try await PostgresStore.schema(url: url, options: options)
        if let problem = found.adoptionError(url) { throw problem }
        if case .egoGo(let metadata) = found.kind {
            context.note(
                "\(url) is a database of eGo for Go \(metadata.origin == .egoGoV3 ? "v3" : "v4"); to adopt it, ego will"
            )
            for change in found.changes { context.note("  \(change)") }
        }
        // The timeout is for each attempt to get at the table.
        let before = try await PostgresStore.initialize(
            url: url, shardCount: shards, storeID: storeID,
            patience: context.global.timeout.map { .nanoseconds($0) - .seconds(1) } ?? .seconds(60), options: options)
        // Older rows can take longer than any statement should otherwise.
        options.statementTimeout = nil
        let count = try await PostgresStore.prepareOrder(url: url, options: options)
        let after = try await PostgresStore.schema(url: url, options: options)
        if case .unordered = after.kind { try await order(count, url, options) }
        return Self.report(before)
    }

    /// Gives the older events of an adopted database their order; goes on where an earlier run was stopped.
    private func order(_ count: Int, _ url: PostgresURL, _ options: PostgresStoreOptions) async throws {
        var adopting = options
        adopting.isAdopting = true
        let progress = context.progress("adopt")
        defer { progress.finish() }
        let store = try await PostgresStore(url: url, options: adopting)
        do {
            try await Adoption(store: store, person: context.person, time: context.time).run(
                command: context.commandLine(), progress: { progress.report(done: $0, total: count, unit: "events") }
            ) {
                try await PostgresStore.finishOrder(url: url, options: options)
            }
        } catch {
            await store.close()
            throw error
        }
        await store.close()
    }

    private static func report(_ state: SQLiteSchemaState) -> Report {
        func report(_ action: String, _ isPending: Bool, _ changes: [String] = []) -> Report {
            Report(version: SQLiteStore.schemaVersion, action: action, isPending: isPending, changes: changes)
        }
        switch state {
        case .missing: return report("created", true, ["make the file and its tables"])
        case .absent:
            return report("created in an existing database", true, ["make tables whose names start with ego_"])
        case .older(let version):
            return report(
                "brought up from version \(version)", true, ["bring the tables up from schema version \(version)"])
        case .current, .newer: return report("up to date", false)
        }
    }

    private static func report(_ state: PostgresSchemaState) -> Report {
        let action =
            switch state.kind {
            case .absent: "created"
            case .egoGo(let metadata): "adopted from eGo for Go \(metadata.origin == .egoGoV3 ? "v3" : "v4")"
            case .older(let version): "brought up from version \(version)"
            case .unordered: "adopted to the end"
            case .current, .newer, .unknown: "up to date"
            }
        return Report(
            version: PostgresStore.schemaVersion, action: action, isPending: !state.changes.isEmpty,
            changes: state.changes)
    }
}
