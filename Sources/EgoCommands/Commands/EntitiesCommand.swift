import CommandLineKit
import EgoCore
import Synchronization

/// What `ego entities` was told.
private struct EntitiesOptions: Sendable {
    var query = EntityQuery(limit: 100, countsEvents: true)
    var limit = 100
}

extension Command where Context == CommandContext {
    private static var entityColumns: [Column] {
        [
            .id, .word("kind"), .sequenceNumber, Column("event_count", .right, title: "EVENTS"),
            Column("shard", .right), .time("first_timestamp", title: "FIRST", isDefault: false),
            .time("last_timestamp", title: "LAST"), Column("encrypted", isDefault: false),
            Column("erased", isDefault: false),
        ]
    }

    static var entities: Command {
        Command(
            "entities", summary: "list entities",
            discussion: [
                .paragraph([
                    "In the order of their IDs, by the bytes of UTF-8. Where there are more than ", .flag("limit"),
                    ", the output says with which ", .flag("after"), " to go on.",
                ])
            ],
            output: .entities, columns: entityColumns, options: { EntitiesOptions() },
            flags: [
                Flag(
                    "kind", arity: .value(placeholder: "KIND", completion: .dynamic("kind")),
                    summary: "only entities that were recorded with this kind"
                ) { (value, options) in options.query.kind = value.text },
                Flag(
                    "prefix", arity: .value(placeholder: "TEXT", completion: .dynamic("entity")),
                    summary: "only entities whose ID starts with this"
                ) { (value, options) in options.query.prefix = value.text },
                Flag(
                    "shard", arity: .value(placeholder: "N", completion: .none), summary: "only entities of this shard"
                ) { (value, options) throws(UsageError) in
                    options.query.shard = Shard(try integer(value.text, in: 0...UInt64(Int64.max)))
                },
                Flag(
                    "after", arity: .value(placeholder: "ID", completion: .dynamic("entity")),
                    summary: "only entities after this one"
                ) { (value, options) throws(UsageError) in options.query.after = try persistenceID(value.text) },
                Flag(
                    "limit", arity: .value(placeholder: "N", completion: .none),
                    summary: "the most entities to list (default: 100)"
                ) { (value, options) throws(UsageError) in options.limit = try integer(value.text, in: 1...Int.max) },
            ],
            examples: [
                Example("entities --limit 10", "the first ten entities"),
                Example("entities --prefix acc-1 --columns id,sequence_number", "two columns of some"),
            ],
            exitCodes: [.data, .noInput, .unavailable, .busy, .noPermission, .config]
        ) { options, context in
            let store = try await context.open(readOnly: true)
            do {
                if let shard = options.query.shard { try await checkShard(shard, of: store) }
            } catch {
                await store.close()
                throw error
            }
            let listing = EntityListing(store: store, query: options.query, limit: options.limit, context.global.page)
            return CommandOutput(
                records: RecordList(
                    "entities",
                    columns: entityColumns
                ) { try await listing.nextPage() }
            ) {
                let next = try await listing.finish()
                if let kind = options.query.kind, await listing.isEmpty, context.domain.kinds.count > 0 {
                    // No entity was recorded with it, and no behavior has it: more likely misspelled than empty.
                    _ = try context.domain.kind(named: kind)
                }
                var diagnostics: [Diagnostic] = []
                if let next {
                    diagnostics.append(
                        Diagnostic(
                            .note, code: "more", "there are more entities",
                            hint: "go on with --after \(Escape.shellWord(next))"))
                }
                return CommandOutput.Completion(fields: [.init("next", .optional(next))], diagnostics: diagnostics)
            }
        }
    }
}

/// Lists entities page by page.
private actor EntityListing {
    private let store: any Store
    private var query: EntityQuery
    private var left: Int
    private let page: Int
    private var hasMore = false
    private(set) var isEmpty = true

    init(store: any Store, query: EntityQuery, limit: Int, _ page: Int) {
        self.store = store
        self.query = query
        self.left = limit
        self.page = page
    }

    func nextPage() async throws -> [OutputValue]? {
        try Task.checkCancellation()
        if left == 0 { return nil }
        let count = min(left, page)
        query.limit = count + 1  // one more tells whether there are more
        var found = try await store.entities(query)
        hasMore = found.count > count
        if hasMore { found.removeLast() }
        left = hasMore ? left - count : 0
        if let last = found.last { query.after = last.persistenceID }
        if !found.isEmpty { isEmpty = false }
        return found.isEmpty ? nil : found.map(Self.record)
    }

    /// Closes the store; returns after which entity to go on.
    func finish() async throws -> String? {
        await store.close()
        return hasMore ? query.after?.rawValue : nil
    }

    private static func record(_ entity: EntitySummary) -> OutputValue {
        .object([
            .init("id", .text(entity.persistenceID.rawValue)), .init("kind", .optional(entity.kind)),
            .init("sequence_number", .number(entity.sequenceNumber)),
            .init("event_count", entity.eventCount.map(OutputValue.number) ?? .null),
            .init("shard", .number(Int(clamping: entity.shard.rawValue))),
            .init("first_timestamp", .moment(entity.firstTimestamp)),
            .init("last_timestamp", .moment(entity.lastTimestamp)), .init("encrypted", .bool(entity.isEncrypted)),
            .init("erased", .bool(entity.isErased)),
        ])
    }
}

/// Refuses a shard that the store does not have.
func checkShard(_ shard: Shard, of store: any Store) async throws {
    let count = try await store.metadata().shardCount
    if shard.rawValue >= count {
        throw UsageError("the store has the shards 0 to \(count - 1)", subject: "--shard")
    }
}

/// An entity's name on a command line.
func persistenceID(_ text: String) throws(UsageError) -> PersistenceID {
    do { return try PersistenceID(text) } catch { throw UsageError(error.description) }
}
