import Synchronization
import Testing

@testable import CommandLineKit

/// Keeps the names of the commands that were made.
private final class Makers: Sendable {
    private let names = Mutex<[String]>([])

    var made: [String] { names.withLock { $0 } }

    func entry(_ name: String, aliases: [String] = [], named other: String? = nil) -> CommandEntry<Void> {
        CommandEntry(name, aliases: aliases) {
            self.names.withLock { $0.append(name) }
            return Command(
                other ?? name, aliases: aliases, summary: "do it", output: OutputSchema("tool/1", []), options: { 0 },
                examples: [Example(name, "it")]
            ) { _, _ in CommandOutput() }
        }
    }
}

@Suite("Commands of a table are made when they are wanted")
struct CommandEntryTests {
    private func table(_ entries: [CommandEntry<Void>]) -> CommandTable<Int, Void> {
        CommandTable(program: "tool", summary: "a tool", globalFlags: [], entries: entries)
    }

    @Test("a line makes the command that it names, once, and no other", arguments: ["two", "zwei"])
    func one(_ word: String) throws {
        let makers = Makers()
        let table = table([makers.entry("one"), makers.entry("two", aliases: ["zwei"]), makers.entry("three")])
        let invocation = try table.parse([word], global: 0)
        #expect(invocation.path == ["two"] && invocation.run != nil)
        #expect(table.completion(after: [word], current: "").path == ["two"])
        #expect(table.command(at: [word])?.name == "two")
        #expect(makers.made == ["two"])
    }

    @Test("an unknown word is compared with all of them")
    func unknown() throws {
        let makers = Makers()
        let table = table([makers.entry("one"), makers.entry("two", aliases: ["zwei"])])
        do {
            _ = try table.words(["zwie"])
            Issue.record("it was taken")
        } catch { #expect(error.hint?.contains("zwei") == true, "\(error)") }
    }

    @Test("one that is called otherwise than its entry is a problem of the table")
    func otherName() {
        let makers = Makers()
        #expect(table([makers.entry("one")]).problems == [])
        let problems = table([makers.entry("one", named: "eins")]).problems
        #expect(problems.contains("one: the command has other names than its entry"), "\(problems)")
    }
}
