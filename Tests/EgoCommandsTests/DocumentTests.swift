import BankDomain
import CommandLineKit
import EgoTestKit
import Foundation
import Testing

@testable import EgoCommands

private let root = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../..")

@Suite("Manual and completion scripts")
struct DocumentTests {
    private let table = EgoCommandLine(domain: .bank, sample: BankSample()).table

    @Test("are byte for byte what the program generates")
    func committed() throws {
        let pages = Dictionary(uniqueKeysWithValues: table.manualPages.map { ($0.file, $0.text) })
        let scripts = ["ego.bash": table.bashScript, "_ego": table.zshScript, "ego.fish": table.fishScript]
        for (folder, files) in [("man", pages), ("completions", scripts)] {
            let url = root.appending(path: folder)
            let found = try FileManager.default.contentsOfDirectory(atPath: url.path)
            #expect(Set(found) == Set(files.keys), "run .dev/generate")
            for (name, text) in files {
                let committed = try? String(contentsOf: url.appending(path: name), encoding: .utf8)
                #expect(committed == text, "\(folder)/\(name): run .dev/generate")
            }
        }
    }

    @Test("pass their own tools without a warning")
    func lint() throws {
        let folder = try Workplace()
        for tool in ["groff", "mandoc", "zsh", "fish"] {
            try #require(try shell("command -v \(tool)", in: folder.url).code == 0, "\(tool) is not installed")
        }
        let result = try shell(
            """
            for page in '\(root.path)'/man/*; do
                mandoc -T lint -W warning "$page"
                groff -mandoc -T utf8 -ww -z "$page"
            done
            bash -n '\(root.path)/completions/ego.bash'
            zsh -n '\(root.path)/completions/_ego'
            fish --no-execute '\(root.path)/completions/ego.fish'
            """, in: folder.url)
        #expect(result.output + result.errors == "")
    }

    @Test("help and manual tell of the same commands and flags")
    func sameAsHelp() {
        for (path, command) in table.allCommands {
            let help = table.help(for: path, .long, width: 100) ?? ""
            let page = table.manualPages.first { $0.file == "ego-\(path[0]).1" }?.text ?? ""
            for flag in command.flags {
                #expect(help.contains("--\(flag.long)"))
                #expect(
                    page.contains("Fl \\-\(flag.long.replacing("-", with: "\\-"))")
                        || page.contains("Fl -\(flag.long.replacing("-", with: "\\-"))"), "\(path) \(flag.long)")
            }
            for example in command.examples { #expect(help.contains("ego \(example.arguments)")) }
        }
    }
}

@Suite("Completion", .serialized, .timeLimit(.minutes(2)))
struct CompletionTests {
    private let table = EgoCommandLine(domain: .bank, sample: BankSample()).table

    private func words(_ line: String) -> [String] {
        var words = line.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
        let current = words.removeLast()
        guard case .words(let found) = table.completion(after: words, current: current).answer else { return [] }
        return found.map(\.word)
    }

    @Test("knows what may stand at each place")
    func places() {
        #expect(words("") == table.commands.filter { !$0.isHidden }.map(\.name))
        #expect(words("re") == ["replay", "rebuild", "retain", "repl"])
        #expect(words("--store x -v re") == ["replay", "rebuild", "retain", "repl"])
        #expect(words("-o ") == ["table", "json", "jsonl", "csv", "plain"])
        #expect(words("status --output=js") == ["json", "jsonl"])
        #expect(words("snapshot ") == ["list", "create", "verify", "delete"])
        #expect(words("audit ") == ["verify"])
        #expect(words("replay --tr") == ["--trace"])
        #expect(words("replay --no-h") == ["--no-headers"])
        #expect(words("help sna") == ["snapshot"])
        #expect(words("generate schema --no-such-flag ") == [])
        func answer(_ words: String..., current: String) -> CompletionAnswer {
            table.completion(after: words, current: current).answer
        }
        #expect(answer("replay", current: "acc") == .values(source: "entity", start: "acc"))
        #expect(answer("replay", "acc-1", current: "") == .values(source: "entity", start: ""))
        #expect(answer("send", "acc-1", current: "Cr") == .values(source: "command-type", start: "Cr"))
        #expect(answer("import", current: "") == .files)
        #expect(answer("export", "--to", current: "x") == .files)
        #expect(answer("export", current: "--to=x") == .files)
        #expect(answer("-C", current: "") == .values(source: "context", start: ""))
        #expect(answer("replay", "--", current: "--x") == .values(source: "entity", start: "--x"))
        #expect(answer("replay", "--diff", "1", current: "") == .words([]))
    }

