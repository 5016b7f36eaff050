import BankDomain
import Ego
import EgoCore
import EgoTestKit
import SwiftProtobuf
import Synchronization
import Testing

@Suite("Event-sourced entities")
struct EntityTests {
    private let store = InMemoryStore()

    private func engine(
        on store: (any Store)? = nil, configuration: EngineConfiguration = EngineConfiguration(),
        time: any TimeSource = SystemTime()
    ) -> Engine {
        Engine(
            store: store ?? self.store as any Store, domain: bank, configuration: configuration, time: time,
            log: quiet())
    }

    @Test("a command's events are stored, and its reply shows them and the state")
    func reply() async throws {
        let engine = engine()
        let account = try engine.account("a")
        try await account.send(create("a", 100))
        let reply = try await account.send(debit(30))
        #expect(reply.state.accountBalance == 70 && reply.sequenceNumber == 2 && !reply.isRepeated)
        guard case .debited(let event)? = reply.events.first else {
            Issue.record("no event")
            return
        }
        #expect(event.accountBalance == 30)
        #expect(try await account.state().accountBalance == 70)
        #expect(try await stored("a", in: store) == (70, 2))
        await engine.shutdown()
    }

    @Test("the domain's no is a rejection and changes nothing")
    func rejection() async throws {
        let engine = engine()
        let account = try engine.account("a")
        try await account.send(create("a", 10))
        let error = await #expect(throws: EgoError.self) { try await account.send(debit(11)) }
        #expect(error?.code == .rejected && error?.cause as? Rejection == Rejection("insufficient funds"))
        #expect(try await stored("a", in: store) == (10, 1))
    }

