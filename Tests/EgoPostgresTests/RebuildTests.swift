import EgoCore
import EgoOperations
import EgoPostgres
import EgoTestKit
import ExerciserSupport
import PostgresServer
import Testing

@Suite("A rebuild on PostgreSQL", .serialized)
struct RebuildTests {
    private let name = "noted"
    private let person = Operator(name: "ann@test", process: 0, reason: "a test")

    private func rebuild(_ store: any Store, _ model: any ReadModel) async throws -> Rebuild.Outcome {
        let work = Rebuild(store: store, reader: EventReader(), by: person, time: SystemTime())
        let outcomes = try await work.run(
            [Projection(name, model)], Rebuild.Options(page: PageLimit(rows: 20)), command: "rebuild")
        return try #require(outcomes.first)
    }

    private func names(_ fresh: Fresh, _ kind: String) throws -> [String] {
        try fresh.sql(
            "SELECT relname FROM pg_class WHERE relnamespace = current_schema::regnamespace AND relkind = '\(kind)' "
                + "AND relname LIKE 'seen%' ORDER BY relname COLLATE \"C\""
        ).split(separator: "\n").map(String.init)
    }

    @Test("shows the tables of the version in use and no others, whichever tables the versions have")
    func otherTables() async throws {
        let fresh = try await Fresh("projections")
        let store = try await fresh.open()
        let control = ProjectionControl(store: store, by: person, time: SystemTime())
        _ = try await store.append([append("a", 60)])
        #expect(try await rebuild(store, SeenEvents()).version == 2)
        #expect(try await SeenEvents.problems(of: name, in: store) == [])
        #expect(try await rebuild(store, NextSeenEvents()).version == 3)
        #expect(try names(fresh, "v") == ["seen", "seen_days"], "after the rebuild")
        do { try await control.rollback(name) } catch { Issue.record("no rollback: \(error)") }
        #expect(try names(fresh, "v") == ["seen", "seen_entities"], "after the rollback")
        #expect(try await SeenEvents.problems(of: name, in: store) == [])
        #expect(try await control.forgetPrevious(name))
        #expect(try names(fresh, "r") == ["seen_entities_v2", "seen_v2"], "after the newer version was forgotten")
        await store.close()
    }

    @Test("that loses its server again and again goes on when it is repeated, and the one in use stays whole")
    func crash() async throws {
        let server = try PostgresServer()
        let fresh = try await Fresh(server)
        let store = try await fresh.open(PostgresStoreOptions(reconnectTimeout: .seconds(60)))
        for number in 0..<10 { _ = try await store.append([append("a-\(number)", 20)]) }
        #expect(try await rebuild(store, SeenEvents()).version == 2)
        for number in 0..<20 { _ = try await store.append([append("b-\(number)", 200)]) }
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var random = SeededGenerator(seed: seed)
        var failures = 0
        for round in 1...8 {
            let process = try ExerciserProcess(["rebuild", fresh.text, name, "0"])
            defer { process.kill() }
            try await poll("its first page") { process.pages > 1 }
            try await Task.sleep(for: .microseconds(Int.random(in: 0...15_000, using: &random)))
            server.kill()
            try server.start()
            // One whose connection was not at work at that moment makes another, and goes on by itself.
            failures += try await process.end() == 0 ? 0 : 1
            let isPromoted = try await store.projection(name)?.activeVersion != 2
            #expect(try await SeenEvents.rows(store).count == (isPromoted ? 4_200 : 200), "round \(round)")
            let jobs = try await store.jobs().filter(\.state.isUnfinished)
            #expect(jobs.count <= 1 && jobs.allSatisfy { $0.state == .failed }, "round \(round): \(jobs)")
        }
        print("\(failures) of 8 failed")
        let last = try ExerciserProcess(["rebuild", fresh.text, name, "0"])
        defer { last.kill() }
        #expect(try await last.end() == 0, "\(last.lines.last ?? "")")
        #expect(failures > 0, "no rebuild met an outage")
        #expect(try await SeenEvents.rows(store).count == 4_200)
        #expect(try await SeenEvents.problems(of: name, in: store) == [])
        #expect(try await store.jobs().allSatisfy { $0.state == .done })
        #expect(try await AuditLog(store: store).verify().problems == [])
        await store.close()
    }

    @Test("keeps a view that others have built on the plain name, through promotion and rollback")
    func otherViews() async throws {
        let fresh = try await Fresh("projections")
        let store = try await fresh.open()
        let control = ProjectionControl(store: store, by: person, time: SystemTime())
        _ = try await store.append([append("a", 60)])
        #expect(try await rebuild(store, SeenEvents()).version == 2)
        try fresh.sql("CREATE VIEW report AS SELECT count(*) AS events FROM seen")
        _ = try await store.append([append("b", 40)])
        #expect(try await rebuild(store, SeenEvents()).version == 3)
        #expect(try fresh.sql("SELECT events FROM report") == "100")
        try await control.rollback(name)
        #expect(try fresh.sql("SELECT events FROM report") == "60")
        try await control.rollback(name)
        #expect(try await control.forgetPrevious(name))
        #expect(try fresh.sql("SELECT events FROM report") == "100")
        #expect(try names(fresh, "r") == ["seen_entities_v3", "seen_v3"])
        await store.close()
    }
}
