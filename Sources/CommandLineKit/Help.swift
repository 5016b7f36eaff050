extension CommandTable {
    /// The overview of all commands.
    public func overview(width: Int) -> String {
        var text = "\(program): \(summary)\n\nUsage: \(program) [flags] COMMAND [...]\n\nCommands:\n"
        text += Self.columns(commands.filter { !$0.isHidden }.map { ($0.name, $0.summary) }, width)
        text += "\nFlags of every command:\n" + Self.columns(globalFlags.map { Self.row($0.definition) }, width)
        text += "\n\(program) COMMAND -h tells more about one, \(program) COMMAND --help everything.\n"
        return text
    }

    /// The help of one command: its usage and flags, and in the long form everything.
    public func help(for path: [String], _ request: HelpRequest, width: Int) -> String? {
        guard let command = command(at: path) else { return nil }
        let name = spelled(path)
        var text = "\(name): \(command.summary)\n\nUsage: \(usage(command, name))\n"
        if !command.aliases.isEmpty { text += "Also: \(command.aliases.joined(separator: ", "))\n" }
        if request == .long {
            for prose in command.discussion { text += "\n" + rendered(prose, width) }
        }
        if !command.subcommands.isEmpty {
            text += "\nCommands:\n" + Self.columns(command.subcommands.map { ($0.name, $0.summary) }, width)
        }
        if !command.session.isEmpty {
            text += "\nIn the session:\n" + sessionOverview(command.session, width)
        }
        let operands = command.operands.map { ($0.placeholder, $0.summary) }
        if !operands.isEmpty { text += "\nArguments:\n" + Self.columns(operands, width) }
        if !command.flags.isEmpty { text += "\nFlags:\n" + Self.columns(command.flags.map(Self.row), width) }
        if request == .long, !command.columns.isEmpty {
            text +=
                "\nColumns:\n"
                + Self.wrapped(
                    command.columns.map(\.name).joined(separator: ", "), width, first: "  ", rest: "  ")
        }
        guard request == .long else {
            return text + "\n\(name) --help tells more, with examples and exit codes.\n"
        }
        text += "\nFlags of every command:\n" + Self.columns(globalFlags.map { Self.row($0.definition) }, width)
        text += "\nExamples:\n"
        for example in command.examples {
            text += Self.wrapped(example.summary, width, first: "  # ", rest: "  # ")
            text += "  \(prefix)\(example.arguments)\n"
        }
        let codes = Set([ExitCode.ok, .usage, .io] + command.exitCodes).sorted { $0.number < $1.number }
        text += "\nExit codes:\n" + Self.columns(codes.map { (String($0.number), $0.meaning) }, width)
        return text
    }

    /// What there is to type in a session.
    public func sessionOverview(_ commands: [Command<Context>], _ width: Int) -> String {
        Self.columns(
            commands.filter { !$0.isHidden }.map { (usage($0, "\\\($0.name)", flags: ""), $0.summary) }, width)
    }

    private func usage(_ command: Command<Context>, _ name: String, flags: String = "[flags]") -> String {
        if !command.isRunnable { return "\(name) COMMAND [...]" }
        let words = command.operands.map { operand in
            switch operand.arity {
            case .one: operand.placeholder
            case .optional: "[\(operand.placeholder)]"
            case .any: "[\(operand.placeholder)...]"
            case .rest: "[\(operand.placeholder)]"
            }
        }
        return ([name, flags].filter { !$0.isEmpty } + words).joined(separator: " ")
    }

    private func rendered(_ prose: Prose, _ width: Int) -> String {
        switch prose {
        case .paragraph(let inlines):
            Self.wrapped(inlines.map { $0.plain(program: program) }.joined(), width)
        case .code(let code):
            code.split(separator: "\n", omittingEmptySubsequences: false).map { "    \($0)\n" }.joined()
        case .list(let items):
            items.map { item in
                Self.wrapped(item.map { $0.plain(program: program) }.joined(), width, first: "  - ", rest: "    ")
            }.joined()
        case .definitions(let entries):
            Self.columns(entries.map { ($0.name, $0.text.map { $0.plain(program: program) }.joined()) }, width)
        }
    }

    private static func row(_ flag: FlagDefinition) -> (String, String) {
        let short = flag.short.map { "-\($0), " } ?? "    "
        switch flag.arity {
        case .toggle(let negated): return ("\(short)--\(negated ? "[no-]" : "")\(flag.long)", flag.summary)
        case .pair(let first, let second): return ("\(short)--\(flag.long) \(first) \(second)", flag.summary)
        case .value(let placeholder, let completion):
            var summary = flag.summary
            if case .choices(let choices) = completion, placeholder != choices.joined(separator: "|") {
                summary += ": \(choices.joined(separator: ", "))"
            }
            return ("\(short)--\(flag.long) \(placeholder)", summary)
        }
    }

    private static func columns(_ rows: [(String, String)], _ width: Int) -> String {
        // On a narrow terminal long names have a line of their own, so that there is room for what is said of them.
        let limit = width < 70 ? max(8, width / 3) : 34
        let first = min(limit, rows.map { TextWidth.columns($0.0) }.max() ?? 0)
        let indent = String(repeating: " ", count: first + 4)
        return rows.map { name, text in
            let padding = String(repeating: " ", count: max(0, first - TextWidth.columns(name)))
            let start = "  \(name)\(padding)  "
            if TextWidth.columns(name) > first {
                return "  \(name)\n" + wrapped(text, width, first: indent, rest: indent)
            }
            return wrapped(text, width, first: start, rest: indent)
        }.joined()
    }

    private static func wrapped(_ text: String, _ width: Int, first: String = "", rest: String = "") -> String {
        var result = ""
        var line = first
        var isEmpty = true
        for word in text.split(separator: " ") {
            if !isEmpty, TextWidth.columns(line) + 1 + TextWidth.columns(String(word)) > max(width, 40) {
                result += line + "\n"
                line = rest
                isEmpty = true
            }
            line += (isEmpty ? "" : " ") + word
            isEmpty = false
        }
        return result + line + "\n"
    }
}