    @Test("bash's words are split as bash splits them, and quoted for it")
    func bashWords() {
        #expect(ShellWords.split("ego replay  acc-1 ") == ["ego", "replay", "acc-1", ""])
        #expect(ShellWords.split("ego replay 'a b' \"c\\\"d\" e\\ f") == ["ego", "replay", "a b", "c\"d", "e f"])
        #expect(ShellWords.split("ego '") == ["ego", ""])
        #expect(ShellWords.replacement("a:b:c", for: "a:b", ":=") == "b:c")
        #expect(ShellWords.replacement("--output=json", for: "--output=j", ":=") == "json")
        #expect(ShellWords.replacement("a b", for: "a", ":=") == "a\\ b")
    }

    /// A store with names that shells find hard.
    private func workplace() throws -> Workplace {
        let workplace = try Workplace()
        let names = ["acc:one", "acc:two", "o'hara", "two words"]
        let sends = names.map {
            "$EGO send \(Escape.shellWord($0)) CreateAccount '{\"accountId\":\"x\"}' -q > /dev/null"
        }
        let result = try shell(
            "$EGO demo --entities 3 --events 30 -q >/dev/null; \(sends.joined(separator: "; ")); touch file-a.jsonl",
            in: workplace.url)
        #expect(result.code == 0, "\(result.errors)")
        try "[context.production]\nstore = \"sqlite:ego.db\"\n"
            .write(toFile: workplace.path(".ego.toml"), atomically: true, encoding: .utf8)
        try FileManager.default.createDirectory(atPath: workplace.path("bin"), withIntermediateDirectories: true)
        try FileManager.default.createSymbolicLink(
            atPath: workplace.path("bin/ego"), withDestinationPath: egoBinary.path)
        return workplace
    }

    /// Lines that are typed up to a tab, and what the shell makes of them.
    private static let typed = [
        ("ego stat", "ego status"), ("ego replay --trac", "ego replay --trace"), ("ego -o jsonl entit", "entities"),
        ("ego context show prod", "context show production"), ("ego status -C prod", "-C production"),
        ("ego send acc-1 CreditA", "CreditAccount"), ("ego import file", "import file-a.jsonl"),
        ("ego entities --columns id,seq", "--columns id,sequence_number"), ("ego replay acc:t", "replay acc:two"),
        ("ego replay two", "two\\ words"), ("ego generate schema exit", "schema exit-codes"),
    ]

    @Test("works in bash, zsh and fish", arguments: ["bash", "zsh", "fish"])
    func shells(_ name: String) throws {
        let workplace = try workplace()
        let scripts = root.appending(path: "completions").path
        let start: String
        switch name {
        case "bash": start = "PS1='ready> ' INPUTRC=/dev/null bash --norc --noprofile -i"
        case "zsh": start = "PS1='ready> ' zsh -f -i"
        default:
            start =
                "fish --no-config --private -i -C 'function fish_prompt; echo \"ready> \"; end; source \(scripts)/ego.fish'"
        }
        let terminal = try Terminal(
            start, in: workplace.url, columns: 200,
            environment: [
                "PATH": workplace.path("bin") + ":/usr/bin:/bin", "PS1": "ready> ", "fish_greeting": "",
                "HISTFILE": "",
            ])
        #expect(terminal.wait(for: "ready> "), "\(terminal.text)")
        if name == "bash" { terminal.send("source \(scripts)/ego.bash; echo lo''aded\r") }
        if name == "zsh" {
            terminal.send(
                "fpath=(\(scripts) $fpath); autoload -Uz compinit; compinit -u -D; unsetopt LIST_AMBIGUOUS; echo lo''aded\r"
            )
        }
        if name == "fish" { terminal.send("echo lo''aded\r") }
        #expect(terminal.wait(for: "loaded"), "\(terminal.text)")
        for (typed, expected) in Self.typed {
            let wanted = String(expected.split(separator: " ").last ?? "").suffix(6)
            let isCompleted = terminal.complete(typed, to: String(wanted))
            terminal.send("\u{15}")  // Ctrl-U drops the line
            #expect(isCompleted, "\(name): \(typed): \(terminal.text.suffix(400))")
        }
        // Where nothing can be looked up nothing is shown, and no message appears.
        let place = terminal.count
        terminal.send("ego replay --store sqlite:missing.db acc\t")
        Thread.sleep(forTimeInterval: 0.6)
        terminal.send("\u{15}echo do''ne\r")
        #expect(terminal.wait(for: "done", after: place))
        let shown = terminal.text.dropFirst(place)
        #expect(!shown.contains("there is no store") && !shown.contains("ego: "), "\(shown)")
        terminal.send("exit\r")
        #expect(terminal.finish() == 0)
    }

