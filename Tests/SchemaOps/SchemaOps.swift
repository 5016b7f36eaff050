import EgoCommands
import EgoCore
import SwiftProtobuf

/// A type that is described anew with each command: its messages have lists, enumerations and messages within messages.
struct SchemaBehavior: EventSourcedBehavior {
    typealias Command = Described
    typealias Event = Described

    struct Described: MessageUnion {
        let type: Google_Protobuf_Type

        static let members = MessageMembers(MessageMember(Google_Protobuf_Type.self) { Described(type: $0) })

        var message: any Message { type }
    }

    let kind = "schema"

    func initialState(for id: PersistenceID) -> Google_Protobuf_Type { Google_Protobuf_Type() }

    func handle(_ command: Described, _ state: Google_Protobuf_Type) -> [Described] { [command] }

    func apply(_ event: Described, to state: inout Google_Protobuf_Type) { state = event.type }
}

@main struct SchemaOps {
    static func main() async {
        await EgoCommandLine(domain: Domain(name: "schemas", kinds: [.eventSourced(SchemaBehavior())])).run()
    }
}
