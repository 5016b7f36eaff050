import CommandLineKit
import EgoCore
import EgoOperations

/// What `ego events` was told.
private struct EventsOptions: Sendable {
    var query = EventQuery()
    var since: String?
    var until: String?
    var limit: Int?
    var isFollowing = false
    var hasStart = false
}

extension Command where Context == CommandContext {
    static var events: Command {
        Command(
            "events", summary: "list or follow events",
            discussion: [
                .paragraph([
                    "In the order of commit, of one entity or of all; as they are stored, before any adapter. Where there are more than ",
                    .flag("limit"), ", the output says with which ", .flag("after"), " to go on.",
                ]),
                .paragraph([
                    .flag("follow"),
                    " goes on with events as they are written, by this process or any other, until it is interrupted or has shown ",
                    .flag("limit"), " of them. Without ", .flag("after"), " or ", .flag("since"),
                    " it begins with the next one.",
                ]),
            ],
            options: { EventsOptions() },
            flags: [
                Flag(
                    "type", arity: .value(placeholder: "TYPE", completion: .dynamic("event-type")),
                    summary: "only events of this type, by full or short name"
                ) { (value, options) in options.query.type = value.text },
                Flag(
                    "since", arity: .value(placeholder: "TIME", completion: .none),
                    summary: "only events written at this time or later"
                ) { (value, options) in options.since = value.text },
                Flag(
                    "until", arity: .value(placeholder: "TIME", completion: .none),
                    summary: "only events written before this time"
                ) { (value, options) in options.until = value.text },
                Flag("shard", arity: .value(placeholder: "N", completion: .none), summary: "only events of this shard")
                {
                    (value, options) throws(UsageError) in
                    options.query.shard = Shard(try integer(value.text, in: 0...UInt64(Int64.max)))
                },
                Flag(
                    "after", arity: .value(placeholder: "POSITION", completion: .none),
                    summary: "only events after this position"
                ) { (value, options) throws(UsageError) in
                    guard let offset = Offset(value.text) else {
                        throw UsageError("\(Escape.shown(value.text, quoted: true)) is no position")
                    }
                    options.query.after = offset
                    options.hasStart = true
                },
                Flag(
                    "limit", arity: .value(placeholder: "N", completion: .none),
                    summary: "the most events to show (default: 100)"
                ) { (value, options) throws(UsageError) in options.limit = try integer(value.text, in: 1...Int.max) },
                Flag(
                    "follow", short: "f", arity: .toggle(negated: false),
                    summary: "go on with events as they are written"
                ) {
                    (value, options) in options.isFollowing = value.isOn
                },
            ],
            operands: [
                Operand("ID", arity: .optional, summary: "the entity", completion: .dynamic("entity")) {
                    (word, options) throws(UsageError) in options.query.persistenceID = try persistenceID(word)
                }
            ],
            examples: [
                Example("events acc-1", "the events of one entity"),
                Example("events --type AccountDebited --limit 5", "five debits of any account"),
                Example("events --after 0 --follow --limit 3", "the first three events, or the next ones"),
            ],
            exitCodes: [
                .notFound, .timedOut, .data, .noInput, .unavailable, .busy, .noPermission, .config, .interrupted,
            ]
        ) { options, context in
            var query = options.query
            if let since = options.since { query.since = try context.moment(since, flag: "since") }
            if let until = options.until { query.until = try context.moment(until, flag: "until") }
            query.limit = options.limit ?? (options.isFollowing ? nil : 100)
            let store = try await context.open(readOnly: true)
            do {
                if options.isFollowing {
                    if !options.hasStart, query.since == nil { query.after = try await store.head() }
                } else if let id = query.persistenceID {
                    _ = try await EntityResolver(store: store, domain: context.domain).existing(id)
                }
            } catch {
                await store.close()
                throw error
            }
            return listing(query, isFollowing: options.isFollowing, store, context)
        }
    }

    /// How often another process's writes are looked for.
    private static var interval: Duration { .milliseconds(100) }

    private static func listing(
        _ query: EventQuery, isFollowing: Bool, _ store: any Store, _ context: CommandContext
    ) -> CommandOutput {
        let listing = EventListing(store: store, query: query, page: context.page)
        let view = PayloadView(messages: context.domain.messages)
        let time = context.time
        return CommandOutput(
            schema: "ego.events/1",
            records: RecordList(
                "events",
                columns: [
                    Column("position", .right), Column("id"), Column("sequence_number", .right, title: "SEQ"),
                    Column("timestamp"),
                    Column("shard", .right, isDefault: false), Column("type"), Column("encrypted", isDefault: false),
                    Column("payload"),
                ], isLive: isFollowing
            ) {
                let page =
                    isFollowing
                    ? try await listing.nextPage(following: time, every: interval) : try await listing.nextPage()
                return page.map { $0.map { record($0, view) } }
            }
        ) {
            await store.close()
            guard !isFollowing, let next = await listing.next else {
                return CommandOutput.Completion(fields: [.init("next", .null)])
            }
            return CommandOutput.Completion(
                fields: [.init("next", .identifier(next.description))],
                diagnostics: [
                    Diagnostic(.note, code: "more", "there may be more events", hint: "go on with --after \(next)")
                ])
        }
    }

    private static func record(_ event: PersistedEvent, _ view: PayloadView) -> OutputValue {
        let (type, payload) = view.stored(event)
        return .object([
            .init("id", .text(event.persistenceID.rawValue)), .init("sequence_number", .number(event.sequenceNumber)),
            .init("position", .identifier(event.offset.description)), .init("timestamp", .moment(event.timestamp)),
            .init("shard", .number(Int(clamping: event.shard.rawValue))), .init("type", type),
            .init("encrypted", .bool(event.isEncrypted)), .init("payload", payload),
        ])
    }
}