    @Test("answers within 300 ms on a large store, and with nothing on any error")
    func quick() throws {
        let workplace = try workplace()
        let result = try shell(
            """
            $EGO demo --store sqlite:large.db --entities 20000 --events 20000 -q > /dev/null
            start=$(date +%s%N)
            $EGO __complete fish -- --store sqlite:large.db replay acc-19 | wc -l
            echo $(( ($(date +%s%N) - start) / 1000000 ))
            """, in: workplace.url)
        let lines = result.output.split(separator: "\n").compactMap { Int($0) }
        try #require(lines.count == 2, "\(result.output) \(result.errors)")
        #expect(lines[0] == 51, "fifty entities at most")
        #expect(lines[1] < 300)
        try "store = \n".write(toFile: workplace.path(".ego.toml"), atomically: true, encoding: .utf8)
        for line in [
            "replay acc", "--store sqlite:. replay a", "--store nonsense replay a", "-C nobody replay a", "--config",
        ] {
            let silent = try shell("$EGO __complete fish -- \(line)", in: workplace.url)
            #expect(silent.code == 0 && silent.errors == "", "\(line): \(silent.errors)")
        }
    }
}

@Suite("Configuration files")
struct ConfigurationFileTests {
    private func options(_ text: String) throws -> Configuration {
        let folder = try Workplace()
        try text.write(toFile: folder.path("c.toml"), atomically: true, encoding: .utf8)
        return try Configuration(environment: [:], config: folder.path("c.toml"), context: nil)
    }

    @Test("the example of the manual is one")
    func example() throws {
        let page = try #require(
            EgoCommandLine(domain: .bank).table.manual.topics.first { $0.name == "ego-config" })
        let codes = page.chapters.flatMap(\.text).compactMap { piece in
            if case .code(let code) = piece { code } else { nil }
        }
        let found = try options(try #require(codes.first))
        #expect(found.options.context == "staging" && found.options.store == "sqlite:/srv/staging/ego.db")
        #expect(found.contextNames == ["production", "staging"])
    }

    @Test("every key of the manual is taken, with a value of its type and no other")
    func keys() throws {
        for flag in GlobalOptions.flags where !["config", "context"].contains(flag.long) {
            let key = flag.long.replacing("-", with: "_")
            let (right, wrong) =
                switch flag.arity {
                case .toggle: ("true", "\"true\"")
                case .value("N", _): ("7", "\"7\"")
                case .value(_, .choices(let choices)): ("\"\(choices[0])\"", "7")
                case .value("DURATION", _): ("\"5s\"", "5")
                case .value, .pair: ("\"sqlite:x\"", "7")
                }
            #expect(try options("\(key) = \(right)\n").origins[flag.long] != nil)
            #expect(throws: CommandFailure.self) { try options("\(key) = \(wrong)\n") }
            #expect(throws: CommandFailure.self) { try options("\(key) = [\(right)]\n") }
            #expect(throws: CommandFailure.self) { try options("x\(key) = \(right)\n") }
        }
    }

    @Test("whatever is in a file, the answer is options or an error that names the file")
    func fuzz() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var random = SeededGenerator(seed: seed)
        let parts = [
            "store", "=", "\"", "\"sqlite:x\"", "\n", "[", "]", "context", ".", "[context.a]\n", "page", "7", "true",
            "'",
            "#", "{", "}", ",", "\u{0}", "漢", "current_context", "protected", "1e9", "\"\"\"", "\\", "2026-01-01", "-",
        ]
        for _ in 0..<2_000 {
            let text = (0..<Int.random(in: 0...14, using: &random)).map { _ in parts.randomElement(using: &random) ?? ""
            }
            do { _ = try options(text.joined()) } catch let failure as CommandFailure {
                #expect(failure.exitCode == .config, "\(failure)")
                #expect(failure.what.hasSuffix("c.toml") || failure.what.hasPrefix("context"), "\(failure)")
            }
        }
    }
}
