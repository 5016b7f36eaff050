// What the README shows, compiled. A test compares the two.

import Ego
import EgoCommands
import EgoCore
import EgoSQLite
import EgoTestKit
import SwiftProtobuf

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
