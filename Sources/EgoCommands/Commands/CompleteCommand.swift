import CommandLineKit
import EgoCore
import EgoOperations

/// What `ego __complete` was told.
private struct CompleteOptions: Sendable {
    var shell = Shell.fish
    var words: [String] = []

    enum Shell: String, CaseIterable {
        case bash, zsh, fish
    }
}

extension Command where Context == CommandContext {
    /// What completion scripts call: the first line of the answer is `words` or `files`, then a word a line, with a tab
    /// and what it is for shells that show it. Silent and empty on any error, and when it takes too long.
    static var complete: Command {
        Command(
            "__complete", summary: "tell a shell what may stand on a command line", output: .generate,
            options: { CompleteOptions() },
            operands: [
                Operand("SHELL", arity: .one, summary: "the shell that asks") {
                    (word, options) throws(UsageError) in options.shell = try choice(word, "shell")
                },
                Operand("WORD", arity: .any, summary: "the words, the last one to be completed") {
                    (word, options) in options.words.append(word)
                },
            ],
            examples: [Example("__complete fish -- rep", "what may follow")], isHidden: true
        ) { options, context in
            // Work that cannot be stopped ends with the process.
            let text = await within(.milliseconds(250)) { await answer(options, context) } ?? ""
            return CommandOutput(text: text)
        }
    }

    private static func answer(_ options: CompleteOptions, _ context: CommandContext) async -> String {
        var words = options.words
        var breaks = ""
        if options.shell == .bash {
            // The whole line, and the characters at which bash splits words.
            breaks = words.dropFirst().first ?? ""
            words = Array(ShellWords.split(words.first ?? "").dropFirst())
        }
        let current = words.popLast() ?? ""
        let point = context.table().completion(after: words, current: current)
        var candidates: [CompletionAnswer.Candidate]
        switch point.answer {
        case .files: return "files\n"
        case .words(let words): candidates = words
        case .values(let source, let start):
            let values = CompletionValues(context, point)
            candidates = (try? await values.candidates(of: source, start: start)) ?? []
        }
        // A value that a terminal or a shell would take for something else is better typed by hand.
        candidates.removeAll { $0.word != Escape.shown($0.word) }
        if candidates.isEmpty { return "" }
        let lines = candidates.map { candidate -> String in
            switch options.shell {
            case .bash: ShellWords.replacement(point.prefix + candidate.word, for: current, breaks)
            case .zsh: candidate.word + (candidate.summary.isEmpty ? "" : "\t\(candidate.summary)")
            case .fish: point.prefix + candidate.word + (candidate.summary.isEmpty ? "" : "\t\(candidate.summary)")
            }
        }
        return "words\n" + lines.joined(separator: "\n") + "\n"
    }
}

/// Values of the configured store and of the configuration, for completion.
struct CompletionValues {
    private let context: CommandContext
    private let point: CompletionPoint
    /// How many values a shell is offered at most.
    private static let limit = 50

    init(_ context: CommandContext, _ point: CompletionPoint) {
        // The flags of the line that is being typed count, such as its --store.
        var global = context.global
        for flag in GlobalOptions.flags {
            for parsed in point.line.global.flags where parsed.long == flag.long {
                try? flag.apply(parsed.value, &global)
            }
        }
        self.context = context.with(global)
        self.point = point
    }

    /// The values that begin with `start`, at most fifty.
    func candidates(of source: String, start: String) async throws -> [CompletionAnswer.Candidate] {
        switch source {
        case "entity":
            return try await context.reading { store in
                try await store.entities(EntityQuery(prefix: start, limit: Self.limit))
                    .map { .init($0.persistenceID.rawValue, $0.kind ?? "") }
            }
        case "job":
            return try await context.reading { try await $0.jobs() }
                .map { .init($0.id, $0.state.rawValue) }.filter { $0.word.hasPrefix(start) }
        case "projection":
            var found = Set(ProjectionCatalog(context).names)
            // What is declared is known without a store.
            if let records = try? await context.reading({ try await $0.projections() }) {
                found.formUnion(records.map(\.name))
            }
            return found.sorted().filter { $0.hasPrefix(start) }.map { .init($0) }
        case "column": return columns(start)
        default: return names(source).filter { $0.word.hasPrefix(start) }
        }
    }

    private func names(_ source: String) -> [CompletionAnswer.Candidate] {
        let domain = context.domain
        switch source {
        case "context": return context.configuration.contextNames.map { .init($0) }
        case "kind": return domain.kinds.map { .init($0.name) }
        case "command-type": return Self.types(domain.kinds.flatMap(\.commandTypes))
        case "event-type": return Self.types(domain.kinds.flatMap(\.eventTypes))
        case "page": return context.table().manualPages.map { .init($0.file) }
        case "schema":
            return OutputSchema.all(of: context.table().commands).map { schema in
                .init(String(schema.name.dropFirst(4).prefix { $0 != "/" }))
            }
        default: return []
        }
    }

    private static func types(_ types: [MessageType]) -> [CompletionAnswer.Candidate] {
        types.map { .init($0.shortName, $0.name) }
    }

    /// The columns of the command, after those that are there already.
    private func columns(_ start: String) -> [CompletionAnswer.Candidate] {
        let columns = context.table().command(at: point.path)?.columns ?? []
        let comma = start.lastIndex(of: ",").map { start[...$0] } ?? ""
        let chosen = comma.split(separator: ",").map(String.init)
        return columns.map(\.name).filter { !chosen.contains($0) }.map { .init(comma + $0) }
            .filter { $0.word.hasPrefix(start) }
    }
}

/// Words of a bash command line.
enum ShellWords {
    /// Splits the part of a line that stands before the cursor, as bash does; the last word may be empty or unfinished.
    static func split(_ line: String) -> [String] {
        var words: [String] = []
        var word = ""
        var hasWord = false
        var quote: Character?
        var isEscaped = false
        for character in line {
            if isEscaped {
                word.append(character)
                isEscaped = false
            } else if character == "\\", quote != "'" {
                isEscaped = true
                hasWord = true
            } else if let open = quote {
                if character == open { quote = nil } else { word.append(character) }
            } else if character == "'" || character == "\"" {
                quote = character
                hasWord = true
            } else if character == " " || character == "\t" {
                if hasWord || !word.isEmpty { words.append(word) }
                (word, hasWord) = ("", false)
            } else {
                word.append(character)
            }
        }
        return words + [word]
    }

    /// What bash has to put in place of the last part of a word, from the last character on at which it splits words.
    static func replacement(_ whole: String, for typed: String, _ breaks: String) -> String {
        var rest = whole[...]
        if whole.hasPrefix(typed), let last = typed.lastIndex(where: { breaks.contains($0) }) {
            rest = whole.dropFirst(typed[...last].count)
        }
        return rest.map { " \t'\"\\$`!&;|<>()[]{}*?#~".contains($0) ? "\\\($0)" : String($0) }.joined()
    }
}
