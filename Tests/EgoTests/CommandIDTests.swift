import BankDomain
import Ego
import EgoCore
import EgoTestKit
import Testing

@Suite("A command ID has one effect")
struct CommandIDTests {
    private let store = InMemoryStore()

    private func engine(_ configuration: EngineConfiguration = EngineConfiguration()) -> Engine {
        Engine(store: store, domain: bank, configuration: configuration, log: quiet())
    }

    private func options(_ text: String) throws -> CommandOptions {
        CommandOptions(commandID: try #require(CommandID(text)))
    }

    @Test("and one answer, also from another engine and after later commands")
    func sameAnswer() async throws {
        let engine = engine()
        let account = try engine.account("a")
        try await account.send(create("a", 10))
        let first = try await account.send(debit(10), options("pay"))
        try await account.send(credit(1))
        for engine in [engine, self.engine()] {
            // Without the ID the debit would be refused now.
            let again = try await engine.account("a").send(debit(10), options("pay"))
            #expect(again.isRepeated && !first.isRepeated)
            #expect(again.state == first.state && again.sequenceNumber == first.sequenceNumber)
            #expect(
                again.events.map { $0.message as? Samplepb_AccountDebited }
                    == first.events.map { $0.message as? Samplepb_AccountDebited })
        }
        #expect(try await stored("a", in: store) == (1, 3))
    }

    @Test("when it is sent a hundred times at once")
    func concurrent() async throws {
        let engines = [engine(), engine()]
        try await engines[0].account("a").send(create("a"))
        let replies = try await withThrowingTaskGroup(of: (Bool, UInt64).self) { group in
            for number in 0..<100 {
                group.addTask {
                    let reply = try await engines[number % 2].account("a").send(credit(5), options("once"))
                    return (reply.isRepeated, reply.sequenceNumber.rawValue)
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(replies.count { !$0.0 } == 1)
        #expect(replies.allSatisfy { $0.1 == 2 })
        #expect(try await stored("a", in: store) == (5, 2))
    }

    @Test("also where the command changed nothing")
    func noEffect() async throws {
        let wallet = try engine().wallet("w")
        try await wallet.send(credit(1))
        #expect(try await wallet.send(credit(0), options("noop")).sequenceNumber == 1)
        #expect(try await wallet.send(credit(100), options("noop")).sequenceNumber == 1)
        #expect(try await wallet.state().accountBalance == 1)
    }

    @Test("in a preview too: what is shown is the answer that the command would get")
    func preview() async throws {
        let account = try engine().account("a")
        try await account.send(create("a"))
        try await account.send(credit(5), options("once"))
        let shown = try await account.preview(credit(9), options("once"))
        #expect(shown.isRepeated && shown.state.accountBalance == 5 && shown.sequenceNumber == 2)
        await #expect(throws: EgoError.self) {
            try await account.preview(credit(9), CommandOptions(expectedVersion: .exact(1)))
        }
    }

    @Test("and is not used up by a refusal")
    func refusal() async throws {
        let account = try engine().account("a")
        try await account.send(create("a"))
        await #expect(throws: EgoError.self) { try await account.send(debit(5), options("later")) }
        try await account.send(credit(5))
        #expect(try await account.send(debit(5), options("later")).sequenceNumber == 3)
    }

    @Test("also when the events were deleted since: then the answer says so")
    func trimmed() async throws {
        let account = try engine().account("a")
        try await account.send(create("a"))
        try await account.send(credit(5), options("old"))
        try await account.send(credit(1))
        let snapshot = StoredSnapshot(
            persistenceID: id("a"), sequenceNumber: 3, timestamp: SystemTime().now(),
            payload: try AnyPayload(packing: try await account.state()).serialized())
        _ = try await store.commit([.saveSnapshot(snapshot), .deleteEvents(of: id("a"), through: 3)], under: nil)
        let error = await #expect(throws: EgoError.self) { try await account.send(credit(5), options("old")) }
        #expect(error?.code == .alreadyApplied)
        #expect(try await engine().account("a").state().accountBalance == 6)
    }

    @Test("when the answer to the first try was lost, on every kind of entity")
    func lostAnswer() async throws {
        let faulty = FaultyStore(store)
        let engine = Engine(store: faulty, domain: bank, log: quiet())
        try await engine.account("a").send(create("a"))
        faulty.plan(.halfCompletes, at: 1, of: [.append])
        let error = await #expect(throws: EgoError.self) {
            try await engine.account("a").send(credit(5), options("lost"))
        }
        #expect(error?.code == .storage)
        #expect(try await engine.account("a").send(credit(5), options("lost")).isRepeated)
        #expect(try await stored("a", in: store) == (5, 2))
        faulty.plan(.halfCompletes, at: 1, of: [.saveStates])
        await #expect(throws: EgoError.self) { try await engine.wallet("w").send(credit(5), options("lost")) }
        #expect(try await engine.wallet("w").send(credit(5), options("lost")).isRepeated)
        #expect(try await engine.wallet("w").state().accountBalance == 5)
    }
}
