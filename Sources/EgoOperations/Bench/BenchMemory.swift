import EgoCore
import EgoTestKit
import SwiftProtobuf

/// Sends commands through an engine whose store is memory, from so many callers at once.
struct SendMemoryWork: BenchWork {
    private let set: BenchSet
    private let ids: [PersistenceID]

    init(_ set: BenchSet) {
        self.set = set
        ids = (0..<set.parameters.entities).map(BenchFill.id)
    }

    func limit(_ budget: WorkBudget) async throws -> BenchSample { try plainLoop(budget) }

    /// A plain loop by one caller, with what nobody can do without: decide, encode, apply, and keep in a dictionary.
    ///
    /// Never inlined: `.dev/instructions` leaves it out by its name.
    @inline(never)
    private func plainLoop(_ budget: WorkBudget) throws -> BenchSample {
        var sample = BenchSample()
        var choice = BenchChoice(set.parameters.choice, among: ids.count, seed: set.parameters.seed)
        let behavior = BenchBehavior(events: set.parameters.events)
        let command = BenchBehavior.Command.keep(set.fill.message)
        var entities: [PersistenceID: PlainEntity] = [:]
        for id in ids {
            entities[id] = PlainEntity(state: behavior.initialState(for: id))
            try entities[id]?.take(command, behavior)
        }
        let start = ContinuousClock.now
        let end = budget.end
        while budget.goesOn(done: sample.operations, at: .now, until: end) {
            let id = ids[choice.next()]
            try entities[id, default: PlainEntity(state: behavior.initialState(for: id))].take(command, behavior)
            sample.operations += 1
        }
        sample.duration = ContinuousClock.now - start
        return sample
    }

    func run(_ budget: WorkBudget) async throws -> BenchSample {
        // A new store for each run: they would not have the same number of events otherwise.
        let senders = try await BenchSenders.begun(set, on: InMemoryStore())
        do {
            let sample = try await senders.run(budget)
            await senders.close()
            return sample
        } catch {
            await senders.close()
            throw error
        }
    }
}

/// An entity of the plain loop: its state, and its events as they are stored.
private struct PlainEntity {
    var state: Google_Protobuf_Int64Value
    var events: [[UInt8]] = []

    mutating func take(_ command: BenchBehavior.Command, _ behavior: BenchBehavior) throws {
        for event in try behavior.handle(command, state) {
            events.append(try event.serializedAny())
            behavior.apply(event, to: &state)
        }
    }
}
