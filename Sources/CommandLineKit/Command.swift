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
    /// What its output holds; a command below another has the same.
    public let output: OutputSchema
    /// The columns of its tables, for `--columns`.
    public let columns: [Column]
    /// The commands below it. A first word that names one of them is that command, and not an operand.
    public let subcommands: [Command]
    /// The commands of the interactive session that it opens; they stand for themselves there, and nowhere else.
    public let session: [Command]
    /// Whether it does something without one of the commands below it.
    public let isRunnable: Bool
    /// Whether help and the manual leave it out: for programs only.
    public let isHidden: Bool

    /// Turns what was parsed into a run.
    let prepare: @Sendable (ParsedWords) throws(UsageError) -> Run

    /// A command that is ready to run.
    public typealias Run = @Sendable (Context) async throws -> CommandOutput

    /// A command with options of its own.
    public init<Options: Sendable>(
        _ name: String, aliases: [String] = [], summary: String, discussion: [Prose] = [], output: OutputSchema,
        columns: [Column] = [], options: @escaping @Sendable () -> Options, flags: [Flag<Options>] = [],
        operands: [Operand<Options>] = [], examples: [Example], exitCodes: [ExitCode] = [],
        subcommands: [Command] = [], session: [Command] = [], isHidden: Bool = false,
        run: @escaping @Sendable (Options, Context) async throws -> CommandOutput
    ) {
        self.name = name
        self.aliases = aliases
        self.summary = summary
        self.discussion = discussion
        self.output = output
        self.columns = columns
        // Closures: a key path of a generic type is made at run time, which costs more than the rest of the command.
        self.flags = flags.map { $0.definition }
        self.operands = operands.map { $0.definition }
        self.examples = examples
        self.exitCodes = exitCodes
        self.subcommands = subcommands
        self.session = session
        self.isRunnable = true
        self.isHidden = isHidden
        self.prepare = { (words) throws(UsageError) in
            var options = options()
            try words.apply(flags, to: &options)
            try words.apply(operands, to: &options)
            let final = options
            return { context in try await run(final, context) }
        }
    }

    /// A command that only groups others.
    public init(
        _ name: String, summary: String, discussion: [Prose] = [], output: OutputSchema, subcommands: [Command]
    ) {
        self.name = name
        self.aliases = []
        self.summary = summary
        self.discussion = discussion
        self.output = output
        self.columns = []
        self.flags = []
        self.operands = []
        self.examples = subcommands.compactMap { $0.examples.first }
        self.exitCodes = []
        self.subcommands = subcommands
        self.session = []
        self.isRunnable = false
        self.isHidden = false
        self.prepare = { (_) throws(UsageError) in
            let names = subcommands.map { $0.name }
            throw UsageError("a subcommand is missing", subject: name, hint: "one of \(names.joined(separator: ", "))")
        }
    }
}

extension Command {
    /// Whether a word is one of its names.
    func isNamed(_ word: String) -> Bool { name == word || aliases.contains(word) }
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
            case .rest: words = rest.isEmpty ? [] : [rest.joined(separator: " ")]
            }
            rest = operand.arity == .rest ? [] : rest.dropFirst(words.count)
            for word in words {
                do { try operand.apply(word, &options) } catch {
                    throw UsageError(error.message, subject: operand.placeholder, hint: error.hint)
                }
            }
        }
        if let extra = rest.first { throw UsageError("unexpected argument", subject: Escape.shown(extra)) }
    }
}
