import BankDomain
import EgoCommands
import Foundation
import Testing

/// What operators do with projections, in a shell.
@Suite("Operating projections", .serialized, .timeLimit(.minutes(4)))
struct ProjectionCommandTests {
    private let folder: Workplace

    init() throws {
        folder = try Workplace()
        _ = try shell("$EGO demo --entities 3 --events 60 --seed 7 -q", in: folder.url)
    }

    @discardableResult
    private func run(
        _ script: String, _ code: Int32 = 0, _ location: SourceLocation = #_sourceLocation
    ) throws -> (output: String, errors: String) {
        let result = try shell(script, in: folder.url)
        #expect(result.code == code, "\(script): \(result.output) \(result.errors)", sourceLocation: location)
        return (result.output, result.errors)
    }

    private func data(_ line: String) throws -> [String: Any] {
        let result = try shell("$EGO \(line) -o json", in: folder.url)
        return try #require(json(result.output)?["data"] as? [String: Any], "\(line): \(result.errors)")
    }

    private func projection(_ name: String = "balances") throws -> [String: Any] {
        try #require((try data("projection show \(name)")["projections"] as? [[String: Any]])?.first)
    }

    private func rows(_ sql: String) throws -> String {
        try run(
            "python3 -c \"import sqlite3; print(sqlite3.connect('ego.db').execute(\\\"\(sql)\\\").fetchall())\""
        ).output.trimmingCharacters(in: .newlines)
    }

    private func declare(_ text: String) throws {
        try text.write(toFile: folder.path(".ego.toml"), atomically: true, encoding: .utf8)
    }

    /// A read model in SQL that fails on the deposits of an account.
    private func declareTotals(refusing account: String = "nobody") throws {
        try declare(
            """
            [projection.totals.table.totals]
            columns = "account TEXT PRIMARY KEY, credits INTEGER NOT NULL CHECK (account <> '\(account)' OR credits = 0)"
            [projection.totals.on]
            AccountCreated = "INSERT INTO {totals} VALUES (:@id, 0)"
            AccountCredited = "UPDATE {totals} SET credits = credits + 1 WHERE account = :account_id"
            """)
    }

    // MARK: Bad input

    @Test("what cannot be is told before anything happens")
    func badInput() throws {
        let before = folder.snapshot(of: "ego.db")
        for (line, code, text) in [
            ("projection pause nobody", 5, "there is no projection nobody"),
            ("projection pause balances nobody", 5, "there is no projection nobody"),
            ("projection pause", 64, "PROJECTION"), ("projection show", 64, "PROJECTION"),
            ("projection reset balances --to start --yes", 4, "--reason"),
            ("projection reset balances --reason x --yes", 64, "--to"),
            ("projection reset balances --to start --by 3 --reason x --yes", 64, "--to"),
            ("projection reset balances --to 99999 --reason x --yes", 4, "journal ends at 60"),
            ("projection reset balances --to yesterdya --reason x --yes", 64, "--to"),
            ("projection reset balances --by 3 --reason x --yes", 4, "never ran"),
            ("projection reset balances --like nobody --reason x --yes", 5, "nobody"),
            ("projection reset --apply nothing.json --reason x", 66, "no such plan"),
            ("projection reset balances --to start --reason x", 4, "confirmed"),
            ("projection skip balances --reason x", 4, "has not stopped"),
            ("projection skip balances 1x --reason x", 64, "no position"),
            ("projection skip balances 999 --reason x", 5, "no event at 999"),
            ("projection skip balances 5 --reason x", 4, "never ran"), ("projection skip balances", 4, "--reason"),
            ("projection rollback balances", 4, "no earlier version"), ("rebuild", 64, "PROJECTION"),
            ("rebuild balances --all", 64, "--all"), ("rebuild nobody", 5, "no such projection"),
            ("rebuild blances", 5, "did you mean balances"), ("rebuild balances --strategy shdow", 64, "shadow"),
            ("rebuild balances --strategy shadow --from 3", 4, "--from"),
            ("rebuild balances --on-error no", 64, "one of"),
            ("rebuild balances --strategy in-place", 4, "confirmed"), ("lag nobody", 5, "no projection"),
            ("lag --crit much", 64, "--crit"), ("lag --crit -3", 64, "--crit"), ("lag --format nagois", 64, "nagios"),
            ("lag --watch --format nagios", 64, "--watch"),
            ("dead-letter show balances 3", 5, "no dead letter"), ("dead-letter show balances", 64, "POSITION"),
            ("dead-letter retry balances", 64, "--all"), ("dead-letter retry nobody --all", 5, "nobody"),
            ("dead-letter list nobody", 5, "nobody"), ("dead-letter discard balances --all", 4, "--reason"),
            ("projection wait nobody", 5, "nobody"), ("projection run nobody", 5, "nobody"),
        ] as [(String, Int32, String)] {
            let result = try run("$EGO \(line)", code)
            #expect(result.output.isEmpty, "\(line)")
            #expect(result.errors.contains(text), "\(line): \(result.errors)")
        }
        try run("$EGO lag --watch -o json", 64)
        #expect(folder.snapshot(of: "ego.db") == before, "byte for byte")
    }

