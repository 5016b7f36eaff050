import Foundation
import Testing

/// A session on a terminal of its own, in a folder of its own.
private struct TypedSession {
    let place: Workplace
    let terminal: Terminal

    /// - Parameter line: a line of bash; `$REPL` begins a session on `bank.db`.
    init(
        _ line: String = "$REPL --rw acc-1", in place: Workplace? = nil, columns: Int = 100, rows: Int = 30,
        environment: [String: String] = [:], prompt: String = "acc-1@33 => "
    ) async throws {
        if let place {
            self.place = place
        } else {
            self.place = try Workplace()
            _ = try await self.place.bank()
        }
        var variables = [
            "INPUTRC": "/dev/null", "XDG_STATE_HOME": self.place.path("state"),
            "REPL": "\(egoBinary.path) repl --store sqlite:bank.db", "PS1": "bash> ", "CI": "",
        ]
        variables.merge(environment) { $1 }
        terminal = try Terminal(line, in: self.place.url, columns: columns, rows: rows, environment: variables)
        try #require(terminal.wait(for: prompt), "\(terminal.text)")
    }

    /// Types, and waits for what is wanted after it.
    func type(_ text: String, for wanted: String, seconds: Double = 20) throws {
        let start = terminal.count
        terminal.send(text)
        try #require(
            terminal.wait(for: wanted, seconds: seconds, after: start), "\(wanted) after \(text): \(terminal.text)")
    }

    /// Types, and Tab until what is wanted is there.
    func complete(_ typed: String, to wanted: String) throws {
        try #require(terminal.complete(typed, to: wanted), "\(wanted) after \(typed): \(terminal.text)")
    }

    /// Types an input, and waits for what is wanted and for the prompt after it: what is typed before that one is typed
    /// at a terminal that is not ready.
    func run(_ input: String, ending: String = "\r", for wanted: String) throws {
        let start = terminal.count
        try type(input + ending, for: wanted)
        try waitForPrompt(after: wanted, since: start)
    }

    /// Types Ctrl-C, and waits for the prompt after it.
    func interrupt() throws {
        let start = terminal.count
        try type("\u{3}", for: "^C")
        try waitForPrompt(after: "^C", since: start)
    }

    private func waitForPrompt(after wanted: String, since start: Int) throws {
        let seen = String(decoding: terminal.text.utf8.dropFirst(start), as: UTF8.self)
        let end = try #require(seen.range(of: wanted)).upperBound
        let place = start + seen[..<end].utf8.count
        try #require(terminal.wait(for: " => ", after: place), "\(terminal.text)")
    }

    /// Leaves, and expects that all went well.
    func quit() {
        terminal.send("\\q\r")
        #expect(terminal.finish() == 0, "\(terminal.text)")
    }

    var history: [String] {
        let text = try? String(contentsOf: place.url.appending(path: "state/ego/history"), encoding: .utf8)
        return (text ?? "").split(separator: "\n").map(String.init)
    }
}

/// Compares what `stty` tells before and after.
private let comparing =
    "stty -a > before; $REPL --rw acc-1; echo \"code $?\"; stty -a > after; cmp before after && echo restored"

@Suite("A session on a terminal", .serialized, .timeLimit(.minutes(5)))
struct SessionTerminalTests {
    // MARK: Ctrl-C

    @Test("Ctrl-C drops a line, an input of several lines, and a search in the history")
    func interruptsLines() async throws {
        let session = try await TypedSession()
        try session.type("\\nonsense\u{3}", for: "acc-1@33 => ")
        try session.type("\\dry CreditAccount {\r", for: "  { => ")
        try session.type("\"a\u{3}", for: "acc-1@33 => ")
        try session.type("\u{12}", for: "reverse-i-search")
        try session.interrupt()
        try session.run("\\state @1", for: "acc-1@1 ")
        session.quit()
        #expect(!session.terminal.text.contains("unknown command"))
    }

    @Test("Ctrl-C in a field's prompt drops the message, and the session goes on")
    func interruptsFields() async throws {
        let session = try await TypedSession()
        try session.type("CreditAccount\r", for: "account_id (string) => ")
        try session.run("acc", ending: "\u{3}", for: "nothing was sent")
        try session.type("CreditAccount\r", for: "account_id (string) => ")
        try session.type("\r", for: "balance (double, default 0) => ")
        try session.run("much", for: "\"much\" is no number")
        try session.run("", ending: "\u{4}", for: "nothing was sent")
        try session.type("CreditAccount\r", for: "account_id (string) => ")
        try session.type("\r", for: "balance (double, default 0) => ")
        try session.run("7", for: "seq 33 -> 34")
        session.quit()
        #expect(!session.terminal.text.contains("stopped waiting"))
    }

