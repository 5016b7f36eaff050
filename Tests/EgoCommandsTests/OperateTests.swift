import BankDomain
import EgoCommands
import Foundation
import Testing

@testable import CommandLineKit

/// What operators do to a store, in a shell and on a terminal.
@Suite("Operating a store", .serialized, .timeLimit(.minutes(4)))
struct OperateTests {
    private let folder: Workplace

    init() throws {
        folder = try Workplace()
        _ = try shell("$EGO demo --entities 3 --events 60 --seed 7 -q", in: folder.url)
    }

    @discardableResult
    private func run(
        _ script: String, _ code: Int32 = 0, _ location: SourceLocation = #_sourceLocation
    ) throws -> (output: String, errors: String) {
        let result = try shell(script, in: folder.url)
        #expect(result.code == code, "\(script): \(result.output) \(result.errors)", sourceLocation: location)
        return (result.output, result.errors)
    }

    private func count(_ what: String) throws -> Int? {
        let status = try shell("$EGO status -o json", in: folder.url)
        return (json(status.output)?["data"] as? [String: Any])?[what] as? Int
    }

    // MARK: Questions

    @Test("a question that is declined, or cannot be asked, changes nothing and is exit 4")
    func declined() throws {
        try run("$EGO snapshot create acc-1 acc-2 -q")
        let before = folder.snapshot(of: "ego.db")
        for answer in ["n\r", "\r", "no\r", "yes please\r", "\u{4}"] {
            let terminal = try Terminal("$EGO snapshot delete acc-1", in: folder.url)
            #expect(terminal.wait(for: "Go on? [y/N] "), "\(terminal.text)")
            #expect(terminal.text.contains("1 snapshot will be deleted"))
            terminal.send(answer)
            #expect(terminal.finish() == 4)
            #expect(terminal.text.contains("not confirmed"))
        }
        for line in [
            "snapshot delete acc-1 < /dev/null", "snapshot delete acc-1 --no-input", "snapshot delete acc-1 -o json",
            "snapshot delete acc-1 --dry-run --no-input -o json > dry.json; exit 4",
        ] { try run("$EGO \(line)", 4) }
        let interrupted = try Terminal("$EGO snapshot delete acc-1", in: folder.url)
        #expect(interrupted.wait(for: "[y/N] "))
        interrupted.send("\u{3}")
        #expect(interrupted.finish() == 130)
        let ci = try Terminal("$EGO snapshot delete acc-1", in: folder.url, environment: ["CI": "true"])
        #expect(ci.finish() == 4, "nobody answers in CI")
        #expect(folder.snapshot(of: "ego.db") == before, "byte for byte")
        let asked = try Terminal("$EGO snapshot delete acc-1", in: folder.url)
        #expect(asked.wait(for: "[y/N] "))
        asked.send("y\r")
        #expect(asked.finish() == 0 && asked.text.contains("deleted"))
        #expect(try count("snapshots") == 1)
    }

    @Test("nothing to do is success without change, and says so")
    func nothing() throws {
        let deleted = json(try run("$EGO snapshot delete acc-1 -o json").output)
        #expect(deleted?["changed"] as? Bool == false)
        #expect((deleted?["data"] as? [String: Any])?["deleted"] as? Int == 0)
        let empty = json(try run("$EGO entities --prefix zzz -o json").output)
        #expect((empty?["data"] as? [String: Any])?["entities"] as? [String] == [])
        try run("$EGO snapshot delete nobody -y", 5)
        try run("$EGO entities --kind nothing", 64)
    }

    @Test("of several targets all are done, and the one that fails is named")
    func several() throws {
        let result = try run("$EGO snapshot create acc-1 nobody acc-2 acc-3 -o json", 3)
        let envelope = json(result.output)
        #expect(((envelope?["data"] as? [String: Any])?["snapshots"] as? [Any])?.count == 3)
        #expect(envelope?["code"] as? String == "partial" && envelope?["changed"] as? Bool == true)
        #expect(result.errors.contains("nobody: there is no such entity"))
        #expect(try count("snapshots") == 3)
        let again = json(try run("$EGO snapshot create acc-1 acc-2 acc-3 -o json").output)
        #expect(again?["changed"] as? Bool == false)
    }