    @Test("an expected version that is not there is a conflict")
    func expectedVersion() async throws {
        let account = try engine().account("a")
        try await account.send(create("a", 10), CommandOptions(expectedVersion: .noStream))
        for wrong: ExpectedVersion in [.noStream, .exact(2)] {
            let error = await #expect(throws: EgoError.self) {
                try await account.send(credit(1), CommandOptions(expectedVersion: wrong))
            }
            #expect(error?.code == .conflict)
        }
        try await account.send(credit(1), CommandOptions(expectedVersion: .exact(1)))
        #expect(try await stored("a", in: store) == (11, 2))
    }

    @Test("a reply comes after its commit, and reads see what is committed only")
    func replyAfterCommit() async throws {
        let gated = GatedStore(store)
        let account = try engine(on: gated).account("a")
        try await account.send(create("a", 10))
        gated.shut()
        let answered = Mutex(false)
        let sending = Task {
            defer { answered.withLock { $0 = true } }
            return try await account.send(credit(5))
        }
        try await eventually { gated.waiting == 1 }
        #expect(try await account.state().accountBalance == 10)
        #expect(!answered.withLock { $0 })
        gated.open()
        #expect(try await sending.value.state.accountBalance == 15)
        #expect(try await account.state().accountBalance == 15)
    }

    @Test("while one group commits, the next collects over all entities")
    func groupCommit() async throws {
        let gated = GatedStore(store)
        let engine = engine(on: gated)
        for number in 0..<10 { try await engine.account("a-\(number)").send(create("a-\(number)", 10)) }
        gated.shut()
        let before = gated.groups.count
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await engine.account("a-0").send(credit(1)) }
            try await eventually { gated.waiting == 1 }
            for number in 0..<50 { group.addTask { try await engine.account("a-\(number % 10)").send(credit(1)) } }
            // The fifty have all been decided when a read of their state would find them waiting.
            try await Task.sleep(for: .milliseconds(200))
            gated.open()
            try await group.waitForAll()
        }
        #expect(Array(gated.groups[before...]).reduce(0, +) == 51)
        #expect(gated.groups.count - before <= 3, "groups of \(gated.groups[before...])")
    }

    @Test("a refusal that was decided on an uncommitted state waits for its commit")
    func refusalWaits() async throws {
        let faulty = FaultyStore(store)
        let gated = GatedStore(faulty)
        let account = try engine(on: gated).account("a")
        try await account.send(create("a", 10))
        gated.shut()
        let debiting = Task { try await account.send(debit(10)) }
        try await eventually { gated.waiting == 1 }
        // Refused on the balance that the debit leaves; but the debit fails, and then it is no refusal.
        let second = Task { try await account.send(debit(10)) }
        try await Task.sleep(for: .milliseconds(100))
        faulty.plan(.fails, at: 1, of: [.append])
        gated.open()
        await #expect(throws: EgoError.self) { try await debiting.value }
        #expect(try await second.value.state.accountBalance == 0)
        #expect(try await stored("a", in: store) == (0, 2))
    }

    @Test("another process's write is noticed: the command runs again on the newer state")
    func conflictRerun() async throws {
        let (first, second) = (engine(), engine())
        try await first.account("a").send(create("a", 10))
        try await second.account("a").send(debit(10))
        // The first engine still believes in a balance of 10.
        let error = await #expect(throws: EgoError.self) { try await first.account("a").send(debit(1)) }
        #expect(error?.code == .rejected)
        try await first.account("a").send(credit(3))
        #expect(try await second.account("a").send(credit(1)).state.accountBalance == 4)
        #expect(try await stored("a", in: store) == (4, 4))
    }

    @Test("two engines with many commands each lose none")
    func conflictRace() async throws {
        let configuration = EngineConfiguration(conflictRetries: 10_000)
        let engines = [engine(configuration: configuration), engine(configuration: configuration)]
        try await engines[0].account("a").send(create("a"))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<400 { group.addTask { try await engines[number % 2].account("a").send(credit(1)) } }
            try await group.waitForAll()
        }
        #expect(try await stored("a", in: store) == (400, 401))
    }

    @Test("a command that always conflicts is given up")
    func conflictLimit() async throws {
        final class Contended: ForwardingStore {
            let base: any Store = InMemoryStore()
            let appends = Mutex(0)
            func append(_ group: [AppendRequest]) async throws(StoreError) -> [AppendOutcome] {
                appends.withLock { $0 += 1 }
                return group.map { _ in .conflict(actual: 7) }
            }
            func forward<Value: Sendable>(
                _ call: StoreCall, _ body: () async throws(StoreError) -> Value
            ) async throws(StoreError) -> Value { try await body() }
        }
        let contended = Contended()
        let account = try engine(on: contended, configuration: EngineConfiguration(conflictRetries: 3)).account("a")
        let error = await #expect(throws: EgoError.self) { try await account.send(create("a")) }
        #expect(error?.code == .conflict)
        #expect(contended.appends.withLock { $0 } == 4)
    }

    @Test("the wrong kind of an entity is refused")
    func wrongKind() async throws {
        let first = engine()
        try await first.account("a").send(create("a"))
        for engine in [first, engine()] {
            let error = await #expect(throws: EgoError.self) { try await engine.wallet("a").send(credit(1)) }
            #expect(error?.code == .wrongKind)
        }
    }

    @Test("an erased entity takes no command")
    func erased() async throws {
        let account = try engine().account("a")
        try await account.send(create("a", 1))
        _ = try await store.commit(
            [.placeTombstone(Tombstone(persistenceID: id("a"), sequenceNumber: 1, erasedAt: SystemTime().now()))],
            under: nil)
        for engine in [engine(), engine()] {
            let error = await #expect(throws: EgoError.self) { try await engine.account("a").send(credit(1)) }
            #expect(error?.code == .erased)
        }
        let error = await #expect(throws: EgoError.self) { try await account.send(credit(1)) }
        #expect(error?.code == .erased)
    }

    @Test("a preview tells what would happen and writes nothing")
    func preview() async throws {
        let account = try engine().account("a")
        try await account.send(create("a", 10))
        #expect(try await account.preview(credit(5)).state.accountBalance == 15)
        let error = await #expect(throws: EgoError.self) { try await account.preview(debit(50)) }
        #expect(error?.code == .rejected)
        #expect(try await stored("a", in: store) == (10, 1))
        #expect(try await account.state().accountBalance == 10)
    }

    @Test("after a shutdown nothing is taken, and what was acknowledged is there")
    func shutdown() async throws {
        let engine = engine(configuration: EngineConfiguration(snapshotInterval: 10))
        try await engine.account("a").send(create("a"))
        let acknowledged = await withTaskGroup(of: Int.self) { group in
            for _ in 0..<500 {
                group.addTask { (try? await engine.account("a").send(credit(1))) == nil ? 0 : 1 }
            }
            await Task.yield()
            await engine.shutdown()
            return await group.reduce(0, +)
        }
        let error = await #expect(throws: EgoError.self) { try await engine.account("a").send(credit(1)) }
        #expect(error?.code == .closed)
        let (balance, sequence) = try await stored("a", in: store)
        #expect(Int(balance) == acknowledged && Int(sequence) == Int(balance) + 1)
    }

    @Test("with a threshold, the first of a group waits for the others or for the window")
    func batching() async throws {
        let clock = ManualClock()
        let gated = GatedStore(store)
        let batching = Batching(batchThreshold: 3, flushWindow: .milliseconds(50))
        let engine = engine(
            on: gated, configuration: EngineConfiguration(passivation: Passivation(idleTime: nil), batching: batching),
            time: clock)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for name in ["a", "b", "c"] { group.addTask { try await engine.account(name).send(create(name)) } }
            try await group.waitForAll()
        }
        #expect(gated.groups == [3])
        let lone = Task { try await engine.account("a").send(credit(1)) }
        try await eventually { clock.sleepers == 1 }
        #expect(gated.groups == [3])
        clock.advance(by: .milliseconds(50))
        _ = try await lone.value
        #expect(gated.groups == [3, 1])
    }

    @Test("events go through the adapters, in order, when they are read")
    func adapters() async throws {
        struct Doubles: EventAdapter {
            func adapt(_ event: AnyPayload, at sequenceNumber: SequenceNumber) throws -> AnyPayload {
                guard event.typeName == "samplepb.AccountCredited" else { return event }
                var message = try Samplepb_AccountCredited(serializedBytes: event.value)
                message.accountBalance = message.accountBalance * 2 + 1
                return try AnyPayload(packing: message)
            }
        }
        try await engine().account("a").send(create("a"))
        try await engine().account("a").send(credit(1))
        let domain = Domain(
            name: "adapted", kinds: [.eventSourced(AccountBehavior())], adapters: [Doubles(), Doubles()])
        let adapted = Engine(store: store, domain: domain, log: quiet())
        #expect(try await adapted.account("a").state().accountBalance == 7)
    }
}

