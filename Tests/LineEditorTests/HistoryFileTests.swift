import Foundation
import LineEditor
import Testing

@Suite("The file of the lines that were typed")
struct HistoryFileTests {
    private let folder = FileManager.default.temporaryDirectory.appending(path: "ego-\(UUID().uuidString)")
    private var path: String { folder.appending(path: "deep/er/history").path }

    private func withFile(limit: Int = 100, _ body: (HistoryFile) throws -> Void) throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        try body(HistoryFile(path: path, limit: limit))
    }

    private func mode() throws -> Int {
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        return try #require(attributes[.posixPermissions] as? Int)
    }

    @Test("what was added is there again, with its line breaks, oldest first")
    func entries() throws {
        try withFile { file in
            #expect(file.load() == [])
            for entry in ["\\use acc-1", "CreditAccount {\n  \"balance\": 1\n}", "日本 é"] { file.append(entry) }
            #expect(file.load() == ["\\use acc-1", "CreditAccount {\n  \"balance\": 1\n}", "日本 é"])
        }
    }

    @Test("an empty entry is none, and no entry is kept where none shall be")
    func nothing() throws {
        try withFile(limit: 0) { file in
            file.append("\\state")
            #expect(!FileManager.default.fileExists(atPath: path))
        }
        try withFile { file in
            file.append("")
            #expect(!FileManager.default.fileExists(atPath: path))
        }
    }

    @Test("only its owner can read it, also when it could be read before")
    func mode0600() throws {
        try withFile { file in
            file.append("one")
            #expect(try mode() == 0o600)
            try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: path)
            file.append("two")
            #expect(try mode() == 0o600)
        }
    }

    @Test("the newest entries are left, once there are half as many again")
    func trim() throws {
        try withFile(limit: 10) { file in
            for number in 1...15 { file.append("line \(number)") }
            let before = try Data(contentsOf: URL(filePath: path))
            file.trim()
            #expect(try Data(contentsOf: URL(filePath: path)) == before)
            #expect(file.load() == (6...15).map { "line \($0)" })
            file.append("line 16")
            file.trim()
            #expect(HistoryFile(path: path, limit: 1_000).load() == (7...16).map { "line \($0)" })
        }
    }

    @Test("two that add at once lose nothing, also while a third trims")
    func twoWriters() async throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = path
        await withTaskGroup(of: Void.self) { group in
            for writer in ["a", "b"] {
                group.addTask {
                    for number in 0..<400 {
                        HistoryFile(path: path, limit: 10_000).append("\(writer) \(number)\n\(writer)")
                    }
                }
            }
            group.addTask { for _ in 0..<50 { HistoryFile(path: path, limit: 10_000).trim() } }
        }
        let all = HistoryFile(path: path, limit: 10_000).load()
        #expect(all.count == 800)
        for writer in ["a", "b"] {
            #expect(all.filter { $0.hasPrefix(writer) } == (0..<400).map { "\(writer) \($0)\n\(writer)" })
        }
    }

    @Test("an entry that is added while the file is trimmed is kept")
    func trimWhileAdding() async throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = path
        await withTaskGroup(of: Void.self) { group in
            group.addTask { for number in 0..<500 { HistoryFile(path: path, limit: 20).append("line \(number)") } }
            group.addTask { for _ in 0..<200 { HistoryFile(path: path, limit: 20).trim() } }
        }
        #expect(HistoryFile(path: path, limit: 20).load() == (480..<500).map { "line \($0)" })
    }

    @Test("a link is not followed, and a folder is no history")
    func notAFile() throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let target = folder.appending(path: "target")
        try Data("secret\n".utf8).write(to: target)
        let link = folder.appending(path: "link")
        try FileManager.default.createSymbolicLink(at: link, withDestinationURL: target)
        HistoryFile(path: link.path, limit: 10).append("mine")
        #expect(try String(contentsOf: target, encoding: .utf8) == "secret\n")
        #expect(HistoryFile(path: folder.path, limit: 10).load() == [])
    }
}
