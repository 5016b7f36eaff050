import CommandLineKit
import EgoTestKit
import Testing

private struct Global: Sendable, Hashable {
    var store = "default"
    var isQuiet = false
    var headers = true
}

private struct Own: Sendable, Hashable {
    var limit: Int?
    var tags: [String] = []
    var pair: [String] = []
    var isAll = false
    var words: [String] = []
}

private func table(_ seen: @escaping @Sendable (Own) -> Void = { _ in }) -> CommandTable<Global, Void> {
    let flags: [Flag<Own>] = [
        Flag("limit", short: "l", arity: .value(placeholder: "N", completion: .none), summary: "the most") {
            (value, options) throws(UsageError) in
            guard let number = Int(value.text) else { throw UsageError("no number") }
            options.limit = number
        },
        Flag("tag", arity: .value(placeholder: "T", completion: .none), summary: "a tag", isRepeatable: true) {
            (value, options) in options.tags.append(value.text)
        },
        Flag("diff", arity: .pair("A", "B"), summary: "two") { (value, options) in
            if case .pair(let first, let second) = value { options.pair = [first, second] }
        },
        Flag("all", short: "a", arity: .toggle(negated: true), summary: "all of them") { (value, options) in
            options.isAll = value.isOn
        },
    ]
    let run: @Sendable (Own, Void) async throws -> CommandOutput = { options, _ in
        seen(options)
        return CommandOutput()
    }
    let schema = OutputSchema("tool/1", [])
    return CommandTable(
        program: "tool", summary: "a tool",
        globalFlags: [
            Flag("store", short: "s", arity: .value(placeholder: "URL", completion: .none), summary: "the store") {
                (value, options) in options.store = value.text
            },
            Flag("quiet", short: "q", arity: .toggle(negated: false), summary: "say less") { (value, options) in
                options.isQuiet = value.isOn
            },
            Flag("headers", arity: .toggle(negated: true), summary: "titles") { (value, options) in
                options.headers = value.isOn
            },
        ],
        commands: [
            Command(
                "list", aliases: ["ls"], summary: "list things", output: schema, options: { Own() }, flags: flags,
                operands: [
                    Operand("ID", arity: .any, summary: "which") { (word, options) in options.words.append(word) }
                ],
                examples: [Example("list", "all of them")], run: run),
            Command(
                "snapshot", summary: "look after snapshots", output: schema,
                subcommands: [
                    Command(
                        "create", summary: "create one", output: schema, options: { Own() }, flags: flags,
                        operands: [
                            Operand("ID", arity: .one, summary: "which") { (word, options) in options.words.append(word)
                            }
                        ], examples: [Example("snapshot create a", "one")], run: run)
                ]),
        ])
}

@Suite("The parser")
struct ParserTests {
    private func error(_ arguments: String...) -> String {
        do {
            _ = try table().parse(arguments, global: Global())
            return "no error"
        } catch {
            return error.description + (error.hint.map { " / \($0)" } ?? "")
        }
    }

    @Test("takes flags before and after the command, long and short, attached or apart")
    func flags() throws {
        for words in [
            ["list", "--store", "x", "-l", "3"], ["--store=x", "list", "-l3"], ["-sx", "ls", "--limit=3"],
            ["list", "-s=x", "-l=3"], ["-q", "--store", "y", "list", "--store", "x", "--limit", "9", "--limit", "3"],
        ] {
            let line = try table().words(words)
            #expect(line.path == ["list"])
            #expect(line.global.flags.last { $0.long == "store" }?.value == .text("x"))
            #expect(line.own.flags.last?.value == .text("3"))
            #expect(try table().parse(words, global: Global()).global.store == "x")
        }
    }

    @Test("keeps an explicit empty value, clusters short flags, and ends flags at --")
    func details() throws {
        #expect(try table().parse(["list", "--store="], global: Global()).global.store == "")
        #expect(try table().parse(["list", "--store", ""], global: Global()).global.store == "")
        let cluster = try table().words(["list", "-qal5", "a", "--", "--limit", "-x"])
        #expect(cluster.own.operands == ["a", "--limit", "-x"])
        #expect(cluster.own.flags.map(\.long) == ["all", "limit"] && cluster.global.flags.map(\.long) == ["quiet"])
        #expect(try table().words(["list", "-"]).own.operands == ["-"])
        #expect(try table().words(["list", "--diff", "1", "-2"]).own.flags.first?.value == .pair("1", "-2"))
        #expect(try !table().parse(["list", "--no-headers"], global: Global()).global.headers)
        #expect(try table().parse(["list", "--limit", "-5"], global: Global()).path == ["list"])
    }

