import BankDomain
import EgoCommands
import EgoCore
import EgoSQLite
import Foundation
import Testing

@Suite("ego erase", .serialized, .timeLimit(.minutes(5)))
struct EraseCommandTests {
    private let folder: Workplace
    private let store: String
    private let erase: [String]

    init() async throws {
        folder = try Workplace()
        store = try await folder.bank()
        erase = ["erase", "acc-1", "--store", store, "--reason", "request 4711", "--confirm", "acc-1"]
    }

    @discardableResult
    private func run(
        _ arguments: [String], _ code: Int32 = 0, input: String? = nil, _ location: SourceLocation = #_sourceLocation
    ) async -> (output: String, errors: String) {
        let result = await folder.run(arguments, input: input)
        #expect(
            result.code == code, "\(arguments.joined(separator: " ")): \(result.output) \(result.errors)",
            sourceLocation: location)
        return (result.output, result.errors)
    }

    private func on(_ words: String) -> [String] { words.split(separator: " ").map(String.init) + ["--store", store] }

    private func data(_ output: String) throws -> [String: Any] {
        try #require(json(output)?["data"] as? [String: Any], "\(output)")
    }

    private func certificates(_ output: String) throws -> [[String: Any]] {
        try #require(try data(output)["certificates"] as? [[String: Any]])
    }

    /// Changes the store behind the program's back.
    private func tamper(_ sql: String) throws {
        let script = "import sqlite3, sys; c = sqlite3.connect('bank.db'); c.executescript(sys.argv[1]); c.close()"
        let result = try shell("python3 -c \"\(script)\" \"\(sql)\"", in: folder.url)
        #expect(result.code == 0, "\(result.errors)")
    }

    private func change(_ changes: [OperatorChange]) async throws {
        let base = try await SQLiteStore(path: folder.path("bank.db"))
        _ = try await base.commit(changes, under: nil)
        await base.close()
    }

    // MARK: Erasing

    @Test("erases, certifies, and says what is not covered; again it changes nothing")
    func erases() async throws {
        let first = await run(erase + ["-o", "json", "--certificate", folder.path("acc-1.json")])
        let envelope = try #require(json(first.output))
        #expect(envelope["changed"] as? Bool == true && envelope["code"] as? String == "ok")
        let certificate = try #require(try certificates(first.output).first)
        #expect(certificate["id"] as? String == "acc-1" && certificate["reason"] as? String == "request 4711")
        #expect(certificate["kept_events"] as? Bool == false)
        let deleted = try #require(certificate["deleted"] as? [String: Any])
        let events = try #require(deleted["events"] as? Int)
        #expect(events > 1 && certificate["tombstone_sequence_number"] as? String == "\(events)")
        let verified = try #require(certificate["verified"] as? [String: Any])
        #expect(verified["raw_scan"] as? String == "clean" && verified["decrypts"] as? Bool == false)
        #expect((certificate["not_covered"] as? [String])?.isEmpty == false)
        #expect((certificate["hash"] as? String)?.isEmpty == false)
        #expect(first.errors.contains("not covered: backups"))
        let file = try #require(FileManager.default.contents(atPath: folder.path("acc-1.json")))
        #expect(json(String(decoding: file, as: UTF8.self))?["hash"] as? String == certificate["hash"] as? String)

        let before = folder.snapshot(of: "bank.db")
        let second = await run(erase + ["-o", "json"])
        #expect(json(second.output)?["changed"] as? Bool == false)
        #expect(try certificates(second.output).first?["hash"] as? String == certificate["hash"] as? String)
        #expect(folder.snapshot(of: "bank.db") == before, "byte for byte")
        await run(on("erase acc-1 --reason x"), 0)
        await run(on("events acc-1"), 0)
        let status = try data(await run(on("status -o json")).output)
        #expect(status["events"] as? Int == 60 - events)
        await run(on("verify"))
    }

    @Test("what is refused, declined or not there changes no byte of the store, and has its exit code")
    func refused() async throws {
        await run(on("erase acc-2 --plan \(folder.path("plan.json"))"))
        await run(on("send acc-2 CreditAccount {\"balance\":1}"))
        try await change([
            .placeHold(
                LegalHold(persistenceID: PersistenceID(stored: "acc-3"), reason: "x", placedAt: FixedTime().now()))
        ])
        let before = folder.snapshot(of: "bank.db")
        for (line, code, text) in [
            ("erase acc-1", 4, "--reason"), ("erase acc-1 --confirm acc-1", 4, "--reason"),
            ("erase acc-1 --reason x", 4, "no terminal"), ("erase acc-1 --reason x --confirm acc-2", 4, "--confirm"),
            ("erase acc-1 acc-2 --reason x --confirm acc-1", 4, "\"2\""),
            ("erase acc-1 --reason x --yes", 4, "terminal"),
            ("erase acc-1 --reason x --no-input", 4, "--no-input"), ("erase acc-1 --reason x -o json", 4, "confirmed"),
            ("erase acc-1 --reason x --confirm acc-1 --read-only", 4, "--read-only"),
            ("erase --apply \(folder.path("plan.json")) --reason x --confirm acc-2", 4, "changed since the plan"),
            ("erase acc-3 --reason x --confirm acc-3", 4, "legal hold"),
            ("erase acc-1 --keep-events --reason x --confirm acc-1", 4, "not encrypted"),
            ("erase nobody --reason x --confirm nobody", 5, "no such entity"),
            ("erase acc --reason x --confirm acc", 5, "no such entity"),
            ("erase --reason x", 64, "ID"), ("erase acc-1 --rewrite sometimes --reason x", 64, "--rewrite"),
            ("erase acc-1 --apply \(folder.path("plan.json")) --reason x", 64, "--apply"),
            ("erase --from \(folder.path("none.txt")) --reason x", 66, "no such file"),
            ("erase acc-1 --reason x --confirm acc-1 --certificate \(folder.path(""))", 66, "a folder"),
            ("erase acc-1 --reason x --confirm acc-1 --certificate \(folder.path("none/c.json"))", 66, "no folder"),
            ("erase acc-1 --dry-run", 0, ""), ("erase verify acc-1", 2, "no tombstone"),
            ("erase verify nobody", 5, "no such entity"), ("erase verify acc-1 nobody", 3, "nobody"),
            ("erase verify", 64, "ID"), ("erase log", 0, ""),
        ] as [(String, Int32, String)] {
            let said = await run(on(line), code)
            #expect(text.isEmpty || said.errors.contains(text), "\(line): \(said.errors)")
            #expect(folder.snapshot(of: "bank.db") == before, "\(line)")
        }
    }

    @Test("a look shows what there is, in every format", arguments: ["table", "plain", "csv", "json", "jsonl"])
    func look(_ format: String) async throws {
        let said = await run(on("erase acc-1 --dry-run -o \(format)"), 0)
        for word in ["plan", "events", "snapshots"] { #expect(said.output.contains(word), "\(said.output)") }
    }

    @Test("a question that is answered with anything but the ID is a no, and changes nothing")
    func declined() throws {
        let before = folder.snapshot(of: "bank.db")
        let line = "$EGO erase acc-1 --store '\(store)' --reason x"
        for answer in ["\r", "y\r", "yes\r", "acc-2\r", "\u{4}"] {
            let terminal = try Terminal(line, in: folder.url)
            #expect(terminal.wait(for: "Type its ID, acc-1, to go on: "), "\(terminal.text)")
            terminal.send(answer)
            #expect(terminal.finish() == 4)
            #expect(terminal.text.contains("not confirmed"))
        }
        let interrupted = try Terminal(line, in: folder.url)
        #expect(interrupted.wait(for: "to go on: "))
        interrupted.send("\u{3}")
        #expect(interrupted.finish() == 130)
        #expect(folder.snapshot(of: "bank.db") == before, "byte for byte")
        let right = try Terminal(line, in: folder.url)
        #expect(right.wait(for: "to go on: "))
        right.send("acc-1\r")
        #expect(right.finish() == 0, "\(right.text)")
        #expect(folder.snapshot(of: "bank.db") != before)
    }

    @Test("of two operators one is refused, and told who the other is")
    func twoOperators() async throws {
        let base = try await SQLiteStore(path: folder.path("bank.db"))
        let lease = try await base.acquireLease(
            "erase", owner: "bob@elsewhere", for: .seconds(600), now: FixedTime().now())
        let before = folder.snapshot(of: "bank.db")
        let said = await run(erase, 4)
        #expect(said.errors.contains("bob@elsewhere has held the lease on erase for"), "\(said.errors)")
        #expect(folder.snapshot(of: "bank.db") == before)
        try await base.release(lease)
        await base.close()
        await run(erase)
    }

    @Test("a plan is carried out when it still holds")
    func plans() async throws {
        await run(on("erase acc-1 acc-2 --plan \(folder.path("plan.json"))"))
        let apply = on("erase --apply \(folder.path("plan.json")) --reason x --confirm 2 -o json")
        #expect(try certificates(await run(apply).output).count == 2)
        // What it wanted is there.
        await run(apply, 4)
    }

    @Test("takes many IDs from a file or standard input, each with a certificate of its own")
    func many() async throws {
        try "acc-1\r\nacc-2\n\nnobody\nacc-1".write(toFile: folder.path("ids"), atomically: true, encoding: .utf8)
        let file = folder.path("certificates.json")
        let mixed = await run(
            on("erase --from \(folder.path("ids")) --reason x --confirm 2 -o json --certificate \(file)"), 3)
        #expect(try certificates(mixed.output).map { $0["id"] as? String } == ["acc-1", "acc-2"])
        #expect(mixed.errors.contains("nobody: there is no such entity"))
        let written = try JSONSerialization.jsonObject(with: try Data(contentsOf: URL(filePath: file)))
        #expect((written as? [[String: Any]])?.count == 2)
        let piped = await run(on("erase --from - --reason x --confirm acc-3 -o json"), input: "acc-3\nacc-2\n")
        #expect(try certificates(piped.output).count == 2)
        try Data([0x61, 0xff, 0x0a]).write(to: URL(filePath: folder.path("ids")))
        await run(on("erase --from \(folder.path("ids")) --reason x"), 65)
        let log = await run(on("erase log -o json"))
        #expect(try certificates(log.output).map { $0["id"] as? String } == ["acc-1", "acc-2", "acc-3"])
        #expect(try data(log.output)["verified"] as? Bool == true)
        let proofs = try data(await run(on("erase verify acc-1 acc-2 acc-3 -o json")).output)
        #expect(proofs["verified"] as? Bool == true && (proofs["proofs"] as? [Any])?.count == 3)
    }

    // MARK: Certificates

    @Test("a certificate that was not written is written by the same command again")
    func certificateAgain() async throws {
        await run(erase)
        let file = folder.path("acc-1.json")
        await run(erase + ["--certificate", file])
        #expect(FileManager.default.fileExists(atPath: file))
    }

    @Test("a certificate is not written over the store, which is told before anything is erased")
    func certificateInStore() async throws {
        let before = folder.snapshot(of: "bank.db")
        let result = await folder.run(erase + ["--certificate", folder.path("bank.db")])
        #expect(result.code == 64, "\(result.errors)")
        #expect(folder.snapshot(of: "bank.db") == before)
    }

    // MARK: Tampering

    @Test(
        "what was put back, or changed, is found",
        arguments: [
            "INSERT INTO ego_events (entity, sequence_number, timestamp, shard, manifest, flags, payload) "
                + "SELECT 1, 1, 1, shard, 1, 0, x'00' FROM ego_entities WHERE id = 1",
            "INSERT INTO ego_snapshots (entity, sequence_number, timestamp, manifest, flags, payload) "
                + "VALUES (1, 1, 1, 1, 0, x'00')",
            "INSERT INTO ego_states (entity, version, timestamp, manifest, payload) VALUES (1, 1, 1, 1, x'00')",
            "INSERT INTO ego_keys VALUES ('k', 'acc-1', x'00', 1)",
            "INSERT INTO account_balances_v2 VALUES ('acc-1', 7)",
            "INSERT INTO ego_dead_letters VALUES ('p', 1, 1, 1, 'acc-1', 1, 't', 'e', 1, 1)",
            "DELETE FROM ego_tombstones", "UPDATE ego_audit SET result = replace(result, '4711', '4712')",
            "DELETE FROM ego_audit WHERE action = 'erase' AND result LIKE '%tombstone%'",
            "UPDATE ego_audit SET actor = 'eve' WHERE action <> 'erase'",
        ])
    func tampered(_ sql: String) async throws {
        await run(on("rebuild balances --reason x --yes"))
        await run(erase)
        await run(on("erase verify acc-1"))
        await run(on("erase log"))
        try tamper(sql)
        let verify = await run(on("erase verify acc-1 -o json"), 2)
        #expect(try data(verify.output)["verified"] as? Bool == false)
        if sql.contains("ego_audit") {
            let log = await run(on("erase log -o json"), 2)
            #expect(try data(log.output)["verified"] as? Bool == false)
            #expect(log.errors.contains("audit record"))
        }
        // The erasure is not taken for done where its proof is gone.
        if sql.hasPrefix("DELETE FROM ego_tombstones") { await run(on("erase verify acc-1"), 2) }
    }
}