    @Test("a plan is carried out later, or refused when it is stale or for another store")
    func plans() throws {
        try run("$EGO snapshot create acc-1 acc-2 -q")
        try run("$EGO snapshot delete acc-1 acc-2 --plan plan.json")
        #expect(try count("snapshots") == 2)
        try run("$EGO snapshot create acc-1 --at 5 -q")
        #expect(try run("$EGO snapshot delete --apply plan.json", 4).errors.contains("changed since the plan"))
        #expect(try count("snapshots") == 3)
        try run("$EGO snapshot delete acc-1 acc-2 --plan plan.json -y")
        try run("cp ego.db other.db; $EGO demo --store sqlite:new.db --entities 3 --events 60 -q")
        #expect(
            try run("$EGO snapshot delete --apply plan.json --store sqlite:new.db", 4).errors.contains("another store"))
        try run("$EGO snapshot delete --apply plan.json < /dev/null", 4)
        try run("$EGO snapshot delete acc-1 acc-2 --plan plan.json < /dev/null", 4)  // would be replaced
        try run("$EGO send acc-1 CreditAccount '{\"balance\":1}'; $EGO snapshot delete --apply plan.json -y", 4)
        try run("$EGO snapshot delete acc-1 acc-2 --plan plan.json -y; $EGO snapshot delete --apply plan.json -y")
        #expect(try count("snapshots") == 0)
        try run("echo '{}' > bad.json; $EGO snapshot delete --apply bad.json", 65)
        try run("$EGO snapshot delete --apply missing.json", 66)
        try run("$EGO snapshot delete acc-1 --apply plan.json", 64)
    }

    // MARK: Contexts

    @Test("keys of files that have no flag are listed with their values")
    func keysWithoutFlag() async throws {
        let folder = try Workplace()
        let file = folder.path("ego.toml")
        try "encrypt = \"account\"\nmaster_key_command = \"cat master.key\"\n".write(
            toFile: file, atomically: true, encoding: .utf8)
        let listed = await folder.run(["config", "--config", file, "-o", "csv"]).output
        #expect(listed.contains("encrypt,account,\(file):1"), "\(listed)")
        #expect(listed.contains("master_key_command,cat master.key,\(file):2"), "\(listed)")
    }

    @Test("a protected context asks for its name before anything is changed")
    func protected() throws {
        try """
        [context.prod]
        store = "sqlite:ego.db"
        protected = true
        """.write(toFile: folder.path(".ego.toml"), atomically: true, encoding: .utf8)
        let send = "$EGO send -C prod acc-1 CreditAccount '{\"balance\":1}'"
        try run("$EGO status -C prod")
        for line in ["\(send) < /dev/null", "\(send) -y < /dev/null", "\(send) --confirm staging"] { try run(line, 4) }
        let terminal = try Terminal(send, in: folder.url)
        #expect(terminal.wait(for: "Type the context's name, prod, to go on: "))
        terminal.send("y\r")
        #expect(terminal.finish() == 4)
        #expect(try count("events") == 60)
        try run("\(send) --confirm prod")
        let right = try Terminal(send, in: folder.url)
        #expect(right.wait(for: "to go on: "))
        right.send("prod\r")
        #expect(right.finish() == 0)
        #expect(try count("events") == 62)
        try run("$EGO send -C prod acc-1 CreditAccount '{\"balance\":1}' --dry-run")
    }

    @Test("contexts are listed and chosen, comments stay, and every value has its origin")
    func contexts() throws {
        let file = """
            # the project's settings
            page = 500
            [context.a]
            store = "sqlite:a.db" # the first
            [context.b]
            store = "sqlite:b.db"
            read_only = true

            """
        try file.write(toFile: folder.path(".ego.toml"), atomically: true, encoding: .utf8)
        try run("$EGO context use b")
        var text = try String(contentsOfFile: folder.path(".ego.toml"), encoding: .utf8)
        #expect(text == "current_context = \"b\"\n" + file)
        try run("$EGO context use a")
        text = try String(contentsOfFile: folder.path(".ego.toml"), encoding: .utf8)
        #expect(text == "current_context = \"a\"\n" + file)
        #expect(json(try run("$EGO context use a -o json").output)?["changed"] as? Bool == false)
        func settings(_ script: String) throws -> [String: [String: Any]] {
            let data = json(try run(script).output)?["data"] as? [String: Any]
            let list = data?["settings"] as? [[String: Any]] ?? []
            return Dictionary(uniqueKeysWithValues: list.map { ($0["name"] as? String ?? "", $0) })
        }
        let found = try settings("EGO_OUTPUT=csv EGO_COLOR=never $EGO config -o json")
        #expect(found["store"]?["value"] as? String == "sqlite:a.db")
        #expect(found["store"]?["origin"] as? String == "context a, ./.ego.toml:5")
        #expect(found["page"]?["origin"] as? String == "./.ego.toml:3")
        #expect(found["color"]?["origin"] as? String == "EGO_COLOR")
        #expect(found["output"]?["origin"] as? String == "flag" && found["output"]?["value"] as? String == "json")
        #expect(found["quiet"]?["origin"] as? String == "default")
        #expect(found["context"]?["origin"] as? String == "./.ego.toml:1")
        #expect(try settings("$EGO config -o json -C b")["read-only"]?["value"] as? String == "true")
        try run("$EGO context use nobody", 78)
        try run("$EGO context show a | grep sqlite:a.db")
        // Other ends of lines, names that have to be quoted, links and permissions.
        let odd = "page = 7\r\n# c\r\n[context.\"a\\\"b\"]\r\nstore = \"sqlite:a.db\"\r\n"
        try odd.write(toFile: folder.path("real.toml"), atomically: true, encoding: .utf8)
        try run("chmod 640 real.toml; ln -s real.toml odd.toml")
        for _ in 0..<2 { try run("$EGO context use --config odd.toml 'a\"b'") }
        #expect(try run("cat odd.toml").output == "current_context = \"a\\\"b\"\r\n" + odd)
        #expect(try run("stat -c '%a' real.toml; readlink odd.toml").output == "640\nreal.toml\n")
        // A file that is read later decides: choosing in the other would do nothing.
        try run("mkdir -p ego && printf '[context.u]\\nstore = \"sqlite:u.db\"\\n' > ego/config.toml")
        #expect(try run("$EGO context use u", 4).errors.contains("remove current_context from ./.ego.toml"))
    }

    @Test("a read-only context, or flag, forbids what changes the store, and lets the rest be")
    func readOnly() throws {
        let before = folder.snapshot(of: "ego.db")
        for line in [
            "send acc-1 CreditAccount '{\"balance\":1}'", "snapshot create acc-1", "snapshot delete acc-1", "demo",
            "import x.jsonl",
        ] { #expect(try run("$EGO --read-only \(line) -y", 4).errors.contains("--read-only forbids")) }
        for line in [
            "status", "entities", "events", "replay --all", "verify", "doctor", "export --to a.jsonl", "jobs", "audit",
        ] { try run("$EGO --read-only \(line) > /dev/null") }
        #expect(folder.snapshot(of: "ego.db") == before)
    }

    // MARK: Files and pipes

    @Test("exports travel through pipes and come back the same")
    func pipes() throws {
        try run(
            "$EGO export > a.jsonl && $EGO init --store sqlite:b.db -q && $EGO import - --store sqlite:b.db < a.jsonl")
        try run("$EGO replay --all -o json > a.json; $EGO replay --all -o json --store sqlite:b.db | cmp - a.json")
        try run("$EGO export --format protobuf | $EGO import - --format protobuf --store sqlite:c.db", 66)
        try run(
            "$EGO init --store sqlite:c.db -q; $EGO export --format protobuf | $EGO import - --format protobuf --store sqlite:c.db; $EGO replay --all -o json --store sqlite:c.db | grep -c accountBalance"
        )
        #expect(try run("set -o pipefail; $EGO export | head -n 1 | cut -c1-9").errors.contains("note: 60 events"))
        try run("$EGO export -o json", 64)
        let terminal = try Terminal("$EGO export --format protobuf", in: folder.url)
        #expect(terminal.finish() == 64, "binary data is not for a terminal")
        try run("$EGO export > /dev/full", 74)
        try run("$EGO export --to /nowhere/x.jsonl", 66)
        try run("$EGO import missing.jsonl", 66)
        try run("$EGO import .", 66)
        try run("$EGO import - <&-", 74)
        // What is there is not replaced without a word.
        try run("echo precious > mine.jsonl; $EGO export --to mine.jsonl < /dev/null", 4)
        #expect(try run("cat mine.jsonl").output == "precious\n")
        try run("$EGO export --to mine.jsonl -y > /dev/null")
        #expect(json(try run("$EGO export --to mine.jsonl -o json < /dev/null").output)?["changed"] as? Bool == false)
        // The store itself is no place for an export or a plan, nor is what is no file.
        for line in ["export -y --to ego.db", "export -y --to ./ego.db-wal", "snapshot delete acc-1 --plan ego.db -y"] {
            #expect(try run("$EGO \(line)", 64).errors.contains("is the store itself"))
        }
        try run("mkfifo pipe; $EGO export -y --to pipe", 64)
        try run(
            "$EGO export > a.jsonl; $EGO init --store sqlite:d.db -q; $EGO import --store sqlite:d.db <(cat a.jsonl)")
        try run(
            "ln -s target.jsonl link.jsonl; echo x > target.jsonl; $EGO export -y --to link.jsonl; test -L link.jsonl")
        // Two processes and one file: one of them gets it.
        try run("(flock 9; $EGO export --to two.jsonl; test $? -eq 4) 9> two.jsonl.partial")
        // A part of a journal does not begin in the middle of an entity.
        try run("$EGO export --after 30 --to part.jsonl -q; $EGO init --store sqlite:e.db -q")
        #expect(try run("$EGO import part.jsonl --store sqlite:e.db", 65).errors.contains("begins with event"))
        try run("$EGO export --to whole.jsonl -q; $EGO import whole.jsonl --store sqlite:e.db")
        try run("$EGO import part.jsonl --store sqlite:e.db --on-conflict skip")
    }

    @Test("an answer that cannot be written does not hide that the command was carried out")
    func lateFailure() async throws {
        struct FullSink: OutputSink {
            func write(bytes: some Sequence<UInt8>) throws(OutputError) {}
            func flush() throws(OutputError) { throw .failed(errno: ENOSPC) }
        }
        let errors = MemorySink()
        let console = Console(output: FullSink(), errors: errors, environment: [:])
        let store = "sqlite:\(folder.path("ego.db"))"
        let code = await EgoCommandLine(domain: .bank)
            .run(["send", "--store", store, "acc-1", "CreditAccount", "{\"balance\":1}"], console: console)
        #expect(code == 74)
        #expect(errors.text.contains("hint: the command was carried out; only its answer is lost"))
        #expect(try count("events") == 61)
        let looked = await EgoCommandLine(domain: .bank).run(["status", "--store", store], console: console)
        #expect(looked == 74 && errors.text.hasSuffix("ego: standard output: No space left on device\n"))
    }

    @Test("a long listing is one whole document, also when a record in it cannot be read")
    func streamed() throws {
        try run("$EGO demo --store sqlite:long.db --entities 20 --events 30000 -q")
        let result = try run("$EGO events --store sqlite:long.db --limit 30000 -o json")
        #expect(result.output.utf8.count > 4 << 20)
        let envelope = json(result.output)
        #expect(((envelope?["data"] as? [String: Any])?["events"] as? [Any])?.count == 30_000)
        #expect(envelope?["ok"] as? Bool == true && envelope?["code"] as? String == "ok")
    }

    @Test("columns that are not there are refused before anything is done, and time that runs out leaves one document")
    func early() throws {
        try run("$EGO export --to a.jsonl -q; $EGO init --store sqlite:b.db -q")
        for line in ["import a.jsonl --store sqlite:b.db --columns id", "snapshot delete acc-1 -y --columns nothing"] {
            try run("$EGO \(line)", 64)
        }
        try run("EGO_COLUMNS=id $EGO import a.jsonl --store sqlite:b.db")
        try run("$EGO demo --store sqlite:long.db --entities 20 --events 60000 -q")
        let result = try shell(
            "$EGO events --store sqlite:long.db --limit 60000 -o json --timeout 400ms", in: folder.url)
        #expect([0, 6].contains(result.code))
        #expect(
            json(result.output)?["code"] as? String == (result.code == 0 ? "ok" : "timed-out"),
            "\(result.output.suffix(300))")
        #expect(try run("EGO_OUTPUT=json $EGO export | tail -n 1").output.hasSuffix("\"type\":\"end\"}\n"))
    }

    @Test("a folder's configuration runs no program at Tab or for help, and a job can be given up")
    func trust() throws {
        try run("printf '#!/bin/sh\\ntouch ran\\n' > evil; chmod +x evil; echo 'domain = \"./evil\"' > .ego.toml")
        try run("$EGO __complete fish -- st | grep -q status; $EGO help > /dev/null; $EGO status --help > /dev/null")
        try run("test ! -e ran")
        try run("printf 'current_context = \"c\"\\n[context.c]\\ndomain = \"./evil\"\\n' > .ego.toml")
        try run("$EGO __complete fish -- st | grep -q status; $EGO help > /dev/null; $EGO status --help > /dev/null")
        #expect(!FileManager.default.fileExists(atPath: folder.path("ran")))
        try run("$EGO status; test -e ran")
        try run("rm .ego.toml; $EGO export --to /nowhere/x", 66)
        try run(
            "python3 -c \"import sqlite3; d=sqlite3.connect('ego.db'); d.execute('INSERT INTO ego_jobs VALUES (?,?,?,?,?,1,1)', ('export-x','export','failed','{}','{}')); d.commit()\""
        )
        #expect(try run("$EGO doctor").output.contains("ego jobs discard export-x"))
        try run("$EGO jobs discard export-x --reason 'not needed'")
        #expect(json(try run("$EGO jobs discard export-x -o json").output)?["changed"] as? Bool == false)
        try run(
            "test -z \"$($EGO jobs --unfinished --no-headers)\"; $EGO audit --columns action,reason | grep 'job-discard.not needed'"
        )
    }

    // MARK: Time and signals

    @Test("work that takes long shows a bar that fits the window, and stops at Ctrl-C where it can go on")
    func progress() throws {
        let line = "$EGO demo --store sqlite:big.db --entities 3000 --events 120000"
        let terminal = try Terminal(line, in: folder.url, columns: 60)
        #expect(terminal.wait(for: " of 120000 events, "), "\(terminal.text)")
        terminal.resize(columns: 30)
        let place = terminal.count
        #expect(terminal.wait(for: "demo: ", after: place))
        terminal.send("\u{3}")
        #expect(terminal.finish() == 130, "\(terminal.text)")
        #expect(terminal.text.contains("the same command goes on from here"))
        let bars = terminal.text.components(separatedBy: "\r\u{1b}[K").dropFirst()
        #expect(bars.contains { $0.hasPrefix("demo: ") && $0.contains("a second") })
        let drawn = bars.filter { $0.hasPrefix("[") || $0.hasPrefix("demo: ") }
        #expect(drawn.allSatisfy { $0.count < 60 } && drawn.last.map { $0.count < 30 } == true, "\(drawn)")
        #expect(bars.last?.hasPrefix("ego: interrupted") == true, "the bar is gone before the message")
        let plain = try Terminal(line, in: folder.url, environment: ["TERM": "dumb"])
        #expect(plain.finish(seconds: 120) == 0)
        #expect(!plain.text.contains("\u{1b}") && plain.text.contains("kept"))
        let status = try shell("$EGO status -o json --store sqlite:big.db", in: folder.url)
        #expect(status.output.contains("\"events\":120000"))
    }

    @Test("an export and an import that were interrupted go on with the command that they print")
    func interrupted() throws {
        try run("$EGO demo --store sqlite:big.db --entities 600 --events 12000 -q")
        try run("$EGO export --store sqlite:big.db > whole.jsonl; $EGO init --store sqlite:copy.db -q")
        for command in ["export --store sqlite:big.db --to big.jsonl", "import whole.jsonl --store sqlite:copy.db"] {
            let words = "--page 50 --progress none"
            let terminal = try Terminal("$EGO \(command) \(words)", in: folder.url)
            let store = command.hasPrefix("export") ? "big" : "copy"
            // Once the job is there, its first pages are.
            for _ in 0..<400 {
                let jobs = try shell(
                    "$EGO jobs --store sqlite:\(store).db --unfinished -o plain --no-headers", in: folder.url)
                if jobs.output.contains("running") { break }
            }
            terminal.send("\u{3}")
            let code = terminal.finish(seconds: 60)
            #expect(code == 130, "\(command): \(terminal.text)")
            let hint = try #require(terminal.lines.first { $0.hasPrefix("hint: go on with: ego ") })
            let resume = hint.dropFirst("hint: go on with: ego ".count)
            #expect(resume == "\(command) \(words)")
            try run("$EGO \(resume) > /dev/null")
            try run("test -z \"$($EGO jobs --store sqlite:\(store).db --unfinished --no-headers)\"")
        }
        try run("cmp big.jsonl whole.jsonl")
        try run("$EGO verify --store sqlite:copy.db -q")
        try run("$EGO audit verify --store sqlite:copy.db > /dev/null")
    }

    @Test("a second Ctrl-C stops at once, and nothing is lost")
    func twice() throws {
        let line = "$EGO demo --store sqlite:big.db --entities 3000 --events 100000"
        let terminal = try Terminal(line, in: folder.url)
        #expect(terminal.wait(for: "events, "))
        terminal.send("\u{3}\u{3}")
        #expect([130, -SIGINT].contains(terminal.finish()))
        try run("\(line) -q > /dev/null; $EGO verify --store sqlite:big.db -q")
    }

    @Test("a follower that is interrupted says where to go on")
    func follow() throws {
        let terminal = try Terminal("$EGO events nobody --follow", in: folder.url)
        #expect(terminal.wait(for: "there is no nobody yet"))
        terminal.send("\u{3}")
        #expect(terminal.finish() == 130)
        #expect(terminal.text.contains("hint: go on with --follow --after 60"))
    }

    // MARK: Terminal

    @Test("what is taller than the window goes through the pager, the rest does not")
    func pager() throws {
        let environment = ["PAGER": "sed 's/^/P:/'"]
        func lines(_ line: String, rows: Int = 24, _ more: [String: String] = [:]) throws -> [String] {
            let terminal = try Terminal(
                "$EGO \(line)", in: folder.url, rows: rows, environment: environment.merging(more) { $1 })
            #expect(terminal.finish() == 0)
            return terminal.lines.filter { !$0.isEmpty }
        }
        #expect(try lines("events").filter { $0.hasPrefix("P:") }.count == 61)
        #expect(try lines("entities").allSatisfy { !$0.hasPrefix("P:") })
        #expect(try lines("entities", rows: 3).contains { $0.hasPrefix("P:") })
        #expect(try lines("events --pager never").allSatisfy { !$0.hasPrefix("P:") })
        #expect(try lines("entities --pager always", rows: 3).contains { $0.hasPrefix("P:") })
        for variable in ["TERM": "dumb", "CI": "1", "PAGER": ""] {
            #expect(try lines("events", [variable.key: variable.value]).allSatisfy { !$0.hasPrefix("P:") })
        }
        let missing = try Terminal("$EGO events", in: folder.url, environment: ["PAGER": "nosuchpager -x"])
        #expect(missing.finish() == 0 && missing.text.contains("acc-1"))
        #expect(try run("PAGER=false $EGO events | wc -l").output == "61\n", "a pipe is not paged")
        // Leaving it early is no error.
        let left = try Terminal("$EGO events", in: folder.url, environment: ["PAGER": "head -n 1"])
        #expect(left.finish() == 0)
    }

    @Test("an audit log that was edited is found, exit 2")
    func auditEdited() throws {
        try run("$EGO snapshot create acc-1 --reason first -q; $EGO snapshot delete acc-1 -y --reason second -q")
        let before = try run("$EGO audit --columns action,reason --no-headers").output
        #expect(before == "snapshot-create\tfirst\nsnapshot-delete\tsecond\n")
        let hash =
            (json(try run("$EGO audit verify -o json").output)?["data"] as? [String: Any])?["last_hash"] as? String
        try run(
            "python3 -c \"import sqlite3; d=sqlite3.connect('ego.db'); d.execute('UPDATE ego_audit SET reason=\\\"x\\\" WHERE number=1'); d.commit()\""
        )
        #expect(try run("$EGO audit verify", 2).errors.contains("audit record 1: its content was changed"))
        #expect(try run("$EGO verify -o json", 2).output.contains("audit_chain"))
        try run(
            "python3 -c \"import sqlite3; d=sqlite3.connect('ego.db'); d.execute('DELETE FROM ego_audit'); d.commit()\""
        )
        try run("$EGO audit verify")
        try run("$EGO audit verify --expect \(hash ?? "")", 2)
    }

    @Test("doctor names a misspelled variable, a dropped table, a broken configuration and a missing store")
    func doctor() throws {
        try run("$EGO doctor")
        #expect(try run("EGO_STROE=x $EGO doctor -o json").output.contains("did you mean EGO_STORE?"))
        #expect(try run("$EGO doctor --store sqlite:missing.db", 2).output.contains("there is no store"))
        try run(
            "python3 -c \"import sqlite3; d=sqlite3.connect('ego.db'); d.execute('DROP TABLE ego_holds'); d.commit()\"")
        #expect(try run("$EGO doctor", 2).output.contains("the table ego_holds is missing"))
        #expect(try run("$EGO verify", 2).output.contains("the table ego_holds is missing"))
        try "store = \n".write(toFile: folder.path(".ego.toml"), atomically: true, encoding: .utf8)
        #expect(try run("$EGO doctor", 2).output.contains("does not parse"))
    }
}

