import ChildProcess
import Foundation
import PostgresServer
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
        let files = ["CountingOps/Counter.swift", "CountingOps/CountingOps.swift", "ReadmeTests/ReadmeExamples.swift"]
        let examples = try files.map { file in
            try String(contentsOf: root.appending(path: "Tests/\(file)"), encoding: .utf8)
        }
        let blocks = try blocks("swift")
        #expect(blocks.count >= 4)
        for block in blocks {
            #expect(examples.contains { $0.contains(block) }, "in no example that is compiled:\n\(block)")
        }
    }

    @Test("shows an operator binary that the program hands over to")
    func operatorBinary() throws {
        let folder = try temporaryFolder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let built = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent().path
        let (code, text) = try run(
            """
            $EGO init -q > /dev/null && $EGO --domain '\(built)/CountingOps' send c Int64Value '"3"' > /dev/null &&
            $EGO --domain '\(built)/CountingOps' replay c --columns kind,state --no-headers -o plain && $EGO replay c
            """, in: folder)
        #expect(code == 78 && text.hasPrefix("counter\t\"3\"\nego: c: no behavior"), "\(text)")
    }

    @Test("shows code that does what it says")
    func runs() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "ego-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        #expect(try await count(in: folder.appending(path: "c.db").path) == 3)
        // The second time the command of that ID has no second effect.
        #expect(try await count(in: folder.appending(path: "c.db").path) == 3)
        // The first command has no ID: it was carried out both times.
        #expect(try await total(in: folder.appending(path: "c.db").path) == 4)
        try await refusesToShrink()
    }

    @Test("shows a session that gives what it shows")
    func session() throws {
        let sessions = try blocks("console").filter { $0.contains("$ ego ") }
        try #require(sessions.count == 5)
        let folder = try temporaryFolder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let server = try database()
        try #require(try blocks("toml").first).write(
            to: folder.appending(path: ".ego.toml"), atomically: true, encoding: .utf8)
        for step in ("\n" + sessions.joined()).components(separatedBy: "\n$ ").dropFirst() {
            let lines = step.split(separator: "\n", maxSplits: 1, omittingEmptySubsequences: false)
            let command = lines[0].hasPrefix("ego ") ? "$EGO" + lines[0].dropFirst(3) : String(lines[0])
            let text = try run(command, in: folder, server).output.trimmingCharacters(in: .newlines)
            // Three dots stand for what is another each time.
            let wanted = (lines.count > 1 ? String(lines[1]) : "").trimmingCharacters(in: .newlines).components(
                separatedBy: "...")
            let pattern = wanted.map(NSRegularExpression.escapedPattern).joined(separator: "[0-9a-z.]+")
            #expect(
                text.range(of: "^\(pattern)$", options: .regularExpression) != nil, "\(lines[0]):\n\(text)")
        }
    }

    private func temporaryFolder() throws -> URL {
        let folder = FileManager.default.temporaryDirectory.appending(path: "ego-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return folder
    }

    /// A server on which eGo for Go has written a database `bank`.
    private func database() throws -> PostgresServer {
        let server = try PostgresServer.shared("readme")
        try server.sql("CREATE DATABASE bank")
        let dump = root.appending(path: "Fixtures/ego-go/ego-v4.sql")
        try server.sql(try String(contentsOf: dump, encoding: .utf8), database: "bank")
        return server
    }

    private func run(
        _ script: String, in folder: URL, _ server: PostgresServer? = nil
    ) throws -> (code: Int32, output: String) {
        let process = ChildProcess()
        let output = Pipe()
        process.executableURL = URL(filePath: "/bin/bash")
        process.arguments = ["-c", "exec 2>&1; \(script)"]
        process.currentDirectoryURL = folder
        process.environment = [
            "EGO": URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent().appending(path: "ego").path,
            "EGO_OUTPUT": "table", "XDG_CONFIG_HOME": folder.path, "PATH": "/usr/bin:/bin",
        ]
        if let server {
            process.environment?["PGHOST"] = server.socket
            process.environment?["PGUSER"] = "ego"
        }
        process.standardOutput = output
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return (process.terminationStatus, text)
    }

    @Test("names no command that does not exist")
    func commands() throws {
        let text = try blocks("console").joined()
        let used = text.split(separator: "\n").filter { $0.hasPrefix("$ ego ") }
            .compactMap { $0.dropFirst(6).split(separator: " ").first.map(String.init) }
        #expect(!used.isEmpty)
        let folder = try temporaryFolder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let known = try run("$EGO __complete fish -- '' | cut -f1", in: folder).output.split(separator: "\n").map(
            String.init)
        #expect(known.contains("status") && Set(used).subtracting(known) == [])
    }
}
