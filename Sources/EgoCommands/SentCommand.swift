import CommandLineKit
import Ego
import EgoCore
import SwiftProtobuf

/// The answer to a command as a command's output.
enum SentCommand {
    static func output(
        _ reply: ErasedReply, kind: EntityKind, key: String?, _ view: PayloadView, isDryRun: Bool
    ) throws -> CommandOutput {
        let first = reply.sequenceNumber.rawValue - UInt64(reply.events.count) + 1
        let events = try reply.events.enumerated().map { index, event in
            OutputValue.object([
                .init("sequence_number", .identifier(first + UInt64(index))),
                .init("type", .text(Swift.type(of: event).protoMessageName)),
                .init("payload", try view.json(event, key: key)),
            ])
        }
        let changed = !isDryRun && !reply.isRepeated && !reply.events.isEmpty
        return CommandOutput(
            fields: [
                .init("id", .text(reply.persistenceID.rawValue)), .init("kind", .text(kind.name)),
                .init("sequence_number", .number(reply.sequenceNumber)),
                .init("state", try view.json(reply.state, key: key)),
                .init("dry_run", .bool(isDryRun)),
            ],
            records: RecordList(
                "events",
                columns: [.sequenceNumber, .type, Column("payload")], events),
            showsFields: true
        ) {
            // A durable state has no events to show; its version says whether something was written.
            CommandOutput.Completion(
                changed: changed || (kind.isDurableState && !isDryRun && !reply.isRepeated),
                diagnostics: reply.isRepeated
                    ? [
                        Diagnostic(
                            .note, code: "repeated",
                            "a command of this ID was carried out before; nothing was written, this is its answer")
                    ]
                    : [])
        }
    }
}