@Suite("The status line")
struct StatusLineTests {
    @Test("stands below whatever is written, and hides none of it")
    func above() throws {
        let sink = MemorySink()
        let line = StatusLine(on: sink)
        try line.show("[##..] 50 %")
        try line.write("ego: error: it broke\n")
        try line.show("[###.] 75 %")
        try line.show("")
        try line.write("after\n")
        let clear = "\r\u{1b}[K"
        #expect(
            sink.text
                == "\(clear)[##..] 50 %\(clear)ego: error: it broke\n[##..] 50 %\(clear)[###.] 75 %\(clear)after\n")
    }

    @Test("a report tells rate and time left, counted from where the work began")
    func report() {
        let report = ProgressReport(
            label: "export", done: 600, before: 100, total: 1_000, unit: "events", elapsed: .seconds(10))
        #expect(report.text == "export: 600 of 1000 events, 50 a second, 8 s left")
        #expect(report.bar == "[############........] " + report.text)
        #expect(
            report.json
                == "{\"type\":\"progress\",\"label\":\"export\",\"done\":600,\"total\":1000,\"unit\":\"events\",\"per_second\":50,\"eta_seconds\":8}"
        )
        #expect(ProgressReport.span(59) == "59 s" && ProgressReport.span(200) == "3 min 20 s")
        #expect(ProgressReport.span(7_500) == "2 h 5 min")
    }
}
