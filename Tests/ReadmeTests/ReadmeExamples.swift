// What the README shows, compiled. A test compares the two.

import Ego
import EgoCommands
import EgoCore
import EgoSQLite
import EgoTestKit
import SwiftProtobuf

// README: behavior
struct CounterBehavior: EventSourcedBehavior {
    enum Command: MessageUnion {
        case add(Google_Protobuf_Int64Value)

        static let members = MessageMembers(MessageMember(Google_Protobuf_Int64Value.self, Command.add))

        var message: any Message {
            switch self {
            case .add(let message): message
            }
        }
    }

    enum Event: MessageUnion {
        case added(Google_Protobuf_Int64Value)

        static let members = MessageMembers(MessageMember(Google_Protobuf_Int64Value.self, Event.added))

        var message: any Message {
            switch self {
            case .added(let message): message
            }
        }
    }

    let kind = "counter"

    func initialState(for id: PersistenceID) -> Google_Protobuf_Int64Value { 0 }

    func handle(_ command: Command, _ state: Google_Protobuf_Int64Value) throws -> [Event] {
        switch command {
        case .add(let amount):
            if amount.value <= 0 { throw Rejection("a counter only grows") }
            return [.added(amount)]
        }
    }

    func apply(_ event: Event, to state: inout Google_Protobuf_Int64Value) {
        switch event {
        case .added(let amount): state.value += amount.value
        }
    }
}
// README: end

// README: domain
extension Domain {
    static let counting = Domain(name: "counting", kinds: [.eventSourced(CounterBehavior())])
}
// README: end

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