    @Test("Ctrl-C at a question is a no")
    func interruptsQuestion() async throws {
        let session = try await TypedSession()
        try session.type("\\erase acc-2 --reason x\r", for: "to go on: ")
        try session.run("acc-2", ending: "\u{3}", for: "nothing was changed")
        try session.type("\\use acc-2\r", for: "acc-2@22 => ")
        session.quit()
    }

    @Test("Ctrl-C ends \\watch and \\repeat, and says how far they came")
    func interruptsLoops() async throws {
        let session = try await TypedSession()
        try session.type("\\watch 0.1 \\lag\r", for: "balances")
        try session.interrupt()
        try session.type("\\repeat 1000000 CreditAccount {\"balance\": 1}\r", for: " a second")
        try session.interrupt()
        #expect(session.terminal.text.contains("ego: interrupted: stopped before the end, after "))
        try session.run("\\state @1", for: "acc-1@1 ")
        session.quit()
        #expect(!session.terminal.text.contains("stopped waiting"))
    }

    @Test("Ctrl-C is for the program that has the terminal")
    func interruptsPrograms() async throws {
        let session = try await TypedSession()
        // What it gives back shows that it runs, and not only the shell before it.
        try session.type("\\! echo re''ady; exec cat\r", for: "ready")
        try session.type("back\r", for: "back\r\nback\r\n")
        try session.interrupt()
        // One that lives on keeps the terminal.
        try session.type(
            "\\! trap 'end=1; echo cau''ght' INT; echo re''ady; until [ $end ]; do sleep 0.1; done; read -r line; echo \"got $line\"\r",
            for: "ready")
        try session.type("\u{3}", for: "caught")
        try session.run("more", for: "got more")
        try session.run("\\state @1", for: "acc-1@1 ")
        session.quit()
        #expect(!session.terminal.text.contains("stopped waiting"))
    }

    @Test("an editor has the terminal, and what it leaves stands at the prompt")
    func editor() async throws {
        let script =
            "#!/bin/sh\ntrap 'end=1; echo caught' INT\necho opened\nuntil [ $end ]; do sleep 0.1; done\nread -r line\necho '\\state @2' > \"$1\"\n"
        let place = try Workplace()
        _ = try await place.bank()
        try Data(script.utf8).write(to: place.url.appending(path: "editor"))
        let session = try await TypedSession(in: place, environment: ["VISUAL": "sh ./editor"])
        try session.type("\\e\r", for: "opened")
        try session.type("\u{3}", for: "caught")
        try session.type("\r", for: "=> \\state @2")
        try session.type("\r", for: "acc-1@2 ")
        session.quit()
    }

    @Test("Ctrl-C gives up a list of completions that is longer than the screen")
    func interruptsCompletions() async throws {
        let session = try await TypedSession(columns: 40, rows: 8)
        try session.complete("\\", to: "--More--")
        try session.interrupt()
        try session.run("\\state @1", for: "acc-1@1 ")
        session.quit()
    }

    @Test("what is taller than the screen goes to the pager, and Ctrl-C there is the pager's")
    func pager() async throws {
        let place = try Workplace()
        _ = try await place.bank()
        let script = "trap '' INT\ncat > paged\necho pager\nread -r line < /dev/tty\necho closed\n"
        try Data(script.utf8).write(to: place.url.appending(path: "pager"))
        let session = try await TypedSession(in: place, rows: 10, environment: ["PAGER": "sh ./pager"])
        try session.type("\\events --limit 50\r", for: "pager")
        session.terminal.send("\u{3}")
        try session.run("", for: "closed")
        #expect(try String(contentsOf: session.place.url.appending(path: "paged"), encoding: .utf8).contains("acc-1"))
        try session.run("\\pager never", for: "pager is never")
        try session.type("\\events --limit 50\r", for: "acc-1@33 => ")
        session.quit()
        #expect(session.terminal.text.components(separatedBy: "closed").count == 2)
    }

    // MARK: The terminal afterwards

    @Test(
        "whatever ends the session, the terminal is as it was",
        arguments: [
            ("SEGV", "code 139"), ("ABRT", "code 134"), ("TERM", "code 143"), ("HUP", "code 129"),
        ])
    func restores(_ signal: String, _ code: String) async throws {
        let session = try await TypedSession(comparing)
        try session.type("half a line", for: "half a line")
        try signalSession(signal, session)
        #expect(session.terminal.wait(for: code), "\(session.terminal.text)")
        #expect(session.terminal.wait(for: "restored"), "\(session.terminal.text)")
        #expect(session.terminal.finish() == 0)
    }

