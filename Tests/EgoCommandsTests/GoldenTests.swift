import BankDomain
import EgoSQLite
import Foundation
import Testing

@testable import CommandLineKit
@testable import EgoCommands

private let golden = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../Fixtures/golden")

/// A command whose output is kept.
struct GoldenCase: Sendable {
    var name: String
    var line: [String]
    /// Commands that run before it, in the same folder.
    var setUp: [[String]] = []

    init(_ name: String, _ line: String..., after setUp: [[String]] = []) {
        self.name = name
        self.line = line
        self.setUp = setUp
    }
}

private let exported = ["export", "--to", "bank.jsonl"]
private let ran = ["projection", "run", "balances", "--until-caught-up"]
/// The first event is a dead letter, and all others are before the projection again.
private let skipped = [
    ran, ["projection", "reset", "balances", "--to", "start", "--yes", "--reason", "test"],
    ["projection", "skip", "balances", "1", "--reason", "test"],
]
private let snapshotted = ["snapshot", "create", "acc-1", "acc-2"]
private let contexts = """
    current_context = "test"
    [context.test]
    store = "sqlite:bank.db"
    [context.production]
    store = "sqlite:/srv/bank.db"
    protected = true
    """

private let cases = [
    GoldenCase("init", "init"), GoldenCase("init-check", "init", "--check"),
    GoldenCase("demo", "demo", "--entities", "3", "--events", "60", "--seed", "7"),
    GoldenCase("demo-dry-run", "demo", "--entities", "3", "--events", "60", "--seed", "7", "--dry-run"),
    GoldenCase("status", "status"), GoldenCase("entities", "entities"),
    GoldenCase("entities-page", "entities", "--limit", "2"), GoldenCase("events", "events", "acc-2"),
    GoldenCase("events-type", "events", "--type", "AccountDebited", "--limit", "3"),
    GoldenCase("events-full", "events", "acc-3", "--columns", "id:full,sequence_number,payload:full"),
    GoldenCase("replay", "replay", "acc-1", "acc-3"), GoldenCase("replay-all", "replay", "--all", "--verify"),
    GoldenCase("replay-to", "replay", "acc-1", "--to", "2"),
    GoldenCase("replay-trace", "replay", "acc-3", "--trace", "--from", "2"),
    GoldenCase("replay-diff", "replay", "acc-1", "--diff", "1", "3"),
    GoldenCase("replay-missing", "replay", "acc-1", "nobody"),
    GoldenCase("send-dry-run", "send", "acc-1", "CreditAccount", "{\"balance\": 75}", "--dry-run"),
    GoldenCase("send-rejected", "send", "acc-1", "DebitAccount", "{\"balance\": 1e9}"),
    GoldenCase("help", "help"), GoldenCase("help-replay", "replay", "--help"),
    GoldenCase("help-events", "events", "-h"), GoldenCase("help-snapshot", "snapshot", "--help"),
    GoldenCase("version", "version"), GoldenCase("exit-codes", "exit-codes"), GoldenCase("unknown", "repaly"),
    GoldenCase(
        "snapshot-list", "snapshot", "list", "--columns", "id,sequence_number,type,bytes",
        after: [["snapshot", "create", "acc-1", "acc-2"]]),
    GoldenCase(
        "snapshot-create", "snapshot", "create", "acc-1", "nobody", "--columns", "id,sequence_number,type,written"),
    GoldenCase("snapshot-verify", "snapshot", "verify", "--all", after: [["snapshot", "create", "acc-1"]]),
    GoldenCase("snapshot-delete", "snapshot", "delete", "acc-1", "--yes", after: [["snapshot", "create", "acc-1"]]),
    GoldenCase(
        "snapshot-delete-dry-run", "snapshot", "delete", "acc-1", "--dry-run", after: [["snapshot", "create", "acc-1"]]),
    GoldenCase(
        "snapshot-delete-refused", "snapshot", "delete", "acc-1", "--no-input",
        after: [["snapshot", "create", "acc-1"]]),
    GoldenCase("export", "export", "--to", "bank.jsonl"),
    GoldenCase("export-dry-run", "export", "--to", "bank.pb", "--format", "protobuf", "--dry-run"),
    GoldenCase("import", "import", "bank.jsonl", "--on-conflict", "skip", after: [exported]),
    GoldenCase("import-refused", "import", "bank.jsonl", after: [exported]),
    GoldenCase("lag", "lag", after: [ran]), GoldenCase("lag-never", "lag", "--crit", "10"),
    GoldenCase("lag-shards", "lag", "balances", "--shards", after: skipped),
    GoldenCase("lag-missing", "lag", "balnces"),
    GoldenCase("projection-list", "projection", "list"),
    GoldenCase("projection-show", "projection", "show", "balances", after: [ran]),
    GoldenCase("projection-run", "projection", "run", "balances", "--until-caught-up"),
    GoldenCase("projection-pause", "projection", "pause", "balances"),
    GoldenCase("projection-resume", "projection", "resume", "balances"),
    GoldenCase(
        "projection-reset", "projection", "reset", "balances", "--to", "end", "--yes", "--reason", "test", "-q"),
    GoldenCase("projection-reset-reason", "projection", "reset", "balances", "--to", "end", "--yes"),
    GoldenCase("projection-skip", "projection", "skip", "balances", "--reason", "test"),
    GoldenCase("projection-wait", "projection", "wait", "balances", after: [ran]),
    GoldenCase("projection-rollback", "projection", "rollback", "balances", after: [ran, ["rebuild", "balances"]]),
    GoldenCase("projection-forget", "projection", "forget", "balances", "--yes", after: [ran]),
    GoldenCase(
        "rebuild", "rebuild", "balances", "--columns", "name,strategy,events,promoted", after: [ran]),
    GoldenCase("rebuild-dry-run", "rebuild", "--all", "--dry-run"), GoldenCase("rebuild-missing", "rebuild", "balance"),
    GoldenCase(
        "dead-letter-list", "dead-letter", "list", "--columns", "projection,id,position,attempts,error,type",
        after: skipped),
    GoldenCase(
        "dead-letter-show", "dead-letter", "show", "balances", "1", "--columns", "id,position,error,payload",
        after: skipped),
    GoldenCase(
        "dead-letter-retry", "dead-letter", "retry", "balances", "--all", "--columns", "id,position,outcome",
        after: skipped),
    GoldenCase(
        "dead-letter-discard", "dead-letter", "discard", "balances", "1", "--yes", "--reason", "test", "--columns",
        "id,position,outcome", after: skipped),
    GoldenCase("migrate", "migrate"), GoldenCase("migrate-check", "migrate", "--check"),
    GoldenCase(
        "erase", "erase", "acc-3", "--reason", "request 7", "--confirm", "acc-3", "--columns",
        "id,tombstone_sequence_number,events,snapshots,keys,reason"),
    GoldenCase("erase-dry-run", "erase", "acc-1", "acc-2", "--dry-run"),
    GoldenCase("erase-reason", "erase", "acc-1", "--confirm", "acc-1"),
    GoldenCase("erase-refused", "erase", "acc-1", "--reason", "request 7", "--no-input"),
    GoldenCase("erase-missing", "erase", "nobody", "--reason", "request 7"),
    GoldenCase("erase-verify", "erase", "verify", "acc-1"), GoldenCase("erase-log", "erase", "log"),
    GoldenCase("retain", "retain", "--keep-events", "5", "--reason", "old", "--yes", after: [snapshotted]),
    GoldenCase("retain-dry-run", "retain", "--keep-events", "5", "--dry-run", after: [snapshotted]),
    GoldenCase("retain-policy", "retain", "--reason", "old"),
    GoldenCase("retain-hold", "retain", "hold", "acc-1", "nobody", "--reason", "case 12", "--columns", "id,reason"),
    GoldenCase("retain-release", "retain", "release", "acc-1", "--reason", "closed", "--yes"),
    GoldenCase(
        "retain-holds", "retain", "holds", "--columns", "id,reason",
        after: [["retain", "hold", "acc-1", "--reason", "case 12"]]),
    GoldenCase("key-list", "key", "list"),
    GoldenCase("key-rotate", "key", "rotate", "--master-key", "old.key", "--new-master-key", "new.key"),
    GoldenCase("key-destroy", "key", "destroy", "acc-1", "--dry-run"), GoldenCase("help-erase", "erase", "--help"),
    GoldenCase("verify", "verify"), GoldenCase("doctor", "doctor", "--columns", "check,status,remedy"),
    GoldenCase("bench-dry-run", "bench", "append", "scan", "--clients", "1,64", "--dry-run"),
    GoldenCase("bench-unknown", "bench", "appned"), GoldenCase("help-bench", "bench", "--help"),
    GoldenCase("jobs", "jobs", "--columns", "id,kind,state", after: [exported]),
    GoldenCase("jobs-missing", "jobs", "show", "export-nobody"),
    GoldenCase("audit", "audit", "--columns", "number,action,reason", after: [exported + ["--reason", "backup"]]),
    GoldenCase("jobs-discard", "jobs", "discard", "export-nobody"), GoldenCase("audit-verify", "audit", "verify"),
    GoldenCase("config", "config"), GoldenCase("context-list", "context", "list"),
    GoldenCase("context-show", "context", "show", "production"),
    GoldenCase("context-use", "context", "use", "production"),
    GoldenCase("context-missing", "context", "use", "prodcution"),
    GoldenCase("repl", "repl", "-c", "\\types"), GoldenCase("repl-missing", "repl", "-c", "\\use nobody"),
    GoldenCase("help-repl", "repl", "--help"), GoldenCase("generate-schema", "generate", "schema", "version"),
    GoldenCase("generate-man", "generate", "man", "ego-version.1"), GoldenCase("generate-fish", "generate", "fish"),
]

