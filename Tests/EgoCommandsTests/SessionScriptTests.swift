import Foundation
import Testing

@Suite("Scripts of a session", .serialized, .timeLimit(.minutes(3)))
struct SessionScriptTests {
    private func ego(
        _ line: String, in place: Workplace, script: Data? = nil
    ) throws -> (code: Int32, output: String, errors: String) {
        if let script { try script.write(to: place.url.appending(path: "script.ego")) }
        return try shell(
            "\"$EGO\" repl --store sqlite:bank.db \(line)", in: place.url,
            environment: ["INPUTRC": "/dev/null", "XDG_STATE_HOME": place.path("state"), "HOME": place.url.path])
    }

    private func bank() async throws -> Workplace {
        let place = try Workplace()
        _ = try await place.bank()
        return place
    }

    private func lines(_ text: String) -> [String] { text.split(separator: "\n").map(String.init) }

    @Test("every line of the output is JSON, and there is no prompt")
    func jsonLines() async throws {
        let place = try await bank()
        let result = try ego("-c '\\use acc-1' -c '\\state' -c '\\lag' < /dev/null", in: place)
        #expect(result.code == 0)
        #expect(result.errors == "")
        for line in lines(result.output) { #expect(json(line) != nil, "\(line)") }
        #expect(lines(result.output).count { $0.contains("\"type\":\"summary\"") } == 3)
        #expect(!result.output.contains("=>"))
    }

    @Test("the first error ends it with its code, and is said once, with its line")
    func firstError() async throws {
        let place = try await bank()
        let script = Data("\\use acc-1\n\n# a comment\n\\stat\n\\quit-never\n".utf8)
        for how in ["-f script.ego", "-f - < script.ego", "< script.ego"] {
            let result = try ego(how, in: place, script: script)
            #expect(result.code == 64)
            let name = how.contains("<") ? "standard input" : "script.ego"
            #expect(
                result.errors == "ego: \(name):4: \\stat: unknown command\nhint: did you mean \\state?\n", "\(how)")
        }
    }

    @Test("--keep-going goes on; some failed is 3, all failed is the first one's code")
    func keepGoing() async throws {
        let place = try await bank()
        let mixed = try ego("--keep-going -f script.ego", in: place, script: Data("\\use nobody\n\\use acc-1\n".utf8))
        #expect(mixed.code == 3)
        #expect(mixed.output.contains("\"id\":\"acc-1\""))
        let all = try ego("--keep-going -c '\\use nobody' -c '\\foo'", in: place)
        #expect(all.code == 5)
        #expect(all.errors.contains("--command 2:1: \\foo: unknown command"))
        #expect(try ego("-c '\\use nobody' -c '\\foo'", in: place).errors.contains("foo") == false)
    }

    @Test(
        "bad input gets its exit code and its line",
        arguments: [
            ("\\use acc-1\nCreditAccount {\"balance\": [\n", 65, "script.ego:2: it ends while {[ is open"),
            (
                "\\use acc-1\nCreditAccount {\"balanc\": 1}\n", 65,
                "script.ego:2: CreditAccount: there is no field \"balanc\""
            ),
            ("\\use acc-1\nCreditAccount {\"balance\": 1,,}\n", 65, "script.ego:2: CreditAccount: "),
            ("\\use acc-1\nCredit {}\n", 64, "script.ego:2: Credit: no behavior takes this command"),
            ("\\use a\u{0}b\n", 64, "script.ego:1: ID: a persistence ID cannot hold the character U+0000"),
            ("\\i missing.ego\n", 66, "script.ego:1: missing.ego: there is no such file"),
            ("\\i script.ego\n", 64, "script.ego: files name each other too deeply"),
            ("\\watch 1 \\watch 1 \\lag\n", 64, "\\watch: it cannot watch itself"),
            ("\\watch 1 CreditAccount {}\n", 4, "it repeats what looks"), ("\\e\n", 64, "\\e: it needs a terminal"),
            ("\\o bank.db\n", 64, "bank.db is the store itself"), ("\\o ./bank.db-wal\n", 64, "is the store itself"),
            ("\\state \\g bank.db\n", 64, "bank.db is the store itself"),
            ("CreditAccount {}\n", 64, "no entity is chosen"), ("\\o no/such/folder\n", 74, "no/such/folder"),
        ] as [(String, Int32, String)])
    func badInput(_ script: String, _ code: Int32, _ message: String) async throws {
        let place = try await bank()
        let before = place.snapshot(of: "bank.db")
        let result = try ego("-f script.ego --rw", in: place, script: Data(script.utf8))
        #expect(result.code == code, "\(result.errors)")
        #expect(result.errors.contains(message), "\(result.errors)")
        #expect(lines(result.errors).count { $0.hasPrefix("ego: ") } == 1)
        #expect(place.snapshot(of: "bank.db")[""] == before[""])
    }

