import ChildProcess
import Foundation
import Testing

@Suite("The program in a shell", .serialized, .timeLimit(.minutes(2)))
struct ProgramTests {
    private func expect(
        _ script: String, _ code: Int32, output: String? = nil, errors: String = "", in folder: URL,
        _ location: SourceLocation = #_sourceLocation
    ) throws {
        let result = try shell(script, in: folder)
        #expect(result.code == code, "\(script): \(result.errors)", sourceLocation: location)
        if let output { #expect(result.output == output, sourceLocation: location) }
        if errors.isEmpty {
            #expect(result.errors == "", sourceLocation: location)
        } else {
            #expect(result.errors.contains(errors), "\(result.errors)", sourceLocation: location)
        }
    }

    @Test("streams that are closed or full are errors, a reader that goes away is not")
    func streams() throws {
        let folder = try Workplace()
        try expect("$EGO demo --entities 20 --events 4000 -q > /dev/null", 0, in: folder.url)
        try expect(
            "$EGO status > /dev/full", 74, errors: "ego: standard output: No space left on device", in: folder.url)
        try expect("$EGO status -o json > /dev/full", 74, errors: "No space left", in: folder.url)
        try expect("$EGO status >&-", 74, errors: "ego: standard output: Bad file descriptor", in: folder.url)
        // A command whose answer nobody can read is not carried out.
        for closed in [">&-", "> /dev/full"] {
            try expect(
                "$EGO send acc-1 CreditAccount '{\"balance\":1}' \(closed)", 74, errors: "standard output",
                in: folder.url)
        }
        try expect(
            "$EGO events --after 4000", 0, output: "position\tid\tsequence_number\ttimestamp\ttype\tpayload\n",
            in: folder.url)
        try expect("$EGO nonsense -o json > /dev/full", 64, errors: "unknown command", in: folder.url)
        try expect("$EGO status 2>&- > /dev/null", 0, in: folder.url)
        try expect("$EGO replay nobody 2>&-", 5, in: folder.url)
        try expect("$EGO status <&- > /dev/null", 0, in: folder.url)
        try expect("$EGO send acc-1 CreditAccount - <&-", 74, errors: "standard input", in: folder.url)
        try expect("echo '{\"balance\": 5}' | $EGO send acc-1 CreditAccount - > /dev/null", 0, in: folder.url)
        try expect(
            "set -o pipefail; $EGO events --limit 4000 -o jsonl | head -n 1 | wc -l", 0, output: "1\n", in: folder.url)
        // The data goes to the reader whole; what else there is to say goes elsewhere.
        let result = try shell("$EGO events --limit 3 -o json 2>/dev/null", in: folder.url)
        #expect(json(result.output) != nil)
        let status = try shell("$EGO status -o json", in: folder.url)
        #expect(json(status.output) != nil, "the store is whole after all this")
    }

    @Test("a store that is locked is busy after the timeout, and nothing is written")
    func locked() throws {
        let folder = try Workplace()
        try expect("$EGO demo --entities 2 --events 10 -q > /dev/null", 0, in: folder.url)
        let holder = ChildProcess()
        let (output, input) = (Pipe(), Pipe())
        holder.executableURL = egoBinary.deletingLastPathComponent().appending(path: "StoreExerciser")
        holder.arguments = ["lock", folder.path("ego.db")]
        (holder.standardOutput, holder.standardInput) = (output, input)
        try holder.run()
        #expect(String(decoding: output.fileHandleForReading.availableData, as: UTF8.self) == "locked\n")
        try expect("$EGO status > /dev/null", 0, in: folder.url)
        try expect(
            "$EGO send acc-1 CreditAccount '{\"balance\":1}' --timeout 200ms", 75,
            errors: "the store is locked by another process", in: folder.url)
        try input.fileHandleForWriting.close()
        holder.waitUntilExit()
        try expect("$EGO send acc-1 CreditAccount '{\"balance\":1}' > /dev/null", 0, in: folder.url)
    }

    @Test("a file that may not grow fails as io, and nothing is written")
    func limited() throws {
        let folder = try Workplace()
        try expect("$EGO init -q > /dev/null", 0, in: folder.url)
        try expect(
            "ulimit -f 200; $EGO demo --entities 50 --events 20000 -q > /dev/null", 74, errors: "ego: store:",
            in: folder.url)
        let status = try shell("$EGO status -o json", in: folder.url)
        let data = json(status.output)?["data"] as? [String: Any]
        #expect((data?["events"] as? Int ?? 1) % 5_000 == 0)
    }

    @Test("a store that cannot be written is read, and refuses commands")
    func readOnlyFile() throws {
        let folder = try Workplace()
        try expect("$EGO demo --entities 2 --events 10 -q > /dev/null", 0, in: folder.url)
        // Root may write everything: the same as somebody else.
        let become = getuid() == 0 ? "setpriv --reuid=65534 --regid=65534 --clear-groups" : ""
        try expect("chmod 755 . && chmod 444 ego.db && chmod 555 .", 0, in: folder.url)
        let reachable = try shell("\(become) test -x $EGO && \(become) test -r ego.db", in: folder.url)
        defer { _ = try? shell("chmod 755 .", in: folder.url) }
        try #require(reachable.code == 0, "another user cannot reach the built program")
        let status = try shell(
            "\(become) $EGO status -o json", in: URL(filePath: "/"),
            environment: ["EGO_STORE": "sqlite:\(folder.path("ego.db"))"])
        #expect(status.code == 0, "\(status.errors)")
        let sent = try shell(
            "\(become) $EGO send acc-1 CreditAccount '{\"balance\":1}'", in: URL(filePath: "/"),
            environment: ["EGO_STORE": "sqlite:\(folder.path("ego.db"))"])
        #expect(sent.code == 77 && sent.errors.contains("cannot be written"), "\(sent.errors)")
        let locked = try shell(
            "chmod 000 \(folder.path("ego.db")); \(become) $EGO status --store sqlite:\(folder.path("ego.db"))",
            in: URL(filePath: "/"))
        #expect(locked.code == 77, "\(locked.errors)")
    }

    @Test("events --follow sees what another process commits, and ends well when interrupted")
    func follow() throws {
        let folder = try Workplace()
        try expect("$EGO demo --entities 2 --events 4 -q > /dev/null", 0, in: folder.url)
        let result = try shell(
            """
            $EGO events --follow --limit 3 -o jsonl > followed & reader=$!
            sleep 1
            for n in 1 2 3; do $EGO send acc-1 CreditAccount '{"balance":'$n'}' > /dev/null; done
            wait $reader; echo "exit $?"
            """, in: folder.url)
        #expect(result.output == "exit 0\n", "\(result.errors)")
        let followed = try String(contentsOfFile: folder.path("followed"), encoding: .utf8).split(separator: "\n")
        #expect(followed.count == 4)
        for (number, line) in followed.dropLast().enumerated() {
            #expect(line.contains("\"accountBalance\":\(number + 1).0"), "\(line)")
        }
        for (signal, code) in [("INT", 130), ("TERM", 143)] {
            try expect(
                "$EGO events --follow --after 0 > out & sleep 1; kill -\(signal) $!; wait $!", Int32(code),
                errors: "interrupted", in: folder.url)
            #expect(try String(contentsOfFile: folder.path("out"), encoding: .utf8).split(separator: "\n").count == 8)
        }
        try expect("$EGO events --follow --timeout 300ms", 6, errors: "--timeout: the time ran out", in: folder.url)
    }

    @Test("demo is the same for a seed, goes on where it was killed, and then has nothing to do")
    func demo() throws {
        let folder = try Workplace()
        let fill = "$EGO demo --entities 300 --events 45000 --seed 3 -o json"
        try expect(
            """
            \(fill) --store sqlite:a.db > /dev/null
            for delay in 0.1 0.2 0.3; do
              \(fill) --store sqlite:b.db > /dev/null & sleep $delay; kill -9 $!; wait $! 2>/dev/null
            done
            \(fill) --store sqlite:b.db > last
            for s in a b; do $EGO events --limit 100000 -o jsonl -q --store sqlite:$s.db > $s.events; done
            for s in a b; do $EGO replay --all --verify -o jsonl -q --store sqlite:$s.db > $s.states; done
            cmp a.events b.events && cmp a.states b.states
            """, 0, errors: "", in: folder.url)
        let again = try shell("\(fill) --store sqlite:a.db", in: folder.url)
        #expect(again.code == 0 && json(again.output)?["changed"] as? Bool == false)
        #expect(
            try String(contentsOfFile: folder.path("a.events"), encoding: .utf8).split(separator: "\n").count == 45_001)
    }

