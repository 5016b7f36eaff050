import CommandLineKit
import EgoCore
import EgoOperations

/// What `\use` and `\new` were told.
struct EntityOptions: Sendable {
    var id: PersistenceID?
    var kind: String?

    static let kindFlag = Flag<EntityOptions>(
        "kind", arity: .value(placeholder: "KIND", completion: .dynamic("kind")),
        summary: "the entity's kind, where it cannot be told"
    ) { (value, options) in options.kind = value.text }

    static let operand = Operand<EntityOptions>(
        "ID", arity: .optional, summary: "the entity", completion: .dynamic("entity")
    ) { (word, options) throws(UsageError) in options.id = try persistenceID(word) }
}

/// What `\state` was told.
struct PointOptions: Sendable {
    var point = ""

    /// Where to stop.
    func end(_ context: CommandContext) throws -> Replay.End {
        if point.isEmpty { return .head }
        guard point.hasPrefix("@") else {
            throw UsageError(
                "a point begins with @", subject: Escape.shown(point),
                hint: "\\state @12, or \\state @2026-03-01T10:00Z")
        }
        let text = String(point.dropFirst())
        // A number is that of an event; moments in seconds are written as a time.
        if text.allSatisfy(\.isNumber), !text.isEmpty { return .sequenceNumber(try sequenceNumber(text)) }
        return .time(
            Timestamp(unixNanoseconds: try TimeExpression.moment(text, now: context.time.now().unixNanoseconds)))
    }
}

/// What `\diff` was told.
struct RangeOptions: Sendable {
    var from: SequenceNumber = .zero
    var to: SequenceNumber?
}

/// The one word or text that a command was given; empty for none.
struct TextOptions: Sendable {
    var text = ""

    /// What is left of the line.
    static func operand(_ placeholder: String, completion: Completion) -> Operand<TextOptions> {
        Operand(placeholder, arity: .rest, summary: "what is left of the line", completion: completion) {
            (word, options) in options.text = word
        }
    }
}

/// What `\repeat` and `\history` were told.
struct CountedOptions: Sendable {
    var count = Int.max
    var text = ""
}

/// What `\watch` was told.
struct WatchOptions: Sendable {
    var interval = Duration.seconds(2)
    var count: Int?
    var text = ""
}

/// What `\set` and `\unset` were told.
struct VariableOptions: Sendable {
    var name: String?
    var value = ""
}
