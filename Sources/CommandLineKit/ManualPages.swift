/// A page of the manual as a file.
public struct ManualPage: Sendable, Hashable {
    /// The file's name, as `ego-replay.1`.
    public var file: String
    /// The page in mdoc.
    public var text: String
}

extension CommandTable {
    /// All pages: the program's, one of each command, and the topics.
    public var manualPages: [ManualPage] {
        let manual = manual
        return [ManualPage(file: "\(program).1", text: programPage)]
            + commands.filter { !$0.isHidden }.map { command in
                ManualPage(file: "\(program)-\(command.name).1", text: page(of: command))
            }
            + manual.topics.map { ManualPage(file: "\($0.name).\($0.section)", text: page(of: $0)) }
    }

    private var programPage: String {
        var page = Mdoc(program, section: 1, summary: summary)
        page.section("SYNOPSIS")
        page.line(".Nm")
        page.line(".Op Ar flags")
        page.line(".Ar COMMAND")
        page.line(".Op Ar ...")
        page.section("DESCRIPTION")
        prose(manual.description, &page)
        page.section("COMMANDS")
        page.definitions(
            commands.filter { !$0.isHidden }.map { command in
                (".Xr \(program)-\(Mdoc.word(command.name)) 1", { $0.text([command.summary]) })
            })
        page.section("OPTIONS")
        page.paragraph { $0.text(["Every command takes these, before or after its name:"]) }
        flags(globalFlags.map(\.definition), &page)
        environment(&page)
        entries("FILES", manual.files, ".Pa", &page)
        exitStatus(ExitCode.all, &page)
        page.section("EXAMPLES")
        for command in commands.prefix(8) {
            if let example = command.examples.first { self.example(example, &page) }
        }
        let pages =
            commands.filter { !$0.isHidden }.map { ("\(program)-\($0.name)", 1) }
            + manual.topics.map { ($0.name, $0.section) }
        seeAlso(pages, &page)
        return page.text
    }

    private func page(of command: Command<Context>) -> String {
        let path = [command.name]
        var page = Mdoc("\(program)-\(command.name)", section: 1, summary: command.summary)
        page.section("SYNOPSIS")
        if command.isRunnable { synopsis(command, path, &page) }
        for below in command.subcommands { synopsis(below, path + [below.name], &page) }
        page.section("DESCRIPTION")
        if !command.aliases.isEmpty {
            page.paragraph { $0.text(["Also: \(command.aliases.joined(separator: ", "))."]) }
        }
        if command.discussion.isEmpty { page.paragraph { $0.text([Self.sentence(command.summary)]) } }
        prose(command.discussion, &page)
        parameters(command, &page)
        for below in command.subcommands {
            page.line(".Ss \(program) \(Mdoc.words("\(command.name) \(below.name)"))")
            page.paragraph { $0.text([Self.sentence(below.summary)]) }
            prose(below.discussion, &page)
            parameters(below, &page)
        }
        sessionSection(command.session, &page)
        page.paragraph { paragraph in
            paragraph.text(["The flags of every command are in"])
            paragraph.line(".Xr \(program) 1 .")
        }
        environment(&page)
        entries("FILES", manual.files, ".Pa", &page)
        exitStatus(
            Array(Set(([command] + command.subcommands).flatMap(\.exitCodes) + [.ok, .usage, .io])), &page)
        page.section("EXAMPLES")
        let examples = (command.isRunnable ? command.examples : []) + command.subcommands.flatMap(\.examples)
        for example in examples { self.example(example, &page) }
        seeAlso([(program, 1)] + manual.topics.map { ($0.name, $0.section) }, &page)
        return page.text
    }

    private func page(of topic: ManualTopic) -> String {
        var page = Mdoc(topic.name, section: topic.section, summary: topic.summary)
        for chapter in topic.chapters {
            page.section(chapter.title)
            prose(chapter.text, &page)
        }
        let others = manual.topics.filter { $0.name != topic.name }.map { ($0.name, $0.section) }
        seeAlso([(program, 1)] + others, &page)
        return page.text
    }