    @Test("a line that is no UTF-8 is an error of its own, with its number")
    func invalidText() async throws {
        let place = try await bank()
        let script = Data("\\use acc-1\n".utf8) + Data([0x5c, 0xff, 0xfe, 0x0a]) + Data("\\state\n".utf8)
        let result = try ego("-f script.ego", in: place, script: script)
        #expect(result.code == 65)
        #expect(result.errors == "ego: script.ego:2: the line is not UTF-8\n")
        let kept = try ego("--keep-going -f script.ego", in: place, script: script)
        #expect(kept.code == 3)
        #expect(kept.output.contains("\"ego.replay/1\""))
    }

    @Test("a line of ten megabytes is an input like any other")
    func longLine() async throws {
        let place = try await bank()
        let line =
            "\\dry CreditAccount {\"accountId\": \"acc-1\"\(String(repeating: " ", count: 10_000_000)), \"balance\": 1}"
        let result = try ego("acc-1 -f script.ego", in: place, script: Data("\(line)\n".utf8))
        #expect(result.code == 0, "\(result.errors.prefix(500))")
        #expect(result.output.contains("\"dry_run\":true"))
    }

    @Test("lines with a carriage return, and a last line without its end, are lines")
    func lineEnds() async throws {
        let place = try await bank()
        let result = try ego("-f script.ego", in: place, script: Data("\\use acc-1\r\n\\state @2".utf8))
        #expect(result.code == 0)
        #expect(result.output.contains("\"sequence_number\":\"2\""))
    }

    @Test("nothing is written without --rw, nor with --dry-run, nor where --read-only forbids it")
    func readOnly() async throws {
        let place = try await bank()
        let before = place.snapshot(of: "bank.db")
        let command = "-c 'CreditAccount {\"balance\": 1}'"
        let refused = try ego("acc-1 \(command)", in: place)
        #expect(refused.code == 4)
        #expect(refused.errors.contains("\\rw lets it write"))
        #expect(try ego("acc-1 --rw --read-only \(command)", in: place).code == 4)
        #expect(try ego("acc-1 --read-only -c '\\rw' \(command)", in: place).code == 4)
        #expect(try ego("acc-1 --rw --dry-run \(command)", in: place).code == 0)
        let repeated = try ego("acc-1 --rw --dry-run -c '\\repeat 3 CreditAccount {\"balance\": 1}'", in: place)
        #expect(repeated.code == 64)
        #expect(try ego("acc-1 --rw -c '\\repeat -n 3 CreditAccount {\"balance\": 1}'", in: place).code == 64)
        #expect(try ego("acc-1 -c '\\status' -c '\\lag' -c '\\doctor' -c '\\events'", in: place).code == 0)
        #expect(place.snapshot(of: "bank.db")[""] == before[""])
    }