    /// Sends a signal to the session, which is found by the folder that it works in.
    private func signalSession(_ signal: String, _ session: TypedSession) throws {
        let found = try FileManager.default.contentsOfDirectory(atPath: "/proc").compactMap { Int32($0) }.first { id in
            let folder = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(id)/cwd")
            let program = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(id)/exe")
            return folder == session.place.url.resolvingSymlinksInPath().path && program?.hasSuffix("/ego") == true
        }
        let process = try #require(found)
        let numbers = ["SEGV": SIGSEGV, "ABRT": SIGABRT, "TERM": SIGTERM, "HUP": SIGHUP, "QUIT": SIGQUIT]
        kill(process, try #require(numbers[signal]))
    }

    @Test("SIGTERM in the middle of a list of fields sends nothing")
    func terminatedInFields() async throws {
        let session = try await TypedSession(comparing)
        try session.type("CreditAccount\r", for: "account_id (string) => ")
        try signalSession("TERM", session)
        #expect(session.terminal.wait(for: "code 143"), "\(session.terminal.text)")
        #expect(session.terminal.wait(for: "restored"))
        _ = session.terminal.finish()
        let after = try shell("$EGO replay acc-1 --store sqlite:bank.db -o json", in: session.place.url)
        #expect(after.output.contains("\"sequence_number\":\"33\""))
    }

    @Test("Ctrl-D and \\q leave the terminal as it was, and Ctrl-\\ is no key")
    func leaves() async throws {
        for keys in ["\u{4}", "\\q\r"] {
            let session = try await TypedSession(comparing)
            session.terminal.send("\u{1c}")
            try session.run("\\state @1", for: "acc-1@1 ")
            session.terminal.send(keys)
            #expect(session.terminal.wait(for: "code 0"), "\(session.terminal.text)")
            #expect(session.terminal.wait(for: "restored"))
            #expect(session.terminal.finish() == 0)
        }
    }

    @Test("Ctrl-Z suspends the session, and fg has the line again")
    func suspends() async throws {
        let session = try await TypedSession("exec env PS1='bash> ' bash --norc -i", prompt: "bash> ")
        try session.type("$REPL acc-1\r", for: "acc-1@33 => ")
        try session.type("\\state @1", for: "\\state @1")
        try session.type("\u{1a}", for: "bash> ")
        try session.type("stty -a | grep -o ' icanon'\r", for: "icanon\r\n")
        try session.type("fg\r", for: "acc-1@33 => \\state @1")
        try session.type("\r", for: "acc-1@1 ")
        try session.type("\\q\r", for: "bash> ")
        session.terminal.send("exit\r")
        _ = session.terminal.finish()
    }

    @Test("where no shell could continue it, Ctrl-Z does not stop it")
    func notSuspended() async throws {
        let session = try await TypedSession()
        try session.type("\\st", for: "\\st")
        session.terminal.send("\u{1a}")
        try session.run("ate @1", for: "accountBalance: 389.83")
        session.quit()
    }

    // MARK: Input

    @Test("a paste may be one message of 200 lines")
    func pastesMessage() async throws {
        let session = try await TypedSession()
        let spaces = String(repeating: "\n", count: 199)
        try session.type("\u{1b}[200~CreditAccount {\(spaces)\"balance\": 2}\u{1b}[201~\r", for: "seq 33 -> 34")
        session.quit()
    }

    @Test("a paste may be several inputs, each of which is kept")
    func pastesInputs() async throws {
        let session = try await TypedSession("$REPL --rw", prompt: "[rw] => ")
        let paste = "\\use acc-1\n\\dry CreditAccount {\n  \"balance\": 1\n}\nCreditAccount balance: 3"
        try session.type("\u{1b}[200~\(paste)\u{1b}[201~\r", for: "seq 33 -> 34   ")
        #expect(session.terminal.text.contains("nothing was written"))
        session.quit()
        #expect(session.history.count == 4)
    }

    @Test("wide and combining characters are shown as they are, control characters written out")
    func unicode() async throws {
        let session = try await TypedSession()
        try session.type("\\new 日本-é\r", for: "日本-é@0 => ")
        try session.run("CreateAccount {\"accountId\": \"日本-é\"}", for: "AccountCreated {\"accountId\":\"日本-é\"}")
        try session.type("CreateAccount {\"accountId\": \"\u{301}x\\u001b\u{202e}\"}\r", for: "@1 => ")
        try session.run("日\u{7f}\\state @1", for: "日本-é@1")
        session.quit()
        #expect(
            !session.terminal.text.components(separatedBy: "\r\n").contains {
                $0.hasPrefix("ego: ") && $0.contains("\u{202e}")
            })
    }

