import BankDomain
import CommandLineKit
import EgoCore
import EgoSQLite
import Foundation
import Testing

@testable import EgoCommands

/// A folder with a master key, and everything that its commands have said.
private final class Safe {
    let folder: Workplace
    let key: [UInt8]
    private(set) var said = ""

    init() throws {
        folder = try Workplace()
        key = (0..<32).map { _ in UInt8.random(in: 0...255) }
        try write(hex, to: "master.key")
    }

    var hex: String { Self.hex(key) }
    var flag: [String] { ["--master-key", folder.path("master.key")] }
    var store: [String] { ["--store", "sqlite:\(folder.path("bank.db"))"] }

    static func hex(_ key: [UInt8]) -> String { key.map { String(format: "%02x", $0) }.joined() }

    func write(_ text: String, to name: String, mode: Int = 0o600) throws {
        try text.write(toFile: folder.path(name), atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: folder.path(name))
    }

    @discardableResult
    func run(
        _ words: String..., flags: [String]? = nil, code: Int32 = 0, _ location: SourceLocation = #_sourceLocation
    ) async -> (output: String, errors: String) {
        let result = await folder.run(words + store + (flags ?? flag))
        #expect(result.code == code, "\(words): \(result.errors)", sourceLocation: location)
        said += result.output + result.errors
        return (result.output, result.errors)
    }

    /// The data of a command's envelope, which has to fit its schema.
    func data(
        _ words: String..., flags: [String]? = nil, code: Int32 = 0, _ location: SourceLocation = #_sourceLocation
    ) async throws -> [String: Any] {
        let result = await folder.run(words + ["-o", "json"] + store + (flags ?? flag))
        #expect(result.code == code, "\(words): \(result.errors)", sourceLocation: location)
        said += result.output + result.errors
        let envelope = try #require(json(result.output), "\(result.output)", sourceLocation: location)
        let table = EgoCommandLine(domain: .bank, sample: BankSample()).table
        let path = Array(words.prefix(words[0] == "key" ? 2 : 1))
        let schema = try #require(table.output(of: path)?.jsonSchema)
        #expect(JSONSchema(schema)?.problems(in: envelope) == [], sourceLocation: location)
        #expect(envelope["ok"] as? Bool == (code == 0), sourceLocation: location)
        return envelope["data"] as? [String: Any] ?? [:]
    }

    func demo(_ more: String...) async {
        let words = ["demo", "--encrypted", "--entities", "3", "--events", "60", "--seed", "7"]
        let result = await folder.run(words + store + flag + more)
        #expect(result.code == 0, "\(result.errors)")
        said += result.output + result.errors
    }

    func open() async throws -> SQLiteStore { try await SQLiteStore(path: folder.path("bank.db")) }
}

@Suite("The keys of a store, at the command line")
struct KeyCommandTests {
    private let safe: Safe

    init() throws { safe = try Safe() }

