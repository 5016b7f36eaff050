import BankDomain
import Ego
import EgoCore
import EgoTestKit
import Synchronization
import Testing

/// Commands to a store in memory are decided, written and committed under their entity's lock.
@Suite("On a store that writes at once")
struct ImmediateTests {
    private let store = InMemoryStore()

    private func engine(_ configuration: EngineConfiguration = EngineConfiguration()) -> Engine {
        Engine(store: store, domain: bank, configuration: configuration, log: quiet())
    }

    private func numbers(_ name: String) async throws -> [UInt64] {
        try await store.events(of: id(name), from: 1, through: .max, limit: PageLimit(rows: 100_000)).map {
            $0.sequenceNumber.rawValue
        }
    }

    @Test("many callers of few entities lose nothing, through references that are kept and through new ones")
    func callers() async throws {
        let engine = engine()
        let names = ["a", "b", "c"]
        let kept = try names.map { try engine.account($0) }
        for (name, account) in zip(names, kept) { try await account.send(create(name)) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for caller in 0..<8 {
                group.addTask {
                    for number in 0..<600 {
                        let index = (caller + number) % names.count
                        let account = number.isMultiple(of: 2) ? kept[index] : try engine.account(names[index])
                        let before = try await account.sequenceNumber()
                        let reply = try await account.send(credit(1))
                        #expect(reply.sequenceNumber > before && reply.events.count == 1)
                        #expect(reply.state.accountBalance == Double(reply.sequenceNumber.rawValue - 1))
                    }
                }
            }
            try await group.waitForAll()
        }
        for (name, account) in zip(names, kept) {
            #expect(try await account.state().accountBalance == 1_600)
            #expect(try await numbers(name) == Array(1...1_601))
        }
    }

    @Test("two engines on one store decide anew where the other one was first")
    func twoEngines() async throws {
        let references = try [engine(), engine()].map { try $0.account("shared") }
        try await references[0].send(create("shared"))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for reference in references {
                group.addTask { for _ in 0..<300 { try await reference.send(credit(1)) } }
            }
            try await group.waitForAll()
        }
        for reference in references { _ = try await reference.send(credit(0.5)) }
        #expect(try await references[1].state().accountBalance == 601)
        #expect(try await numbers("shared") == Array(1...603))
    }

    @Test("expectations, refusals, command IDs and snapshots are what they are elsewhere")
    func outcomes() async throws {
        let engine = engine(EngineConfiguration(snapshotInterval: 2))
        let account = try engine.account("a")
        try await account.send(create("a", 10))
        var error = await #expect(throws: EgoError.self) {
            try await account.send(credit(1), CommandOptions(expectedVersion: .exact(9)))
        }
        #expect(error?.code == .conflict)
        error = await #expect(throws: EgoError.self) { try await account.send(debit(900)) }
        #expect(error?.code == .rejected && error?.cause is Rejection)
        let once = CommandOptions(commandID: try #require(CommandID("once")))
        #expect(try await account.send(credit(5), once).isRepeated == false)
        #expect(try await account.send(credit(5), once).isRepeated)
        #expect(
            try await account.send(credit(1), CommandOptions(expectedVersion: .exact(2))).state.accountBalance == 16)
        await engine.shutdown()
        #expect(try await store.latestSnapshot(of: id("a"), through: .max)?.sequenceNumber == 2)
        #expect(try await numbers("a") == [1, 2, 3])
    }

    @Test("a durable state has its versions, and a bug counts against its entity")
    func durableState() async throws {
        let engine = engine(EngineConfiguration(supervision: .stop))
        let wallet = try engine.entity(Wallet(), id("w"))
        #expect(try await wallet.send(create("w", 3)).sequenceNumber == 1)
        #expect(try await wallet.send(credit(2)).state.accountBalance == 5)
        #expect(try await wallet.send(credit(0)).sequenceNumber == 2)
        var error = await #expect(throws: EgoError.self) { try await wallet.send(credit(13)) }
        #expect(error?.code == .bug)
        error = await #expect(throws: EgoError.self) { try await wallet.send(credit(1)) }
        #expect(error?.code == .stopped)
        engine.restart(id("w"))
        #expect(try await wallet.send(credit(1)).sequenceNumber == 3)
    }

    @Test("an entity that left memory, or was erased, is met anew by a reference that is kept")
    func passivation() async throws {
        let engine = engine(EngineConfiguration(passivation: Passivation(idleTime: nil, maximumActive: 64)))
        let account = try engine.account("a")
        try await account.send(create("a", 1))
        for number in 0..<1_000 { try await engine.account("other-\(number)").send(create("other-\(number)")) }
        #expect(engine.activeEntities <= 64)
        #expect(try await account.send(credit(1)).state.accountBalance == 2)
        _ = try await store.commit(
            [
                .placeTombstone(
                    Tombstone(persistenceID: id("a"), sequenceNumber: 2, erasedAt: ManualClock().now()))
            ], under: nil)
        let error = await #expect(throws: EgoError.self) { try await account.send(credit(1)) }
        #expect(error?.code == .erased)
        #expect(try await numbers("a") == [1, 2])
    }

    @Test("who sends without end gives others their turn", .timeLimit(.minutes(2)))
    func turns() async throws {
        let engine = engine()
        let accounts = try (0..<16).map { try engine.account("a-\($0)") }
        for account in accounts { try await account.send(create(account.id.rawValue)) }
        // More than the pool has threads: none of them ends before all others have had a turn.
        let turns = Turns()
        await withTaskGroup(of: Void.self) { group in
            for account in accounts {
                group.addTask {
                    var isFirst = true
                    while !Task.isCancelled, turns.count.withLock(\.self) < accounts.count {
                        _ = try? await account.send(credit(1))
                        if isFirst { turns.count.withLock { $0 += 1 } }
                        isFirst = false
                    }
                }
            }
        }
        #expect(turns.count.withLock(\.self) == accounts.count)
    }

    @Test("after a shutdown nothing is written that was not acknowledged, nor afterwards")
    func shutdown() async throws {
        for _ in 0..<20 {
            let store = InMemoryStore()
            let engine = Engine(store: store, domain: bank, log: quiet())
            let accounts = try ["a", "b"].map { try engine.account($0) }
            for account in accounts { try await account.send(create(account.id.rawValue)) }
            let tally = Tally()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for account in accounts {
                    group.addTask {
                        while true {
                            do { try await account.send(credit(1)) } catch let error as EgoError {
                                #expect(error.code == .closed)
                                return
                            }
                            tally.acknowledged.withLock { $0 += 1 }
                        }
                    }
                }
                try await eventually { tally.acknowledged.withLock(\.self) > 2 }
                await engine.shutdown()
                let head = try await store.head()
                try await group.waitForAll()
                #expect(try await store.head() == head)
                #expect(head.position.rawValue == Int64(tally.acknowledged.withLock(\.self)))
            }
        }
    }
}

private final class Tally: Sendable {
    let acknowledged = Mutex(2)
}

private final class Turns: Sendable {
    let count = Mutex(0)
}
