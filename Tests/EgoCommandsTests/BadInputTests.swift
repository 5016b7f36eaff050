import BankDomain
import EgoCore
import EgoTestKit
import Foundation
import Testing

@testable import CommandLineKit
@testable import EgoCommands

@Suite("Bad input gets one clear line, its exit code, and changes nothing")
struct BadInputTests {
    /// A command line after `ego`, with `STORE` for a good store and `FOLDER` for its folder.
    static let cases: [(line: [String], code: Int32, says: String)] = [
        (["repaly"], 64, "repaly: unknown command"),
        (["replay", "acc-1", "--trcae"], 64, "--trcae: unknown flag of replay"),
        (["entities", "--columns", "id,knd"], 64, "--columns: unknown column \"knd\""),
        (["entities", "--columns", ""], 64, "--columns: unknown column \"\""),
        (["entities", "-o", "xml"], 64, "--output: unknown format \"xml\""),
        (["entities", "-C", "prod"], 78, "context \"prod\": no configuration file has it"),
        (["entities", "--config", "FOLDER/none.toml"], 66, "none.toml: there is no such configuration file"),
        (["entities", "--config", "FOLDER"], 66, "a folder is no configuration file"),
        (["entities", "--store", "mysql://x"], 64, "--store: unknown store scheme \"mysql\""),
        (["entities", "--store", "sqlit:x"], 64, "--store: unknown store scheme \"sqlit\""),
        (["entities", "--store", "bank.db"], 64, "--store: \"bank.db\" names no kind of store"),
        (["entities", "--store", "sqlite:"], 64, "--store: the path is empty"),
        (["entities", "--store="], 64, "--store: \"\" names no kind of store"),
        (["status", "--store", "sqlite:FOLDER/missing.db"], 66, "store: there is no store at"),
        (["status", "--store", "sqlite:FOLDER"], 66, "is a folder"),
        (["status", "--store", "sqlite:FOLDER/text.txt"], 65, "is not a SQLite database"),
        (["init", "--store", "sqlite:FOLDER/text.txt"], 65, "is not a SQLite database"),
        (["demo", "--store", "sqlite:FOLDER/text.txt"], 65, "is not a SQLite database"),
        (["init", "--store", "sqlite:FOLDER/no/such/x.db"], 66, "store: there is no folder"),
        (["init", "--shards", "0"], 64, "--shards: \"0\" is no whole number from 1 to 65536"),
        (["demo", "--entities", "9", "--events", "5"], 64, "--events: 9 entities need at least as many events"),
        (["demo", "--seed", "8", "--entities", "3", "--events", "60"], 4, "acc-1: the store has other events"),
        (["demo", "--read-only"], 4, "--read-only forbids this command"),
        (["send", "acc-1", "CreditAccount", "{\"balance\": 1}", "--read-only"], 4, "--read-only forbids this command"),
        (["send", "acc-1", "CreditAccount", "{\"balance\": "], 65, "samplepb.CreditAccount: the JSON ends too early"),
        (
            ["send", "acc-1", "CreditAccount", "nonsense"], 65,
            "samplepb.CreditAccount: the JSON does not fit the message"
        ),
        (["send", "acc-1", "CreditAccount", "{\"balanc\": 1}"], 65, "there is no field \"balanc\""),
        (["send", "acc-1", "CreditAccount", "{\"balance\": \"x\"}"], 65, "samplepb.CreditAccount:"),
        (["send", "acc-1", "CreditAccount", "{\"balance\": 1e999}"], 65, "malformed, or out of range"),
        (["send", "acc-1", "CreditAccount", "{} {}"], 65, "something follows after the JSON"),
        (["send", "acc-1", "CreditAccount", "-"], 74, "standard input: it is closed"),
        (["send", "acc-1", "CreditAcount"], 64, "CreditAcount: no behavior takes this command"),
        (["send", "acc-1", "DebitAccount", "{\"balance\": 1e9}"], 7, "acc-1: insufficient funds"),
        (["send", "nobody", "CreditAccount", "{\"balance\": 1}"], 7, "nobody: there is no such account"),
        (["send", "acc-1", "CreditAccount", "{\"balance\": 1}", "--expect", "1"], 4, "acc-1: it is at"),
        (["send", "acc-1", "CreditAccount", "{\"balance\": 1}", "--expect", "1", "-n"], 4, "acc-1: it is at"),
        (["events", "--type", "AccountCredite"], 64, "--type: no event is of type \"AccountCredite\""),
        (["events", "--shard", "16"], 64, "--shard: the store has the shards 0 to 15"),
        (["entities", "--shard", "99"], 64, "--shard: the store has the shards 0 to 15"),
        (["entities", "--kind", "acount"], 64, "--kind: no behavior of kind acount"),
        (["events", "--follow", "--until", "now"], 64, "--until: it goes with no --follow"),
        (["replay", "acc-1", "--trace", "--from", "999"], 5, "acc-1: there is no event 999 up to"),
        (["status", "--store", "sqlite:FOLDER/pipe"], 65, "is no regular file"),
        (["init", "--store", "sqlite::memory:"], 64, "--store: a store is a file"),
        (["send", "acc-1", "CreditAccount", "--kind", "acount"], 64, "--kind: no behavior of kind acount"),
        (["send", "acc-1", "CreditAccount", "--command-id", ""], 64, "--command-id: a command ID has 1 to 255 bytes"),
        (["send", "acc-1"], 64, "TYPE: missing"),
        (["send", "", "CreditAccount"], 64, "ID: a persistence ID cannot be empty"),
        (["replay", String(repeating: "x", count: 10_240)], 64, "ID: a persistence ID has at most 255 characters"),
        (["replay"], 64, "ID: missing"), (["replay", "acc-1", "--all"], 64, "--all: it takes no ID"),
        (["replay", "nobody"], 5, "nobody: there is no such entity"),
        (["replay", "it's \"odd\"\n\u{1b}[31m"], 5, "it's \"odd\"\\n\\u{1b}[31m: there is no such entity"),
        (["replay", "acc-1", "--to", "9999"], 5, "acc-1: there is no event 9999: its last one is"),
        (["replay", "acc-1", "--to", "0"], 64, "--to: \"0\" is no whole number from 1 to"),
        (["replay", "acc-1", "--to", "99999999999999999999"], 64, "--to:"),
        (["replay", "acc-1", "--at", "yesterdayish"], 64, "--at: \"yesterdayish\" is no time"),
        (["replay", "acc-1", "--at", "1999-01-01"], 5, "acc-1: there was no event at that time"),
        (["replay", "acc-1", "--to", "1", "--at", "now"], 64, "--at: it goes with no --to"),
        (["replay", "acc-1", "--diff", "1", "9999"], 5, "acc-1: there is no event 9999"),
        (["events", "--since", "x"], 64, "--since: \"x\" is no time"),
        (["events", "--limit", "0"], 64, "--limit: \"0\" is no whole number from 1 on"),
        (["events", "--limit", "-1"], 64, "--limit: \"-1\" is no whole number from 1 on"),
        (["entities", "--limit", "0"], 64, "--limit: \"0\" is no whole number from 1 on"),
        (["events", "--after", "x"], 64, "--after: \"x\" is no position"),
        (["events", "nobody"], 5, "nobody: there is no such entity"),
        (["status", "--timeout", "soon"], 64, "--timeout: \"soon\" is no duration"),
        (["status", "--domain", "FOLDER/none"], 66, "there is no such operator binary"),
        (["status", "--domain", "FOLDER/text.txt"], 78, "the operator binary cannot be run"),
        (["help", "repaly"], 64, "repaly: unknown command"),
        (["status", "extra"], 64, "extra: unexpected argument"),
        (["snapshot"], 64, "snapshot: a subcommand is missing"), (["snapshot", "lst"], 64, "lst: unknown subcommand"),
        (["snapshot", "delete"], 64, "ID: missing"),
        (["snapshot", "delete", "nobody", "-y"], 5, "there is no such entity"),
        (["snapshot", "create", "acc-1", "--at", "999"], 5, "acc-1: there is no event 999"),
        (["snapshot", "verify"], 64, "ID: missing"),
        (["snapshot", "verify", "acc-1", "--all"], 64, "--all: it takes no ID"),
        (["snapshot", "list", "nobody"], 5, "nobody: there is no such entity"),
        (["export", "nobody", "--to", "FOLDER/x"], 5, "nobody: there is no such entity"),
        (["export", "--to", "FOLDER"], 66, "a folder is no export"),
        (["export", "--to", "FOLDER/none/x.jsonl"], 66, "No such file or directory"),
        (["export", "--to", "FOLDER/x", "--format", "xml"], 64, "--format: unknown format"),
        (["export", "--to", "FOLDER/x", "--shard", "99"], 64, "--shard: the store has the shards 0 to 15"),
        (["export", "--to", "FOLDER/x", "--kind", "wallet"], 64, "--kind:"),
        (["import", "FOLDER/none"], 66, "No such file"), (["import", "FOLDER"], 66, "a folder is no export"),
        (["import", "FOLDER/text.txt"], 65, "truncated"), (["import"], 64, "FILE: missing"),
        (["import", "FOLDER/text.txt", "--format", "protobuf"], 65, "truncated"),
        (["import", "FOLDER/text.txt", "--on-conflict", "merge"], 64, "--on-conflict: unknown choice"),
        (["verify", "nobody"], 5, "nobody: there is no such entity"),
        (["jobs", "show", "nobody"], 5, "nobody: there is no such job"),
        (["audit", "--after", "x"], 64, "--after: \"x\" is no whole number"),
        (["audit", "--limit", "3", "verify"], 64, "--limit: it belongs after the subcommand"),
        (["context", "show", "nobody"], 78, "context \"nobody\": no configuration file has it"),
        (["generate", "man", "nothing.1"], 64, "nothing.1: there is no such page"),
        (["generate", "schema", "nothing"], 64, "nothing: there is no such schema"),
        (["status", "--progress", "spinner"], 64, "--progress: unknown choice"),
        (["status", "--log-format", "xml"], 64, "--log-format: unknown log format"),
        (["entities", "--columns", "id:ful"], 64, "--columns: unknown column \"id:ful\""),
    ]

