/// What may stand at a place of a command line.
public enum CompletionAnswer: Sendable, Hashable {
    /// These words.
    case words([Candidate])
    /// Names of files.
    case files
    /// Values of the configured store or of the configuration, by the name of their source, as `entity`.
    case values(source: String, start: String)

    /// One word, and what it is.
    public struct Candidate: Sendable, Hashable {
        /// The word.
        public var word: String
        /// What it is; may be empty.
        public var summary: String

        /// A word.
        public init(_ word: String, _ summary: String = "") {
            self.word = word
            self.summary = summary
        }
    }
}

/// A place of a command line that is to be completed.
public struct CompletionPoint: Sendable, Hashable {
    /// What may stand there; words are those that begin with what is there already.
    public var answer: CompletionAnswer
    /// The part of the current word that stays in front, as `--output=`.
    public var prefix = ""
    /// The command whose word it is.
    public var path: [String]
    /// The words before it that are complete flags of every command, so that they count for what is looked up.
    public var line: ParsedLine
}

extension CommandTable {
    /// What may stand for the last word of a line.
    ///
    /// - Parameters:
    ///   - words: the words before it, without the program's name. What is wrong in them is overlooked.
    ///   - current: the start of the last word; may be empty.
    public func completion(after words: [String], current: String) -> CompletionPoint {
        var state = CompletionState()
        for word in words { advance(&state, word) }
        var point = CompletionPoint(answer: .words([]), path: state.line.path, line: state.line)
        if let pending = state.pending {
            point.answer = answer(pending, current)
        } else if !state.flagsEnded, current.hasPrefix("--"), let equals = current.firstIndex(of: "=") {
            let name = String(current[..<equals].dropFirst(2))
            if let flag = flag(long: name, state.line.path), case .value(_, let completion) = flag.arity {
                point.prefix = String(current[...equals])
                point.answer = answer(completion, String(current[current.index(after: equals)...]))
            }
        } else if !state.flagsEnded, current.hasPrefix("-") {
            point.answer = .words(flagWords(state.line.path).filter { $0.word.hasPrefix(current) })
        } else {
            point.answer = wordAnswer(state, current)
        }
        return point
    }

    private func advance(_ state: inout CompletionState, _ word: String) {
        if state.pending != nil {
            if let name = state.pendingName { state.line.global.flags.append(.init(long: name, value: .text(word))) }
            state.pending = state.pendingSecond
            state.pendingSecond = nil
            state.pendingName = nil
            return
        }
        if state.flagsEnded || !word.hasPrefix("-") || word == "-" {
            if state.line.own.operands.isEmpty, !state.flagsEnded, let name = name(of: word, below: state.line.path) {
                state.line.path.append(name)
            } else {
                state.line.own.operands.append(word)
            }
            return
        }
        if word == "--" {
            state.flagsEnded = true
        } else if word.hasPrefix("--") {
            let parts = word.dropFirst(2).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = parts.first.map(String.init), let flag = flag(long: name, state.line.path) else { return }
            take(flag, attached: parts.count == 2 ? String(parts[1]) : nil, &state)
        } else {
            // Of a cluster only the last flag can take its value from the next word.
            guard let last = word.last, let flag = flags(state.line.path).first(where: { $0.short == last }) else {
                return
            }
            take(flag, attached: nil, &state)
        }
    }

    private func take(_ flag: FlagDefinition, attached: String?, _ state: inout CompletionState) {
        let isGlobal = globalFlags.contains { $0.long == flag.long }
        switch flag.arity {
        case .toggle: break
        case .pair:
            state.pending = Completion.none
            state.pendingSecond = Completion.none
        case .value(_, let completion):
            if let attached {
                if isGlobal { state.line.global.flags.append(.init(long: flag.long, value: .text(attached))) }
            } else {
                state.pending = completion
                state.pendingName = isGlobal ? flag.long : nil
            }
        }
    }

    private func wordAnswer(_ state: CompletionState, _ current: String) -> CompletionAnswer {
        let command = command(at: state.line.path)
        let choices = state.line.path.isEmpty ? commands : command?.subcommands ?? []
        var words: [CompletionAnswer.Candidate] = []
        if state.line.own.operands.isEmpty, !state.flagsEnded {
            words = choices.filter { !$0.isHidden && $0.name.hasPrefix(current) }.map { .init($0.name, $0.summary) }
        }
        guard let operands = command?.operands, !operands.isEmpty else { return .words(words) }
        let place = state.line.own.operands.count
        let operand = place < operands.count ? operands[place] : operands.last { $0.arity == .any || $0.arity == .rest }
        guard let operand else { return .words(words) }
        let answer = answer(operand.completion, current)
        if words.isEmpty { return answer }
        if case .words(let more) = answer { words += more }
        return .words(words)
    }

    private func answer(_ completion: Completion, _ current: String) -> CompletionAnswer {
        switch completion {
        case .none: .words([])
        case .file: .files
        case .choices(let choices): .words(choices.filter { $0.hasPrefix(current) }.map { .init($0) })
        case .dynamic("command"):
            .words(commands.filter { !$0.isHidden && $0.name.hasPrefix(current) }.map { .init($0.name, $0.summary) })
        case .dynamic(let source): .values(source: source, start: current)
        }
    }

    private func flags(_ path: [String]) -> [FlagDefinition] {
        (command(at: path)?.flags ?? []) + globalFlags.map { $0.definition }
    }

    private func flag(long: String, _ path: [String]) -> FlagDefinition? { flags(path).first { $0.long == long } }

    private func flagWords(_ path: [String]) -> [CompletionAnswer.Candidate] {
        let named = flags(path).flatMap { flag -> [CompletionAnswer.Candidate] in
            let word = CompletionAnswer.Candidate("--\(flag.long)", flag.summary)
            if flag.arity == .toggle(negated: true) { return [word, .init("--no-\(flag.long)", flag.summary)] }
            return [word]
        }
        return named + [.init("--help", "tell everything about the command"), .init("--version", "show the version")]
    }
}

/// How far the words before the current one were understood.
private struct CompletionState {
    var line = ParsedLine()
    var flagsEnded = false
    /// What the next word is the value of.
    var pending: Completion?
    var pendingSecond: Completion?
    var pendingName: String?
}