    @Test("names the word that is wrong, and the nearest right one")
    func errors() {
        #expect(error("lsit") == "lsit: unknown command / did you mean list?")
        #expect(error("xyzzy") == "xyzzy: unknown command / tool help lists all commands")
        #expect(error("list", "--limt", "3") == "--limt: unknown flag of list / did you mean --limit?")
        #expect(error("list", "-z") == "-z: unknown flag of list / tool list -h lists the flags")
        #expect(error("list", "--limit") == "--limit: a value is missing / --limit N")
        #expect(error("list", "--limit", "x") == "--limit: no number")
        #expect(error("list", "--all=yes") == "--all: it takes no value")
        #expect(error("list", "--diff", "1") == "--diff: two values are wanted / --diff A B")
        #expect(error("snapshot") == "snapshot: a subcommand is missing / one of create")
        #expect(error("snapshot", "creat") == "creat: unknown subcommand of snapshot / did you mean create?")
        #expect(error("snapshot", "create") == "ID: missing")
        #expect(error("snapshot", "create", "a", "b") == "b: unexpected argument")
        #expect(error("li\u{1b}[31m") == "li\\u{1b}[31m: unknown command / tool help lists all commands")
        #expect(error("list", "--no-quiet") == "--no-quiet: unknown flag of list / tool list -h lists the flags")
    }

    @Test("finds help anywhere")
    func help() throws {
        #expect(try table().parse(["snapshot", "create", "-h"], global: Global()).help == .short)
        #expect(try table().parse(["list", "--help", "--limit", "x"], global: Global()).help == .long)
        #expect(try table().parse(["--version"], global: Global()).help == .version)
    }

    @Test("reads what it writes", arguments: [UInt64.random(in: 0...UInt64.max), 1, 2])
    func roundTrip(_ seed: UInt64) throws {
        print("seed \(seed)")
        var random = SeededGenerator(seed: seed)
        let values = ["", "a", "-", "--", "-x", "--limit", "=", "a=b", "é\n\t\"", "7", " "]
        for _ in 0..<2_000 {
            var line = ParsedLine()
            line.path = [["list"], ["snapshot", "create"]].randomElement(using: &random) ?? []
            for _ in 0..<Int.random(in: 0...3, using: &random) {
                let text = values.randomElement(using: &random) ?? ""
                let other = values.randomElement(using: &random) ?? ""
                let choices: [ParsedWords.ParsedFlag] = [
                    .init(long: "limit", value: .text(text)), .init(long: "tag", value: .text(text)),
                    .init(long: "diff", value: .pair(text, other)), .init(long: "all", value: .toggle(true)),
                    .init(long: "all", value: .toggle(false)),
                ]
                line.own.flags.append(choices.randomElement(using: &random) ?? choices[0])
                let globals: [ParsedWords.ParsedFlag] = [
                    .init(long: "store", value: .text(text)), .init(long: "quiet", value: .toggle(true)),
                    .init(long: "headers", value: .toggle(false)),
                ]
                line.global.flags.append(globals.randomElement(using: &random) ?? globals[0])
            }
            line.own.operands = (0..<Int.random(in: 0...3, using: &random)).map { _ in
                values.randomElement(using: &random) ?? ""
            }
            line.help = [nil, .short, .long, .version].randomElement(using: &random) ?? nil
            let words = table().render(line)
            #expect(try table().words(words) == line, "\(words)")
        }
    }

    @Test("ends well on any words", arguments: [UInt64.random(in: 0...UInt64.max), 3])
    func fuzz(_ seed: UInt64) {
        print("seed \(seed)")
        var random = SeededGenerator(seed: seed)
        let pieces = [
            "list", "snapshot", "create", "--", "-", "--limit", "-l", "=", "--diff", "no-", "\u{0}", "é", "-qqq",
            "--store",
            "\n", "9", "-h", "--=", "---",
        ]
        for _ in 0..<20_000 {
            let words = (0..<Int.random(in: 0...6, using: &random)).map { _ in
                (0..<Int.random(in: 0...3, using: &random)).map { _ in pieces.randomElement(using: &random) ?? "" }
                    .joined()
            }
            do {
                _ = try table().parse(words, global: Global())
            } catch {
                #expect(!error.message.isEmpty)
            }
        }
    }

    @Test("the table of this test is in order")
    func problems() {
        #expect(table().problems == [])
    }
}
