import Foundation
import Testing

@Suite("The README")
struct ReadmeTests {
    private let root = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../..")

    /// The code blocks of a language.
    private func blocks(_ language: String) throws -> [String] {
        let text = try String(contentsOf: root.appending(path: "README.md"), encoding: .utf8)
        return text.components(separatedBy: "```\(language)\n").dropFirst().map { part in
            part.components(separatedBy: "```").first ?? ""
        }
    }

    @Test("shows Swift that compiles")
    func swift() throws {
        let examples = try String(
            contentsOf: root.appending(path: "Tests/ReadmeTests/ReadmeExamples.swift"), encoding: .utf8)
        let blocks = try blocks("swift")
        #expect(blocks.count >= 4)
        for block in blocks where !block.contains("@main") {
            #expect(examples.contains(block), "not in ReadmeExamples.swift:\n\(block)")
        }
        // The operator binary stands in the README with `@main`, which a test bundle cannot have.
        let main = try #require(blocks.first { $0.contains("@main") })
        #expect(main.contains("static func main() async { await EgoCommandLine(domain: .counting).run() }"))
    }

    @Test("shows code that does what it says")
    func runs() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "ego-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        #expect(try await count(in: folder.appending(path: "c.db").path) == 3)
        // The second time the command of that ID has no second effect.
        #expect(try await count(in: folder.appending(path: "c.db").path) == 3)
        try await refusesToShrink()
    }

    @Test("shows a session that gives what it shows")
    func session() throws {
        let session = try #require(try blocks("console").first { $0.contains("$ ego ") })
        let folder = FileManager.default.temporaryDirectory.appending(path: "ego-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        for step in session.components(separatedBy: "$ ego ").dropFirst() {
            let lines = step.split(separator: "\n", maxSplits: 1, omittingEmptySubsequences: false)
            let process = Process()
            let output = Pipe()
            process.executableURL = URL(filePath: "/bin/bash")
            process.arguments = ["-c", "$EGO \(lines[0]) 2>&1"]
            process.currentDirectoryURL = folder
            process.environment = [
                "EGO": URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent().appending(path: "ego").path,
                "EGO_OUTPUT": "table", "XDG_CONFIG_HOME": folder.path,
            ]
            process.standardOutput = output
            try process.run()
            let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            process.waitUntilExit()
            let wanted = String(lines[1]).trimmingCharacters(in: .newlines)
            #expect(text.trimmingCharacters(in: .newlines) == wanted, "ego \(lines[0])")
        }
    }

    @Test("names no command that does not exist")
    func commands() throws {
        let text = try blocks("console").joined()
        let used = text.split(separator: "\n").filter { $0.hasPrefix("$ ego ") }
            .compactMap { $0.dropFirst(6).split(separator: " ").first.map(String.init) }
        #expect(!used.isEmpty)
        let known: Set = [
            "init", "demo", "status", "entities", "events", "replay", "send", "help", "version", "exit-codes",
        ]
        #expect(Set(used).subtracting(known) == [])
    }
}