    @Test("without a key an operator sees which key it would take; with it and --decrypt, what is there")
    func reading() async throws {
        await safe.demo()
        for flags in [[], safe.flag] {
            for words in ["events", "events acc-1", "replay acc-1 --trace"] {
                let code: Int32 = words.hasPrefix("replay") && flags.isEmpty ? 78 : 0
                let result = await safe.folder.run(words.split(separator: " ").map(String.init) + safe.store + flags)
                #expect(result.code == code, "\(words) \(flags.count): \(result.errors)")
                if code == 0 { #expect(result.output.contains("<encrypted key=ego-"), "\(words)") }
                #expect(!(result.output + result.errors).contains("alance\":"), "\(words)")
            }
        }
        let clear = await safe.folder.run(["events", "acc-1", "--decrypt"] + safe.store + safe.flag)
        #expect(clear.code == 0 && clear.output.contains("accountBalance"), "\(clear.output)")
        let plain = try Workplace()
        let store = try await plain.bank()
        let columns = ["events", "--decrypt", "-o", "jsonl", "--columns", "id,sequence_number,timestamp,type,payload"]
        let same = await safe.folder.run(columns + safe.store + safe.flag)
        let other = await plain.run(columns + ["--store", store])
        func payloads(_ text: String) -> [NSDictionary] {
            text.split(separator: "\n").compactMap { json(String($0))?["payload"] as? NSDictionary }
        }
        #expect(payloads(same.output).count >= 60)
        #expect(payloads(same.output) == payloads(other.output), "the same bank, encrypted and not")
        let undecrypted = await safe.run("events", "acc-1", "--decrypt", flags: [])
        #expect(undecrypted.output.contains("<encrypted key="))
        #expect(undecrypted.errors.contains("could not be decrypted"), "\(undecrypted.errors)")
    }

    @Test("commands are carried out with the key, and refused without")
    func sending() async throws {
        await safe.demo()
        let before = try await safe.data("status")["events"] as? Int
        let credit = ["send", "acc-1", "CreditAccount", "{\"balance\": 4321.125}"]
        let refused = await safe.folder.run(credit + safe.store)
        #expect(refused.code == 78, "\(refused.errors)")
        #expect(refused.errors.contains("--master-key"))
        #expect(try await safe.data("status")["events"] as? Int == before)
        let sent = await safe.folder.run(credit + safe.store + safe.flag)
        #expect(sent.code == 0, "\(sent.errors)")
        let store = try await safe.open()
        let events = try await store.events(
            of: PersistenceID(stored: "acc-1"), from: 1, through: .max, limit: PageLimit(rows: 5_000))
        #expect(events.allSatisfy { $0.isEncrypted })
        await store.close()
        let hidden = await safe.run("events", "acc-1")
        #expect(!hidden.output.contains("4321"))
        let shown = await safe.folder.run(["events", "acc-1", "--decrypt"] + safe.store + safe.flag)
        #expect(shown.output.contains("4321.125"))
        #expect(await safe.folder.run(["replay", "acc-1"] + safe.store).code == 78)
        let state = await safe.folder.run(["replay", "acc-1", "--decrypt"] + safe.store + safe.flag)
        #expect(state.code == 0 && state.output.contains("accountBalance"), "\(state.output) \(state.errors)")
    }

    @Test("an export holds ciphertext and no keys; imported elsewhere it is read with the same keys")
    func moving() async throws {
        await safe.demo()
        let file = safe.folder.path("bank.jsonl")
        await safe.run("export", "--to", file)
        let text = try String(contentsOfFile: file, encoding: .utf8)
        #expect(!text.contains("alance") || !text.contains("\"payload\":{"), "a payload in the clear")
        #expect(!text.contains(safe.hex))
        let other = "sqlite:\(safe.folder.path("other.db"))"
        #expect(await safe.folder.run(["init", "--store", other]).code == 0)
        let moved = await safe.folder.run(["import", file, "--store", other])
        #expect(moved.code == 0, "\(moved.errors)")
        let keys = ["--keys", "sqlite:\(safe.folder.path("bank.db"))"]
        let line = ["events", "acc-2", "--decrypt", "-o", "jsonl", "--columns", "id,sequence_number,payload"]
        let here = await safe.folder.run(line + safe.store + safe.flag)
        let there = await safe.folder.run(line + ["--store", other] + keys + safe.flag)
        #expect(there.code == 0 && there.output == here.output, "\(there.output) \(there.errors)")
        #expect(there.output.contains("accountBalance"))
        let replayed = await safe.folder.run(["replay", "--all", "--verify", "--store", other] + keys + safe.flag)
        #expect(replayed.code == 0, "\(replayed.errors)")
        let keyless = await safe.folder.run(["replay", "acc-2", "--store", other] + safe.flag)
        #expect(keyless.code == 78, "\(keyless.errors)")
        // Under another name the records do not decrypt.
        let forged = safe.folder.path("forged.jsonl")
        try text.replacing("\"acc-2\"", with: "\"acc-9\"").write(toFile: forged, atomically: true, encoding: .utf8)
        let third = "sqlite:\(safe.folder.path("third.db"))"
        _ = await safe.folder.run(["init", "--store", third])
        let imported = await safe.folder.run(["import", forged, "--store", third])
        if imported.code == 0 {
            let moved = await safe.folder.run(["replay", "acc-9", "--store", third] + keys + safe.flag)
            #expect(moved.code == 65 && moved.errors.contains("does not decrypt with key"), "\(moved.errors)")
        }
    }

    @Test("keys may be in another database")
    func otherDatabase() async throws {
        let place = "sqlite:\(safe.folder.path("keys.db"))"
        #expect(await safe.folder.run(["init", "--store", place]).code == 0)
        await safe.demo("--keys", place)
        let keys = ["--keys", place]
        #expect((try await safe.data("key", "list")["keys"] as? [Any])?.isEmpty == true)
        #expect((try await safe.data("key", "list", flags: keys)["keys"] as? [Any])?.count == 3)
        await safe.run("replay", "acc-1", "--decrypt", flags: safe.flag + keys)
        await safe.run("replay", "acc-1", code: 78)
        try safe.write(String(repeating: "5a", count: 32), to: "new.key")
        let flags = safe.flag + keys
        let rotated = try await safe.data(
            "key", "rotate", "--new-master-key", safe.folder.path("new.key"), flags: flags)
        #expect(rotated["rotated"] as? Int == 3)
        await safe.run(
            "replay", "acc-1", "--decrypt", flags: ["--master-key", safe.folder.path("new.key")] + keys)
        await safe.run("replay", "acc-1", flags: flags, code: 78)
        let missing = await safe.run(
            "events", flags: safe.flag + ["--keys", "sqlite:\(safe.folder.path("none.db"))"], code: 66)
        #expect(missing.errors.contains("none.db"))
    }

    @Test("a rotation tells of every key that it cannot wrap, and names the first")
    func manyFailures() async throws {
        let fill = ["demo", "--encrypted", "--entities", "103", "--events", "206", "--seed", "7"]
        #expect(await safe.folder.run(fill + safe.store + safe.flag).code == 0)
        try safe.write(String(repeating: "5a", count: 32), to: "wrong.key")
        try safe.write(String(repeating: "5b", count: 32), to: "new.key")
        let flags = ["--master-key", safe.folder.path("wrong.key"), "--new-master-key", safe.folder.path("new.key")]
        let data = try await safe.data("key", "rotate", flags: flags, code: 78)
        #expect((data["failed"] as? [Any])?.count == 100 && data["failures"] as? Int == 103)
        let said = await safe.run("key", "rotate", flags: flags, code: 78).errors
        #expect(said.contains("3 more: the old master key does not unwrap them"))
    }

    @Test("the key file of eGo for Go is read, and only read")
    func goKeys() async throws {
        await safe.demo()
        let file = safe.folder.path("go.json")
        try safe.write("{\"k\":\"\(safe.hex)\"}", to: "go.json")
        await safe.run("events", flags: ["--keys", "file:\(file)"])
        for command in [["key", "list"], ["key", "destroy", "acc-1", "--confirm", "acc-1", "--reason", "r"]] {
            let result = await safe.folder.run(command + safe.store + ["--keys", "file:\(file)"])
            #expect(result.code == 64, "\(result.errors)")
        }
        for (content, code) in [
            ("{", 65), ("[]", 65), ("{\"k\":\"\(safe.hex)0\"}", 65), ("{\"k\":\"\(safe.hex)00\"}", 65),
            ("{\"k\":\"\(safe.hex.dropLast())x\"}", 65), (safe.hex, 65),
        ] as [(String, Int32)] {
            try safe.write(content, to: "go.json")
            let result = await safe.folder.run(["events"] + safe.store + ["--keys", "file:\(file)"])
            #expect(result.code == code, "\(content)")
            #expect(!result.errors.contains(safe.hex.prefix(16)))
        }
    }
}
