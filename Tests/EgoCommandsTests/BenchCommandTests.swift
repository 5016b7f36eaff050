import BankDomain
import Foundation
import PostgresServer
import Testing

@testable import CommandLineKit
@testable import EgoCommands

/// Little work, so that tests are quick: what is measured matters here, not the figures.
let quickBench = [
    "--operations", "40", "--repeats", "2", "--warm-up", "0.001", "--journal", "300", "--entities", "20", "--clients",
    "1,7", "-q",
]

/// What the workloads of one run are called, in their order; the start of a program is measured only by one.
private let names = [
    "append", "append", "send", "send", "send-memory", "send-memory", "replay-long", "replay-short", "recovery", "scan",
    "projection", "projection-1-shard", "read-model", "delivery", "rebuild", "rebuild-no-op", "rebuild-no-op-1-shard",
    "lag",
    "erase", "export", "export-protobuf", "import", "import-protobuf", "send-encrypted",
    "send-encrypted", "replay-encrypted",
]

private func checkFigures(_ output: String) throws {
    let schema = try #require(
        EgoCommandLine(domain: .bank, sample: BankSample()).table.output(of: ["bench"]).map(\.jsonSchema).flatMap(
            JSONSchema.init))
    let envelope = try #require(json(output), "\(output)")
    #expect(schema.problems(in: envelope) == [])
    let data = try #require(envelope["data"] as? [String: Any])
    let results = try #require(data["results"] as? [[String: Any]])
    #expect(results.compactMap { $0["name"] as? String } == names)
    for result in results {
        let figures = ["operations", "seconds", "per_second", "p50_us", "p99_us", "p99_9_us", "limit_per_second"]
        for figure in figures { #expect((result[figure] as? Double ?? 0) > 0, "\(figure) of \(result)") }
        let (own, limit) = (result["per_second"] as? Double ?? 0, result["limit_per_second"] as? Double ?? 1)
        let ratio = result["ratio"] as? Double ?? 0
        #expect(abs(ratio - own / limit) <= max(0.0001, ratio / 50), "\(result)")
        #expect((result["p99_us"] as? Double ?? 0) >= (result["p50_us"] as? Double ?? 1))
    }
    let durability = results.map { $0["durability"] as? String }
    #expect(durability[..<4] == ["durable single", "durable grouped", "durable single", "durable grouped"])
}

@Suite("Measuring a store")
struct BenchCommandTests {
    private func files(_ workplace: Workplace) throws -> Set<String> {
        Set(try FileManager.default.contentsOfDirectory(atPath: workplace.url.path))
    }

    @Test("measures every workload, leaves nothing behind, and touches no byte of the store")
    func everything() async throws {
        let workplace = try Workplace()
        let store = try await workplace.bank()
        let before = try files(workplace)
        let content = workplace.snapshot(of: "bank.db")
        let result = await workplace.run(["bench", "--store", store, "-o", "json"] + quickBench)
        #expect(result.code == 0, "\(result.errors)")
        try checkFigures(result.output)
        #expect(workplace.snapshot(of: "bank.db") == content)
        #expect(try files(workplace) == before)
    }

    @Test("does as many operations as it was told, by all clients together")
    func operations() async throws {
        let workplace = try Workplace()
        let result = await workplace.run(
            ["bench", "send", "--store", "sqlite:\(workplace.path("x.db"))", "-o", "json", "--events", "3"]
                + quickBench)
        #expect(result.code == 0, "\(result.errors)")
        let data = json(result.output)?["data"] as? [String: Any]
        let results = data?["results"] as? [[String: Any]] ?? []
        #expect(results.map { $0["operations"] as? Int } == [40, 40])
        #expect(results.compactMap { $0["limit_name"] as? String }.last == "sqlite3 insert, 21 a commit")
        #expect(try files(workplace) == [], "a store that is not there is not made")
    }

