import BankDomain
import Foundation
import PostgresServer
import Testing

@Suite("A session on PostgreSQL", .serialized)
struct SessionPostgresTests {
    /// A session with three accounts, in a schema of its own.
    private func session(
        on server: PostgresServer, _ schema: String, in workplace: Workplace, _ arguments: String
    ) async throws -> Terminal {
        try server.sql("CREATE SCHEMA \(schema)")
        let store = server.url(schema: schema)
        for line in [["init"], ["demo", "--entities", "3", "--events", "60", "--seed", "7"]] {
            let result = await workplace.run(line + ["--store", store])
            #expect(result.code == 0, "\(result.errors)")
        }
        let terminal = try Terminal(
            "$EGO repl \(arguments); echo \"rc $?\"", in: workplace.url, columns: 100, rows: 40,
            environment: [
                "EGO_STORE": store, "INPUTRC": "/dev/null", "XDG_STATE_HOME": workplace.url.path, "TERM": "dumb",
            ])
        #expect(terminal.wait(for: "=> "), "\(terminal.text)")
        return terminal
    }

    /// Types, and waits for what answers it.
    private func type(_ text: String, then end: String, _ terminal: Terminal) {
        let start = terminal.count
        terminal.send(text)
        #expect(terminal.wait(for: end, seconds: 30, after: start), "\(text): \(terminal.text)")
    }

    @Test("outlives its server: nothing hangs, the prompt says so, and goes on when it is there again")
    func killed() async throws {
        let server = try PostgresServer()
        let workplace = try Workplace()
        let terminal = try await session(on: server, "killed", in: workplace, "acc-3 --rw")
        type("CreditAccount balance: 1\r", then: "acc-3@6 => ", terminal)
        server.kill()

        // Tab prints nothing but a bell, and a line can be dropped.
        let start = terminal.count
        terminal.send("\\use acc\t")
        type("\u{3}", then: "acc-3@6 => ", terminal)
        type("\r", then: "acc-3@6 => ", terminal)
        #expect(terminal.wait(for: "no connection] acc-3@6 => ", after: start), "\(terminal.text)")
        let shown = String(decoding: Array(terminal.text.utf8)[start...], as: UTF8.self)
        #expect(!shown.contains("ego:"), "\(shown)")

        // What is tried meanwhile can be stopped, and is not applied later.
        type("CreditAccount balance: 1000\r", then: "\n", terminal)
        type("\u{3}", then: "no connection] acc-3@6 => ", terminal)

        try server.start()
        let restarted = terminal.count
        type("\\state\r", then: "accountBalance: 887.19", terminal)
        // A look that began before may still be on its way back.
        for _ in 0..<50 where !terminal.wait(for: "reconnected] acc-3@6 => ", seconds: 0.2, after: restarted) {
            terminal.send("\r")
        }
        #expect(terminal.wait(for: "reconnected] acc-3@6 => ", after: restarted), "\(terminal.text)")
        type("CreditAccount balance: 1\r", then: "acc-3@7 => ", terminal)
        type("\r", then: "postgres [rw] acc-3@7 => ", terminal)
        type("\u{4}", then: "rc 0", terminal)
        #expect(terminal.finish() == 0)
    }

    @Test("stops waiting for a lock at Ctrl-C, and says that nothing was applied")
    func locked() async throws {
        let server = try PostgresServer.shared("session")
        let workplace = try Workplace()
        let terminal = try await session(on: server, "locked", in: workplace, "acc-3 --rw")
        let lock = try Terminal(
            "psql -q '\(server.url(schema: "locked"))'", in: workplace.url,
            environment: ["PAGER": "cat", "TERM": "dumb"])
        lock.send("BEGIN; LOCK TABLE events_store; SELECT 'it is ' || 'locked';\n")
        #expect(lock.wait(for: "it is locked"), "\(lock.text)")
        terminal.send("CreditAccount balance: 1\r")
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        let deadline = ContinuousClock.now + .seconds(20)
        while try server.sql(waiting).hasPrefix("0"), ContinuousClock.now < deadline {}
        type("\u{3}", then: "the command was not applied", terminal)
        lock.send("ROLLBACK;\n\\q\n")
        #expect(lock.finish() == 0)
        type("\r", then: "acc-3@5 => ", terminal)
        type("\\state\r", then: "accountBalance: 886.19", terminal)
        type("\\q\r", then: "rc 0", terminal)
        #expect(terminal.finish() == 0)
    }

    @Test("completes names of the store on it")
    func completion() async throws {
        let server = try PostgresServer.shared("session")
        let workplace = try Workplace()
        let terminal = try await session(on: server, "completed", in: workplace, "")
        #expect(terminal.complete("\\use ac", to: "\\use acc-"), "\(terminal.text)")
        type("3\r", then: "acc-3@5 => ", terminal)
        #expect(terminal.complete("\\projection show bal", to: "balances"), "\(terminal.text)")
        type("\u{3}", then: "=> ", terminal)
        type("\u{4}", then: "rc 0", terminal)
        #expect(terminal.finish() == 0)
    }
}
