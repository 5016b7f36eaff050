import EgoCore
import EgoSQLite
import EgoTestKit
import ExerciserSupport
import Foundation
import Testing

@Suite("A projection in several processes", .serialized, .timeLimit(.minutes(3)))
struct ProjectionCrashTests {
    private let folder: TemporaryFolder
    private let path: String
    private let name = "noted"

    init() throws {
        folder = try TemporaryFolder()
        path = folder.path("projection.db")
    }

    private func projection(leaseTime: Int, parallelism: Int = 1) throws -> ExerciserProcess {
        try ExerciserProcess(["project", path, name, String(leaseTime), String(parallelism)])
    }

    private func append(_ store: any Store, _ count: Int) async throws {
        let events = (0..<count).map { _ in
            NewEvent(
                timestamp: SystemTime().now(),
                payload: AnyPayload(typeURL: "type.googleapis.com/race.Event", value: []).serialized())
        }
        _ = try await store.append([
            AppendRequest(persistenceID: try PersistenceID("own"), expectedVersion: .any, events: events)
        ])
    }

    private func drain(_ store: any Store, leaseTime: Int = 300) async throws {
        let last = try projection(leaseTime: leaseTime)
        defer { last.kill() }
        try await poll("caught up") { try await SeenEvents.isCaughtUp(name, store) }
    }

    @Test("sees every event once and in order beside writers, whoever has its lease", arguments: [1, 2, 8, 32])
    func race(_ writers: Int) async throws {
        let store = try await newStore(path)
        let processes = min(writers, 4)
        let count = 2_000 / writers
        let running = try (0..<processes).map {
            try ExerciserProcess(["write", path, "p\($0)", String(writers / processes), String(count)])
        }
        let projections = try (0..<2).map { _ in try projection(leaseTime: 300) }
        defer { for process in running + projections { process.kill() } }
        let lease = ProjectionRecord.lease(of: name)
        var thefts = 0
        var own = 0
        // Until it was taken away a few times, however slow the machine is.
        while running.contains(where: \.isRunning) || thefts < 3 {
            try await append(store, 1)
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
        "is killed 40 times at its work, and has every event once, also with several groups of shards",
        arguments: [1, 4])
    func kill(_ parallelism: Int) async throws {
        let store = try await newStore(path)
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var random = SeededGenerator(seed: seed)
        var writer: ExerciserProcess?
        defer { writer?.kill() }
        for round in 1...40 {
            if writer?.isRunning != true {
                writer = try ExerciserProcess(["write", path, "w\(round)", "2", "500"])
            }
            let process = try projection(leaseTime: 150, parallelism: parallelism)
            defer { process.kill() }
            // The moment counts from its first page, so that every round kills work under way.
            try await poll("a page in round \(round)") { process.pages > 0 }
            try await Task.sleep(for: .microseconds(Int.random(in: 0...10_000, using: &random)))
            process.kill()
            // Groups of shards are not equally far.
            if parallelism == 1, round.isMultiple(of: 5) {
                #expect(try await SeenEvents.problems(of: name, in: store, isWhole: false) == [], "round \(round)")
            }
        }
        writer?.kill()
        try await drain(store)
        #expect(try await SeenEvents.problems(of: name, in: store) == [])
        #expect(try await SeenEvents.rows(store).count > 1_000, "too few events")
        await store.close()
    }

    @Test("goes on in another process within the lease time when its process is killed")
    func takeover() async throws {
        let store = try await newStore(path)
        let (leaseTime, margin) = (Duration.seconds(1), Duration.seconds(2))
        var processes = try (0..<2).map { _ in try projection(leaseTime: 1_000) }
        defer { for process in processes { process.kill() } }
        for round in 1...3 {
            try await append(store, 100)
            try await poll("caught up") { try await SeenEvents.isCaughtUp(name, store) }
            try await poll("both are there") { processes.allSatisfy { $0.lines.first == "ready" } }
            let owner = try await store.leases().first { $0.name == ProjectionRecord.lease(of: name) }?.owner
            let holder = try #require(processes.firstIndex { owner == "exerciser \($0.id)" })
            let before = processes[1 - holder].pages
            processes[holder].kill()
            let start = ContinuousClock.now
            try await append(store, 100)
            try await poll("caught up again") { try await SeenEvents.isCaughtUp(name, store) }
            let time = ContinuousClock.now - start
            print("round \(round): after \(time)")
            #expect(time < leaseTime + margin)
            #expect(processes[1 - holder].pages > before, "nobody else has done it")
            processes[holder] = try projection(leaseTime: 1_000)
        }
        for process in processes { process.kill() }
        #expect(try await SeenEvents.problems(of: name, in: store) == [])
        await store.close()
    }
}
