import BankDomain
import Ego
import EgoCore
import EgoTestKit
import Synchronization
import Testing

@Suite("Entities in memory")
struct PassivationTests {
    @Test("leave after the idle time, and come back with their state")
    func idle() async throws {
        let clock = ManualClock()
        let engine = Engine(
            store: InMemoryStore(), domain: bank,
            configuration: EngineConfiguration(passivation: Passivation(idleTime: .seconds(40))), time: clock,
            log: quiet())
        for name in ["a", "b"] { try await engine.account(name).send(create(name, 5)) }
        #expect(engine.activeEntities == 2)
        for _ in 0..<8 {
            try await eventually { clock.sleepers == 1 }
            try await engine.account("b").send(credit(1))
            clock.advance(by: .seconds(10))
        }
        try await eventually { engine.activeEntities == 1 }
        #expect(try await engine.account("a").state().accountBalance == 5)
        #expect(try await engine.account("b").state().accountBalance == 13)
        await engine.shutdown()
    }

    @Test("are at most so many, approximately")
    func count() async throws {
        let engine = Engine(
            store: InMemoryStore(), domain: bank,
            configuration: EngineConfiguration(passivation: Passivation(idleTime: nil, maximumActive: 128)),
            log: quiet())
        for round in 0..<3 {
            for number in 0..<1_000 {
                let account = try engine.account("a-\(number)")
                if round == 0 {
                    try await account.send(create("a-\(number)"))
                } else {
                    try await account.send(credit(1))
                }
            }
            #expect(engine.activeEntities <= 128)
        }
        #expect(try await engine.account("a-999").state().accountBalance == 2)
    }

    @Test("are never lost while commands and passivation race")
    func race() async throws {
        let store = InMemoryStore()
        let engine = Engine(
            store: store, domain: bank,
            configuration: EngineConfiguration(passivation: Passivation(idleTime: nil, maximumActive: 1)), log: quiet())
        for number in 0..<200 { try await engine.account("a-\(number)").send(create("a-\(number)")) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<8_000 { group.addTask { try await engine.account("a-\(number % 200)").send(credit(1)) } }
            try await group.waitForAll()
        }
        for number in 0..<200 { #expect(try await stored("a-\(number)", in: store) == (40, 41)) }
    }
}

@Suite("Snapshots and retention")
struct SnapshotTests {
    @Test("a snapshot is saved each time a multiple of the interval is passed, and used")
    func interval() async throws {
        let store = InMemoryStore()
        let engine = Engine(
            store: store, domain: bank, configuration: EngineConfiguration(snapshotInterval: 10), log: quiet())
        try await engine.account("a").send(create("a"))
        for _ in 0..<34 { try await engine.account("a").send(credit(1)) }
        await engine.shutdown()
        let newest = try #require(try await store.latestSnapshot(of: id("a"), through: .max))
        #expect(newest.sequenceNumber == 30)
        let faulty = FaultyStore(store)
        faulty.plan(.fails, at: .max)
        let second = Engine(store: faulty, domain: bank, log: quiet())
        #expect(try await second.account("a").state().accountBalance == 34)
        #expect(faulty.calls.prefix(2) == [.history, .erasures])
    }

    @Test("after it, events and older snapshots go as the policy says")
    func retention() async throws {
        let store = InMemoryStore()
        let retention = Retention(
            deleteEventsOnSnapshot: true, deleteSnapshotsOnSnapshot: true, eventsRetentionCount: 3)
        let engine = Engine(
            store: store, domain: bank,
            configuration: EngineConfiguration(snapshotInterval: 10, retention: retention), log: quiet())
        try await engine.account("a").send(create("a"))
        for _ in 0..<24 {
            try await engine.account("a").send(credit(1))
            await Task.yield()
        }
        await engine.shutdown()
        #expect(try await store.snapshots(of: id("a"), from: 1, limit: .standard).map(\.sequenceNumber) == [20])
        #expect(try await store.stream(of: id("a"))?.floor == 17)
        #expect(try await stored("a", in: store) == (24, 25))
        let second = Engine(store: store, domain: bank, log: quiet())
        #expect(try await second.account("a").send(credit(1)).sequenceNumber == 26)
    }