    @Test("compares an encrypted store with the bare library, which does not encrypt")
    func encrypted() async throws {
        let workplace = try Workplace()
        let result = await workplace.run(
            ["bench", "encrypted", "--store", "sqlite:\(workplace.path("x.db"))", "-o", "json"] + quickBench)
        #expect(result.code == 0, "\(result.errors)")
        let data = json(result.output)?["data"] as? [String: Any]
        let results = data?["results"] as? [[String: Any]] ?? []
        #expect(
            results.compactMap { $0["limit_name"] as? String } == [
                "sqlite3 insert, 1 a commit, not encrypted", "sqlite3 insert, 7 a commit, not encrypted",
                "sqlite3 read streams, decode, apply, not encrypted",
            ])
        #expect(try files(workplace) == [])
    }

    @Test("measures how long the program takes to start, and takes itself for that")
    func startup() throws {
        let workplace = try Workplace()
        let result = try shell("$EGO bench startup --operations 3 --repeats 1 -o json -q", in: workplace.url)
        #expect(result.code == 0, "\(result.errors)")
        let data = json(result.output)?["data"] as? [String: Any]
        let results = try #require(data?["results"] as? [[String: Any]])
        #expect(results.map { $0["name"] as? String } == ["startup", "startup-status"])
        #expect(results.map { $0["operations"] as? Int } == [3, 3])
        #expect(results.allSatisfy { ($0["ratio"] as? Double ?? 2) < 1 })
        #expect(try files(workplace) == [])
    }

    @Test("measures two processes on one store beside one of them, and what entities take in memory")
    func processes() throws {
        let workplace = try Workplace()
        let result = try shell(
            """
            $EGO bench send-processes entities --operations 41 --repeats 2 --warm-up 0.001 --entities 20 \
            --clients 3,8 --journal 3000 -o json -q
            """, in: workplace.url)
        #expect(result.code == 0, "\(result.errors)")
        let data = json(result.output)?["data"] as? [String: Any]
        let results = try #require(data?["results"] as? [[String: Any]])
        #expect(results.map { $0["name"] as? String } == ["send-processes", "send-processes", "entities"])
        #expect(results.map { $0["clients"] as? Int } == [3, 8, 1])
        #expect(results.prefix(2).allSatisfy { $0["operations"] as? Int == 41 && $0["bytes_each"] is NSNull })
        // All but the first of them, which fill what is kept once.
        #expect(results.last?["operations"] as? Int == 2_700)
        #expect((100...10_000).contains(results.last?["bytes_each"] as? Int ?? 0), "\(results)")
        #expect(try files(workplace) == [])
    }

    @Test("measures each event's way to a projection of this process and of another")
    func delivery() throws {
        let workplace = try Workplace()
        let result = try shell(
            """
            $EGO bench delivery --operations 20 --repeats 2 --warm-up 0 --events 3 -o json -q
            """, in: workplace.url)
        #expect(result.code == 0, "\(result.errors)")
        let data = json(result.output)?["data"] as? [String: Any]
        let results = try #require(data?["results"] as? [[String: Any]])
        #expect(results.map { $0["name"] as? String } == ["delivery", "delivery-processes"])
        #expect(results.allSatisfy { $0["operations"] as? Int == 20 && $0["latency_of"] as? String == "event" })
        #expect(results.allSatisfy { ($0["p99_us"] as? Double ?? 0) > 0 })
        #expect(try files(workplace) == [])
    }

    @Test("a process of a measurement ends when nobody tells it any more, and says what is wrong with what it is told")
    func worker() throws {
        let workplace = try Workplace()
        let nothing = try shell("$EGO __bench < /dev/null; echo \"exit $?\"; ls -A", in: workplace.url)
        #expect(nothing.output == "exit 0\n", "\(nothing.errors)")
        let nonsense = try shell("echo nonsense | $EGO __bench; echo \"exit $?\"; ls -A", in: workplace.url)
        #expect(nonsense.output.contains("\"problem\":") && nonsense.output.hasSuffix("exit 65\n"), "\(nonsense)")
    }

    @Test("leaves no process behind when it is killed, and none waits for another")
    func killed() throws {
        let workplace = try Workplace()
        let result = try shell(
            """
            $EGO bench send-processes --seconds 60 -q > output & process=$!
            for n in $(seq 100); do pgrep -P $process | wc -l | grep -q 2 && break; sleep 0.05; done
            children=$(pgrep -P $process); echo $children | wc -w
            sleep 0.3; kill -9 $process; wait $process
            for n in $(seq 100); do kill -0 $children 2>/dev/null || break; sleep 0.05; done
            kill -0 $children 2>/dev/null && echo "still there"; echo end
            """, in: workplace.url)
        #expect(result.output == "2\nend\n", "\(result.output) \(result.errors)")
    }

    @Test("stops at once when it is interrupted, and leaves nothing behind", arguments: [("INT", 130), ("TERM", 143)])
    func interrupted(_ signal: String, _ code: Int32) throws {
        for workload in [
            "append", "send", "send-processes", "scan", "delivery", "rebuild", "import", "erase", "entities",
        ] {
            let workplace = try Workplace()
            let result = try shell(
                """
                $EGO bench \(workload) --seconds 60 --journal 100000 -q > output & process=$!
                for n in $(seq 100); do ls -A | grep -q ego-bench && break; sleep 0.05; done
                ls -A | grep -q ego-bench || echo none
                sleep 0.5; kill -\(signal) $process; wait $process; echo "exit $?"; ls -A
                """, in: workplace.url)
            #expect(result.output == "exit \(code)\noutput\n", "\(workload): \(result.output) \(result.errors)")
        }
    }

    @Test("a second signal ends it at once, and leaves nothing behind", arguments: [("INT", 130), ("TERM", 143)])
    func interruptedTwice(_ signal: String, _ code: Int32) throws {
        for pause in ["", "sleep 0.005;", "sleep 0.05;"] {
            for workload in ["send", "scan", "import"] {
                let workplace = try Workplace()
                let result = try shell(
                    """
                    $EGO bench \(workload) --seconds 60 --journal 100000 -q > output & process=$!
                    for n in $(seq 100); do ls -A | grep -q ego-bench && break; sleep 0.05; done
                    ls -A | grep -q ego-bench || echo none
                    sleep 0.5; kill -\(signal) $process; \(pause) kill -\(signal) $process 2>/dev/null
                    wait $process; echo "exit $?"; ls -A
                    """, in: workplace.url)
                #expect(
                    result.output == "exit \(code)\noutput\n",
                    "\(workload) \(pause): \(result.output) \(result.errors)")
            }
        }
    }

    @Test("a time that runs out ends it as one")
    func timedOut() throws {
        let workplace = try Workplace()
        let result = try shell(
            "$EGO bench scan --seconds 60 --timeout 1s -q; echo \"exit $?\"; ls -A", in: workplace.url)
        #expect(result.output == "exit 6\n", "\(result.errors)")
    }

    @Test("leaves nothing behind when the disk is full")
    func full() throws {
        let workplace = try Workplace()
        let result = try shell(
            "ulimit -f 2000; $EGO bench append --operations 100000 --payload 4000 -q; echo \"exit $?\"; ls -A",
            in: workplace.url)
        #expect(result.output == "exit 74\n", "\(result.errors)")
    }

    @Test(
        "says what is wrong with the words of a command line",
        arguments: [
            ["nonsense"], ["appned"], ["append", "--clients", "1,x"], ["append", "--clients", ""],
            ["append", "--clients", "0"], ["append", "--entities", "0"], ["append", "--choice", "normal"],
            ["append", "--seconds", "0"], ["append", "--seconds", "nan"], ["append", "--operations", "-1"],
            ["append", "--repeats", "0"], ["append", "--warm-up", "-1"], ["append", "--tolerance", "101"],
            ["append", "--payload", "1e9"], ["append", "--journal", "0"], ["append", "--events"],
        ])
    func badWords(_ words: [String]) async throws {
        let workplace = try Workplace()
        let result = await workplace.run(["bench", "--store", "sqlite:\(workplace.path("x.db"))"] + words)
        #expect(result.code == 64, "\(words): \(result.errors)")
        #expect(result.output == "")
        #expect(try files(workplace) == [])
    }

    @Test("writes nowhere that it may not")
    func refused() async throws {
        let workplace = try Workplace()
        let store = "sqlite:\(workplace.path("x.db"))"
        let readOnly = await workplace.run(["bench", "scan", "--store", store, "--read-only"])
        #expect(readOnly.code == 4, "\(readOnly.errors)")
        let nowhere = await workplace.run(["bench", "scan", "--store", "sqlite:\(workplace.path("no/x.db"))"])
        #expect(nowhere.code == 66, "\(nowhere.errors)")
        let dry = await workplace.run(["bench", "--store", store, "--dry-run", "-o", "jsonl"])
        #expect(dry.code == 0 && dry.output.split(separator: "\n").count == names.count + 1)
        #expect(try files(workplace) == [])
    }

    @Test("compares with an earlier result, and finds what became slower")
    func compare() async throws {
        let workplace = try Workplace()
        let line = ["bench", "scan", "--store", "sqlite:\(workplace.path("x.db"))", "-o", "json"] + quickBench
        let first = await workplace.run(line)
        #expect(first.code == 0, "\(first.errors)")
        let file = workplace.path("before.json")
        func compared(_ ratio: String, _ more: String...) async throws -> (Int32, [String: Any], String) {
            let text = first.output.replacing(/"ratio":[0-9.e-]+/, with: "\"ratio\":\(ratio)")
            try text.write(toFile: file, atomically: true, encoding: .utf8)
            let result = await workplace.run(line + ["--compare", file] + more)
            let schema = JSONSchema(
                EgoCommandLine(domain: .bank).table.output(of: ["bench"])?.jsonSchema ?? "")
            let envelope = try #require(json(result.output), "\(result.errors)")
            #expect(schema?.problems(in: envelope) == [])
            let data = envelope["data"] as? [String: Any]
            return (result.code, (data?["results"] as? [[String: Any]])?.first ?? [:], result.errors)
        }
        let (slower, record, errors) = try await compared("1000.0")
        #expect(slower == 2)
        #expect(errors.contains("scan: its ratio fell by"), "\(errors)")
        #expect((record["change_percent"] as? Double ?? 0) < -90)
        #expect(record["previous_ratio"] as? Double == 1_000)
        #expect(try await compared("1000.0", "--tolerance", "100").0 == 0)
        let (faster, faster2, _) = try await compared("0.000001")
        #expect(faster == 0)
        #expect((faster2["change_percent"] as? Double ?? 0) > 100)
        let missing = await workplace.run(line + ["--compare", workplace.path("nobody.json")])
        #expect(missing.code == 66)
        try "{}".write(toFile: file, atomically: true, encoding: .utf8)
        let other = await workplace.run(line + ["--compare", file])
        #expect(other.code == 65)
        #expect(try files(workplace) == ["before.json"])
    }
}

