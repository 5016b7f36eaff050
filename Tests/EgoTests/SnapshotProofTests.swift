import BankDomain
import Ego
import EgoCore
import EgoTestKit
import SwiftProtobuf
import Testing

/// A message whose encoding leaves a field out.
private struct Forgetful: Message, Hashable {
    static let protoMessageName = "test.Forgetful"

    var balance = 0.0
    var credits = 0.0
    var unknownFields = UnknownStorage()

    mutating func decodeMessage<D: Decoder>(decoder: inout D) throws {
        while let number = try decoder.nextFieldNumber() {
            if number == 1 { try decoder.decodeSingularDoubleField(value: &balance) }
        }
    }

    func traverse<V: Visitor>(visitor: inout V) throws {
        try visitor.visitSingularDoubleField(value: balance, fieldNumber: 1)
    }

    func isEqualTo(message: any Message) -> Bool { message as? Forgetful == self }
}

private struct ForgetfulAccount: EventSourcedBehavior {
    typealias Command = AccountBehavior.Command
    typealias Event = AccountBehavior.Event

    let kind = "forgetful"
    let forgets: Bool

    func initialState(for id: PersistenceID) -> Forgetful { Forgetful() }

    func handle(_ command: Command, _ state: Forgetful) throws -> [Event] {
        guard case .credit(let credit) = command else { return [] }
        return [.credited(.with { $0.accountBalance = credit.balance })]
    }

    func apply(_ event: Event, to state: inout Forgetful) {
        guard case .credited(let credited) = event else { return }
        state.balance += credited.accountBalance
        if forgets { state.credits += 1 }
    }
}

@Suite("A snapshot of the engine")
struct SnapshotProofTests {
    @Test(
        "is saved, and stands for events, only where it gives back the state it was made from",
        arguments: [false, true])
    func proof(forgets: Bool) async throws {
        let store = InMemoryStore()
        let behavior = ForgetfulAccount(forgets: forgets)
        let retention = Retention(deleteEventsOnSnapshot: true, deleteSnapshotsOnSnapshot: true)
        let engine = Engine(
            store: store, domain: Domain(name: "test", kinds: [.eventSourced(behavior)]),
            configuration: EngineConfiguration(snapshotInterval: 5, retention: retention), log: quiet())
        for _ in 0..<20 { try await engine.entity(behavior, id("a")).send(credit(1)) }
        await engine.shutdown()
        #expect(try await store.latestSnapshot(of: id("a"), through: .max)?.sequenceNumber == (forgets ? nil : 20))
        #expect(try await store.stream(of: id("a"))?.floor == (forgets ? 0 : 20))
        let fold = try await StreamReader(store: store, reader: EventReader()).fold(
            behavior, of: id("a"), through: .max)
        #expect((fold.state.balance, fold.state.credits) == (20, forgets ? 20 : 0))
    }
}
