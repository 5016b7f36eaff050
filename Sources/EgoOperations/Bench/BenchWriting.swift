import Ego
import EgoCore
import SwiftProtobuf
import Synchronization

/// Appends straight to the store: one caller, whose requests travel in one transaction.
final class AppendWork: BenchWork {
    private let set: BenchSet
    private let own: any ScratchStore
    private let bare: any ScratchStore
    private let state: Mutex<(choice: BenchChoice, versions: [SequenceNumber], number: Int)>

    init(_ set: BenchSet) async throws {
        self.set = set
        own = try await set.scratch()
        bare = try await set.scratch()
        let parameters = set.parameters
        // The first event of an entity is more work than the others: it makes what an entity has once.
        try await set.fill.fill(own.store, events: parameters.entities, entities: parameters.entities)
        let choice = BenchChoice(parameters.choice, among: parameters.entities, seed: parameters.seed)
        state = Mutex((choice, [SequenceNumber](repeating: 1, count: parameters.entities), parameters.entities))
    }

    func limit(_ budget: WorkBudget) async throws -> BenchSample { try await set.insertLimit(on: bare, budget) }

    func run(_ budget: WorkBudget) async throws -> BenchSample {
        var sample = BenchSample()
        let start = ContinuousClock.now
        while budget.goesOn(done: sample.operations, since: start) {
            try Task.checkCancellation()
            let group = group()
            let begin = ContinuousClock.now
            try set.fill.check(try await own.store.append(group))
            sample.latencies.record(ContinuousClock.now - begin, count: group.count)
            sample.operations += group.count
        }
        sample.duration = ContinuousClock.now - start
        return sample
    }

    private func group() -> [AppendRequest] {
        state.withLock { state in
            (0..<set.measured.clients).map { _ in
                let entity = state.choice.next()
                let before = state.versions[entity]
                let events = (0..<set.parameters.events).map { set.fill.event(state.number + $0) }
                state.number += events.count
                state.versions[entity] = before.advanced(by: events.count)
                return AppendRequest(
                    persistenceID: BenchFill.id(entity), kind: "bench", expectedVersion: .exact(before), events: events)
            }
        }
    }
}

extension BenchSet {
    /// Rows inserted by the bare library, in transactions as large as those of the workload can be; counted as commands.
    func insertLimit(on bare: any ScratchStore, _ budget: WorkBudget) async throws -> BenchSample {
        let events = parameters.events
        var rows = budget
        rows.operations = budget.operations.map { $0 * events }
        let work = RawWork.append(
            rows: measured.clients * events, entities: parameters.entities, payload: fill.payload)
        return BenchSample(try await bare.run(work, rows), per: events)
    }
}

/// Sends commands through the engine, from so many callers at once.
final class SendWork: BenchWork {
    private let set: BenchSet
    private let bare: any ScratchStore
    private let senders: BenchSenders

    init(_ set: BenchSet) async throws {
        self.set = set
        let own = try await set.scratch()
        bare = try await set.scratch()
        let store: any Store = set.measured.workload == .encrypted ? try set.encrypting(own.store) : own.store
        senders = try await BenchSenders.begun(set, on: store)
    }

    func limit(_ budget: WorkBudget) async throws -> BenchSample { try await set.insertLimit(on: bare, budget) }

    func run(_ budget: WorkBudget) async throws -> BenchSample { try await senders.run(budget) }

    func close() async { await senders.close() }
}

/// Callers of an engine.
final class BenchSenders: Sendable {
    private let set: BenchSet
    private let engine: Engine
    private let entities: [EntityReference<BenchBehavior.Command, Google_Protobuf_Int64Value, BenchBehavior.Event>]
    private let choices: Mutex<[BenchChoice]>

    /// - Parameter projections: run in the same engine.
    init(_ set: BenchSet, on store: any Store, projections: [Projection] = []) throws {
        self.set = set
        let parameters = set.parameters
        let behavior = BenchBehavior(events: parameters.events)
        let engine = Engine.bench(store, events: parameters.events, projections: projections, time: set.time)
        self.engine = engine
        entities = try (0..<parameters.entities).map {
            try engine.entity(behavior, BenchFill.id(parameters.firstEntity + $0))
        }
        let choice = BenchChoice(parameters.choice, among: parameters.entities, seed: parameters.seed)
        choices = Mutex((0..<set.measured.clients).map { choice.ofClient($0, seed: parameters.seed) })
    }

    /// Callers of entities that have an event and are in memory: what an entity does once is more work than a command.
    static func begun(_ set: BenchSet, on store: any Store) async throws -> BenchSenders {
        let parameters = set.parameters
        try await set.fill.fill(
            store, events: parameters.entities, entities: parameters.entities, from: parameters.firstEntity)
        let senders = try BenchSenders(set, on: store)
        try await senders.load()
        return senders
    }

    /// Brings all entities into memory: their first commands would read them.
    private func load() async throws {
        for entity in entities { _ = try await entity.state() }
    }

    /// Sends one command of the first caller.
    func send() async throws {
        _ = try await entities[choices.withLock { $0[0].next() }].send(.keep(set.fill.message))
    }

    func run(_ budget: WorkBudget) async throws -> BenchSample {
        let clients = set.measured.clients
        let start = ContinuousClock.now
        let end = budget.end
        var sample = try await withThrowingTaskGroup(of: BenchSample.self) { group in
            for client in 0..<clients {
                let share = budget.operations.map { $0 / clients + (client < $0 % clients ? 1 : 0) }
                let budget = WorkBudget(duration: budget.duration, operations: share, stop: budget.stop)
                group.addTask { try await self.run(client, budget, until: end) }
            }
            var all = BenchSample()
            for try await one in group {
                all.operations += one.operations
                all.latencies.add(one.latencies)
            }
            return all
        }
        sample.duration = ContinuousClock.now - start
        return sample
    }

    private func run(_ client: Int, _ budget: WorkBudget, until end: MonotonicTime) async throws -> BenchSample {
        var sample = BenchSample()
        var choice = choices.withLock { $0[client] }
        let command = BenchBehavior.Command.keep(set.fill.message)
        // One look at the clock for each command: where one ends, the next begins.
        var now = MonotonicTime.now
        while budget.goesOn(done: sample.operations, at: now, until: end) {
            if sample.operations % 64 == 0 { try Task.checkCancellation() }
            _ = try await entities[choice.next()].send(command)
            let then = now
            now = .now
            sample.latencies.record(nanoseconds: now.nanoseconds - then.nanoseconds)
            sample.operations += 1
        }
        let next = choice
        choices.withLock { $0[client] = next }
        return sample
    }

    func close() async { await engine.shutdown() }
}
