import EgoCore
import EgoPostgres
import EgoTestKit
import ExerciserSupport
import Foundation
import PostgresServer
import Testing

@Suite("A projection on PostgreSQL in several processes", .serialized, .timeLimit(.minutes(3)))
struct ProjectionProcessTests {
    private let name = "noted"
    /// How long the server is away: longer than the second that the projection's store waits for it. Half a minute gives
    /// the same, and takes half a minute.
    private static let outage = Duration.seconds(5)

    private func projection(_ fresh: Fresh, leaseTime: Int = 300, parallelism: Int = 1) throws -> ExerciserProcess {
        try ExerciserProcess(["project", fresh.text, name, String(leaseTime), String(parallelism)])
    }

    private func open(_ fresh: Fresh) async throws -> PostgresStore {
        try await fresh.open(PostgresStoreOptions(reconnectTimeout: .seconds(60)))
    }

    @Test("sees every event once and in order beside writers, whoever has its lease", arguments: [1, 2, 8, 32])
    func race(_ writers: Int) async throws {
        let fresh = try await Fresh("projections")
        let store = try await open(fresh)
        let processes = min(writers, 4)
        let count = 800 / writers
        let running = try (0..<processes).map {
            try ExerciserProcess(["write", fresh.text, "p\($0)", String(writers / processes), String(count)])
        }
        let projections = try (0..<2).map { _ in try projection(fresh) }
        defer { for process in running + projections { process.kill() } }
        let lease = ProjectionRecord.lease(of: name)
        var thefts = 0
        var own = 0
        // Until it was taken away a few times, however slow the machine is.
        while running.contains(where: \.isRunning) || thefts < 3 {
            _ = try await store.append([append("own")])
            own += 1
            // In the middle of whatever its holder does; afterwards both of them are after it again.
            if let held = try await store.leases().first(where: { $0.name == lease }) {
                try await store.release(held)
                do throws(StoreError) {
                    _ = try await store.acquireLease(
                        lease, owner: "thief \(thefts)", for: .milliseconds(20), now: SystemTime().now())
                    thefts += 1
                } catch {
                    #expect(error.code == .leaseHeld)
                }
            }
            #expect(try await SeenEvents.problemsOnTheWay(name, in: store) == [])
            try await Task.sleep(for: .milliseconds(20))
        }
        for process in running { #expect(try await process.end() == 0) }
        try await poll("caught up") { try await SeenEvents.isCaughtUp(name, store) }
        for process in projections {
            #expect(process.isRunning)
            process.kill()
        }
        #expect(try await SeenEvents.rows(store).count == processes * (writers / processes) * count + own)
        #expect(try await SeenEvents.problems(of: name, in: store) == [])
        print("\(writers) writers: the lease was taken away \(thefts) times, pages \(projections.map(\.pages))")
        await store.close()
    }

    @Test(
        "is killed 20 times at its work, and has every event once, also with several groups of shards",
        arguments: [1, 4])
    func kill(_ parallelism: Int) async throws {
        let fresh = try await Fresh("projections")
        let store = try await open(fresh)
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var random = SeededGenerator(seed: seed)
        var writer: ExerciserProcess?
        defer { writer?.kill() }
        for round in 1...20 {
            if writer?.isRunning != true {
                writer = try ExerciserProcess(["write", fresh.text, "w\(round)", "4", "400"])
            }
            let process = try projection(fresh, parallelism: parallelism)
            defer { process.kill() }
            // The moment counts from its first page, so that every round kills work under way.
            try await poll("a page in round \(round)") { process.pages > 0 }
            try await Task.sleep(for: .microseconds(Int.random(in: 0...15_000, using: &random)))
            process.kill()
            // Groups of shards are not equally far.
            if parallelism == 1 {
                #expect(try await SeenEvents.problems(of: name, in: store, isWhole: false) == [], "round \(round)")
            }
        }
        writer?.kill()
        let last = try projection(fresh)
        defer { last.kill() }
        try await poll("caught up") { try await SeenEvents.isCaughtUp(name, store) }
        last.kill()
        #expect(try await SeenEvents.problems(of: name, in: store) == [])
        #expect(try await SeenEvents.rows(store).count > 300, "too few events")
        await store.close()
    }

    @Test("goes on with its server, which crashes 10 times, and has every event once")
    func crash() async throws {
        let server = try PostgresServer()
        let fresh = try await Fresh(server)
        let store = try await open(fresh)
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var random = SeededGenerator(seed: seed)
        var writers: [ExerciserProcess] = []
        var process = try projection(fresh)
        defer { for child in writers + [process] { child.kill() } }
        for round in 1...10 {
            if writers.last?.isRunning != true {
                writers.append(try ExerciserProcess(["write", fresh.text, "w\(round)", "2", "200"]))
            }
            let before = process.pages
            try await poll("a page in round \(round)") { process.pages > before }
            try await Task.sleep(for: .microseconds(Int.random(in: 0...15_000, using: &random)))
            server.kill()
            #expect(process.isRunning, "it ended with its server")
            // Every third time its process ends with the server, and another one goes on.
            if round.isMultiple(of: 3) { process.kill() }
            try server.start()
            if round.isMultiple(of: 3) { process = try projection(fresh) }
            #expect(try await SeenEvents.problemsOnTheWay(name, in: store) == [], "round \(round)")
        }
        // Writers are not killed: what each of them was to append is there once.
        for writer in writers { #expect(try await writer.end() == 0) }
        try await poll("caught up") { try await SeenEvents.isCaughtUp(name, store) }
        #expect(process.isRunning)
        process.kill()
        #expect(try await SeenEvents.rows(store).count == writers.count * 400)
        #expect(try await SeenEvents.problems(of: name, in: store) == [])
        await store.close()
    }

    @Test("waits no longer for its server at the eighth outage than at the first")
    func outages() async throws {
        let fresh = try await Fresh("projections")
        let store = try await open(fresh)
        let process = try projection(fresh, leaseTime: 10_000)
        defer { process.kill() }
        try await poll("it is ready") { process.lines.first == "ready" }
        var waits: [Duration] = []
        for _ in 1...8 {
            // All its sessions end, with whatever they are at.
            let before = process.pages
            for number in 0..<3 {
                _ = try await store.append([append("a-\(number)", 200)])
                try fresh.sql(
                    """
                    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE application_name = 'ego' AND pid <> pg_backend_pid()
                    """)
            }
            let start = ContinuousClock.now
            try await poll("it goes on") { try await SeenEvents.isCaughtUp(name, store) }
            #expect(process.pages > before)
            waits.append(ContinuousClock.now - start)
        }
        print("went on after \(waits)")
        #expect(waits.allSatisfy { $0 < .seconds(3) })
        process.kill()
        #expect(try await SeenEvents.problems(of: name, in: store) == [])
        await store.close()
    }

    @Test("goes on after its server was away in the middle of a drain")
    func outage() async throws {
        let server = try PostgresServer()
        let fresh = try await Fresh(server)
        let store = try await open(fresh)
        let total = 6_000
        for number in 0..<total / 200 { _ = try await store.append([append("r-\(number % 10)", 200)]) }
        let process = try projection(fresh)
        defer { process.kill() }
        try await poll("it is at work") { process.pages >= 10 }
        server.kill()
        let pages = process.pages
        let end = ContinuousClock.now + Self.outage
        try await poll("the outage", within: Self.outage * 2, every: .milliseconds(50)) {
            #expect(process.isRunning, "it ended with its server")
            return ContinuousClock.now > end
        }
        #expect(process.pages < total / 37, "it had done all before")
        #expect(process.pages <= pages + 1, "it worked without a server")
        try server.start()
        let start = ContinuousClock.now
        try await poll("caught up") { try await SeenEvents.isCaughtUp(name, store) }
        print("after page \(pages) the server went; \(ContinuousClock.now - start) after it was back all was done")
        process.kill()
        #expect(try await SeenEvents.rows(store).count == total)
        #expect(try await SeenEvents.problems(of: name, in: store) == [])
        await store.close()
    }
}
