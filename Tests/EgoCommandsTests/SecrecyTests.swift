import BankDomain
import EgoCore
import EgoSQLite
import Foundation
import Testing

/// What must not be seen: keys, payloads of encrypted entities, passwords.
@Suite("What commands print and record")
struct SecrecyTests {
    private let folder: Workplace
    private let hex = (0..<32).map { _ in String(format: "%02x", UInt8.random(in: 0...255)) }.joined()
    private let other = String(repeating: "5a", count: 32)
    private let credit = ["send", "acc-1", "CreditAccount", "{\"balance\": 4321.125}"]

    init() throws {
        folder = try Workplace()
        for (name, text) in [("master.key", hex), ("new.key", other)] {
            try text.write(toFile: folder.path(name), atomically: true, encoding: .utf8)
            try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: folder.path(name))
        }
    }

    private var store: [String] { ["--store", "sqlite:\(folder.path("bank.db"))"] }
    private var flag: [String] { ["--master-key", folder.path("master.key")] }
    private var demo: [String] {
        ["demo", "--encrypted", "--entities", "3", "--events", "60", "--seed", "7"] + store + flag
    }

    private func words(_ line: String) -> [String] { line.split(separator: " ").map(String.init) }

    /// What a command line says in every form.
    private func said(_ words: [String]) async -> String {
        var said = ""
        for format in [[], ["-o", "json"], ["--verbose", "--log-format", "json"]] {
            let result = await folder.run(words + format)
            said += result.output + result.errors
        }
        return said
    }

    @Test("holds no key, no payload of an encrypted entity and no ciphertext")
    func quiet() async throws {
        var said = await said(demo)
        #expect(await folder.run(credit + store + flag).code == 0)
        let base = try await SQLiteStore(path: folder.path("bank.db"))
        let keys = try await base.keys(after: nil, limit: 10).map(\.key.wrapped)
        for line in [
            "events", "events acc-1", "status", "entities", "key list", "verify", "doctor", "snapshot create acc-1",
            "snapshot list acc-1", "jobs", "replay acc-1", "replay acc-1 --diff 1 3",
            "send acc-1 DebitAccount {\"balance\":1e9}",
            "send acc-1 CreditAccount {\"nothing\":4321.125}",
        ] {
            for flags in [[], flag] { said += await self.said(words(line) + store + flags) }
        }
        said = said.replacing("\\\"nothing\\\":4321.125", with: "")
        said += await self.said(["key", "rotate", "--new-master-key", folder.path("new.key")] + store + flag)
        said += await self.said(words("key destroy acc-3 --reason r --confirm acc-3") + store)
        for line in ["replay acc-1", "replay acc-1 --trace", "replay acc-3", "audit", "jobs", "config"] {
            said += await self.said(words(line) + store + flag)
        }
        var secrets = [hex, other, Data(bytes(hex)).base64EncodedString(), "4321.125", "ccountBalance"]
        for event in try await base.journal(after: .start, shard: nil, limit: PageLimit(rows: 500)).events {
            let value = try AnyPayload(serialized: event.payload).value
            secrets += [Data(value).base64EncodedString(), Data(event.payload).base64EncodedString()]
        }
        for wrapped in try await keys + base.keys(after: nil, limit: 10).map(\.key.wrapped) where !wrapped.isEmpty {
            secrets.append(Data(wrapped).base64EncodedString())
            secrets.append(wrapped.map { String(format: "%02x", $0) }.joined())
        }
        for record in try await base.audit(after: 0, limit: 100) { said += "\(record)" }
        for job in try await base.jobs() { said += "\(job)" }
        await base.close()
        for secret in secrets {
            let place = said.range(of: secret).map { said[..<$0.upperBound].suffix(300) }
            #expect(place == nil)
        }
    }

    @Test("holds no payload of an encrypted entity in the answer to a command, without --decrypt")
    func sent() async throws {
        _ = await folder.run(demo)
        for more in [[], ["--dry-run"]] {
            let result = await said(credit + store + flag + more)
            #expect(!result.contains("ccountBalance"), "the answer shows the state: \(result.prefix(400))")
        }
        let shown = await said(credit + store + flag + ["--decrypt"])
        #expect(shown.contains("ccountBalance"))
    }

    @Test("holds no password of the place of keys")
    func passwords() async throws {
        _ = await folder.run(demo)
        let place = ["--keys", "postgres://ann:geheim77@127.0.0.1:1/keys"]
        for line in ["config", "events", "key list", "doctor", "key destroy acc-1 --dry-run", "status"] {
            let result = await said(words(line) + store + flag + place)
            #expect(!result.contains("geheim77"), "ego \(line)")
        }
        for place in ["postgres://ann:geheim77@[/keys", "postgre://ann:geheim77@h/d", "geheim77"] {
            #expect(!(await said(["events", "--keys", place] + store)).contains("geheim77"), "\(place)")
        }
    }

    private func bytes(_ hex: String) -> [UInt8] {
        let digits = Array(hex)
        return stride(from: 0, to: digits.count, by: 2).compactMap { UInt8(String(digits[$0...$0 + 1]), radix: 16) }
    }
}