    @Test("one that cannot be saved costs no command")
    func failure() async throws {
        let store = InMemoryStore()
        let faulty = FaultyStore(store)
        faulty.plan(.fails, at: 1, of: [.commitChanges])
        let engine = Engine(
            store: faulty, domain: bank, configuration: EngineConfiguration(snapshotInterval: 5), log: quiet())
        try await engine.account("a").send(create("a"))
        for _ in 0..<9 {
            try await engine.account("a").send(credit(1))
            if try await store.stream(of: id("a"))?.last == 5 {
                try await eventually { faulty.calls.contains(.commitChanges) }
            }
        }
        await engine.shutdown()
        #expect(try await store.snapshots(of: id("a"), from: 1, limit: .standard).map(\.sequenceNumber) == [10])
    }

    @Test("one that cannot be read is passed over; without it, trimmed events are an error and no wrong state")
    func unreadable() async throws {
        let store = InMemoryStore()
        let engine = Engine(store: store, domain: bank, log: quiet())
        try await engine.account("a").send(create("a", 7))
        try await engine.account("a").send(credit(1))
        let bad = StoredSnapshot(
            persistenceID: id("a"), sequenceNumber: 2, timestamp: SystemTime().now(), payload: [0xff])
        try await store.save(bad)
        #expect(try await Engine(store: store, domain: bank, log: quiet()).account("a").state().accountBalance == 8)
        _ = try await store.commit([.deleteEvents(of: id("a"), through: 1)], under: nil)
        let error = await #expect(throws: EgoError.self) {
            try await Engine(store: store, domain: bank, log: quiet()).account("a").state()
        }
        #expect(error?.code == .undecodable)
        guard case FoldError.trimmed(through: 1)? = error?.cause as? FoldError else {
            Issue.record("\(String(describing: error))")
            return
        }
    }
}

@Suite("Supervision")
struct SupervisionTests {
    @Test("restarts an entity that fails, until the limit within the time")
    func restart() async throws {
        let clock = ManualClock()
        let engine = Engine(
            store: InMemoryStore(), domain: bank,
            configuration: EngineConfiguration(
                passivation: Passivation(idleTime: nil), supervision: .restart(limit: 2, within: .seconds(60))),
            time: clock, log: quiet())
        let wallet = try engine.wallet("w")
        try await wallet.send(credit(5))
        for _ in 0..<2 {
            let error = await #expect(throws: EgoError.self) { try await wallet.send(credit(13)) }
            #expect(error?.code == .bug && error?.cause is Wallet.Bug)
            #expect(try await wallet.send(credit(0)).state.accountBalance == 5)
        }
        clock.advance(by: .seconds(61))
        for _ in 0..<3 { await #expect(throws: EgoError.self) { try await wallet.send(credit(13)) } }
        let error = await #expect(throws: EgoError.self) { try await wallet.send(credit(1)) }
        #expect(error?.code == .stopped)
        engine.restart(id("w"))
        #expect(try await wallet.send(credit(1)).state.accountBalance == 6)
    }

    @Test("a rejection is no failure, nor is a store that is away")
    func expected() async throws {
        let faulty = FaultyStore(InMemoryStore())
        let engine = Engine(
            store: faulty, domain: bank, configuration: EngineConfiguration(supervision: .stop), log: quiet())
        let account = try engine.account("a")
        try await account.send(create("a", 1))
        for _ in 0..<5 {
            await #expect(throws: EgoError.self) { try await account.send(debit(5)) }
            faulty.plan(.fails, at: 1, of: [.append])
            await #expect(throws: EgoError.self) { try await account.send(credit(5)) }
        }
        #expect(try await account.send(credit(1)).state.accountBalance == 2)
    }

    @Test("stops an entity whose records cannot be read")
    func undecodable() async throws {
        let store = InMemoryStore()
        _ = try await store.append([
            AppendRequest(
                persistenceID: id("a"), kind: "account", expectedVersion: .noStream,
                events: [NewEvent(timestamp: SystemTime().now(), payload: [1, 2, 3])])
        ])
        let engine = Engine(
            store: store, domain: bank, configuration: EngineConfiguration(supervision: .stop), log: quiet())
        let first = await #expect(throws: EgoError.self) { try await engine.account("a").send(credit(1)) }
        #expect(first?.code == .undecodable)
        let second = await #expect(throws: EgoError.self) { try await engine.account("a").send(credit(1)) }
        #expect(second?.code == .stopped)
    }
}
