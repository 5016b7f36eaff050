/// A program's whole command line: the only source of parser, help, man pages and completions.
public struct CommandTable<Global: Sendable, Context: Sendable>: Sendable {
    /// The program's name.
    public let program: String
    /// What the program is, in under 60 characters, without full stop.
    public let summary: String
    /// Flags that every command takes, before or after its name.
    public let globalFlags: [Flag<Global>]
    /// The commands, in the order in which help shows them, made when they are wanted.
    public let entries: [CommandEntry<Context>]
    /// The commands, in the same order; all of them are made.
    public var commands: [Command<Context>] { entries.map { $0.command } }
    /// What the manual tells beside flags and commands; made when somebody asks for it.
    public var manual: Manual { makeManual() }

    /// What stands before the name of a command where it is typed: the program's name, or a sign of a session.
    public let prefix: String

    private let makeManual: @Sendable () -> Manual

    /// A table with the given parts.
    public init(
        program: String, prefix: String? = nil, summary: String, globalFlags: [Flag<Global>],
        entries: [CommandEntry<Context>], manual: @escaping @Sendable () -> Manual = { Manual() }
    ) {
        self.program = program
        self.prefix = prefix ?? program + " "
        self.summary = summary
        self.globalFlags = globalFlags
        self.entries = entries
        self.makeManual = manual
    }

    /// A table of commands that are there already.
    public init(
        program: String, prefix: String? = nil, summary: String, globalFlags: [Flag<Global>],
        commands: [Command<Context>], manual: @escaping @Sendable () -> Manual = { Manual() }
    ) {
        self.init(
            program: program, prefix: prefix, summary: summary, globalFlags: globalFlags,
            entries: commands.map { CommandEntry($0) }, manual: manual)
    }

    /// The command of a path, such as `["snapshot", "list"]`.
    public func command(at path: [String]) -> Command<Context>? {
        guard let first = path.first else { return nil }
        var found = entries.first { $0.isNamed(first) }?.command
        for name in path.dropFirst() { found = found?.subcommands.first { $0.isNamed(name) } }
        return found
    }

    /// The name of the command that a word means below the command of a path; nil where there is none.
    func name(of word: String, below path: [String]) -> String? {
        path.isEmpty
            ? entries.first { $0.isNamed(word) }?.name
            : command(at: path)?.subcommands.first { $0.isNamed(word) }?.name
    }

    /// Whether there are commands below the command of a path.
    func hasCommands(below path: [String]) -> Bool {
        path.isEmpty ? !entries.isEmpty : command(at: path)?.subcommands.isEmpty == false
    }

    /// A command as it is typed, as `ego snapshot list`.
    public func spelled(_ path: [String]) -> String {
        path.isEmpty ? program : prefix + path.joined(separator: " ")
    }

    /// What the output of the command of a path holds.
    public func output(of path: [String]) -> OutputSchema? { path.first.flatMap { command(at: [$0])?.output } }

    /// Every command with its path, parents before children; hidden ones are left out.
    public var allCommands: [(path: [String], command: Command<Context>)] {
        func below(_ path: [String], _ commands: [Command<Context>]) -> [(path: [String], command: Command<Context>)] {
            commands.filter { !$0.isHidden }.flatMap { command in
                [(path + [command.name], command)] + below(path + [command.name], command.subcommands)
            }
        }
        return below([], commands)
    }

    /// What is wrong with the table itself; empty when nothing is. Checked by a test.
    public var problems: [String] {
        var problems: [String] = []
        func check(_ summary: String, _ what: String) {
            if summary.count >= 60 { problems.append("\(what): the summary has \(summary.count) characters") }
            if summary.hasSuffix(".") || summary.isEmpty { problems.append("\(what): the summary is no phrase") }
        }
        check(summary, program)
        let globals = globalFlags.map { $0.definition }
        let manual = manual
        for entry in entries where entry.name != entry.command.name || entry.aliases != entry.command.aliases {
            problems.append("\(entry.name): the command has other names than its entry")
        }
        for (path, command) in allCommands {
            let what = path.joined(separator: " ")
            check(command.summary, what)
            if command.examples.isEmpty { problems.append("\(what): no example") }
            for example in command.examples { check(example.summary, "\(what): example \(example.arguments)") }
            let flags = globals + command.flags
            for flag in flags { check(flag.summary, "\(what) --\(flag.long)") }
            if Set(flags.map(\.long)).count != flags.count { problems.append("\(what): a flag is there twice") }
            let shorts = flags.compactMap(\.short)
            if Set(shorts).count != shorts.count { problems.append("\(what): a short flag is there twice") }
            for inline in command.discussion.flatMap(\.inlines) {
                switch inline {
                case .text: break
                case .page(let name, _):
                    if !manual.topics.contains(where: { $0.name == name }) {
                        problems.append("\(what): no page \(name)")
                    }
                case .flag(let name):
                    if !flags.contains(where: { $0.long == name }) { problems.append("\(what): no flag \(name)") }
                case .command(let reference):
                    if self.command(at: reference.split(separator: " ").map(String.init)) == nil {
                        problems.append("\(what): no command \(reference)")
                    }
                }
            }
            for command in command.session {
                check(command.summary, "\\\(command.name)")
                if command.examples.isEmpty { problems.append("\\\(command.name): no example") }
                for flag in command.flags { check(flag.summary, "\\\(command.name) --\(flag.long)") }
            }
            let sessionNames = command.session.flatMap { [$0.name] + $0.aliases }
            if Set(sessionNames).count != sessionNames.count { problems.append("\(what): a name is there twice") }
            let own = [command.output.name, self.command(at: [path[0]])?.output.name ?? ""]
            if own[0] != own[1] { problems.append("\(what): its output is not that of \(path[0])") }
            let open = command.operands.dropLast().filter { $0.arity != .one }
            if !open.isEmpty { problems.append("\(what): only the last operand may be optional") }
            let siblings = path.count == 1 ? commands : self.command(at: path.dropLast())?.subcommands ?? []
            let names = siblings.flatMap { [$0.name] + $0.aliases }
            if Set(names).count != names.count { problems.append("\(what): a name is there twice") }
        }
        return problems
    }
}