    @Test("a declaration that is wrong is refused with its place")
    func badDeclaration() throws {
        for (text, wanted) in [
            ("[projection.p]\npage = 3", "line 2"), ("[projection.p.table.t]\nindexes = [\"a\"]", "no columns"),
            ("[projection.p.table.ego_events]\ncolumns = \"a INT\"", "belongs to the store"),
            ("[projection.p]\nretries = -1", "whole number"), ("[projection.p]\non_error = \"ignore\"", "fail, skip"),
            ("[projection.p.on]\nAccountCreated = 3", "quoted string"), ("[projection]\np = 3", "projection"),
        ] {
            try declare(text)
            let result = try run("$EGO lag", 78)
            #expect(result.errors.contains(wanted), "\(text): \(result.errors)")
        }
        for (text, wanted) in [
            ("[projection.p.on]\nAccountCreatd = \"SELECT 1\"", "AccountCreatd"),
            ("[projection.p.on]\nAccountCreated = \"DELETE FROM {t}\"", "{t}"),
            ("[projection.p.on]\nAccountCreated = \"SELECT :owner\"", "owner"),
            ("[projection.p.on]\nAccountCreated = \"SELECT ':owner\"", "not closed"),
            ("[projection.p]\nstart = \"soon\"", "start"),
        ] {
            try declare(text)
            let result = try run("$EGO projection run p --until-caught-up", 78)
            #expect(result.errors.contains(wanted), "\(text): \(result.errors)")
        }
    }

    // MARK: Lag

    @Test("lag warns, is critical, and counts without writing where it may not")
    func lag() throws {
        try run("$EGO lag --crit 60")
        try run("$EGO lag --crit 59", 2)
        #expect(try run("$EGO lag --crit 1d", 2).errors.contains("60 events behind"))
        #expect(try run("$EGO lag --warn 10").errors.hasPrefix("ego: warning: balances is 60"))
        #expect(try run("$EGO lag --format nagios").output.hasPrefix("LAG OK - balances never_run 60 behind | 'bal"))
        #expect(try run("$EGO lag --format nagios --warn 10", 1).output.hasPrefix("LAG WARNING - "))
        #expect(try run("$EGO lag --format nagios --warn 10 --crit 20", 2).output.hasPrefix("LAG CRITICAL - "))
        let metrics = try run("$EGO lag --format prometheus").output.split(separator: "\n")
        #expect(metrics.contains { $0.hasPrefix("ego_projection_events_behind{projection=\"balances\"") })
        #expect(metrics.contains("ego_projection_state{projection=\"balances\",engine=\"ego\",state=\"never_run\"} 1"))
        let before = folder.snapshot(of: "ego.db")
        try run("$EGO lag --read-only && chmod a-w ego.db && $EGO lag")
        #expect(folder.snapshot(of: "ego.db") == before)
        let watched = try run("timeout -s INT 5 $EGO lag --watch --interval 50ms -o jsonl | head -2")
        #expect(watched.output.split(separator: "\n").count == 2)
    }

    // MARK: Another process

    @Test("another process's projection is paused, resumed, reset and handed over")
    func otherProcess() throws {
        let script = """
            set -e
            state() { $EGO lag balances --columns state --no-headers; }
            await() { for i in $(seq 100); do [ "$(state)" = "$1" ] && return; sleep 0.05; done; echo "never $1"; exit 9; }
            $EGO projection run balances -q & first=$!
            trap 'kill -9 $first $second 2>/dev/null || true' EXIT
            $EGO projection wait balances --timeout 20s -q
            await running
            $EGO projection pause balances -q && await paused
            $EGO send acc-1 CreditAccount '{"balance": 1}' -q > /dev/null
            sleep 0.3
            [ "$($EGO lag balances --columns events_behind --no-headers)" = 1 ] || exit 8
            $EGO projection resume balances -q
            $EGO projection wait balances --timeout 20s -q
            $EGO projection run balances -q & second=$!
            kill -9 $first; wait $first || true
            $EGO send acc-1 CreditAccount '{"balance": 1}' -q > /dev/null
            $EGO projection wait balances --timeout 20s -q
            $EGO projection forget balances --yes && exit 7 || [ $? = 4 ]
            kill -TERM $second; code=0; wait $second || code=$?
            [ $code = 143 ] || exit 6
            await stopped
            """
        try run(script)
        #expect(try projection()["events_behind"] as? Int == 0)
    }

