import BankDomain
import EgoCore
import SwiftProtobuf
import Testing

/// A second kind with the account's messages, so that they are ambiguous.
private struct Wallet: DurableStateBehavior {
    typealias Command = AccountBehavior.Command
    let kind: String

    func initialState(for id: PersistenceID) -> Samplepb_Account { Samplepb_Account() }
    func handle(_ command: Command, _ state: Samplepb_Account) throws -> Samplepb_Account? { nil }
}

@Suite("A domain finds the behavior of an entity")
struct DomainTests {
    private let id = PersistenceID(stored: "x")
    private let both = Domain(
        name: "both", kinds: [.eventSourced(AccountBehavior()), .durableState(Wallet(kind: "wallet"))])

    @Test("by its kind, its events, its state or the command")
    func found() throws {
        #expect(try both.kind(of: EntityEvidence(persistenceID: id, requestedKind: "wallet")).name == "wallet")
        #expect(try both.kind(of: EntityEvidence(persistenceID: id, recordedKind: "account")).name == "account")
        let events = EntityEvidence(persistenceID: id, eventTypes: ["samplepb.AccountCreated"], isDurableState: false)
        #expect(try both.kind(of: events).name == "account")
        #expect(try both.kind(of: EntityEvidence(persistenceID: id, isDurableState: true)).name == "wallet")
        let command = EntityEvidence(persistenceID: id, commandType: "samplepb.CreditAccount")
        #expect(try Domain.bank.kind(of: command).name == "account")
    }

    @Test("ambiguity names the choices")
    func ambiguous() {
        #expect(throws: DomainError.ambiguousKind(id: id, choices: ["account", "wallet"])) {
            try both.kind(of: EntityEvidence(persistenceID: id, commandType: "samplepb.CreditAccount"))
        }
    }

    @Test("what fits no behavior is an error")
    func missing() {
        #expect(throws: DomainError.self) {
            try both.kind(of: EntityEvidence(persistenceID: id, eventTypes: ["other.Event"], isDurableState: false))
        }
        #expect(throws: DomainError.unknownKind("nope", known: ["account", "wallet"])) {
            try both.kind(of: EntityEvidence(persistenceID: id, requestedKind: "nope"))
        }
        #expect(throws: DomainError.self) { try both.kind(of: EntityEvidence(persistenceID: id)) }
    }

    @Test("two behaviors of one kind are refused when it is asked for")
    func duplicate() {
        let domain = Domain(name: "d", kinds: [.durableState(Wallet(kind: "w")), .durableState(Wallet(kind: "w"))])
        #expect(throws: DomainError.duplicateKind("w")) { try domain.kind(named: "w") }
    }

    @Test("commands are found by full and by short name")
    func commands() throws {
        #expect(try Domain.bank.commandType(named: "CreditAccount").name == "samplepb.CreditAccount")
        #expect(try Domain.bank.commandType(named: "samplepb.CreditAccount").name == "samplepb.CreditAccount")
        #expect(throws: DomainError.self) { try Domain.bank.commandType(named: "Credit") }
    }
}

/// Turns the first field of an old event, in cents, into the current one.
private struct Renames: EventAdapter {
    let from: String
    let to: String

    func adapt(_ event: AnyPayload, at sequenceNumber: SequenceNumber) throws -> AnyPayload {
        event.typeURL == from ? AnyPayload(typeURL: to, value: event.value) : event
    }
}

@Suite("Event adapters")
struct AdapterTests {
    @Test("are chained in their order")
    func chained() throws {
        let record = PersistedEvent(
            persistenceID: PersistenceID(stored: "x"), sequenceNumber: 1, timestamp: Timestamp(unixNanoseconds: 0),
            shard: Shard(0), payload: AnyPayload(typeURL: "t/v1", value: [1]).serialized())
        let first = Renames(from: "t/v1", to: "t/v2")
        let second = Renames(from: "t/v2", to: "t/v3")
        #expect(try EventReader(adapters: [first, second]).payload(of: record).typeURL == "t/v3")
        #expect(try EventReader(adapters: [second, first]).payload(of: record).typeURL == "t/v2")
        #expect(try EventReader().payload(of: record).typeURL == "t/v1")
    }
}