@Suite("Measuring a store on PostgreSQL")
struct BenchPostgresTests {
    private func schemas(_ server: PostgresServer) throws -> String {
        try server.sql("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'ego_bench_%'")
    }

    @Test("measures every workload in a schema of its own, leaves none behind, and no table beside it changes")
    func everything() async throws {
        let server = try PostgresServer.shared("bench")
        let workplace = try Workplace()
        let schema = try server.makeSchema()
        let store = server.url(schema: schema)
        let filled = await workplace.run(["demo", "--store", store, "--entities", "3", "--events", "60"])
        #expect(filled.code == 0, "\(filled.errors)")
        let look = """
            SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables WHERE schemaname = '\(schema)'
            """
        let content = "SELECT md5(string_agg(e::text, '' ORDER BY position)) FROM events_store e"
        let (before, counted) = (try server.sql(content, schema: schema), try server.sql(look))
        let result = await workplace.run(["bench", "--store", store, "-o", "json"] + quickBench)
        #expect(result.code == 0, "\(result.errors)")
        try checkFigures(result.output)
        #expect(try server.sql(content, schema: schema) == before)
        #expect(try server.sql(look) == counted)
        #expect(try schemas(server) == "0")
    }

    @Test("stops at once when it is interrupted, and leaves no schema behind")
    func interrupted() throws {
        let server = try PostgresServer.shared("bench-interrupted")
        for workload in ["append", "send", "send-processes", "scan", "delivery", "rebuild"] {
            let workplace = try Workplace()
            let result = try shell(
                """
                $EGO bench \(workload) --seconds 60 --journal 50000 -q > output & process=$!
                sleep 1.5; kill -INT $process; wait $process; echo "exit $?"
                """, in: workplace.url, environment: ["EGO_STORE": server.url()])
            #expect(result.output == "exit 130\n", "\(workload): \(result.output) \(result.errors)")
            #expect(try schemas(server) == "0", "\(workload)")
        }
    }

    @Test("says who may not make a schema")
    func permission() async throws {
        let server = try PostgresServer.shared("bench-permission")
        try server.sql("CREATE ROLE reader LOGIN")
        let workplace = try Workplace()
        let result = await workplace.run(["bench", "scan", "--store", server.url(user: "reader")] + quickBench)
        #expect(result.code == 77, "\(result.errors)")
    }
}
