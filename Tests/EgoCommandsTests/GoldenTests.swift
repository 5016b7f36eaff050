import BankDomain
import CommandLineKit
import Foundation
import Testing

@testable import EgoCommands

private let golden = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../Fixtures/golden")

@Suite("Every command in every format")
struct GoldenTests {
    static let commands: [(name: String, line: [String])] = [
        ("init", ["init"]), ("init-check", ["init", "--check"]),
        ("demo", ["demo", "--entities", "3", "--events", "60", "--seed", "7"]),
        ("demo-dry-run", ["demo", "--entities", "3", "--events", "60", "--seed", "7", "--dry-run"]),
        ("status", ["status"]), ("entities", ["entities"]), ("entities-page", ["entities", "--limit", "2"]),
        ("events", ["events", "acc-2"]), ("events-type", ["events", "--type", "AccountDebited", "--limit", "3"]),
        ("replay", ["replay", "acc-1", "acc-3"]), ("replay-all", ["replay", "--all", "--verify"]),
        ("replay-to", ["replay", "acc-1", "--to", "2"]),
        ("replay-trace", ["replay", "acc-3", "--trace", "--from", "2"]),
        ("replay-diff", ["replay", "acc-1", "--diff", "1", "3"]),
        ("replay-missing", ["replay", "acc-1", "nobody"]),
        ("send-dry-run", ["send", "acc-1", "CreditAccount", "{\"balance\": 75}", "--dry-run"]),
        ("send-rejected", ["send", "acc-1", "DebitAccount", "{\"balance\": 1e9}"]),
        ("help", ["help"]), ("help-replay", ["replay", "--help"]), ("help-events", ["events", "-h"]),
        ("version", ["version"]), ("exit-codes", ["exit-codes"]), ("unknown", ["repaly"]),
    ]

    @Test("gives what it gave before", arguments: commands.map(\.name))
    func isGolden(_ name: String) async throws {
        let workplace = try Workplace()
        let store = try await workplace.bank()
        let line = try #require(Self.commands.first { $0.name == name }?.line)
        for format in OutputFormat.allCases {
            let result = await workplace.run(line + ["--store", store, "-o", format.rawValue])
            if format == .json {
                let envelope = try #require(json(result.output), "\(result.output)")
                #expect(envelope["ok"] as? Bool == (result.code == 0))
                #expect((envelope["schema"] as? String)?.hasPrefix("ego.") == true)
                #expect(envelope["diagnostics"] is [Any])
            }
            if format == .jsonl {
                let lines = result.output.split(separator: "\n").map { json(String($0)) }
                #expect(lines.allSatisfy { $0 != nil })
                #expect(lines.last??["type"] as? String == "summary")
            }
            try compare(
                name, format, "exit \(result.code)\n--- output\n\(result.output)--- errors\n\(result.errors)", workplace
            )
        }
    }

    private func compare(_ name: String, _ format: OutputFormat, _ text: String, _ workplace: Workplace) throws {
        let text = text.replacing(workplace.url.path, with: "FOLDER")
            .replacing(/(bytes"?[:,\t ]+)[0-9]+/) { "\($0.1)N" }
            .replacing(/(SQLite |sqlite"?[:,\t ]+"?)3\.[0-9.]+/) { "\($0.1)X" }
        let file = golden.appending(path: "\(name).\(format.rawValue).txt")
        if ProcessInfo.processInfo.environment["EGO_RECORD"] == "1" {
            try FileManager.default.createDirectory(at: golden, withIntermediateDirectories: true)
            try text.write(to: file, atomically: true, encoding: .utf8)
            Issue.record("recorded \(file.lastPathComponent)")
            return
        }
        #expect(text == (try? String(contentsOf: file, encoding: .utf8)), "\(file.lastPathComponent)")
    }

    @Test("every command of the table has its golden output")
    func complete() {
        let names = EgoCommandLine(domain: .bank, sample: BankSample()).table.commands.map(\.name)
        #expect(Set(names).subtracting(Self.commands.map(\.line[0])) == [])
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

    @Test("every example runs")
    func examples() async throws {
        let table = EgoCommandLine(domain: .bank, sample: BankSample()).table
        for (path, command) in table.allCommands {
            for example in command.examples {
                let workplace = try Workplace()
                let folder = workplace.url
                let setUp =
                    ["init", "demo"].contains(path[0]) ? "true" : "$EGO demo --entities 12 --events 120 -q >/dev/null"
                let result = try shell("\(setUp) && $EGO \(example.arguments)", in: folder)
                let expected: Int32 =
                    switch example.arguments {
                    case let line where line.contains("9000000"): 7
                    case "init --check": 2
                    default: 0
                    }
                #expect(result.code == expected, "ego \(example.arguments): \(result.errors)")
            }
        }
    }
}