    @Test("a reset is planned, confirmed, and refused when it is stale")
    func reset() throws {
        try run("$EGO projection run --until-caught-up -q")
        try run("$EGO projection reset balances --to start --plan plan.json -q")
        let before = folder.snapshot(of: "ego.db")
        try run("$EGO projection reset --apply plan.json --reason x --no-input", 4)
        try run("$EGO projection reset balances --to start --reason x -o json", 4)
        #expect(folder.snapshot(of: "ego.db") == before, "byte for byte")
        let planned = try data("projection reset balances --by -20 --dry-run")
        #expect(planned["events_again"] as? Int == 20 && planned["events_passed_over"] as? Int == 0)
        try run("$EGO projection reset balances --by -20 --reason x --yes -q")
        try run("$EGO projection reset --apply plan.json --reason x --yes", 4)
        #expect(try projection()["events_behind"] as? Int == 20)
        #expect(try run("$EGO projection reset balances --by -20 --reason x --yes").output.contains("events_again"))
        try run("$EGO projection reset balances --to 40 --reason x --yes -q")
        #expect(try projection()["events_behind"] as? Int == 20)
        #expect(try data("projection reset balances --to 40 --reason x --yes")["moves"] as? [String] == [])
        try run("$EGO projection reset balances --to 2026-01-01T00:00:55Z --reason x --yes -q")
        let audit = try run(
            "$EGO audit --action projection-reset --columns reason --no-headers && $EGO audit verify -q")
        #expect(audit.output.hasPrefix("x\nx\nx\n"))
    }

    // MARK: Rebuild and dead letters

