import CommandLineKit
import EgoCore
import EgoOperations
import LineEditor
import ProtobufReflection
import SwiftProtobuf

extension Command where Context == CommandContext {
    // MARK: The entity

    static var use: Command {
        Command(
            "use", summary: "choose the entity that commands go to",
            discussion: ["Without an ID, none is chosen any more."], output: .repl, options: { EntityOptions() },
            flags: [EntityOptions.kindFlag], operands: [EntityOptions.operand],
            examples: [Example("use acc-1", "the account acc-1")], exitCodes: [.notFound]
        ) { options, context in
            let session = try context.inSession
            guard let id = options.id else {
                session.entity = nil
                return SessionOutput.nothing
            }
            let entity = try await context.reading { store in
                try await SessionEntities(store, context).existing(id, kind: options.kind)
            }
            session.entity = entity
            return SessionOutput.entity(entity)
        }
    }

    static var new: Command {
        Command(
            "new", summary: "begin an entity that is not there yet",
            discussion: ["It is there with its first event. Without an ID it gets one that nobody else has."],
            output: .repl, options: { EntityOptions() }, flags: [EntityOptions.kindFlag],
            operands: [EntityOptions.operand],
            examples: [Example("new acc-9001", "commands go to acc-9001 from now on")],
            exitCodes: [.refused]
        ) { options, context in
            let session = try context.inSession
            let id = try options.id ?? persistenceID(SessionEntities.newID())
            if let kind = options.kind { _ = try context.domain.kind(named: kind) }
            let entity = try await context.reading { store in
                try await SessionEntities(store, context).absent(id, kind: options.kind)
            }
            session.entity = entity
            return SessionOutput.entity(entity)
        }
    }

    static var sessionState: Command {
        Command(
            "state", summary: "show the entity's state, now or at a point before",
            output: .replay, columns: [.id, .word("kind"), .sequenceNumber, Column("state")],
            options: { PointOptions() },
            operands: [
                Operand("@SEQ|@TIME", arity: .optional, summary: "a sequence number, or a time") {
                    (word, options) in options.point = word
                }
            ],
            examples: [
                Example("state", "the state now"), Example("state @3", "the state after event 3"),
                Example("state @2026-03-01T10:00Z", "the state at that time"),
            ], exitCodes: [.notFound, .data]
        ) { options, context in
            let entity = try context.chosenEntity
            let end = try options.end(context)
            let replayed = try await context.reading { store in
                try await Replay(store: store, domain: context.readingDomain, page: context.page)
                    .entity(entity.id, to: end, kind: entity.kind)
            }
            if end == .head { try context.inSession.entity?.sequenceNumber = replayed.sequenceNumber }
            let view = PayloadView(context)
            let state = try view.json(replayed.state, key: replayed.encryptionKeyID)
            let record = OutputValue.object(EntityView.fields(replayed) + [.init("state", state)])
            var output = CommandOutput(
                records: RecordList(
                    "entities", columns: [.id, .word("kind"), .sequenceNumber, Column("state")], [record]))
            if context.global.output == .table, context.global.columns == nil {
                output.text = try SessionOutput.state(replayed, view)
            }
            return output
        }
    }

    static var sessionDiff: Command {
        Command(
            "diff", summary: "show what changed from one event to another",
            discussion: ["With one number, from there to now."], output: .replay,
            columns: [Column("path"), Column("before", .right), Column("after", .right)], options: { RangeOptions() },
            operands: [
                Operand("A", arity: .one, summary: "the state after this event, or 0") {
                    (word, options) throws(UsageError) in options.from = try sequenceNumber(number(word), from: 0)
                },
                Operand("B", arity: .optional, summary: "the state after this one") {
                    (word, options) throws(UsageError) in options.to = try sequenceNumber(number(word), from: 0)
                },
            ],
            examples: [Example("diff 3 9", "what events 4 to 9 have changed")], exitCodes: [.notFound, .data]
        ) { options, context in
            let entity = try context.chosenEntity
            let view = PayloadView(context)
            let (before, after) = try await context.reading { store in
                let replay = Replay(store: store, domain: context.readingDomain, page: context.page)
                let before = try await replay.entity(entity.id, to: .sequenceNumber(options.from), kind: entity.kind)
                let end = options.to.map { Replay.End.sequenceNumber($0) } ?? .head
                return (before, try await replay.entity(entity.id, to: end, kind: entity.kind))
            }
            if view.hides(after.encryptionKeyID) {
                throw CommandFailure(
                    .noPermission, Escape.shown(entity.id.rawValue), "it is encrypted",
                    hint: "--decrypt shows what changed")
            }
            let record = OutputValue.object(
                EntityView.fields(after) + [
                    .init("state", try view.json(after.state, key: after.encryptionKeyID)),
                    .init("from_sequence_number", .number(options.from)),
                    .init("changes", try EntityView.changes(before.state, after.state)),
                ])
            var output = CommandOutput(
                records: RecordList(
                    "entities", columns: [Column("path"), Column("before", .right), Column("after", .right)],
                    rows: { entity in
                        if case .array(let changes) = entity["changes"] { return changes }
                        return []
                    }, nextPage: RecordList("", columns: [], [record]).nextPage))
            if context.global.output == .table, context.global.columns == nil {
                let lines = try EntityView.lines(before.state, after.state)
                output.text = lines.isEmpty ? "  nothing changed\n" : lines.map { "  \($0)\n" }.joined()
            }
            return output
        }
    }

