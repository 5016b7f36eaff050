// What the README shows, compiled. A test compares the two.

import EgoCore
import SwiftProtobuf

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

extension Domain {
    static let counting = Domain(name: "counting", kinds: [.eventSourced(CounterBehavior())])
}