@Suite("Every command in every format")
struct GoldenTests {
    @Test("gives in a pipe what it gave before, and JSON that its schema describes", arguments: cases.map(\.name))
    func pipe(_ name: String) async throws {
        let golden = try #require(cases.first { $0.name == name })
        for format in OutputFormat.allCases {
            let workplace = try await Self.workplace(golden)
            let words = Self.placed(golden.line, workplace) + ["-o", format.rawValue]
            // On a busy machine a report of progress could come between.
            let environment = golden.line[0] == "config" ? [:] : ["EGO_PROGRESS": "none"]
            let result = await workplace.run(words, environment: environment)
            if format.isStructured { try validate(result.output, format, golden.line, result.code) }
            try compare(
                "\(name).\(format.rawValue)",
                "exit \(result.code)\n--- output\n\(result.output)--- errors\n\(result.errors)", workplace)
        }
    }

    @Test("gives on a terminal of 40, 80 and 200 columns what it gave before", arguments: cases.map(\.name))
    func terminal(_ name: String) async throws {
        let golden = try #require(cases.first { $0.name == name })
        var text = ""
        for columns in [40, 80, 200] {
            let workplace = try await Self.workplace(golden)
            let words = golden.line.map(Escape.shellWord).joined(separator: " ")
            let terminal = try Terminal("$EGO \(words)", in: workplace.url, columns: columns)
            let code = terminal.finish()
            let lines = terminal.lines
            if !golden.line.contains(where: { $0.contains(":full") }), golden.line[0] != "generate" {
                for line in lines where line.hasPrefix("ego: ") == false && line.hasPrefix("hint: ") == false {
                    let width = TextWidth.columns(line.replacing(/\u{1b}\[[0-9]*m/, with: ""))
                    // Help keeps to forty columns at least; its examples are for copying.
                    #expect(
                        width <= columns || line.contains("ego ") || line.hasPrefix("{"), "\(columns): \(line)")
                }
            }
            text += "=== \(columns) columns, exit \(code)\n" + lines.joined(separator: "\n")
        }
        for format in OutputFormat.allCases where format != .table {
            let workplace = try await Self.workplace(golden)
            let words = (golden.line + ["-o", format.rawValue]).map(Escape.shellWord).joined(separator: " ")
            let terminal = try Terminal("$EGO \(words)", in: workplace.url)
            let code = terminal.finish()
            if format.isStructured {
                // What people are told stands on the same terminal, but the document is whole.
                let data = terminal.lines.filter { $0.hasPrefix("{") }.joined(separator: "\n")
                try validate(data, format, golden.line, code)
            }
            text += "=== -o \(format.rawValue), exit \(code)\n" + terminal.lines.joined(separator: "\n")
        }
        try compare("\(name).terminal", text, try await Self.workplace(golden))
    }

