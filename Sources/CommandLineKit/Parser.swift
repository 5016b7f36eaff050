/// A command line that was understood.
public struct Invocation<Global: Sendable, Context: Sendable>: Sendable {
    /// The command's path; empty when none was given.
    public var path: [String]
    /// The global options.
    public var global: Global
    /// What was asked instead of a run.
    public var help: HelpRequest?
    /// The command, ready to run; nil when help was asked for or no command was given.
    public var run: Command<Context>.Run?
}

/// Which help was asked for.
public enum HelpRequest: Sendable, Hashable {
    /// `-h`
    case short
    /// `--help`
    case long
    /// `--version`
    case version
}

/// A command line as words, before options are made of them: what ``CommandTable/render(_:)`` writes and
/// ``CommandTable/words(_:)`` reads.
public struct ParsedLine: Sendable, Hashable {
    /// The command's path.
    public var path: [String] = []
    /// The global flags.
    public var global = ParsedWords()
    /// The command's own words.
    public var own = ParsedWords()
    /// Which help was asked for.
    public var help: HelpRequest?

    /// An empty line.
    public init() {}
}

extension CommandTable {
    /// Understands a command line, without the program's name.
    public func parse(
        _ arguments: [String], global start: Global
    ) throws(UsageError) -> Invocation<Global, Context> {
        let line = try words(arguments)
        var global = start
        try line.global.apply(globalFlags, to: &global)
        var run: Command<Context>.Run?
        if line.help == nil, let command = command(at: line.path) { run = try command.prepare(line.own) }
        return Invocation(path: line.path, global: global, help: line.help, run: run)
    }

    /// Splits a command line into flags and operands.
    public func words(_ arguments: [String]) throws(UsageError) -> ParsedLine {
        var line = ParsedLine()
        var rest = arguments[...]
        var flagsEnded = false
        while let word = rest.popFirst() {
            if !flagsEnded, word == "--" {
                flagsEnded = true
            } else if !flagsEnded, word.hasPrefix("--") {
                try parseLong(word, &rest, &line)
            } else if !flagsEnded, word.hasPrefix("-"), word != "-" {
                try parseShort(word, &rest, &line)
            } else {
                try parseWord(word, flagsEnded: flagsEnded, &line)
            }
        }
        return line
    }

    /// Writes a line so that ``words(_:)`` reads the same again.
    public func render(_ line: ParsedLine) -> [String] {
        func rendered(_ words: ParsedWords) -> [String] {
            words.flags.flatMap { flag in
                switch flag.value {
                case .toggle(true): ["--\(flag.long)"]
                case .toggle(false): ["--no-\(flag.long)"]
                case .text(let text): ["--\(flag.long)=\(text)"]
                case .pair(let first, let second): ["--\(flag.long)", first, second]
                }
            }
        }
        let help =
            switch line.help {
            case nil: [String]()
            case .short: ["-h"]
            case .long: ["--help"]
            case .version: ["--version"]
            }
        return rendered(line.global) + line.path + rendered(line.own) + help
            + (line.own.operands.isEmpty ? [] : ["--"] + line.own.operands)
    }

    private func parseWord(
        _ word: String, flagsEnded: Bool, _ line: inout ParsedLine
    ) throws(UsageError) {
        let parent = command(at: line.path)
        // After a first operand, or after `--`, a word that names a subcommand is an operand like any other.
        let isOperand =
            !hasCommands(below: line.path) || !line.own.operands.isEmpty
            || (flagsEnded && parent?.operands.isEmpty == false)
        if !isOperand, let name = name(of: word, below: line.path) {
            // What was given to a command that also does something by itself is not for the one below it.
            if let flag = line.own.flags.first {
                throw UsageError(
                    "it belongs after the subcommand", subject: "--\(flag.long)",
                    hint: "\(spelled(line.path + [name])) -h lists its flags")
            }
            line.path.append(name)
            return
        }
        if isOperand || parent?.operands.isEmpty == false {
            line.own.operands.append(word)
            return
        }
        let choices = line.path.isEmpty ? commands : parent?.subcommands ?? []
        let known = choices.filter { !$0.isHidden }.flatMap { [$0.name] + $0.aliases }
        let what = line.path.isEmpty ? "command" : "subcommand of \(line.path.joined(separator: " "))"
        throw UsageError(
            "unknown \(what)", subject: Escape.shown(word),
            hint: Suggestion.hint(for: word, among: known) ?? "\(prefix)help lists all commands")
    }

