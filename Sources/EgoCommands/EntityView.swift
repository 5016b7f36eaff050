import CommandLineKit
import EgoCore
import EgoOperations
import SwiftProtobuf

/// States of entities as values of commands.
enum EntityView {
    /// What is known of a replayed entity, without its state.
    static func fields(_ entity: ReplayedEntity) -> [OutputValue.Field] {
        [
            .init("id", .text(entity.persistenceID.rawValue)), .init("kind", .optional(entity.kind)),
            .init("sequence_number", .number(entity.sequenceNumber)), .init("event_count", .number(entity.eventCount)),
            .init("snapshot_sequence_number", entity.snapshotSequenceNumber.map(OutputValue.number) ?? .null),
            .init("timestamp", .moment(entity.timestamp)),
        ]
    }

    /// What changed between two states.
    static func changes(_ before: any Message, _ after: any Message) throws -> OutputValue {
        .array(
            try StateChange.between(before, after).map { change in
                .object([
                    .init("path", .text(change.path)), .init("before", change.before.map(OutputValue.json) ?? .null),
                    .init("after", change.after.map(OutputValue.json) ?? .null),
                ])
            })
    }

    /// The same as a line each, as `accountBalance: 125 -> 200`.
    static func lines(_ before: any Message, _ after: any Message) throws -> [String] {
        try StateChange.between(before, after).map { change in
            "\(Escape.shown(change.path)): \(shown(change.before)) -> \(shown(change.after))"
        }
    }

    /// A message as a line for each field, as `owner.name: "Ann"`.
    static func lines(_ message: any Message) throws -> [String] {
        try StateChange.fields(of: message).map { "\(Escape.shown($0.path)): \(Escape.line($0.value))" }
    }

    private static func shown(_ json: String?) -> String { json.map(Escape.line) ?? "unset" }
}

extension Escape {
    /// JSON on a terminal: its own escapes stay as they are, and whole numbers have no fraction.
    static func line(_ json: String) -> String {
        var result = ""
        for scalar in json.replacing(wholeNumber, with: { $0.output.1 }).unicodeScalars {
            result += scalar == "\\" ? "\\" : Escape.shown(String(scalar))
        }
        return result
    }

    /// A number like `75.0` where a value of JSON ends; no text ends so, as its quotation mark would follow.
    private static var wholeNumber: Regex<(Substring, Substring)> { /([:\[,]-?[0-9]+|^-?[0-9]+)\.0(?=[,\]}]|$)/ }
}
