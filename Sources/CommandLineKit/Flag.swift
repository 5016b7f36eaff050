/// One flag of a command, as the definition table has it.
public struct Flag<Options>: Sendable {
    /// The long name without dashes, as `output`.
    public let long: String
    /// The short name, as `o`.
    public let short: Character?
    /// Whether it takes a value.
    public let arity: FlagArity
    /// What it does, in under 60 characters, without full stop.
    public let summary: String
    /// Whether each use counts; otherwise the last one wins.
    public let isRepeatable: Bool
    /// Takes the value over into the options. The parser names the flag in errors, this does not.
    public let apply: @Sendable (FlagValue, inout Options) throws(UsageError) -> Void

    /// A flag with the given parts.
    public init(
        _ long: String, short: Character? = nil, arity: FlagArity, summary: String, isRepeatable: Bool = false,
        apply: @escaping @Sendable (FlagValue, inout Options) throws(UsageError) -> Void
    ) {
        self.long = long
        self.short = short
        self.arity = arity
        self.summary = summary
        self.isRepeatable = isRepeatable
        self.apply = apply
    }

    /// The part that help and the parser need.
    public var definition: FlagDefinition {
        FlagDefinition(long: long, short: short, arity: arity, summary: summary, isRepeatable: isRepeatable)
    }
}

/// A flag without what it does to its options.
public struct FlagDefinition: Sendable, Hashable {
    /// See ``Flag/long``.
    public let long: String
    /// See ``Flag/short``.
    public let short: Character?
    /// See ``Flag/arity``.
    public let arity: FlagArity
    /// See ``Flag/summary``.
    public let summary: String
    /// See ``Flag/isRepeatable``.
    public let isRepeatable: Bool
}

/// Whether a flag takes a value.
public enum FlagArity: Sendable, Hashable {
    /// On when it is there; with `negated`, `--no-NAME` turns it off.
    case toggle(negated: Bool)
    /// Takes a value, shown as `placeholder`.
    case value(placeholder: String, completion: Completion)
    /// Takes two values, each a word of its own.
    case pair(String, String)
}

/// What a shell may offer for a value.
public enum Completion: Sendable, Hashable {
    case none
    case file
    case choices([String])
    /// Values of the configured store, such as `entity`.
    case dynamic(String)
}

/// What was given for a flag.
public enum FlagValue: Sendable, Hashable {
    case toggle(Bool)
    case text(String)
    case pair(String, String)

    /// The text; empty for a toggle.
    public var text: String {
        if case .text(let text) = self { return text }
        return ""
    }

    /// Whether a toggle is on.
    public var isOn: Bool { self == .toggle(true) }
}

/// A positional word of a command.
public struct Operand<Options>: Sendable {
    /// What is shown in the usage line, as `ID`.
    public let placeholder: String
    /// How many words it takes.
    public let arity: OperandArity
    /// What it is, in under 60 characters, without full stop.
    public let summary: String
    /// What a shell may offer.
    public let completion: Completion
    /// Takes one word over into the options.
    public let apply: @Sendable (String, inout Options) throws(UsageError) -> Void

    /// An operand with the given parts.
    public init(
        _ placeholder: String, arity: OperandArity, summary: String, completion: Completion = .none,
        apply: @escaping @Sendable (String, inout Options) throws(UsageError) -> Void
    ) {
        self.placeholder = placeholder
        self.arity = arity
        self.summary = summary
        self.completion = completion
        self.apply = apply
    }

    /// The part that help and the parser need.
    public var definition: OperandDefinition {
        OperandDefinition(placeholder: placeholder, arity: arity, summary: summary, completion: completion)
    }
}

/// An operand without what it does to its options.
public struct OperandDefinition: Sendable, Hashable {
    /// See ``Operand/placeholder``.
    public let placeholder: String
    /// See ``Operand/arity``.
    public let arity: OperandArity
    /// See ``Operand/summary``.
    public let summary: String
    /// See ``Operand/completion``.
    public let completion: Completion
}

/// How many words an operand takes. Only the last operand of a command may take any number.
public enum OperandArity: Sendable, Hashable {
    case one
    case optional
    case any
    /// What is left of the line, as it was typed; in a session only.
    case rest
}