    @Test("a rebuild whose handler fails leaves the old read model, or keeps dead letters, which are retried")
    func rebuild() throws {
        try declareTotals()
        try run("$EGO projection run totals --until-caught-up -q")
        let whole = try rows("SELECT * FROM totals ORDER BY 1")
        try declareTotals(refusing: "acc-3")
        let failed = try run("$EGO rebuild totals", 1)
        #expect(failed.errors.contains("of acc-3") && failed.errors.contains("hint: "))
        #expect(try rows("SELECT * FROM totals ORDER BY 1") == whole, "the old one is whole")
        #expect(try projection("totals")["version"] as? Int == 1)
        let discard = "$EGO jobs discard $($EGO jobs --unfinished --columns id --no-headers) -q"
        try run(discard)
        #expect(try rows("SELECT count(*) FROM sqlite_master WHERE name LIKE 'totals_v2%'") == "[(0,)]")
        #expect(try run("$EGO rebuild totals --on-error dead-letter", 3).errors.contains("failed on 2 events"))
        #expect(try rows("SELECT credits FROM totals WHERE account = 'acc-3'") == "[(0,)]")
        let letters = try #require(try data("dead-letter list totals")["dead_letters"] as? [[String: Any]])
        #expect(letters.count == 2 && letters.allSatisfy { $0["id"] as? String == "acc-3" })
        #expect(
            try run("$EGO dead-letter retry totals --all --columns outcome --no-headers", 3).output
                == "failed\nfailed\n")
        // The table of the version in use has the check; the next version has not.
        try run("$EGO projection rollback totals -q")
        #expect(try rows("SELECT * FROM totals ORDER BY 1") == whole)
        try run("$EGO projection rollback totals -q")
        try run("$EGO dead-letter discard totals --all --reason 'a test' --yes -q")
        #expect(try data("dead-letter list totals")["dead_letters"] as? [String] == [])
        try declareTotals()
        try run("$EGO rebuild totals -q")
        #expect(try rows("SELECT * FROM totals ORDER BY 1") == whole)
        try run("$EGO rebuild totals --strategy in-place --yes -q && $EGO verify -q")
        #expect(try rows("SELECT * FROM totals ORDER BY 1") == whole)
        // One in place that fails holds the projection until it is given up.
        try declareTotals(refusing: "acc-3")
        try run("$EGO rebuild totals --strategy in-place --yes", 1)
        #expect(try projection("totals")["mode"] as? String == "rebuilding")
        try run("$EGO projection resume totals", 4)
        try run("$EGO projection run totals --until-caught-up -q", 4)
        #expect(try projection("totals")["mode"] as? String == "rebuilding")
        try run(discard)
        #expect(try projection("totals")["mode"] as? String == "running")
        try run("$EGO projection forget totals --yes -q")
        #expect(try rows("SELECT count(*) FROM sqlite_master WHERE name LIKE 'totals%'") == "[(0,)]")
    }

    @Test("tables and views of others are never dropped, taken over or shared")
    func othersTables() throws {
        try declareTotals()
        for (sql, name) in [
            ("CREATE TABLE totals_v1 (account TEXT PRIMARY KEY, credits INT)", "totals_v1"),
            ("CREATE VIEW totals AS SELECT 1 AS a", "totals"), ("CREATE TABLE totals (a)", "totals"),
        ] {
            try run("python3 -c \"import sqlite3; sqlite3.connect('ego.db').execute('\(sql)')\"")
            #expect(try run("$EGO projection run totals --until-caught-up", 78).errors.contains("exists"), "\(sql)")
            let kind = sql.contains("VIEW") ? "VIEW" : "TABLE"
            try run("python3 -c \"import sqlite3; sqlite3.connect('ego.db').execute('DROP \(kind) \(name)')\"")
        }
        try run("$EGO projection run totals --until-caught-up -q")
        try run("python3 -c \"import sqlite3; sqlite3.connect('ego.db').execute('CREATE TABLE totals_v2 (a)')\"")
        try run("$EGO rebuild totals", 78)
        #expect(try rows("SELECT count(*) FROM totals_v2") == "[(0,)]")
        try run("sed -i 's/projection.totals/projection.other/' .ego.toml")
        #expect(
            try run("$EGO projection run other --until-caught-up", 78).errors.contains("belongs to projection totals"))
    }

    @Test("a look at what there is to process changes nothing, and statements that cannot be are refused")
    func looks() throws {
        try declareTotals()
        let before = folder.snapshot(of: "ego.db")
        #expect(try run("$EGO projection run --dry-run").output.contains("totals\tnever_run\t60"))
        for statement in ["COMMIT", "", "-- nothing", "ROLLBACK", "COPY {t} TO STDOUT", "PRAGMA synchronous = OFF"] {
            try declare(
                "[projection.p.table.t]\ncolumns = \"a INT\"\n[projection.p.on]\nAccountCreated = \"\(statement)\"")
            try run("$EGO projection run p --until-caught-up", 78)
        }
        #expect(folder.snapshot(of: "ego.db") == before, "byte for byte")
    }

    @Test("an event that is processed again leaves no dead letter")
    func again() throws {
        try declareTotals(refusing: "acc-3")
        try run("sed -i 's/^\\[projection.totals.on/[projection.totals]\\non_error = \"skip\"\\n&/' .ego.toml")
        try run("$EGO projection run totals --until-caught-up -q")
        #expect((try data("dead-letter list totals")["dead_letters"] as? [Any])?.count == 2)
        try run("$EGO projection reset totals --to start --yes --reason x -q")
        #expect((try data("dead-letter list totals")["dead_letters"] as? [Any])?.isEmpty == true)
    }

    @Test("a projection that stops at an event says so everywhere, until it is passed over or mended")
    func failure() throws {
        try declareTotals(refusing: "acc-3")
        let failed = try run("$EGO projection run totals --until-caught-up", 1)
        #expect(failed.errors.contains("totals has stopped at event") && failed.errors.contains("hint: "))
        let shown = try projection("totals")
        let failure = try #require(shown["failure"] as? [String: Any])
        #expect(shown["state"] as? String == "failed" && failure["id"] as? String == "acc-3")
        #expect(try run("$EGO projection wait totals", 1).errors.contains("has stopped"))
        #expect(try run("$EGO lag totals --crit 1000", 2).errors.contains("has stopped"))
        #expect(try run("$EGO status -o json").output.contains("projection_failed"))
        let position = try #require(failure["position"] as? String)
        #expect(try run("$EGO projection skip totals --reason 'a duplicate'").output.contains(position))
        #expect(
            try run("$EGO projection skip totals \(position) --reason x", 4).errors.contains("has passed that event"))
        try run("$EGO projection run totals --until-caught-up", 1)
        try run(
            "$EGO projection skip totals --reason 'a duplicate' -q && $EGO projection run totals --until-caught-up -q")
        #expect(try run("$EGO dead-letter show totals \(position)").output.contains("accountBalance"))
    }

    @Test("a rebuild that is interrupted says how it goes on, and does")
    func interrupted() throws {
        try run("rm ego.db* && $EGO demo --entities 100 --events 30000 -q")
        let script = """
            $EGO rebuild balances --page 10 --progress plain & job=$!
            for i in $(seq 200); do $EGO jobs --unfinished --columns kind --no-headers 2>/dev/null | grep -q rebuild && break; sleep 0.02; done
            kill -INT $job; wait $job
            """
        let stopped = try run(script, 130)
        #expect(stopped.errors.contains("go on with: ego rebuild balances --page 10"))
        #expect(try projection()["version"] as? NSNull != nil || projection()["version"] as? Int == 1)
        try run("$EGO rebuild balances --page 10 -q")
        #expect(try run("$EGO jobs --columns kind,state --no-headers").output == "rebuild\tdone\n")
        #expect(try rows("SELECT count(*) FROM account_balances") == "[(100,)]")
    }
}