    @Test("what stops in the middle says what it has changed, and how to go on")
    func interruptedDemo() throws {
        let folder = try Workplace()
        let fill = "$EGO demo --entities 100 --events 2000000 -o json --progress none"
        for (script, code) in [
            ("\(fill) --timeout 1s", 6),
            ("\(fill) > out & sleep 1.5; kill -INT $!; wait $!; code=$?; cat out; exit $code", 130),
        ] {
            let result = try shell(script, in: folder.url)
            #expect(result.code == Int32(code), "\(result.errors)")
            #expect(json(result.output)?["changed"] as? Bool == true, "\(result.output)")
            #expect(result.errors.contains("the same command goes on from here"), "\(result.errors)")
        }
    }

    @Test("two at once that fill one store both end well")
    func twoDemos() throws {
        let folder = try Workplace()
        try expect(
            """
            fill="$EGO demo --entities 50 --events 20000 -q"
            $fill > /dev/null & first=$!; $fill > /dev/null & second=$!
            wait $first && wait $second
            """, 0, in: folder.url)
        let status = try shell("$EGO status -o json", in: folder.url)
        #expect((json(status.output)?["data"] as? [String: Any])?["events"] as? Int == 20_000)
    }

    @Test("a hint can be pasted: it names exactly the entity, and runs nothing")
    func hints() throws {
        let folder = try Workplace()
        let names = ["$(touch pwned)", "`touch pwned`", "a\u{1b}[31mb", "it's", "new\nline", "é", "z"]
        for name in names {
            let quoted = "'" + name.replacing("'", with: "'\\''") + "'"
            try expect("test -f ego.db || $EGO init -q > /dev/null", 0, in: folder.url)
            try expect("$EGO send -q \(quoted) CreateAccount '{\"accountId\":\"x\"}' > /dev/null", 0, in: folder.url)
        }
        var after = ""
        var seen = 0
        while seen <= names.count {
            let page = try shell("$EGO entities --limit 1 -o json \(after)", in: folder.url)
            #expect(page.code == 0, "\(page.errors)")
            seen += 1
            guard let hint = page.errors.firstRange(of: "hint: go on with ") else { break }
            after = String(page.errors[hint.upperBound...].prefix { $0 != "\n" })
        }
        #expect(seen == names.count)
        #expect(!FileManager.default.fileExists(atPath: folder.path("pwned")))
    }

