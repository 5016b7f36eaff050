import CommandLineKit
import Ego
import EgoCore
import EgoOperations
import SwiftProtobuf

/// What `ego send` was told.
private struct SendOptions: Sendable {
    var id: PersistenceID?
    var type = ""
    var json: String?
    var kind: String?
    var expected = ExpectedVersion.any
    var commandID: CommandID?
}

extension Command where Context == CommandContext {
    static var send: Command {
        Command(
            "send", summary: "send one command to one entity",
            discussion: [
                "The command is protobuf JSON; without it, a command without content. With - it is read from standard input. The answer comes when the events are durable.",
                .paragraph([
                    "With ", .flag("dry-run"),
                    " the answer is what the command would do, and nothing is written. With ",
                    .flag("command-id"), " a repeated command has no second effect, and the same answer.",
                ]),
            ],
            output: .send, columns: [.sequenceNumber, .type, Column("payload")], options: { SendOptions() },
            flags: [
                Flag(
                    "kind", arity: .value(placeholder: "KIND", completion: .dynamic("kind")),
                    summary: "the entity's kind, where it cannot be told"
                ) { (value, options) in options.kind = value.text },
                Flag(
                    "expect", arity: .value(placeholder: "SEQ", completion: .none),
                    summary: "only when the entity is at this sequence number"
                ) { (value, options) throws(UsageError) in
                    options.expected = .exact(try sequenceNumber(value.text, from: 0))
                },
                Flag(
                    "command-id", arity: .value(placeholder: "ID", completion: .none),
                    summary: "names the command, so that a retry is safe"
                ) { (value, options) throws(UsageError) in
                    guard let id = CommandID(value.text) else {
                        throw UsageError("a command ID has 1 to \(CommandID.maximumBytes) bytes, none of them zero")
                    }
                    options.commandID = id
                },
            ],
            operands: [
                Operand("ID", arity: .one, summary: "the entity", completion: .dynamic("entity")) {
                    (word, options) throws(UsageError) in options.id = try persistenceID(word)
                },
                Operand(
                    "TYPE", arity: .one, summary: "the command's type, by full or short name",
                    completion: .dynamic("command-type")
                ) { (word, options) in options.type = word },
                Operand("JSON", arity: .optional, summary: "the command's content, or - for standard input") {
                    (word, options) in options.json = word
                },
            ],
            examples: [
                Example(
                    "send acc-9001 CreateAccount '{\"accountId\":\"acc-9001\",\"accountBalance\":100}'",
                    "open an account"),
                Example(
                    "send --dry-run acc-1 DebitAccount '{\"balance\":9000000}'", "see what would happen",
                    exitCode: .rejected),
            ],
            exitCodes: [
                .refused, .rejected, .data, .noInput, .unavailable, .busy, .noPermission, .config,
            ]
        ) { options, context in
            guard let id = options.id else { throw UsageError("missing", subject: "ID") }
            let type = try context.domain.commandType(named: options.type)
            let command = try parse(options.json, as: type, context)
            let metadata = EventMetadata(commandID: options.commandID)
            let isDryRun = context.global.isDryRun
            if !isDryRun {
                try context.checkWritable()
                // An answer that nobody can read would be taken for a failure, and the command sent again.
                try context.console.output.check()
            }
            let commandOptions = CommandOptions(expectedVersion: options.expected, metadata: metadata)
            let store = try await context.open(readOnly: isDryRun)
            do {
                let resolver = EntityResolver(store: store, domain: context.domain)
                let record = try await resolver.record(id)
                let kind = try await resolver.kind(
                    of: id, record: record, requested: options.kind, commandType: type.name)
                let engine = context.engine(on: store)
                let reply =
                    isDryRun
                    ? try await engine.preview(command, to: id, kind: kind, options: commandOptions)
                    : try await engine.send(command, to: id, kind: kind, options: commandOptions)
                await engine.shutdown()
                let key = try await EncryptedStore.inside(store)?.keyID(of: id)
                await store.close()
                return try SentCommand.output(reply, kind: kind, key: key, PayloadView(context), isDryRun: isDryRun)
            } catch {
                await store.close()
                // Sending again gives the same answer: that is a guard, not a lock.
                if let error = error as? EgoError, error.code == .conflict, options.expected != .any {
                    throw CommandFailure(
                        .refused, Escape.shown(id.rawValue), error.message, hint: "nothing was changed")
                }
                throw error
            }
        }
    }

    private static func parse(
        _ json: String?, as type: MessageType, _ context: CommandContext
    ) throws -> any Message {
        var text = json ?? "{}"
        if text == "-" {
            guard let bytes = context.console.readInput() else {
                throw CommandFailure(.io, "standard input", "it is closed")
            }
            guard let input = String(validating: bytes, as: UTF8.self) else {
                throw CommandFailure(.data, "standard input", "it is not UTF-8")
            }
            text = input
        }
        do {
            return try type.parseJSON(text)
        } catch {
            throw CommandFailure(
                .data, type.name, JSONProblem.text(error),
                hint: "the content is protobuf JSON, as '{\"field\": \"value\"}'")
        }
    }
}

/// What is wrong with a message's JSON, in words.
enum JSONProblem {
    static func text(_ error: any Error) -> String {
        guard let error = error as? JSONDecodingError else { return "the content does not fit the message" }
        return switch error {
        case .unknownField(let name): "there is no field \(Escape.shown(name, quoted: true))"
        case .numberRange: "a number is out of range"
        case .malformedNumber, .leadingZero: "a number is malformed"
        case .malformedString, .invalidUTF8: "a string, a number or a field name is malformed, or out of range"
        case .malformedBool: "a boolean is neither true nor false"
        case .truncated: "the JSON ends too early"
        case .trailingGarbage: "something follows after the JSON"
        case .unrecognizedEnumValue: "an enumeration has no such value"
        case .illegalNull: "null is not allowed there"
        case .schemaMismatch, .failure, .missingFieldNames: "the JSON does not fit the message"
        case .malformedMap, .unquotedMapKey: "a field name is malformed"
        default: "the JSON is malformed (\(error))"
        }
    }
}

/// A sequence number on a command line.
func sequenceNumber(_ text: String, from first: UInt64 = 1) throws(UsageError) -> SequenceNumber {
    SequenceNumber(try integer(text, in: first...SequenceNumber.max.rawValue))
}
