import CommandLineKit
import EgoCore
import EgoOperations

/// What `ego events` was told.
private struct EventsOptions: Sendable {
    var query = EventQuery()
    var since: String?
    var until: String?
    var limit: Int?
    /// Only the newest so many.
    var last: Int?
    var isFollowing = false
    var hasStart = false
    var form = PayloadView.Form.json

    func checkLast() throws(UsageError) {
        if last == nil { return }
        if query.persistenceID == nil { throw UsageError("it goes with an ID only", subject: "--last") }
        for (flag, isGiven) in [("follow", isFollowing), ("after", hasStart), ("limit", limit != nil)] where isGiven {
            throw UsageError("it goes with no --\(flag)", subject: "--last")
        }
    }
}

extension Command where Context == CommandContext {
    private static var eventColumns: [Column] {
        [
            Column("position", .right, title: "POS"), .id, .sequenceNumber, .time("timestamp"),
            Column("shard", .right, isDefault: false), .type, Column("encrypted", isDefault: false), Column("payload"),
        ]
    }

    static var events: Command { makeEvents(inSession: false) }

    /// The same in a session: of the entity that is chosen there, and `-n` for the newest ones.
    static var sessionEvents: Command { makeEvents(inSession: true) }

    private static func makeEvents(inSession: Bool) -> Command {
        Command(
            "events", summary: inSession ? "list or follow events, of the chosen entity" : "list or follow events",
            discussion: inSession
                ? []
                : [
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
                    .paragraph([
                        "Payloads of messages that are not linked are shown with ", .flag("descriptor-set"),
                        ", which takes what protoc --include_imports --descriptor_set_out writes. Without it they are shown as type URL, size and base64, or by field numbers with ",
                        .flag("raw"), ".",
                    ]),
                ],
            output: .events, columns: eventColumns, options: { EventsOptions() },
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
                    "last", short: inSession ? "n" : nil, arity: .value(placeholder: "N", completion: .none),
                    summary: "only the newest so many of the entity"
                ) { (value, options) throws(UsageError) in
                    options.last = try integer(value.text, in: 1...EventListing.mostLast)
                },
                Flag(
                    "follow", short: "f", arity: .toggle(negated: false),
                    summary: "go on with events as they are written"
                ) {
                    (value, options) in options.isFollowing = value.isOn
                },
                Flag("text", arity: .toggle(negated: false), summary: "show payloads in protobuf text format") {
                    (value, options) in options.form = value.isOn ? .text : .json
                },
                Flag(
                    "raw", arity: .toggle(negated: false),
                    summary: "show the fields of payloads by their numbers"
                ) { (value, options) in options.form = value.isOn ? .raw : .json },
            ],
            operands: [
                Operand("ID", arity: .optional, summary: "the entity", completion: .dynamic("entity")) {
                    (word, options) throws(UsageError) in options.query.persistenceID = try persistenceID(word)
                }
            ],
            examples: inSession
                ? [Example("events -n 20 --type AccountDebited", "its last twenty debits")]
                : [
                    Example("events acc-1", "the events of one entity"),
                    Example("events --type AccountDebited --limit 5", "five debits of any account"),
                    Example("events acc-1 --raw", "the fields by number, where nothing is known of the types"),
                    Example("events --after 0 --follow --limit 3", "the first three events, or the next ones"),
                ],
            exitCodes: [
                .notFound, .timedOut, .data, .noInput, .unavailable, .busy, .noPermission, .config, .interrupted,
            ]
        ) { options, context in
            var options = options
            if let session = context.session, options.query.persistenceID == nil, !options.hasStart {
                options.query.persistenceID = session.entity?.id
            }
            try options.checkLast()
            if options.isFollowing {
                if options.until != nil { throw UsageError("it goes with no --follow", subject: "--until") }
                if context.global.output == .json {
                    throw UsageError(
                        "it goes with no -o json, which is one document", subject: "--follow", hint: "use -o jsonl")
                }
            }
            var query = options.query
            if let since = options.since { query.since = try context.moment(since, flag: "since") }
            if let until = options.until { query.until = try context.moment(until, flag: "until") }
            query.limit = options.limit ?? (options.isFollowing ? nil : 100)
            let store = try await context.open(readOnly: true)
            do {
                if let shard = query.shard { try await checkShard(shard, of: store) }
                if options.isFollowing {
                    if !options.hasStart, query.since == nil { query.after = try await store.head() }
                    // Nothing tells an entity that will come from a name that is misspelled.
                    if let id = query.persistenceID, try await store.stream(of: id) == nil {
                        context.note("there is no \(Escape.shown(id.rawValue)) yet; its events are shown as they come")
                    }
                } else if let id = query.persistenceID {
                    _ = try await EntityResolver(store: store, domain: context.domain).existing(id)
                }
            } catch {
                await store.close()
                throw error
            }
            query.last = options.last
            return listing(query, options, store, context)
        }
    }

    private static func listing(
        _ query: EventQuery, _ options: EventsOptions, _ store: any Store, _ context: CommandContext
    ) -> CommandOutput {
        let isFollowing = options.isFollowing
        let run = EventsRun(
            query: query, isFollowing: isFollowing, store: store, context: context,
            view: PayloadView(context, form: options.form))
        var resolved: [OutputValue.Field] = []
        if let since = query.since { resolved.append(OutputValue.Field("since", .moment(since))) }
        if let until = query.until { resolved.append(OutputValue.Field("until", .moment(until))) }
        let records = RecordList("events", columns: eventColumns, isLive: isFollowing) { try await run.nextPage() }
        return CommandOutput(fields: resolved, records: records) { try await run.finish() }
    }
}

