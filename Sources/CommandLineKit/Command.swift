/// One command of the definition table.
///
/// `Context` is what its run gets beside its options: streams, clock, environment, whatever the program needs.
public struct Command<Context: Sendable>: Sendable {
    /// The name, as `replay`.
    public let name: String
    /// Other names.
    public let aliases: [String]
    /// What it does, in under 60 characters, without full stop.
    public let summary: String
    /// More about it.
    public let discussion: [Prose]
    /// Its own flags, in the order in which help shows them.
    public let flags: [FlagDefinition]
    /// Its positional words.
    public let operands: [OperandDefinition]
    /// Commands to try; at least one.
    public let examples: [Example]
    /// How it may end, besides ``ExitCode/ok``, ``ExitCode/usage`` and ``ExitCode/io``.
    public let exitCodes: [ExitCode]
    /// The commands below it; a command that has any does nothing by itself.
    public let subcommands: [Command]

    /// Turns what was parsed into a run.
    let prepare: @Sendable (ParsedWords) throws(UsageError) -> Run

    /// A command that is ready to run.
    public typealias Run = @Sendable (Context) async throws -> CommandOutput

    /// A command with options of its own.
    public init<Options: Sendable>(
        _ name: String, aliases: [String] = [], summary: String, discussion: [Prose] = [],
        options: @escaping @Sendable () -> Options, flags: [Flag<Options>] = [], operands: [Operand<Options>] = [],
        examples: [Example], exitCodes: [ExitCode] = [],
        run: @escaping @Sendable (Options, Context) async throws -> CommandOutput
    ) {
        self.name = name
        self.aliases = aliases
        self.summary = summary
        self.discussion = discussion
        self.flags = flags.map(\.definition)
        self.operands = operands.map(\.definition)
        self.examples = examples
        self.exitCodes = exitCodes
        self.subcommands = []
        self.prepare = { (words) throws(UsageError) in
            var options = options()
            try words.apply(flags, to: &options)
            try words.apply(operands, to: &options)
            let final = options
            return { context in try await run(final, context) }
        }
    }

    /// A command that only groups others.
    public init(_ name: String, summary: String, discussion: [Prose] = [], subcommands: [Command]) {
        self.name = name
        self.aliases = []
        self.summary = summary
        self.discussion = discussion
        self.flags = []
        self.operands = []
        self.examples = subcommands.flatMap(\.examples)
        self.exitCodes = []
        self.subcommands = subcommands
        let names = subcommands.map(\.name)
        self.prepare = { (_) throws(UsageError) in
            throw UsageError("a subcommand is missing", subject: name, hint: "one of \(names.joined(separator: ", "))")
        }
    }
}

/// The words of one command after parsing, before any option was made of them.
public struct ParsedWords: Sendable, Hashable {
    /// The flags in the order in which they were given, by long name.
    public var flags: [ParsedFlag] = []
    /// The positional words.
    public var operands: [String] = []

    /// One flag as it was given.
    public struct ParsedFlag: Sendable, Hashable {
        /// The long name.
        public var long: String
        /// The value.
        public var value: FlagValue

        /// A flag with its value.
        public init(long: String, value: FlagValue) {
            self.long = long
            self.value = value
        }
    }

    func apply<Options>(_ table: [Flag<Options>], to options: inout Options) throws(UsageError) {
        for flag in table {
            let given = flags.filter { $0.long == flag.long }
            for parsed in flag.isRepeatable ? given[...] : given.suffix(1) {
                do { try flag.apply(parsed.value, &options) } catch {
                    throw UsageError(error.message, subject: "--\(flag.long)", hint: error.hint)
                }
            }
        }
    }

    func apply<Options>(_ table: [Operand<Options>], to options: inout Options) throws(UsageError) {
        var rest = operands[...]
        for operand in table {
            let words: ArraySlice<String>
            switch operand.arity {
            case .one:
                guard !rest.isEmpty else { throw UsageError("missing", subject: operand.placeholder) }
                words = rest.prefix(1)
            case .optional: words = rest.prefix(1)
            case .any: words = rest
            }
            rest = rest.dropFirst(words.count)
            for word in words {
                do { try operand.apply(word, &options) } catch {
                    throw UsageError(error.message, subject: operand.placeholder, hint: error.hint)
                }
            }
        }
        if let extra = rest.first { throw UsageError("unexpected argument", subject: Escape.shown(extra)) }
    }
}
