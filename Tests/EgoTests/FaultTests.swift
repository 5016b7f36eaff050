import BankDomain
import Ego
import EgoCore
import EgoTestKit
import Testing

@Suite("When the n-th call of the store goes wrong")
struct FaultTests {
    /// Runs the same commands with a fault at each call in turn, until no call is left to fail.
    @Test(
        "memory equals the store afterwards, and nothing is half",
        arguments: [FaultyStore.Fault.fails, .halfCompletes, .delayed(by: .milliseconds(1))], [1, 4])
    func everyCall(_ fault: FaultyStore.Fault, _ clients: Int) async throws {
        var number = 1
        while true {
            let store = InMemoryStore()
            let faulty = FaultyStore(store)
            let configuration = EngineConfiguration(
                snapshotInterval: 3, retention: Retention(deleteEventsOnSnapshot: true, eventsRetentionCount: 1),
                passivation: Passivation(idleTime: nil, maximumActive: 1))
            let engine = Engine(store: faulty, domain: bank, configuration: configuration, log: quiet())
            faulty.plan(fault, at: number)
            await withTaskGroup(of: Void.self) { group in
                for client in 0..<clients {
                    group.addTask {
                        for step in 0..<12 {
                            let name = ["a", "b"][(client + step) % 2]
                            // A failure is this test's subject; what counts is the state it leaves.
                            _ = try? await engine.account(name).send(create(name))
                            _ = try? await engine.account(name).send(credit(Double(step + 1)))
                            _ = try? await engine.wallet("w-\(name)").send(credit(1))
                        }
                    }
                }
            }
            let calls = faulty.calls.count
            faulty.plan(.fails, at: .max)
            for name in ["a", "b"] {
                let memory = try await engine.account(name).state().accountBalance
                let sequence = try await engine.account(name).sequenceNumber()
                #expect(try await stored(name, in: store) == (memory, sequence.rawValue), "\(fault) at call \(number)")
                let wallet = try await engine.wallet("w-\(name)").sequenceNumber()
                #expect(
                    try await store.state(of: id("w-\(name)"))?.version ?? 0 == wallet, "\(fault) at call \(number)")
                // Every credit that is there is there whole: the next command goes on from it.
                let next = try await engine.account(name).send(credit(100))
                #expect(next.state.accountBalance == memory + 100 && next.sequenceNumber == sequence.next)
            }
            await engine.shutdown()
            if calls < number { break }
            number += clients == 1 ? 1 : 3
        }
        #expect(number > 30)
    }
}

@Suite("Commands and replies")
struct PairingTests {
    @Test("always pair, 60,000 at once", arguments: [1, 1_000])
    func pairs(_ entities: Int) async throws {
        let store = InMemoryStore()
        let engine = Engine(store: store, domain: bank, log: quiet())
        for number in 0..<entities { try await engine.account("a-\(number)").send(create("a-\(number)")) }
        let total = 60_000
        let mismatches = try await withThrowingTaskGroup(of: Bool.self) { group in
            for number in 0..<total {
                group.addTask {
                    let name = "a-\(number % entities)"
                    let amount = Double(number + 1)
                    let reply = try await engine.account(name).send(credit(amount))
                    guard case .credited(let event)? = reply.events.first, reply.events.count == 1 else { return true }
                    return event.accountBalance != amount || event.accountID != name
                        || reply.persistenceID != id(name) || reply.state.accountID != name
                }
            }
            return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(mismatches == 0)
        var sum = 0.0
        var events: UInt64 = 0
        for number in 0..<entities {
            let (balance, sequence) = try await stored("a-\(number)", in: store)
            sum += balance
            events += sequence - 1
        }
        #expect(events == UInt64(total))
        #expect(sum == Double(total) * Double(total + 1) / 2)
    }

    @Test("pair when they come as tasks of their own")
    func tasks() async throws {
        let engine = Engine(store: InMemoryStore(), domain: bank, log: quiet())
        try await engine.account("a").send(create("a"))
        let numbers = try await withThrowingTaskGroup(of: UInt64.self) { group in
            for _ in 0..<5_000 {
                group.addTask { try await engine.account("a").send(credit(1)).sequenceNumber.rawValue }
            }
            return try await group.reduce(into: Set()) { $0.insert($1) }
        }
        #expect(numbers == Set(2...5_001))
    }
}
