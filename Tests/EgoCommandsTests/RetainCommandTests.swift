import BankDomain
import ChildProcess
import EgoCommands
import EgoCore
import EgoSQLite
import Foundation
import Testing

@Suite("ego retain and ego migrate")
struct RetainCommandTests {
    private let folder: Workplace

    init() throws { folder = try Workplace() }

    /// A bank with snapshots of its two larger accounts.
    private func bank() async throws -> String {
        let store = try await folder.bank()
        let made = await folder.run(["snapshot", "create", "acc-1", "acc-2", "--store", store])
        #expect(made.code == 0, "\(made.errors)")
        return store
    }

    @Test("refuse with exit 4, and leave every byte as it is")
    func refused() async throws {
        let store = try await bank()
        let plan = folder.path("plan.json")
        let planned = await folder.run(["retain", "--keep-events", "5", "--plan", plan, "--store", store])
        #expect(planned.code == 0, "\(planned.errors)")
        let other = await folder.run([
            "retain", "--keep-events", "20", "--reason", "r", "--yes", "--store", store, "-q",
        ])
        #expect(other.code == 0, "\(other.errors)")
        let before = folder.snapshot(of: "bank.db")
        let lines: [[String]] = [
            ["retain", "--keep-events", "5"], ["retain", "--keep-events", "5", "--yes"],
            ["retain", "--keep-events", "5", "--reason", "r"],
            ["retain", "--keep-events", "5", "--reason", "r", "--no-input"],
            ["retain", "--keep-events", "5", "--reason", "r", "-o", "json"],
            ["retain", "--apply", plan, "--reason", "r", "--yes"], ["retain", "hold", "acc-1"],
            ["retain", "--keep-events", "5", "--reason", "r", "--yes", "--read-only"],
        ]
        for line in lines {
            let result = await folder.run(line + ["--store", store])
            #expect(result.code == 4, "\(line): \(result.errors)")
            #expect(folder.snapshot(of: "bank.db") == before, "\(line)")
        }
    }

    @Test("without a confirmed removal, inline states stay where they are, byte for byte")
    func unconfirmedDrop() async throws {
        let store = ["--store", "sqlite:\(folder.path("legacy.db"))"]
        let made = await folder.run(["demo", "--legacy", "--entities", "3", "--events", "60", "--seed", "7"] + store)
        #expect(made.code == 0, "\(made.errors)")
        func refuse(_ more: [String]) async {
            let before = folder.snapshot(of: "legacy.db")
            let result = await folder.run(["migrate", "--drop-inline-state"] + more + store)
            #expect(result.code == 4, "\(more): \(result.errors)")
            #expect(folder.snapshot(of: "legacy.db") == before, "\(more)")
        }
        for more in [[], ["--no-input"], ["-o", "json"], ["--yes", "--read-only"]] { await refuse(more) }
        // Nor is a migrated store's inline state removed without a word.
        #expect(await folder.run(["migrate"] + store).code == 0)
        for more in [[], ["--no-input"], ["-o", "jsonl"]] { await refuse(more) }
    }

    @Test("tell bad input by its exit code")
    func badInput() async throws {
        let store = try await bank()
        let cases: [([String], Int32, String)] = [
            (["retain", "--reason", "r"], 64, "no policy"),
            (["retain", "--kind", "account", "--reason", "r"], 64, "--kind"),
            (["retain", "--keep-events", "-1"], 64, "--keep-events"),
            (["retain", "--older-than", "yesterdya", "--dry-run"], 64, "--older-than"),
            (["retain", "--keep-snapshots", "0", "--dry-run"], 64, "--keep-snapshots"),
            (["retain", "--apply", "nothing.json", "--reason", "r"], 66, "no such plan"),
            (["retain", "hold", "--reason", "r"], 64, "ID"),
            (["retain", "hold", "nobody", "--reason", "r"], 5, "nobody"),
            (
                ["retain", "--keep-events", "5", "--archive", folder.path("bank.db"), "--reason", "r", "--yes"], 64,
                "--archive"
            ),
            (["retain", "--keep-events", "5", "--archive", folder.path(""), "--reason", "r", "--yes"], 66, "folder"),
            (["retain", "--keep-events", "5", "--kind", "acount", "--dry-run"], 64, "did you mean account?"),
            (["retain", "--closed-by", "AccountDebitd", "--dry-run"], 64, "did you mean AccountDebited?"),
            (["migrate", "extra"], 64, "extra"),
        ]
        for (line, code, words) in cases {
            let result = await folder.run(line + ["--store", store])
            #expect(result.code == code && result.errors.contains(words), "\(line): \(result.code) \(result.errors)")
        }
    }

    @Test("policies of the configuration count, the first that covers an entity")
    func configured() async throws {
        let store = try await bank()
        let file = folder.path("ego.toml")
        try """
        [retain.small]
        prefix = "acc-2"
        keep_events = 20

        [retain.rest]
        kind = "account"
        keep_events = 30
        keep_snapshots = 1
        """.write(toFile: file, atomically: true, encoding: .utf8)
        let result = await folder.run([
            "retain", "--config", file, "--reason", "r", "--yes", "--store", store, "-o", "json",
        ])
        #expect(result.code == 0, "\(result.errors)")
        let data = json(result.output)?["data"] as? [String: Any]
        #expect(data?["events"] as? Int == 3 + 2 && data?["entities"] as? Int == 2, "\(result.output)")
        try "[retain.x]\nkeep = 3\n".write(toFile: file, atomically: true, encoding: .utf8)
        let bad = await folder.run(["retain", "--config", file, "--reason", "r", "--store", store])
        #expect(bad.code == 78 && bad.errors.contains("unknown key"))
    }

    @Test("beside an engine in another process lose no acknowledged command")
    func underLoad() async throws {
        let path = folder.path("load.db")
        _ = try SQLiteStore.initialize(path: path, storeID: "load")
        let process = ChildProcess()
        process.executableURL = egoBinary.deletingLastPathComponent().appending(path: "StoreExerciser")
        process.arguments = ["credit", path, "3"]
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        let lines = Task.detached { output.fileHandleForReading.readDataToEndOfFile() }
        let line = [
            "retain", "--keep-events", "5", "--keep-snapshots", "1", "--reason", "r", "--yes", "-q", "--store",
            "sqlite:\(path)",
        ]
        var deleted = 0
        for _ in 0..<5 {
            let result = await folder.run(line + ["-o", "json", "--timeout", "10m"])
            #expect(result.code == 0, "\(result.errors)")
            deleted += (json(result.output)?["data"] as? [String: Any])?["events"] as? Int ?? 0
            try await Task.sleep(for: .milliseconds(50))
        }
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        var acknowledged: [Int: Int] = [:]
        for line in String(decoding: await lines.value, as: UTF8.self).split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count == 5, words[0] == "ack", let client = Int(words[1]), let number = Int(words[2]) else {
                continue
            }
            acknowledged[client] = max(acknowledged[client] ?? 0, number)
        }
        #expect(deleted > 0 && acknowledged.count == 3)
        for (client, number) in acknowledged {
            let state = await folder.run(["replay", "c-\(client)", "--store", "sqlite:\(path)", "-o", "json"])
            let data = json(state.output)?["data"] as? [String: Any]
            let entity = (data?["entities"] as? [[String: Any]])?.first
            let balance = (entity?["state"] as? [String: Any])?["accountBalance"] as? Double
            #expect((balance ?? 0) >= Double(number), "\(client): \(state.output) \(state.errors)")
        }
        let verified = await folder.run(["verify", "--store", "sqlite:\(path)"])
        #expect(verified.code == 0, "\(verified.output)")
    }
}