    private func sessionSection(_ commands: [Command<Context>], _ page: inout Mdoc) {
        if commands.isEmpty { return }
        page.section("SESSION")
        for command in commands.filter({ !$0.isHidden }) {
            let operands = command.operands.map { operand in
                switch operand.arity {
                case .one: operand.placeholder
                case .optional, .rest: "[\(operand.placeholder)]"
                case .any: "[\(operand.placeholder) ...]"
                }
            }
            page.line(".Ss \(Mdoc.words((["\\\(command.name)"] + operands).joined(separator: " ")))")
            page.paragraph { $0.text([Self.sentence(command.summary)]) }
            if !command.aliases.isEmpty {
                page.paragraph { paragraph in
                    paragraph.text(["Also: \(command.aliases.map { "\\\($0)" }.joined(separator: ", "))."])
                }
            }
            prose(command.discussion, &page)
            flags(command.flags, &page)
            for example in command.examples {
                page.paragraph { $0.text([Self.sentence(example.summary, end: ":")]) }
                page.code("\\" + example.arguments)
            }
        }
    }

    private func synopsis(_ command: Command<Context>, _ path: [String], _ page: inout Mdoc) {
        page.line(".Nm \(Mdoc.words(([program] + path).joined(separator: " ")))")
        page.line(".Op Ar flags")
        for operand in command.operands {
            switch operand.arity {
            case .one: page.line(".Ar \(Mdoc.word(operand.placeholder))")
            case .optional: page.line(".Op Ar \(Mdoc.word(operand.placeholder))")
            case .any: page.line(".Op Ar \(Mdoc.word(operand.placeholder)) ...")
            case .rest: page.line(".Op Ar \(Mdoc.word(operand.placeholder))")
            }
        }
    }

    private func parameters(_ command: Command<Context>, _ page: inout Mdoc) {
        if !command.operands.isEmpty {
            page.definitions(
                command.operands.map { operand in
                    (".Ar \(Mdoc.word(operand.placeholder))", { $0.text([operand.summary]) })
                })
        }
        flags(command.flags, &page)
        if !command.columns.isEmpty {
            page.paragraph { paragraph in
                paragraph.text(["Columns:"])
                paragraph.text([command.columns.map(\.name).joined(separator: ", ") + "."])
            }
        }
    }

    private func flags(_ flags: [FlagDefinition], _ page: inout Mdoc) {
        if flags.isEmpty { return }
        page.definitions(
            flags.map { flag in
                let short = flag.short.map { "Fl \($0) , " } ?? ""
                var head = ".\(short)Fl -\(Mdoc.word(flag.long))"
                var summary = flag.summary
                switch flag.arity {
                case .toggle(let negated):
                    if negated { head = ".\(short)Fl -\(Mdoc.word(flag.long)) , Fl -no-\(Mdoc.word(flag.long))" }
                case .pair(let first, let second): head += " Ar \(Mdoc.word(first)) \(Mdoc.word(second))"
                case .value(let placeholder, let completion):
                    head += " Ar \(Mdoc.word(placeholder))"
                    if case .choices(let choices) = completion { summary += ": \(choices.joined(separator: ", "))" }
                }
                return (head, { $0.text([summary]) })
            })
    }

    private func environment(_ page: inout Mdoc) { entries("ENVIRONMENT", manual.environment, ".Ev", &page) }

    private func entries(_ title: String, _ entries: [ManualEntry], _ macro: String, _ page: inout Mdoc) {
        if entries.isEmpty { return }
        page.section(title)
        page.definitions(entries.map { entry in ("\(macro) \(Mdoc.words(entry.name))", { inlines(entry.text, &$0) }) })
    }

    private func exitStatus(_ codes: [ExitCode], _ page: inout Mdoc) {
        page.section("EXIT STATUS")
        page.definitions(
            codes.sorted { $0.number < $1.number }.map { code in
                (".Er \(code.number)", { $0.text(["\(code.name): \(code.meaning)"]) })
            })
    }

    private func example(_ example: Example, _ page: inout Mdoc) {
        page.paragraph { $0.text([Self.sentence(example.summary, end: ":")]) }
        page.code("$ \(program) \(example.arguments)")
    }