    private func parseLong(
        _ word: String, _ rest: inout ArraySlice<String>, _ line: inout ParsedLine
    ) throws(UsageError) {
        let body = word.dropFirst(2)
        let equals = body.firstIndex(of: "=")
        let name = String(body[..<(equals ?? body.endIndex)])
        let attached = equals.map { String(body[body.index(after: $0)...]) }
        if attached == nil,
            let help = [("help", HelpRequest.long), ("version", .version)].first(where: { $0.0 == name })
        {
            line.help = line.help ?? help.1
            return
        }
        let own = command(at: line.path)?.flags ?? []
        let globals = globalFlags.map { $0.definition }
        let negated = name.hasPrefix("no-") ? String(name.dropFirst(3)) : nil
        for (table, isGlobal) in [(own, false), (globals, true)] {
            for flag in table {
                let value: FlagValue
                switch flag.arity {
                case .value(let placeholder, _):
                    guard flag.long == name else { continue }
                    guard let text = attached ?? rest.popFirst() else {
                        throw UsageError("a value is missing", subject: "--\(name)", hint: "--\(name) \(placeholder)")
                    }
                    value = .text(text)
                case .pair(let first, let second):
                    guard flag.long == name else { continue }
                    guard attached == nil, let one = rest.popFirst(), let two = rest.popFirst() else {
                        throw UsageError(
                            "two values are wanted", subject: "--\(name)", hint: "--\(name) \(first) \(second)")
                    }
                    value = .pair(one, two)
                case .toggle(let isNegatable):
                    guard flag.long == name || (isNegatable && flag.long == negated) else { continue }
                    if attached != nil { throw UsageError("it takes no value", subject: "--\(name)") }
                    value = .toggle(flag.long == name)
                }
                line.add(flag.long, value, isGlobal: isGlobal)
                return
            }
        }
        let known = (own + globals).flatMap { flag in
            flag.arity == .toggle(negated: true) ? [flag.long, "no-\(flag.long)"] : [flag.long]
        }
        throw unknownFlag(
            "--\(name)", Suggestion.hint(for: name, among: known + ["help", "version"], prefix: "--"), line)
    }

    private func parseShort(
        _ word: String, _ rest: inout ArraySlice<String>, _ line: inout ParsedLine
    ) throws(UsageError) {
        var cluster = word.dropFirst()
        while let name = cluster.popFirst() {
            if name == "h" {
                line.help = line.help ?? .short
                continue
            }
            let own = command(at: line.path)?.flags.first { $0.short == name }
            guard let flag = own ?? globalFlags.first(where: { $0.definition.short == name })?.definition else {
                throw unknownFlag("-\(name)", nil, line)
            }
            switch flag.arity {
            case .toggle: line.add(flag.long, .toggle(true), isGlobal: own == nil)
            case .pair(let first, let second):
                guard cluster.isEmpty, let one = rest.popFirst(), let two = rest.popFirst() else {
                    throw UsageError("two values are wanted", subject: "-\(name)", hint: "-\(name) \(first) \(second)")
                }
                line.add(flag.long, .pair(one, two), isGlobal: own == nil)
            case .value(let placeholder, _):
                // `-ojson`, `-o=json` and `-o json` are the same.
                if cluster.first == "=" { cluster = cluster.dropFirst() }
                guard let text = cluster.isEmpty && !word.hasSuffix("=") ? rest.popFirst() : String(cluster) else {
                    throw UsageError("a value is missing", subject: "-\(name)", hint: "-\(name) \(placeholder)")
                }
                line.add(flag.long, .text(text), isGlobal: own == nil)
                return
            }
        }
    }

    private func unknownFlag(_ flag: String, _ hint: String?, _ line: ParsedLine) -> UsageError {
        let place = line.path.isEmpty ? "" : " of \(line.path.joined(separator: " "))"
        let help = spelled(line.path) + " -h"
        return UsageError("unknown flag\(place)", subject: Escape.shown(flag), hint: hint ?? "\(help) lists the flags")
    }
}

extension ParsedLine {
    fileprivate mutating func add(_ long: String, _ value: FlagValue, isGlobal: Bool) {
        let flag = ParsedWords.ParsedFlag(long: long, value: value)
        if isGlobal { global.flags.append(flag) } else { own.flags.append(flag) }
    }
}
