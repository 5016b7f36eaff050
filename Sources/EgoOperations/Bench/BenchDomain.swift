import Ego
import EgoCore
import Logging
import SwiftProtobuf

/// The entity that measurements send commands to: each command is kept as so many events, and the state counts them. Its
/// messages come with SwiftProtobuf, so that any program can measure.
struct BenchBehavior: EventSourcedBehavior {
    enum Command: MessageUnion {
        case keep(Google_Protobuf_BytesValue)

        static let members = MessageMembers(MessageMember(Google_Protobuf_BytesValue.self, Command.keep))

        var message: any Message {
            switch self {
            case .keep(let message): message
            }
        }
    }

    enum Event: MessageUnion {
        case kept(Google_Protobuf_BytesValue)

        static let members = MessageMembers(MessageMember(Google_Protobuf_BytesValue.self, Event.kept))

        var message: any Message {
            switch self {
            case .kept(let message): message
            }
        }
    }

    /// How many events a command makes.
    var events = 1
    let kind = "bench"

    func initialState(for id: PersistenceID) -> Google_Protobuf_Int64Value { 0 }

    func handle(_ command: Command, _ state: Google_Protobuf_Int64Value) throws -> [Event] {
        switch command {
        // A literal where it can be one, as behaviors have them.
        case .keep(let message): events == 1 ? [.kept(message)] : [Event](repeating: .kept(message), count: events)
        }
    }

    func apply(_ event: Event, to state: inout Google_Protobuf_Int64Value) { state.value += 1 }
}

extension Domain {
    /// The domain of measurements.
    static func bench(events: Int = 1, projections: [Projection] = []) -> Domain {
        Domain(name: "bench", kinds: [.eventSourced(BenchBehavior(events: events))], projections: projections)
    }
}

extension Engine {
    /// An engine of measurements: entities stay in memory, nothing is logged, and projections run from the beginning.
    static func bench(
        _ store: any Store, events: Int = 1, projections: [Projection] = [], time: any TimeSource
    ) -> Engine {
        let engine = Engine(
            store: store, domain: .bench(events: events, projections: projections),
            configuration: EngineConfiguration(passivation: Passivation(idleTime: nil, maximumActive: nil)), time: time,
            log: Logger(label: "ego.bench") { _ in SwiftLogNoOpLogHandler() })
        engine.startProjections()
        return engine
    }
}

/// Takes events, and does nothing with them.
struct BenchHandler: ClearableProjectionHandler {
    func handle(_ event: ProjectedEvent) async throws {}
    func clear() async throws {}
}

/// Counts the events of each entity, in a table of the store's database.
struct BenchReadModel: ReadModel {
    let table: String

    var tables: [ReadModelTable] {
        [
            ReadModelTable(
                table, columns: "entity TEXT PRIMARY KEY, events BIGINT NOT NULL", entityColumn: "entity")
        ]
    }

    func handle(_ event: ProjectedEvent, in model: ReadModelWriter) throws {
        try model.enqueue(
            """
            INSERT INTO {\(table)} AS t VALUES (:entity, 1)
            ON CONFLICT (entity) DO UPDATE SET events = t.events + 1
            """, ["entity": .text(event.persistenceID.rawValue)])
    }
}