    private func seeAlso(_ pages: [(String, Int)], _ page: inout Mdoc) {
        page.section("SEE ALSO")
        // By section and then by name, as mandoc wants it.
        let sorted = pages.sorted { ($0.1, $0.0) < ($1.1, $1.0) }
        for (index, entry) in sorted.enumerated() {
            page.line(".Xr \(Mdoc.word(entry.0)) \(entry.1)\(index == sorted.count - 1 ? "" : " ,")")
        }
    }

    private func prose(_ prose: [Prose], _ page: inout Mdoc) {
        for piece in prose {
            switch piece {
            case .paragraph(let text): page.paragraph { inlines(text, &$0) }
            case .code(let code): page.code(code)
            case .list(let items): page.list(items.map { item in { inlines(item, &$0) } })
            case .definitions(let entries):
                page.definitions(
                    entries.map { entry in (".Li \(Mdoc.words(entry.name))", { inlines(entry.text, &$0) }) })
            }
        }
    }

    private func inlines(_ inlines: [Inline], _ page: inout Mdoc) {
        page.text(inlines.map { $0.plain(program: program) })
    }

    private static func sentence(_ phrase: String, end: String = ".") -> String {
        phrase.prefix(1).uppercased() + phrase.dropFirst() + end
    }
}

/// A manual page that is being written, in the macros of mdoc(7).
struct Mdoc {
    private(set) var text: String
    /// Whether nothing but a heading stands before, where mdoc wants no paragraph.
    private var isAtStart = true

    init(_ name: String, section: Int, summary: String) {
        text = """
            .\\" Generated from the program's definition table; do not edit.
            .Dd $Mdocdate$
            .Dt \(name.uppercased()) \(section)
            .Os
            .Sh NAME
            .Nm \(name)
            .Nd \(Self.escaped(summary))

            """
    }

    mutating func line(_ line: String) {
        text += line + "\n"
        isAtStart = line.hasPrefix(".Sh") || line.hasPrefix(".Ss")
    }

    mutating func section(_ title: String) { line(".Sh \(title)") }

    mutating func paragraph(_ body: (inout Mdoc) -> Void) {
        if !isAtStart { text += ".Pp\n" }
        body(&self)
        isAtStart = false
    }

    /// Running text: a sentence a line, as mandoc wants it.
    mutating func text(_ parts: [String]) {
        var rest = parts.joined()[...]
        while let end = rest.firstRange(of: /[.!?] (?=[A-Z\-~$])/)?.lowerBound {
            text += Self.escaped(String(rest[...end])) + "\n"
            rest = rest[rest.index(end, offsetBy: 2)...]
        }
        text += Self.escaped(String(rest)) + "\n"
        isAtStart = false
    }

    mutating func code(_ code: String) {
        text += ".Bd -literal -offset indent\n"
        for line in code.split(separator: "\n", omittingEmptySubsequences: false) {
            text += Self.escaped(String(line)) + "\n"
        }
        text += ".Ed\n"
        isAtStart = false
    }

    mutating func list(_ items: [(inout Mdoc) -> Void]) {
        text += ".Bl -bullet\n"
        for item in items {
            text += ".It\n"
            item(&self)
        }
        text += ".El\n"
        isAtStart = false
    }

    /// Terms, each with what is said of it. A term is a line of macros.
    mutating func definitions(_ items: [(term: String, body: (inout Mdoc) -> Void)]) {
        text += ".Bl -tag -width Ds\n"
        for item in items {
            text += ".It \(item.term.dropFirst())\n"
            item.body(&self)
        }
        text += ".El\n"
        isAtStart = false
    }

    /// A word as an argument of a macro.
    static func word(_ word: String) -> String {
        let escaped = escaped(word).replacing("\"", with: "\\(dq")
        return escaped.contains(" ") ? "\"\(escaped)\"" : escaped
    }

    /// Several words as one argument of a macro.
    static func words(_ words: String) -> String {
        words.split(separator: " ").map { word(String($0)) }.joined(separator: " ")
    }

    /// Text in which nothing is taken for a macro or an escape.
    static func escaped(_ text: String) -> String {
        let safe = text.replacing("\\", with: "\\e").replacing("-", with: "\\-").replacing("'", with: "\\(aq")
            .replacing("`", with: "\\(ga").replacing("^", with: "\\(ha").replacing("~", with: "\\(ti")
        return safe.hasPrefix(".") ? "\\&" + safe : safe
    }
}