    /// A folder with the store, the configuration and what the case's own set-up makes.
    private static func workplace(_ golden: GoldenCase) async throws -> Workplace {
        let workplace = try Workplace()
        // With a store ID that stays the same, checksums of exports do too.
        _ = try SQLiteStore.initialize(path: workplace.path("ego.db"), storeID: "golden")
        _ = try await workplace.bank("ego.db")
        if ["config", "context"].contains(golden.line[0]) {
            try contexts.write(toFile: workplace.path(".ego.toml"), atomically: true, encoding: .utf8)
        }
        for line in golden.setUp {
            let result = await workplace.run(placed(line, workplace))
            precondition(result.code == 0, result.errors)
        }
        return workplace
    }

    /// A command line that finds its files from this process's folder.
    private static func placed(_ line: [String], _ workplace: Workplace) -> [String] {
        let placed = line.map { $0.hasPrefix("bank.") ? workplace.path($0) : $0 }
        if ["config", "context"].contains(line[0]) { return placed + ["--config", workplace.path(".ego.toml")] }
        return placed + ["--store", "sqlite:\(workplace.path("ego.db"))"]
    }

    private func validate(_ output: String, _ format: OutputFormat, _ line: [String], _ code: Int32) throws {
        let table = EgoCommandLine(domain: .bank, sample: BankSample()).table
        var declared = table.output(of: [line[0]]) ?? .error
        if line.contains("--help") || line.contains("-h") { declared = .help }
        let schema = try #require(JSONSchema(declared.jsonSchema))
        if format == .json {
            let envelope = try #require(json(output), "\(output)")
            #expect(schema.problems(in: envelope) == [])
            #expect(envelope["ok"] as? Bool == (code == 0))
            #expect(envelope["code"] as? String == ExitCode.all.first { $0.number == code }?.name)
            return
        }
        let lines = try output.split(separator: "\n").map { try #require(json(String($0)), "\($0)") }
        for (index, line) in lines.enumerated() {
            let definition = index == lines.count - 1 ? "summary" : "record"
            #expect(schema.problems(inLine: line, definition: definition) == [], "\(definition)")
        }
        #expect(lines.last?["type"] as? String == "summary")
    }

    private func compare(_ name: String, _ text: String, _ workplace: Workplace) throws {
        let text = text.replacing(workplace.url.path, with: "FOLDER")
            .replacing(/[^ "]*\/ego-[0-9A-F]{8}-[0-9A-F-]{27}/, with: "FOLDER")
            .replacing(/20[0-9-]{8}T[0-9:]{8}\.[0-9]+Z/) { found in
                // The sample's own times, and that of the clock that stands still, are the same each time.
                ["2026-01-01", "2026-03-02"].contains(found.0.prefix(10)) ? String(found.0) : "TIME"
            }
            .replacing(/"seconds":[0-9.]+/, with: "\"seconds\":N")
            .replacing(/(bytes"?[:,\t ]+)[0-9]{5,}/) { "\($0.1)N" }
            .replacing(/(SQLite |sqlite"?[:,\t ]+"?)3\.[0-9.]+/) { "\($0.1)X" }
            .replacing(/[0-9]+ MB are/, with: "N MB are")
            .replacing(/hash":"[0-9a-f]{64}/, with: "hash\":\"HASH").replacing(
                /export-[a-z0-9]{6}\b/, with: "export-JOB"
            )
            .replacing(/[A-Za-z0-9_.-]+@[A-Za-z0-9_.-]+"/, with: "OPERATOR\"")
        let file = golden.appending(path: "\(name).txt")
        if ProcessInfo.processInfo.environment["EGO_RECORD"] == "1" {
            try FileManager.default.createDirectory(at: golden, withIntermediateDirectories: true)
            try text.write(to: file, atomically: true, encoding: .utf8)
            Issue.record("recorded \(file.lastPathComponent)")
            return
        }
        #expect(text == (try? String(contentsOf: file, encoding: .utf8)), "\(file.lastPathComponent): \(text)")
    }

    @Test("every command of the table has its golden output")
    func complete() {
        let table = EgoCommandLine(domain: .bank, sample: BankSample()).table
        let shown = Set(cases.flatMap { [[$0.line[0]], Array($0.line.prefix(2))] })
        let scripts: Set<[String]> = [["generate", "bash"], ["generate", "zsh"]]  // made as that for fish is
        let missing = table.allCommands.filter { $0.command.isRunnable && !shown.contains($0.path) }.map(\.path)
        #expect(Set(missing).subtracting(scripts) == [])
    }
}

@Suite("The definition table")
struct TableTests {
    private let table = EgoCommandLine(domain: .bank, sample: nil).table

    @Test("is in order")
    func problems() {
        #expect(table.problems == [])
        #expect(!table.commands.map(\.name).contains("demo"), "a domain without a sample has no demo")
    }

    @Test("says of every command how it may end")
    func exitCodes() {
        let free: Set<String> = ["help", "version", "exit-codes", "bash", "zsh", "fish", "schema"]
        for (path, command) in table.allCommands where command.isRunnable && !free.contains(path.last ?? "") {
            #expect(!command.exitCodes.isEmpty, "\(path)")
        }
    }

    @Test("every example of help and manual runs, and ends as it says")
    func examples() async throws {
        let table = EgoCommandLine(domain: .bank, sample: BankSample()).table
        for (path, command) in table.allCommands where command.isRunnable {
            for example in command.examples {
                let workplace = try Workplace()
                let folder = workplace.url
                var setUp = "$EGO demo --entities 12 --events 120 -q >/dev/null"
                if ["init", "demo"].contains(path[0]) { setUp = "true" }
                if path[0] == "import" {
                    setUp += " && $EGO export --to bank.jsonl >/dev/null && $EGO init --store sqlite:copy.db >/dev/null"
                }
                let result = try shell("\(setUp) && $EGO \(example.arguments)", in: folder)
                #expect(
                    result.code == example.exitCode.number, "ego \(example.arguments): \(result.errors)")
            }
        }
    }

    @Test("every example of a session's commands runs in one")
    func sessionExamples() throws {
        // These need a terminal, or a state of the entity that the sample does not have; tests of their own show them.
        let others = ["e", "dry DebitAccount {\"balance\": 900}", "state @2026-03-01T10:00Z"]
        for command in table.command(at: ["repl"])?.session ?? [] {
            for example in command.examples where !others.contains(example.arguments) {
                let workplace = try Workplace()
                try "\\state\n".write(
                    toFile: workplace.path("open-accounts.ego"), atomically: true, encoding: .utf8)
                try "\\use acc-1\n\\set amount 75\n\\\(example.arguments)\n".write(
                    toFile: workplace.path("inputs"), atomically: true, encoding: .utf8)
                let stop = example.arguments.hasPrefix("watch") ? "timeout -s INT 3" : ""
                let result = try shell(
                    "$EGO demo --entities 12 --events 400 -q >/dev/null && \(stop) $EGO repl --rw < inputs",
                    in: workplace.url, environment: ["XDG_STATE_HOME": workplace.url.path])
                #expect(result.code == (stop.isEmpty ? 0 : 124), "\\\(example.arguments): \(result.errors)")
            }
        }
    }
}