    @Test("a dumb terminal gets no sequence of control characters")
    func dumb() async throws {
        let session = try await TypedSession(environment: ["TERM": "dumb"])
        try session.run("\\state @1", for: "389.83")
        session.quit()
        #expect(!session.terminal.text.contains("\u{1b}"))
    }

    @Test("a window that grew while a program ran is used to its edge")
    func resized() async throws {
        let session = try await TypedSession(columns: 40)
        try session.type("\\! echo re''ady; read -r line\r", for: "ready")
        session.terminal.resize(columns: 200)
        try session.type("\r", for: "acc-1@33 => ")
        let text = String(repeating: "x", count: 100)
        try session.type(text, for: text)
        try session.interrupt()
        session.quit()
    }

    // MARK: Answers

    @Test("an answer shows events, what changed, numbers and time; a rejection is a sentence")
    func answers() async throws {
        let session = try await TypedSession()
        try session.run("\\dry DebitAccount {\"balance\": 9000000}", for: "  would reject: insufficient funds\r\n")
        try session.run("DebitAccount balance: 9000000", for: "  rejected: insufficient funds\r\n")
        try session.run("CreditAccount {\"balance\": 100}", for: "  seq 33 -> 34   ")
        #expect(session.terminal.text.contains("event  34 AccountCredited {\"accountId\":\"acc-1\""))
        #expect(session.terminal.text.contains("  state   accountBalance: 2913.900000000001 -> 3013.900000000001"))
        try session.run("\\repeat 3 CreditAccount balance: 1", for: "3 commands, 3 events, seq 34 -> 37")
        try session.run("\\diff 34", for: "accountBalance: 3013.900000000001 -> 3016.900000000001")
        try session.run("\\g |cat", for: "\"path\":\"accountBalance\"")
        try session.run("\\stat", for: "ego: \\stat: unknown command\r\nhint: did you mean \\state?")
        session.quit()
    }

    // MARK: Writing

    @Test("a session only looks until it is told to write")
    func readOnly() async throws {
        let session = try await TypedSession("$REPL acc-1")
        try session.run("CreditAccount balance: 1", for: "\\rw lets it write")
        try session.run("\\lag", for: "balances")
        try session.type("\\rw\r", for: "[rw] acc-1@33 => ")
        try session.run("CreditAccount balance: 1", for: "seq 33 -> 34")
        try session.type("\\ro\r", for: "[ro] acc-1@34 => ")
        session.quit()
        let forbidden = try await TypedSession("$REPL --read-only acc-1", in: session.place, prompt: "acc-1@34 => ")
        try forbidden.run("\\rw", for: "--read-only forbids to write")
        try forbidden.type("\r", for: "[ro] acc-1@34 => ")
        forbidden.quit()
    }

    @Test("a protected context asks for its name before it may be written to")
    func protected() async throws {
        let place = try Workplace()
        _ = try await place.bank()
        let text = "[context.prod]\nstore = \"sqlite:bank.db\"\nprotected = true\n"
        try Data(text.utf8).write(to: place.url.appending(path: ".ego.toml"))
        let line = "\(egoBinary.path) repl -C prod acc-1"
        let session = try await TypedSession(line, in: place)
        try session.type("\\rw\r", for: "to go on: ")
        try session.run("no", for: "not confirmed")
        try session.type("\r", for: "[ro] acc-1@33 => ")
        try session.type("\\rw\r", for: "to go on: ")
        try session.run("", ending: "\u{3}", for: "nothing was changed")
        try session.type("\\rw\r", for: "to go on: ")
        try session.type("prod\r", for: "[rw] acc-1@33 => ")
        session.quit()
    }

    // MARK: History

    @Test("the history is kept for its owner, without what begins with a space, as many as HISTSIZE says")
    func history() async throws {
        let session = try await TypedSession(environment: ["HISTSIZE": "4"])
        for number in 1...7 { try session.run("\\state @\(number)", for: "acc-1@\(number) ") }
        try session.run(" \\state @8", for: "acc-1@8 ")
        try session.run("\\history 2", for: "\\state @6\r\n\\state @7\r\n")
        session.quit()
        #expect(session.history == ["\\state @5", "\\state @6", "\\state @7", "\\history 2"].suffix(3) + ["\\q"])
        let file = session.place.path("state/ego/history")
        let mode = try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int
        #expect(mode == 0o600)
        let next = try await TypedSession(in: session.place)
        try next.type("\u{1b}[A\u{1b}[A\u{1b}[A", for: "state @7")
        try next.type("\r", for: "acc-1@7 ")
        next.quit()
    }

