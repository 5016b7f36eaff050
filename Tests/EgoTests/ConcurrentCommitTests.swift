import BankDomain
import Ego
import EgoCore
import EgoTestKit
import Synchronization
import Testing

/// A store that commits two groups beside each other, and tells what it was given at the same time.
private final class PairStore: ForwardingStore {
    struct Seen {
        var underWay: [PersistenceID: Int] = [:]
        var groups = 0
        var mostGroups = 0
        /// How many groups had an entity that another one under way had too.
        var shared = 0
        var appends = 0
    }

    let base: any Store
    let concurrentCommits = 2
    /// Each append whose number this divides fails.
    private let failing: Int?
    private let state = Mutex(Seen())

    init(_ base: any Store, failing: Int? = nil) { (self.base, self.failing) = (base, failing) }

    var seen: Seen { state.withLock { $0 } }

    func append(_ group: [AppendRequest]) async throws(StoreError) -> [AppendOutcome] {
        let ids = Set(group.map(\.persistenceID))
        let number = state.withLock { seen in
            if ids.contains(where: { seen.underWay[$0, default: 0] > 0 }) { seen.shared += 1 }
            for id in ids { seen.underWay[id, default: 0] += 1 }
            seen.groups += 1
            seen.mostGroups = max(seen.mostGroups, seen.groups)
            seen.appends += 1
            return seen.appends
        }
        defer {
            state.withLock { seen in
                for id in ids { seen.underWay[id, default: 0] -= 1 }
                seen.groups -= 1
            }
        }
        for _ in 0..<20 { await Task.yield() }
        if let failing, number.isMultiple(of: failing) { throw StoreError(.io, "the disk is gone") }
        return try await base.append(group)
    }

    func forward<Value: Sendable>(
        _ call: StoreCall, _ body: () async throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        try await body()
    }
}

@Suite("Where groups are committed beside each other")
struct ConcurrentCommitTests {
    /// Accounts of a store that does not fail.
    private func accounts(_ count: Int) async throws -> InMemoryStore {
        let store = InMemoryStore()
        let engine = Engine(store: store, domain: bank, log: quiet())
        for number in 0..<count { try await engine.account("a-\(number)").send(create("a-\(number)")) }
        await engine.shutdown()
        return store
    }

    /// Sends credits of 1, and counts those that were acknowledged for each entity.
    private func run(
        _ store: PairStore, callers: Int, entities: Int, commands: Int, maximumCommands: Int = 1_000
    ) async throws -> (engine: Engine, acknowledged: [Int]) {
        let engine = Engine(
            store: store, domain: bank,
            configuration: EngineConfiguration(batching: Batching(maximumCommands: maximumCommands)), log: quiet())
        let acknowledged = await withTaskGroup(of: [Int].self) { group in
            for caller in 0..<callers {
                group.addTask {
                    var acknowledged = [Int](repeating: 0, count: entities)
                    for step in 0..<commands {
                        let entity = (caller * 7 + step * 13) % entities
                        // Those that fail are not counted, which is what is looked at.
                        guard (try? await engine.account("a-\(entity)").send(credit(1))) != nil else { continue }
                        acknowledged[entity] += 1
                    }
                    return acknowledged
                }
            }
            return await group.reduce([Int](repeating: 0, count: entities)) { sum, next in
                zip(sum, next).map { $0 + $1 }
            }
        }
        return (engine, acknowledged)
    }

    @Test("an entity is in one of them, and nothing is lost", arguments: [(200, 50), (200, 1), (100, 3)], [1_000, 30])
    func oneGroup(_ load: (callers: Int, entities: Int), _ maximumCommands: Int) async throws {
        let store = PairStore(try await accounts(load.entities))
        let (engine, acknowledged) = try await run(
            store, callers: load.callers, entities: load.entities, commands: 20, maximumCommands: maximumCommands)
        await engine.shutdown()
        #expect(store.seen.shared == 0)
        #expect(store.seen.mostGroups == (load.entities == 50 ? 2 : store.seen.mostGroups))
        for (entity, count) in acknowledged.enumerated() {
            let found = try await stored("a-\(entity)", in: store)
            #expect(found == (Double(count), UInt64(count + 1)))
        }
        #expect(acknowledged.reduce(0, +) == load.callers * 20)
    }

    @Test("one that fails takes along its own commands only")
    func failing() async throws {
        let store = PairStore(try await accounts(50), failing: 3)
        let (engine, acknowledged) = try await run(store, callers: 200, entities: 50, commands: 20)
        #expect(store.seen.shared == 0 && store.seen.mostGroups == 2)
        #expect(acknowledged.reduce(0, +) > 0)
        for (entity, count) in acknowledged.enumerated() {
            let found = try await stored("a-\(entity)", in: store)
            #expect(found == (Double(count), UInt64(count + 1)))
            let memory = try await engine.account("a-\(entity)").state().accountBalance
            #expect(memory == Double(count))
        }
        await engine.shutdown()
    }

    @Test("few commands travel in one")
    func few() async throws {
        let store = PairStore(try await accounts(50))
        let (engine, _) = try await run(store, callers: 16, entities: 50, commands: 20)
        await engine.shutdown()
        #expect(store.seen.mostGroups == 1)
    }

    @Test("whoever waits for a number of commands gets them in one")
    func gathering() async throws {
        let store = PairStore(try await accounts(90))
        let engine = Engine(
            store: store, domain: bank,
            configuration: EngineConfiguration(
                batching: Batching(batchThreshold: 30, flushWindow: .seconds(60), maximumCommands: 30)), log: quiet())
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<90 {
                group.addTask { _ = try await engine.account("a-\(number)").send(credit(1)) }
            }
            try await group.waitForAll()
        }
        await engine.shutdown()
        #expect(store.seen.appends == 3 && store.seen.mostGroups == 1)
    }
}