    private static func number(_ word: String) -> String { word.hasPrefix("@") ? String(word.dropFirst()) : word }

    // MARK: Messages

    static var dry: Command {
        Command(
            "dry", summary: "show what a command would do, and write nothing", output: .send,
            options: { TextOptions() }, operands: [TextOptions.operand("MESSAGE", completion: .dynamic("message"))],
            examples: [Example("dry DebitAccount {\"balance\": 900}", "whether it would be rejected")],
            exitCodes: [.rejected, .data]
        ) { options, context in
            if options.text.isEmpty { throw UsageError("missing", subject: "MESSAGE") }
            return try await SessionMessages(context.inSession, context).send(options.text, isPreview: true)
        }
    }

    static var repeated: Command {
        Command(
            "repeat", summary: "send a command several times, one after the other",
            discussion: ["The first one that is rejected ends it."], output: .repl, options: { CountedOptions() },
            operands: [
                Operand("N", arity: .one, summary: "how often") { (word, options) throws(UsageError) in
                    options.count = try integer(word, in: 1...Int.max)
                },
                Operand("MESSAGE", arity: .rest, summary: "the command", completion: .dynamic("message")) {
                    (word, options) in options.text = word
                },
            ],
            examples: [Example("repeat 100 CreditAccount {\"balance\": 1}", "a hundred credits")],
            exitCodes: [.rejected, .data, .interrupted]
        ) { options, context in
            if options.text.isEmpty { throw UsageError("missing", subject: "MESSAGE") }
            if context.global.isDryRun {
                throw UsageError(
                    "it goes with no --dry-run", subject: "\\repeat", hint: "\\dry shows what one would do")
            }
            return try await SessionMessages(context.inSession, context).repeated(options.count, options.text)
        }
    }

    static var types: Command {
        let columns = [Column("type", shortening: .package), Column("role"), .word("kind")]
        return Command(
            "types", summary: "list the message types", output: .repl, columns: columns, options: { TextOptions() },
            operands: [
                Operand("START", arity: .optional, summary: "only those whose name begins with this") {
                    (word, options) in options.text = word
                }
            ], examples: [Example("types", "commands, events, states and other messages")]
        ) { options, context in
            let session = try context.inSession
            let records = SessionTypes.all(session.schema, of: session.entity).filter { type in
                let short = String(type.name.split(separator: ".").last ?? "")
                return type.name.hasPrefix(options.text) || short.hasPrefix(options.text)
            }
            return CommandOutput(records: RecordList("types", columns: columns, records.map(\.value)))
        }
    }

    static var describe: Command {
        let columns = [
            Column("number", .right, title: "NO"), Column("field", shortening: .never(asked: false)),
            Column("json", isDefault: false), Column("type", shortening: .package), .sentence("values"),
        ]
        return Command(
            "desc", summary: "show the fields of a message type", output: .repl, columns: columns,
            options: { TextOptions() },
            operands: [
                Operand("TYPE", arity: .one, summary: "the type", completion: .dynamic("message-type")) {
                    (word, options) in options.text = word
                }
            ], examples: [Example("desc CreditAccount", "what a CreditAccount holds")]
        ) { options, context in
            let type = try context.inSession.schema.descriptor(matching: options.text)
            let records = type.fields.map { field in
                var values = ""
                if case .enumeration(let names) = field.value { values = names.joined(separator: ", ") }
                return OutputValue.object([
                    .init("number", .number(field.number)), .init("field", .text(field.name)),
                    .init("json", .text(field.jsonName)), .init("type", .text(field.typeName)),
                    .init("values", values.isEmpty ? .null : .text(values)),
                ])
            }
            return CommandOutput(
                fields: [.init("message", .text(type.fullName))],
                records: RecordList("fields", columns: columns, records),
                text: records.isEmpty && context.global.output == .table ? "\(type.fullName) has no fields\n" : nil)
        }
    }
}

extension CommandContext {
    /// The entity that was chosen with `\use`.
    var chosenEntity: ReplSession.Entity {
        get throws {
            guard let entity = try inSession.entity else {
                throw CommandFailure(
                    .usage, "", "no entity is chosen", hint: "\\use ID chooses one, \\new ID begins one")
            }
            return entity
        }
    }
}