/// One listing of events, from its first page to what is said at its end.
private actor EventsRun {
    private let query: EventQuery
    private let isFollowing: Bool
    private let store: any Store
    private let context: CommandContext
    private let listing: EventListing
    private let view: PayloadView
    private var shown = 0
    private var unreadable = 0
    private var undecrypted = 0

    /// How often another process's writes are looked for.
    private static let interval: Duration = .milliseconds(100)

    init(query: EventQuery, isFollowing: Bool, store: any Store, context: CommandContext, view: PayloadView) {
        self.query = query
        self.isFollowing = isFollowing
        self.store = store
        self.context = context
        self.listing = EventListing(store: store, query: query, page: context.page)
        self.view = view
    }

    func nextPage() async throws -> [OutputValue]? {
        let page: [PersistedEvent]?
        if isFollowing {
            do {
                page = try await listing.nextPage(followingEvery: Self.interval)
            } catch is CancellationError {
                throw CommandFailure(
                    .interrupted, "interrupted", "\(shown) events were shown",
                    hint: "go on with --follow --after \(await listing.position)")
            }
        } else {
            page = try await listing.nextPage()
        }
        guard let page else { return nil }
        var records: [OutputValue] = []
        for event in page {
            let (type, payload) = view.stored(event)
            if type == OutputValue.null { unreadable += 1 }
            if event.isEncrypted, context.global.isDecrypting, view.isHidden(payload) { undecrypted += 1 }
            records.append(Self.record(event, type, payload))
        }
        shown += records.count
        return records
    }

    func finish() async throws -> CommandOutput.Completion {
        await store.close()
        if shown == 0, let type = query.type { try checkEventType(type, context.domain, flag: "type") }
        var diagnostics: [Diagnostic] = []
        if let since = query.since { diagnostics.append(Self.note("since", since)) }
        if let until = query.until { diagnostics.append(Self.note("until", until)) }
        if unreadable > 0 {
            diagnostics.append(
                Diagnostic(
                    .warning, code: "undecodable_payload",
                    "\(unreadable) of these events hold no google.protobuf.Any and cannot be read"))
        }
        if undecrypted > 0 {
            diagnostics.append(
                Diagnostic(
                    .warning, code: "encrypted", "\(undecrypted) of these payloads could not be decrypted",
                    hint: "--keys names the keys; ego verify tells which do not fit"))
        }
        var next: Offset?
        if !isFollowing { next = await listing.next }
        if let next {
            diagnostics.append(
                Diagnostic(.note, code: "more", "there may be more events", hint: "go on with --after \(next)"))
        }
        let field = OutputValue.Field("next", next.map { OutputValue.identifier($0.description) } ?? .null)
        return CommandOutput.Completion(fields: [field], diagnostics: diagnostics)
    }

    /// A moment as it was understood.
    private static func note(_ name: String, _ time: Timestamp) -> Diagnostic {
        Diagnostic(.note, code: "time", "\(name) \(TimeStyle.rfc3339Brief.text(time.unixNanoseconds))")
    }

    private static func record(_ event: PersistedEvent, _ type: OutputValue, _ payload: OutputValue) -> OutputValue {
        let fields: [OutputValue.Field] = [
            .init("id", .text(event.persistenceID.rawValue)), .init("sequence_number", .number(event.sequenceNumber)),
            .init("position", .identifier(event.offset.description)), .init("timestamp", .moment(event.timestamp)),
            .init("shard", .number(Int(clamping: event.shard.rawValue))), .init("type", type),
            .init("encrypted", .bool(event.isEncrypted)), .init("payload", payload),
        ]
        return .object(fields)
    }
}

/// Nothing was found: a type that the domain knows has no events yet, any other one is more likely misspelled.
func checkEventType(_ type: String, _ domain: Domain, flag: String) throws(UsageError) {
    let known = domain.kinds.flatMap(\.eventTypes).flatMap { [$0.name, $0.shortName] }
    if known.isEmpty || known.contains(type) { return }
    throw UsageError(
        "no event is of type \(Escape.shown(type, quoted: true)), nor does the domain know it", subject: "--\(flag)",
        hint: Suggestion.hint(for: type, among: known))
}