@Suite("Durable-state entities")
struct DurableStateTests {
    private let store = InMemoryStore()

    private func engine() -> Engine { Engine(store: store, domain: bank, log: quiet()) }

    @Test("each change is one version")
    func versions() async throws {
        let wallet = try engine().wallet("w")
        #expect(try await wallet.send(credit(5)).sequenceNumber == 1)
        #expect(try await wallet.send(credit(0)).sequenceNumber == 1)
        #expect(try await wallet.send(debit(2)).sequenceNumber == 2)
        #expect(try await wallet.state().accountBalance == 3)
        #expect(try await store.state(of: id("w"))?.version == 2)
    }

    @Test("a concurrent writer is a conflict, never an overwrite")
    func conflict() async throws {
        let (first, second) = (engine(), engine())
        try await first.wallet("w").send(credit(10))
        try await second.wallet("w").send(debit(10))
        let error = await #expect(throws: EgoError.self) { try await first.wallet("w").send(debit(1)) }
        #expect(error?.code == .rejected)
        try await withThrowingTaskGroup(of: Void.self) { group in
            let engines = [first, second]
            for number in 0..<200 {
                group.addTask {
                    while true {
                        do {
                            try await engines[number % 2].wallet("w").send(credit(1))
                            return
                        } catch let error as EgoError where error.code == .conflict {}
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(try await engine().wallet("w").state().accountBalance == 200)
        #expect(try await store.state(of: id("w"))?.version == 202)
    }
}

@Suite("Handlers that await")
struct AwaitingTests {
    @Test("take one command at a time, in the order of arrival, and batch their commits")
    func gate() async throws {
        let behavior = SlowAccount()
        let store = InMemoryStore()
        let engine = Engine(
            store: store, domain: Domain(name: "slow", kinds: [.eventSourced(behavior)]), log: quiet())
        let account = try engine.entity(behavior, id("a"))
        try await account.send(create("a"))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 1...300 { group.addTask { try await account.send(credit(Double(number))) } }
            try await group.waitForAll()
        }
        #expect(behavior.mostInside == 1)
        #expect(behavior.order.sorted() == (1...300).map(Double.init))
        #expect(try await account.state().accountBalance == 45_150)
        #expect(try await stored("a", in: store) == (45_150, 301))
    }

    @Test("are first in, first out")
    func order() async throws {
        let behavior = SlowAccount()
        let gated = GatedStore(InMemoryStore())
        let engine = Engine(
            store: gated, domain: Domain(name: "slow", kinds: [.eventSourced(behavior)]), log: quiet())
        let account = try engine.entity(behavior, id("a"))
        try await account.send(create("a"))
        var tasks: [Task<Void, any Error>] = []
        for number in 1...20 {
            tasks.append(Task { try await account.send(credit(Double(number))) })
            try await eventually { behavior.order.count >= number }
        }
        for task in tasks { try await task.value }
        #expect(behavior.order == (1...20).map(Double.init))
    }

    @Test("run again after a conflict, still one at a time")
    func conflict() async throws {
        let behavior = SlowAccount()
        let store = InMemoryStore()
        let domain = Domain(name: "slow", kinds: [.eventSourced(behavior)])
        let configuration = EngineConfiguration(conflictRetries: 10_000)
        let engines = (0..<2).map { _ in
            Engine(store: store, domain: domain, configuration: configuration, log: quiet())
        }
        try await engines[0].entity(behavior, id("a")).send(create("a"))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<200 {
                group.addTask { try await engines[number % 2].entity(behavior, id("a")).send(credit(1)) }
            }
            try await group.waitForAll()
        }
        #expect(try await stored("a", in: store) == (200, 201))
        #expect(behavior.mostInside <= 2)
    }
}