    @Test("two sessions at once lose nothing of each other's history")
    func sharedHistory() async throws {
        let first = try await TypedSession()
        let second = try await TypedSession(in: first.place)
        for number in 1...5 {
            try first.run("\\state @\(number)", for: "acc-1@\(number) ")
            try second.run("\\state @\(number + 10)", for: "acc-1@\(number + 10) ")
        }
        first.quit()
        second.quit()
        for number in [1, 2, 3, 4, 5, 11, 12, 13, 14, 15] { #expect(first.history.contains("\\state @\(number)")) }
    }

    @Test("nothing of encrypted entities is kept")
    func encryptedHistory() async throws {
        let place = try Workplace()
        let key = "printf '%064d' 7 > master; chmod 600 master"
        #expect(try shell(key, in: place.url).code == 0)
        let demo = try shell(
            "$EGO demo --store sqlite:bank.db --entities 3 --events 60 --seed 7 --encrypted --master-key master",
            in: place.url)
        try #require(demo.code == 0, "\(demo.errors)")
        let session = try await TypedSession("$REPL --rw --master-key master", in: place, prompt: "[rw] => ")
        try session.type("\\use acc-1\r", for: "acc-1@33 => ")
        try session.run("CreditAccount {\"balance\": 123456}", for: "seq 33 -> 34")
        try session.run("\\dry CreditAccount {\"balance\": 123456}", for: "nothing was written")
        try session.type("\\use\r", for: "[rw] => ")
        try session.type("\\replay acc-1\r", for: "[rw] => ")
        try session.run("\\entities", for: "acc-2")
        session.quit()
        #expect(session.history.allSatisfy { !$0.contains("123456") && !$0.contains("acc-1") })
        #expect(session.history.contains("\\entities"))
    }

    // MARK: Completion

    @Test("Tab knows commands, entities, types, fields, values, projections and files")
    func completes() async throws {
        let session = try await TypedSession()
        try Data().write(to: session.place.url.appending(path: "inputs.ego"))
        for (typed, wanted) in [
            ("\\stat", "\\stat"), ("\\entit", "\\entities "), ("\\use acc-1", "\\use acc-1 "),
            ("Cred", "CreditAccount "), ("CreditAccount {\"bal", "{\"balance\": "),
            ("CreditAccount bal", "CreditAccount balance: "), ("\\dry Deb", "\\dry DebitAccount "),
            ("\\i inp", "\\i inputs.ego"), ("\\desc TransferSta", "\\desc TransferSta"),
            ("\\rebuild bal", "\\rebuild balances"), ("\\format cs", "\\format csv"),
            ("\\events --limi", "\\events --limit "), ("\\repeat 3 Cred", "\\repeat 3 CreditAccount "),
            ("\\new x --kin", "\\new x --kind"),
        ] {
            try session.complete(typed, to: wanted)
            try session.interrupt()
        }
        session.quit()
        #expect(!session.terminal.text.contains("ego: "))
    }

    @Test("Tab prints nothing and waits for nothing when the store is gone")
    func completesWithoutStore() async throws {
        let session = try await TypedSession("$REPL --rw", prompt: "[rw] => ")
        for name in ["bank.db", "bank.db-wal", "bank.db-shm"] {
            try? FileManager.default.removeItem(atPath: session.place.path(name))
            try? FileManager.default.createDirectory(
                atPath: session.place.path(name), withIntermediateDirectories: true)
        }
        try session.type("\\use ac\t\t", for: "\\use ac")
        try session.type("x\u{3}", for: " => ")
        session.terminal.send("\u{4}")
        #expect(session.terminal.finish() == 0, "\(session.terminal.text)")
        #expect(!session.terminal.text.contains("ego: "))
    }

    @Test("among twenty thousand entities Tab answers at once")
    func completesManyEntities() async throws {
        let place = try Workplace()
        let demo = try shell("$EGO demo --store sqlite:bank.db --entities 20000 --events 20000 --seed 7", in: place.url)
        try #require(demo.code == 0, "\(demo.errors)")
        let session = try await TypedSession("$REPL", in: place, prompt: "[ro] => ")
        // The answer itself shows that it came in time: after 150 ms there is none.
        try session.complete("\\use acc-1234", to: "acc-12345")
        try session.interrupt()
        try session.complete("\\use acc-1999", to: "acc-19999")
        try session.interrupt()
        session.quit()
    }
}
