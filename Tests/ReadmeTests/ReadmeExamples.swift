// What the README shows, compiled. A test compares the two.

import Ego
import EgoCommands
import EgoCore
import EgoSQLite
import EgoTestKit
import SwiftProtobuf
import Synchronization

@testable import CountingOps

// README: engine
func count(in path: String) async throws -> Int64 {
    _ = try SQLiteStore.initialize(path: path, storeID: "counting")
    let store = try await SQLiteStore(path: path)
    let engine = Engine(
        store: store, domain: .counting, configuration: EngineConfiguration(snapshotInterval: 100))

    let counter = try engine.entity(CounterBehavior(), PersistenceID("visits"))
    try await counter.send(.add(1))
    let options = CommandOptions(metadata: EventMetadata(commandID: CommandID("visit-2")))
    let reply = try await counter.send(.add(2), options)

    await engine.shutdown()
    await store.close()
    return reply.state.value
}
// README: end

// README: projection
struct Totals: ReadModel {
    let tables = [ReadModelTable("totals", columns: "counter TEXT PRIMARY KEY, total BIGINT NOT NULL")]

    func handle(_ event: ProjectedEvent, in model: ReadModelWriter) throws {
        guard let amount = try event.decoded(as: Google_Protobuf_Int64Value.self) else { return }
        try model.change(
            """
            INSERT INTO {totals} AS t VALUES (:counter, :amount)
            ON CONFLICT (counter) DO UPDATE SET total = t.total + excluded.total
            """, ["counter": .text(event.persistenceID.rawValue), "amount": .integer(amount.value)])
    }
}
// README: end

/// The total that the projection has made of the counter of ``count(in:)``.
func total(in path: String) async throws -> Int64? {
    let store = try await SQLiteStore(path: path)
    let domain = Domain(
        name: "counting", kinds: [.eventSourced(CounterBehavior())], projections: [Projection("totals", Totals())])
    let engine = Engine(store: store, domain: domain)
    engine.startProjections()
    let deadline = ContinuousClock.now + .seconds(30)
    while engine.projectionStatus("totals") != .caughtUp, ContinuousClock.now < deadline {
        try await Task.sleep(for: .milliseconds(5))
    }
    await engine.shutdown()
    let found = Mutex<Int64?>(nil)
    _ = try await store.commit([], under: nil) { transaction in
        let rows = try transaction.query("SELECT total FROM totals WHERE counter = 'visits'", [])
        if case .integer(let total)? = rows.first?.first { found.withLock { $0 = total } }
    }
    await store.close()
    return found.withLock { $0 }
}

// README: scenario
func refusesToShrink() async throws {
    try await Scenario(CounterBehavior())
        .givenEvents(.added(5))
        .when(.add(-1))
        .thenError(Rejection("a counter only grows"))
}
// README: end

/// The operator binary of the README, without its `@main`, which a test bundle cannot have.
enum CountingOps {
    static func main() async { await EgoCommandLine(domain: .counting).run() }
}