    @Test("what is sent is there afterwards; a rejection is 7")
    func sending() async throws {
        let place = try await bank()
        let script = """
            \\set amount 5
            \\repeat 3 CreditAccount {"balance": :amount}
            CreditAccount balance: :amount
            \\diff 33 37
            DebitAccount {
              "balance": 1000000
            }
            """
        let result = try ego("acc-1 --rw -f script.ego", in: place, script: Data(script.utf8))
        #expect(result.code == 7)
        #expect(result.errors == "ego: script.ego:5: acc-1: insufficient funds\n")
        #expect(result.output.contains("\"from_sequence_number\":\"33\",\"sequence_number\":\"36\""))
        #expect(result.output.contains("\"path\":\"accountBalance\""))
        let after = try ego("acc-1 -c '\\state'", in: place)
        #expect(after.output.contains("\"sequence_number\":\"37\""))
    }

    @Test("--timeout bounds each input, not the session")
    func timeout() async throws {
        let place = try await bank()
        let script = Data("\\state @1\n\\! sleep 1.2\n\\state @2\n\\! sleep 1.2\n\\state @3\n".utf8)
        let long = try ego("--timeout 2s acc-1 -f script.ego", in: place, script: script)
        #expect(long.code == 0, "\(long.errors)")
        #expect(lines(long.output).count { $0.contains("\"type\":\"summary\"") } == 3)

        let lock = """
            python3 -c 'import sqlite3,sys
            d = sqlite3.connect("bank.db", isolation_level=None)
            d.execute("begin immediate")
            print("locked", flush=True)
            sys.stdin.read()' < hold > locked &
            """
        let locked = try shell(
            """
            mkfifo hold; exec 3<>hold
            \(lock)
            until grep -q locked locked; do sleep 0.05; done
            "$EGO" repl --store sqlite:bank.db --rw --timeout 300ms acc-1 -c 'CreditAccount balance: 1' -c '\\state'
            code=$?
            kill %1
            exit $code
            """, in: place.url, environment: ["XDG_STATE_HOME": place.path("state")])
        #expect(locked.code == 75, "\(locked.errors)")
        #expect(locked.errors.contains("--command 1:1: ") && locked.errors.contains("nothing was changed"))
        #expect(try ego("acc-1 -c '\\state'", in: place).output.contains("\"sequence_number\":\"33\""))
    }

    @Test("flags with values may stand before what is left of a line")
    func flagsOfRest() async throws {
        let place = try await bank()
        let result = try ego("-c '\\watch --count 2 0.1 \\entities --limit 1'", in: place)
        #expect(result.code == 0, "\(result.errors)")
        #expect(lines(result.output).count { $0.contains("\"schema\":\"ego.entities/1\"") } == 2)
    }

    @Test("output goes to a file, to a program and back; ~ is home")
    func outputs() async throws {
        let place = try await bank()
        let script = """
            \\use acc-1
            \\o ~/all.jsonl
            \\state @1
            \\o |tr a-z A-Z > upper.txt
            \\state @2
            \\o
            \\state @3 \\g one.jsonl
            \\state @4 \\g |cat > piped.jsonl
            \\state @5
            \\i ~/more.ego
            """
        try Data("\\state @6\n".utf8).write(to: place.url.appending(path: "more.ego"))
        let result = try ego("-f script.ego", in: place, script: Data(script.utf8))
        #expect(result.code == 0, "\(result.errors)")
        func number(_ file: String) throws -> String {
            let text = try String(contentsOf: place.url.appending(path: file), encoding: .utf8).lowercased()
            return String(text.split(separator: "\"sequence_number\":\"").dropFirst().first?.prefix(1) ?? "")
        }
        #expect(try ["all.jsonl", "upper.txt", "one.jsonl", "piped.jsonl"].map(number) == ["1", "2", "3", "4"])
        for wanted in ["5", "6"] { #expect(result.output.contains("\"sequence_number\":\"\(wanted)\"")) }
        #expect(!result.output.contains("\"sequence_number\":\"1\""))
    }

    @Test("a script asks nothing, and keeps no history")
    func asksNothing() async throws {
        let place = try await bank()
        let result = try ego("--rw -c '\\erase acc-1 --reason x' < /dev/null", in: place)
        #expect(result.code == 4)
        #expect(!FileManager.default.fileExists(atPath: place.path("state/ego/history")))
    }
}