    @Test("help is there whatever the configuration says")
    func helpAnyway() throws {
        let folder = try Workplace()
        try "stroe = \"x\"\n".write(toFile: folder.path(".ego.toml"), atomically: true, encoding: .utf8)
        for line in ["--help", "version", "help replay", "replay -h", "exit-codes"] {
            try expect("EGO_PAGE=0 $EGO \(line) > /dev/null", 0, in: folder.url)
        }
        try expect("$EGO status", 78, errors: ".ego.toml: line 1, column 1: unknown key \"stroe\"", in: folder.url)
    }

    @Test("a terminal gets a table that fits it, colors only where they are wanted")
    func terminal() throws {
        let folder = try Workplace()
        try expect("$EGO demo --entities 2 --events 10 -q > /dev/null", 0, in: folder.url)
        for width in [40, 80, 200] {
            let terminal = try Terminal("$EGO entities", in: folder.url, columns: width)
            #expect(terminal.finish() == 0)
            let lines = terminal.lines.filter { !$0.isEmpty }
            #expect(lines.count == (width == 40 ? 12 : 3), "\(terminal.text)")
            #expect(lines[0].contains("\u{1b}[1mID") == (width > 40))
            for line in lines.dropFirst() { #expect(line.count <= width) }
        }
        for variable in ["NO_COLOR=1 TERM=xterm", "TERM=dumb"] {
            let result = try shell("\(variable) script -qec '$EGO entities' /dev/null", in: folder.url)
            #expect(!result.output.contains("\u{1b}") && result.output.contains("acc-1"))
        }
        // On a terminal nothing of a name reaches it raw, whatever the format.
        try expect("$EGO send $'x\\e[31m' CreateAccount '{\"accountId\":\"x\"}' > /dev/null", 0, in: folder.url)
        for format in ["table", "csv", "plain", "json", "jsonl"] {
            let result = try shell("TERM=dumb script -qec '$EGO entities -o \(format)' /dev/null", in: folder.url)
            #expect(result.output.contains("acc-1") && !result.output.contains("\u{1b}"))
        }
        let piped = try shell("$EGO entities | cat", in: folder.url)
        #expect(piped.output.hasPrefix("id\tkind\t"))
    }

    @Test("an application's own operator binary takes over")
    func operatorBinary() throws {
        let folder = try Workplace()
        let script = "#!/bin/sh\necho \"got $* [$EGO_DOMAIN]\"\nexit 9\n"
        try script.write(toFile: folder.path("bank-ops"), atomically: true, encoding: .utf8)
        try expect("chmod +x bank-ops", 0, in: folder.url)
        try expect("$EGO status --domain ./bank-ops -o json", 9, output: "got status -o json []\n", in: folder.url)
        try "domain = \"bank-ops\"\n".write(toFile: folder.path(".ego.toml"), atomically: true, encoding: .utf8)
        try expect("$EGO status", 9, output: "got status []\n", in: folder.url)
        // The binary itself does not hand over again.
        try expect("EGO_DOMAIN= $EGO version > /dev/null", 0, in: folder.url)
    }

    @Test("options come from flags, the environment, contexts and files, in this order")
    func precedence() throws {
        let folder = try Workplace()
        for name in ["a", "b", "c", "d"] {
            try expect("$EGO init -q --store sqlite:\(name).db > /dev/null", 0, in: folder.url)
        }
        try """
        store = "sqlite:a.db"
        output = "csv"
        [context.prod]
        store = "sqlite:b.db"
        read_only = true
        """.write(toFile: folder.path(".ego.toml"), atomically: true, encoding: .utf8)
        let location = "grep location | cut -d, -f2"
        try expect("$EGO status | \(location)", 0, output: "a.db\r\n", in: folder.url)
        try expect("$EGO status -C prod | \(location)", 0, output: "b.db\r\n", in: folder.url)
        try expect("EGO_CONTEXT=prod $EGO status | \(location)", 0, output: "b.db\r\n", in: folder.url)
        try expect("EGO_STORE=sqlite:c.db $EGO status -C prod | \(location)", 0, output: "c.db\r\n", in: folder.url)
        try expect(
            "EGO_STORE=sqlite:c.db $EGO status --store sqlite:d.db | \(location)", 0, output: "d.db\r\n", in: folder.url
        )
        try expect("$EGO demo -C prod", 4, errors: "--read-only forbids", in: folder.url)
        try expect("$EGO status -C pord", 78, errors: "did you mean prod?", in: folder.url)
    }
}