    @Test("whatever the format", arguments: cases.indices)
    func refused(_ index: Int) async throws {
        let workplace = try Workplace()
        let store = try await workplace.bank()
        try "no database".write(toFile: workplace.path("text.txt"), atomically: true, encoding: .utf8)
        let wanted = Self.cases[index]
        #expect(mkfifo(workplace.path("pipe"), 0o600) == 0)
        var line = wanted.line.map { $0.replacing("FOLDER", with: workplace.url.path) }
        if !line.contains(where: { $0.hasPrefix("--store") }) { line += ["--store", store] }
        let before = workplace.snapshot(of: "bank.db")
        let text = await workplace.run(line)
        #expect(text.code == wanted.code, "\(text.errors)")
        #expect(text.output == "", "a failed command printed data")
        let lines = text.errors.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines[0].hasPrefix("ego: ") && lines[0].contains(wanted.says), "\(text.errors)")
        #expect(lines.count == 2 || (lines.count == 3 && lines[1].hasPrefix("hint: ")), "\(text.errors)")
        #expect(!text.errors.contains("\u{1b}"))
        if !line.contains("xml") {
            for format in ["json", "jsonl"] {
                let structured = await workplace.run(line + ["-o", format])
                #expect(structured.code == wanted.code)
                let envelope = try #require(json(structured.output), "\(structured.output)")
                #expect(envelope["ok"] as? Bool == false)
                let code = ExitCode.all.first { $0.number == wanted.code }?.name
                #expect(envelope["code"] as? String == code)
                if format == "json" {
                    let table = EgoCommandLine(domain: .bank, sample: BankSample()).table
                    let declared = (line.first.flatMap { table.output(of: [$0]) } ?? .error).jsonSchema
                    #expect(JSONSchema(declared)?.problems(in: envelope) == [])
                }
                let diagnostics = envelope["diagnostics"] as? [[String: Any]]
                #expect(diagnostics?.count == 1 && diagnostics?.first?["code"] as? String == code)
            }
        }
        #expect(workplace.snapshot(of: "bank.db") == before, "the store was changed")
    }

    @Test("whatever the words are, the answer is an exit code of the table, and JSON when it is asked for")
    func anyWords() async throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var random = SeededGenerator(seed: seed)
        let table = EgoCommandLine(domain: .bank, sample: BankSample()).table
        let commands = table.allCommands.filter { !["events", "demo", "generate"].contains($0.path[0]) }
        let values = [
            "", "acc-1", "nobody", "0", "1", "-1", "99999999999999999999", "x", "--", "-", "2026-01-01", "1h", "acc-2",
            "{}",
            "CreditAccount", "id,kind", "json", "account", "é", "a b", "\u{1b}", "=", "%s", "--all", "-n", "-y", "-q",
        ]
        let known = Set(ExitCode.all.map(\.number))
        for _ in 0..<400 {
            let workplace = try Workplace()
            guard let (path, command) = commands.randomElement(using: &random) else { break }
            // Without a word that is wrong it measures everything, which takes many minutes in a build for debugging.
            var words = path + (path == ["bench"] ? quickBench : [])
            for _ in 0..<Int.random(in: 0...4, using: &random) {
                if let flag = command.flags.randomElement(using: &random), Bool.random(using: &random) {
                    words.append("--\(flag.long)")
                }
                words.append(values.randomElement(using: &random) ?? "")
            }
            // Whatever is written goes into the test's own folder.
            words = words.filter { !$0.hasPrefix("--to") && !$0.hasPrefix("--plan") && !$0.hasPrefix("--into") }
            words.insert(contentsOf: ["--store", "sqlite:\(workplace.path("none.db"))", "-o", "json"], at: 0)
            let result = await workplace.run(words)
            #expect(known.contains(result.code), "\(words)")
            if path[0] == "export" { continue }  // gives the export itself
            #expect(json(result.output)?["ok"] as? Bool == (result.code == 0), "\(words): \(result.output)")
        }
    }

    @Test("-v tells the cause of a failure, and what was done, as text or as JSON")
    func verbose() async throws {
        let workplace = try Workplace()
        let store = try await workplace.bank()
        let quiet = await workplace.run(["status", "--store", store])
        #expect(quiet.errors == "")
        let text = await workplace.run(["status", "--store", store, "-v"])
        #expect(text.errors.contains(" debug store opened ms=") && text.errors.contains("read_only=true"))
        let lines = await workplace.run(["status", "--store", store, "-v", "--log-format", "json"]).errors
            .split(separator: "\n").map { json(String($0)) }
        #expect(lines.count == 2 && lines.allSatisfy { $0?["type"] as? String == "log" })
        #expect(lines.last??["message"] as? String == "finished")
        try Data("SQLite format 3\u{0}but no more".utf8).write(to: URL(filePath: workplace.path("odd.db")))
        let failed = await workplace.run(["status", "--store", "sqlite:\(workplace.path("odd.db"))", "-v"])
        #expect(failed.code == 65 && failed.errors.contains("ego: cause: SQLite error"), "\(failed.errors)")
    }

    @Test("a store of a newer schema asks for a newer program")
    func newer() async throws {
        let workplace = try Workplace()
        let store = try await workplace.bank()
        let result = try shell(
            "python3 -c \"import sqlite3; d=sqlite3.connect('bank.db'); d.execute('UPDATE ego_metadata SET value=99 WHERE key=\\\"schema_version\\\"'); d.commit()\"",
            in: workplace.url)
        try #require(result.code == 0, "\(result.errors)")
        for line in [["status"], ["init"], ["init", "--check"], ["demo"]] {
            let refused = await workplace.run(line + ["--store", store])
            #expect(refused.code == 78 && refused.errors.contains("schema version 99"), "\(refused.errors)")
        }
    }

    @Test("configuration that is wrong names file, key and place")
    func configuration() async throws {
        let workplace = try Workplace()
        let file = workplace.path("c.toml")
        for (text, says) in [
            (
                "store = \n",
                "c.toml: line 1, column 9: the configuration does not parse: expected a value, found the end of the line"
            ),
            ("stroe = \"x\"\n", "c.toml: line 1, column 1: unknown key \"stroe\""),
            ("page = \"many\"\n", "c.toml: line 1, column 1: page: it is a string"),
            ("output = [1]\n", "c.toml: line 1, column 1: output: it is an array"),
            ("[context]\na = 1\n", "c.toml: line 2, column 1: a: it is a whole number"),
            ("[context.a]\nstoer = \"x\"\n", "c.toml: line 2, column 1: unknown key \"stoer\" in context.a"),
        ] {
            try text.write(toFile: file, atomically: true, encoding: .utf8)
            let result = await workplace.run(["status", "--config", file])
            #expect(result.code == 78 && result.errors.contains(says), "\(result.errors)")
        }
        let result = await workplace.run(["status"], environment: ["EGO_PAGE": "0"])
        #expect(result.code == 78 && result.errors.contains("EGO_PAGE"), "\(result.errors)")
    }

    @Test("names, odd as they may be, are stored exactly and shown escaped")
    func oddNames() async throws {
        let workplace = try Workplace()
        let store = try await workplace.bank()
        for name in [
            "it's", "\"q\"", "a\nb", "\u{1b}[31m", "é", "e\u{301}", "漢字", "👩‍👩‍👧", "\u{202e}abc", "a\tb", "--x", "%_",
        ] {
            let text = "{\"accountId\": \"x\", \"accountBalance\": 1}"
            let sent = await workplace.run(["send", "--store", store, "--", name, "CreateAccount", text])
            #expect(sent.code == 0, "\(sent.errors)")
            let found = await workplace.run(["replay", "--store", store, "-o", "json", "--", name])
            let entities = (json(found.output)?["data"] as? [String: Any])?["entities"] as? [[String: Any]]
            let id = try #require(entities?.first?["id"] as? String)
            #expect(Array(id.utf8) == Array(name.utf8))
        }
        for format in ["table", "plain"] {
            let listed = await workplace.run(["entities", "--store", store, "-o", format, "--columns", "id"])
            #expect(!listed.output.contains("\u{1b}") && !listed.output.contains("\u{202e}"))
            #expect(listed.output.split(separator: "\n").count == 1 + 3 + 12)
        }
    }
}

@Suite("Where there is no domain")
struct NoDomainTests {
    @Test("records are shown, and folding names the two ways to supply one")
    func noDomain() async throws {
        let workplace = try Workplace()
        let store = try await workplace.bank()
        let events = await workplace.run(
            ["events", "acc-1", "--store", store, "--limit", "1", "-o", "json"], domain: .none)
        #expect(events.code == 0)
        #expect(events.output.contains("\"@type\":\"type.googleapis.com/samplepb.AccountCreated\",\"size_bytes\":"))
        #expect(events.output.contains("\"base64\":"))
        for line in [["replay", "acc-1"], ["send", "acc-1", "CreditAccount"]] {
            let refused = await workplace.run(line + ["--store", store], domain: .none)
            #expect(refused.code == 78 && refused.output == "", "\(refused.errors)")
            #expect(refused.errors.contains("EgoCommandLine(domain:)") && refused.errors.contains("--domain FILE"))
        }
    }
}
