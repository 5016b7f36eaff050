import BankDomain
import EgoCore
import EgoSQLite
import Foundation
import Testing

@testable import EgoCommands

/// Where the master key comes from, and where it must not go to.
@Suite("The master key, at the command line")
struct MasterKeyCommandTests {
    private let folder: Workplace
    private let hex = (0..<32).map { _ in String(format: "%02x", UInt8.random(in: 0...255)) }.joined()
    private let other = String(repeating: "5a", count: 32)
    private static let fill = ["demo", "--encrypted", "--entities", "3", "--events", "60", "--seed", "7"]

    init() throws {
        folder = try Workplace()
        try write(hex, to: "master.key")
        try write(other, to: "new.key")
    }

    private var store: [String] { ["--store", "sqlite:\(folder.path("bank.db"))"] }
    private var flag: [String] { ["--master-key", folder.path("master.key")] }
    private var rotate: [String] {
        ["key", "rotate", "--new-master-key", folder.path("new.key")] + store + flag
    }

    private func write(_ text: String, to name: String, mode: Int = 0o600) throws {
        try text.write(toFile: folder.path(name), atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: folder.path(name))
    }

    private func demo() async { #expect(await folder.run(Self.fill + store + flag).code == 0) }

    private func listed() async throws -> [[String: Any]] {
        let result = await folder.run(["key", "list", "-o", "json"] + store)
        return try #require((json(result.output)?["data"] as? [String: Any])?["keys"] as? [[String: Any]])
    }

    @Test("a file that others can read, is not there or is no key is refused, and is not shown")
    func files() async throws {
        await demo()
        for (mode, code) in [(0o644, 78), (0o640, 78), (0o604, 78), (0o620, 78), (0o600, 0), (0o400, 0)] {
            try write(hex, to: "mode.key", mode: mode)
            let line = ["replay", "acc-1"] + store + ["--master-key", folder.path("mode.key")]
            let result = await folder.run(line)
            #expect(result.code == Int32(code), "\(String(mode, radix: 8)): \(result.errors)")
            if code != 0 { #expect(result.errors.contains("chmod 600")) }
        }
        let missing = await folder.run(["replay", "acc-1"] + store + ["--master-key", folder.path("none")])
        #expect(missing.code == 66 && missing.errors.contains("no such file"), "\(missing.errors)")
        for content in ["", "garbage", String(hex.dropLast()), hex + "00", "key: \(hex)"] {
            try write(content, to: "bad.key")
            for command in [["replay", "acc-1"], Self.fill, ["send", "acc-1", "CreditAccount", "{\"balance\":1}"]] {
                let result = await folder.run(command + store + ["--master-key", folder.path("bad.key"), "-o", "json"])
                #expect(result.code == 78, "\(content.count) \(command[0]): \(result.errors)")
                #expect(!(result.output + result.errors).contains(hex.prefix(12)))
                #expect(json(result.output)?["code"] as? String == "config", "\(result.output)")
            }
        }
        let none = await folder.run(Self.fill + store)
        #expect(none.code == 78 && none.errors.contains("--master-key"), "\(none.errors)")
        #expect(await folder.run(["key", "rotate", "--new-master-key", folder.path("new.key")] + store).code == 78)
        #expect(await folder.run(["key", "rotate"] + store + flag).code == 64)
    }

    @Test("the key itself in place of its file's name is not shown")
    func keyAsName() async throws {
        await demo()
        for line in [
            ["events"] + store + ["--master-key", hex], ["events"] + store + flag + ["--keys", hex],
            ["key", "rotate", "--new-master-key", hex] + store + flag,
        ] {
            for format in ["text", "json"] {
                let result = await folder.run(line + (format == "json" ? ["-o", "json"] : []))
                #expect(result.code != 0)
                #expect(!(result.output + result.errors).contains(hex), "\(line[0]) \(line[1]) shows the key")
            }
        }
    }

    @Test("that is not the one which wraps a key is told from none at all")
    func wrong() async throws {
        await demo()
        let wrong = await folder.run(["replay", "acc-1"] + store + ["--master-key", folder.path("new.key")])
        #expect(wrong.code == 78)
        #expect(
            !wrong.errors.contains("no encryptor is configured"),
            "one is, with a master key that does not wrap this key: \(wrong.errors)")
    }

    @Test("may come out of a pipe, as of <(...) in a shell")
    func pipe() async throws {
        await demo()
        let result = try shell(
            "$EGO replay acc-1 --store sqlite:bank.db --master-key <(cat master.key)", in: folder.url)
        #expect(result.code == 0, "\(result.errors)")
    }

    @Test("a command of the configuration prints it, once for each command line")
    func command() async throws {
        try """
        store = "sqlite:bank.db"
        master_key_command = "echo x >> asked; cat master.key"
        """.write(toFile: folder.path(".ego.toml"), atomically: true, encoding: .utf8)
        func run(_ line: String) throws -> (code: Int32, output: String, errors: String) {
            try? FileManager.default.removeItem(atPath: folder.path("asked"))
            return try shell("$EGO \(line)", in: folder.url)
        }
        func asked() -> Int { FileManager.default.contents(atPath: folder.path("asked"))?.count ?? 0 }
        let demo = try run(Self.fill.joined(separator: " "))
        #expect(demo.code == 0, "\(demo.errors)")
        #expect(asked() == 2, "it ran \(asked() / 2) times")
        #expect(try run("replay acc-1").code == 0 && asked() == 2)
        // Whoever presses Tab or asks for help in a folder that came from elsewhere runs nothing of it.
        for line in ["__complete fish -- replay acc-", "replay --help", "help key"] {
            #expect(try run(line).code == 0 && asked() == 0, "\(line)")
        }
        let shown = try run("events acc-1 --decrypt")
        #expect(shown.code == 0 && shown.output.contains("accountBalance"))
        let short = "echo \(hex.dropLast(2))"
        for bad in ["false", "cat master.key; exit 3", short, "cat /dev/zero", "none-such-command"] {
            try """
            store = "sqlite:bank.db"
            master_key_command = "\(bad)"
            """.write(toFile: folder.path(".ego.toml"), atomically: true, encoding: .utf8)
            let result = try shell("$EGO replay acc-1", in: folder.url)
            #expect(result.code == 78, "\(bad): \(result.errors)")
            #expect(!(result.output + result.errors.replacing(bad, with: "")).contains(hex.prefix(12)))
        }
    }

    @Test("is replaced by rotation: the old one reads nothing then, and the rotation repeated changes nothing")
    func rotation() async throws {
        await demo()
        let before = try await listed()
        #expect(before.count == 3 && Set(before.map { $0["master_key"] as? String ?? "" }).count == 1)
        let dry = json(await folder.run(rotate + ["--dry-run", "-o", "json"]).output)
        #expect(dry?["changed"] as? Bool == false)
        #expect((dry?["data"] as? [String: Any])?["rotated"] as? Int == 3)
        #expect(NSArray(array: try await listed()).isEqual(to: before))
        let done = json(await folder.run(rotate + ["-o", "json"]).output)
        let data = done?["data"] as? [String: Any]
        #expect(done?["changed"] as? Bool == true && data?["rotated"] as? Int == 3 && data?["kept"] as? Int == 0)
        let after = try await listed()
        #expect(Set(after.map { $0["master_key"] as? String ?? "" }) == [data?["to"] as? String ?? "-"])
        #expect(before[0]["master_key"] as? String == data?["from"] as? String)
        #expect(after.map { $0["id"] as? String } == before.map { $0["id"] as? String })
        let new = ["--master-key", folder.path("new.key")]
        #expect(await folder.run(["replay", "--all", "--verify"] + store + new).code == 0)
        #expect(await folder.run(["replay", "acc-1"] + store + flag).code == 78)
        let send = ["send", "acc-1", "CreditAccount", "{\"balance\":1}"]
        let refused = await folder.run(send + store + flag)
        #expect(refused.code == 78, "\(refused.errors)")
        #expect(await folder.run(send + store + new).code == 0)
        let again = json(await folder.run(rotate + ["-o", "json"]).output)
        #expect(again?["changed"] as? Bool == false && again?["code"] as? String == "ok")
        // With the wrong old key nothing is done, and every key is named.
        let wrong = await folder.run(
            ["key", "rotate", "--new-master-key", folder.path("third.key")] + store + flag)
        #expect(wrong.code == 66)
        try write(String(repeating: "77", count: 32), to: "third.key")
        let failed = await folder.run(
            ["key", "rotate", "--new-master-key", folder.path("third.key")] + store + flag)
        #expect(failed.code == 78 && failed.errors.contains("does not unwrap"), "\(failed.errors)")
        #expect(await folder.run(["replay", "acc-1"] + store + new).code == 0)
    }

    @Test("of two rotations at once one is refused and names the other")
    func two() async throws {
        await demo()
        let base = try await SQLiteStore(path: folder.path("bank.db"))
        _ = try await base.acquireLease(
            "keys", owner: "ann@elsewhere (process 7)", for: .seconds(30), now: FixedTime().now())
        await base.close()
        let result = await folder.run(rotate)
        #expect(result.code == 4 && result.errors.contains("ann@elsewhere"), "\(result.errors)")
        #expect(await folder.run(["replay", "acc-1"] + store + flag).code == 0)
    }

    @Test("destroying keys asks for the ID and a reason, and what they encrypt is lost")
    func destroying() async throws {
        await demo()
        let destroy = ["key", "destroy", "acc-1"] + store
        #expect(await folder.run(destroy).code == 4)
        #expect(await folder.run(destroy + ["--reason", "asked for", "--confirm", "acc-2"]).code == 4)
        #expect(await folder.run(destroy + ["--dry-run"]).code == 0)
        #expect(await folder.run(["key", "destroy", "nobody", "--dry-run"] + store).code == 5)
        #expect(await folder.run(["replay", "acc-1"] + store + flag).code == 0)
        let done = await folder.run(destroy + ["--reason", "asked for", "--confirm", "acc-1", "-o", "json"])
        #expect((json(done.output)?["data"] as? [String: Any])?["destroyed"] as? Int == 1, "\(done.errors)")
        let lost = await folder.run(["replay", "acc-1"] + store + flag)
        #expect(lost.code == 65 && lost.errors.contains("erased"), "\(lost.errors)")
        #expect(await folder.run(["replay", "acc-2"] + store + flag).code == 0)
        let send = await folder.run(["send", "acc-1", "CreditAccount", "{\"balance\":1}"] + store + flag)
        #expect(send.code != 0, "\(send.output)")
        #expect(try await listed().map { $0["state"] as? String }.filter { $0 == "destroyed" }.count == 1)
        let again = json(
            await folder.run(destroy + ["--reason", "x", "--confirm", "acc-1", "-o", "json"]).output)
        #expect(again?["changed"] as? Bool == false)
    }
}
