import BankDomain
import Foundation
import PostgresServer
import Testing

private let golden = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../Fixtures/golden")

/// What is typed, and what shows that its answer is there.
private struct Step {
    var keys: String
    var end: String

    /// An input whose answer ends with the next prompt.
    static func line(_ text: String, then end: String = "=> ") -> Step { Step(keys: text + "\r", end: end) }
}

/// A session as somebody has it who gets to know a bank: everything once.
private let steps: [Step] = [
    .line("\\?"), .line("\\entities"), .line("\\use acc-4711"), .line("\\use acc-3"), .line("\\state"),
    .line("\\state @2"), .line("\\state @2026-01-01T00:00:56Z"), .line("\\diff 3 5"),
    .line("\\events -n 2 --type AccountCredited"), .line("\\desc CreditAccount"),
    .line("CreditAccount {\"balance\": 75}"), .line("\\rw"), .line("\\dry DebitAccount {\"balance\": 9000}"),
    .line("CreditAccount {\"balance\": 75}"), .line("DebitAccount balance: 9000"),
    // Field by field, one of them wrong at first.
    .line("DebitAccount", then: "account_id (string) => "), .line("", then: "balance (double, default 0) => "),
    .line("many", then: "balance (double, default 0) => "), .line("0.19"),
    // Over three lines.
    .line("CreditAccount {", then: "{ => "), .line("\"balance\":", then: "{ => "), .line("1}  # a comment"),
    .line("\\set amount 2"), .line("CreditAccount {\"balance\": :amount}"),
    .line("\\repeat 3 CreditAccount balance: 1"),
    .line("\\lag"), .line("\\x"), .line("\\lag --columns name,state,events_behind"), .line("\\x off"),
    .line("\\format json"), .line("\\state"), .line("\\format table"),
    .line("\\new acc-é漢"), .line("CreateAccount {\"accountId\": \"acc-é漢\", \"accountBalance\": 1}"),
    .line("\\status --columns nothing"), .line("\\comand"), .line("\\ro"), .line("CreditAccount balance: 1"),
    .line("\\use acc-1"), .line("\\replay acc-3 --trace --from 9"), .line("\\q", then: "rc 0"),
]

@Suite("A session at a terminal", .serialized)
struct TranscriptTests {
    @Test("of forty steps on SQLite is what it was before")
    func sqlite() async throws {
        let workplace = try Workplace()
        _ = try await workplace.bank("ego.db")
        try compare("session.sqlite", try transcript(in: workplace, store: "sqlite:ego.db"))
    }

    @Test("of forty steps on PostgreSQL is what it was before, and what it is on SQLite")
    func postgres() async throws {
        let server = try PostgresServer.shared("transcript")
        try server.sql("CREATE SCHEMA transcript")
        let store = server.url(schema: "transcript")
        let workplace = try Workplace()
        let filled = await workplace.run(["init", "--store", store])
        #expect(filled.code == 0, "\(filled.errors)")
        let demo = await workplace.run(
            ["demo", "--store", store, "--entities", "3", "--events", "60", "--seed", "7"])
        #expect(demo.code == 0, "\(demo.errors)")
        try compare("session.postgres", try transcript(in: workplace, store: store))
        let (one, other) = try (recorded("session.sqlite"), recorded("session.postgres"))
        #expect(
            Self.withoutOffsets(one.replacing(":sqlite ", with: ":STORE "))
                == Self.withoutOffsets(other.replacing(":postgres ", with: ":STORE ")))
    }

    @Test("of the README is what it gives")
    func readme() async throws {
        let readme = try String(
            contentsOf: URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../README.md"),
            encoding: .utf8)
        let start = try #require(readme.firstRange(of: "```text\nbank:")).lowerBound
        let block = readme[start...].dropFirst("```text\n".count)
        let session = block[..<(try #require(block.firstRange(of: "```")).lowerBound)]
        let workplace = try Workplace()
        _ = try await workplace.bank("ego.db")
        let inputs = session.split(separator: "\n").compactMap { line in
            line.firstRange(of: " => ").map { Step.line(String(line[$0.upperBound...])) }
        }
        let shown = try transcript(in: workplace, store: "sqlite:ego.db", inputs + [.line("\\q", then: "rc 0")])
        let end = try #require(shown.range(of: "\n", options: .backwards)).lowerBound
        let given = shown[..<end].split(separator: "\n").dropLast(2).joined(separator: "\n")
        #expect(given == Self.masked(String(session)).trimmingCharacters(in: .newlines), "\(shown)")
    }

    /// Positions are those of transactions on PostgreSQL.
    private static func withoutOffsets(_ text: String) -> String {
        text.split(separator: "\n").filter { !$0.contains("POS  ID") && !$0.contains("AccountCredited  {") }
            .joined(separator: "\n")
    }

    private func transcript(in workplace: Workplace, store: String, _ steps: [Step] = steps) throws -> String {
        let terminal = try Terminal(
            "$EGO repl; echo \"rc $?\"", in: workplace.url, columns: 100, rows: 60,
            environment: [
                "EGO_STORE": store, "INPUTRC": "/dev/null", "XDG_STATE_HOME": workplace.url.path, "TERM": "dumb",
                "EGO_PAGER": "never",
            ])
        #expect(terminal.wait(for: "=> "), "\(terminal.text)")
        for step in steps {
            let start = terminal.count
            terminal.send(step.keys)
            #expect(terminal.wait(for: "\n", after: start), "\(step.keys): \(terminal.text)")
            let answered = terminal.count(of: "\n", after: start)
            #expect(terminal.wait(for: step.end, after: answered), "\(step.keys): \(terminal.text)")
        }
        #expect(terminal.finish() == 0)
        return Self.masked(terminal.lines.joined(separator: "\n"))
    }

    /// A text without what is different each time.
    private static func masked(_ text: String) -> String {
        text.replacing(/[0-9]+\.[0-9] ms/, with: "N ms").replacing(/[0-9]+ a second/, with: "N a second")
            .replacing(/20[0-9-]{8}T[0-9:]{8}(\.[0-9]+)?Z/) { found in
                found.0.hasPrefix("2026-01-01") ? String(found.0) : "TIME"
            }
    }

    private func recorded(_ name: String) throws -> String {
        try String(contentsOf: golden.appending(path: "\(name).txt"), encoding: .utf8)
    }

    private func compare(_ name: String, _ text: String) throws {
        if ProcessInfo.processInfo.environment["EGO_RECORD"] == "1" {
            try text.write(to: golden.appending(path: "\(name).txt"), atomically: true, encoding: .utf8)
            Issue.record("recorded \(name)")
            return
        }
        let before = try recorded(name)
        #expect(text == before, "\(text)")
    }
}

extension Terminal {
    /// Where the first occurrence of a text after a place ends.
    fileprivate func count(of text: String, after start: Int) -> Int {
        let bytes = Array(self.text.utf8)
        let end = bytes[start...].firstRange(of: Array(text.utf8))?.upperBound
        return end ?? start
    }
}
