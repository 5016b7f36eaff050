import BankDomain
import Ego
import EgoCore
import EgoTestKit
import SwiftProtobuf
import Testing

@Suite("Scenarios")
struct ScenarioTests {
    private let opened = Samplepb_AccountCreated.with {
        $0.accountID = "a"
        $0.accountBalance = 100
    }
    private let debit = AccountBehavior.Command.debit(.with { $0.balance = 30 })

    @Test("given events, when a command comes, then there are events and a state")
    func events() async throws {
        try await Scenario(AccountBehavior())
            .givenEvents(.created(opened))
            .when(debit)
            .thenEvents(
                .debited(
                    .with {
                        $0.accountID = "a"
                        $0.accountBalance = 30
                    })
            )
            .thenState(
                .with {
                    $0.accountID = "a"
                    $0.accountBalance = 70
                }
            )
            .thenVersion(2)
    }

    @Test("given a state, then an error or none")
    func state() async throws {
        let account = Samplepb_Account.with {
            $0.accountID = "a"
            $0.accountBalance = 20
        }
        try await Scenario(AccountBehavior()).given(state: account, at: 7).when(debit)
            .thenError(Rejection("insufficient funds")).thenError(.rejected)
        try await Scenario(AccountBehavior()).given(state: account, at: 7)
            .when(.credit(.with { $0.balance = 1 })).thenVersion(8)
    }

    @Test("what does not hold is a failure")
    func failures() async throws {
        let outcome = try await Scenario(AccountBehavior()).givenEvents(.created(opened)).when(debit)
        #expect(throws: ScenarioFailure.self) { try outcome.thenNoEvents() }
        #expect(throws: ScenarioFailure.self) { try outcome.thenState(Samplepb_Account()) }
        #expect(throws: ScenarioFailure.self) { try outcome.thenError(.rejected) }
        #expect(throws: ScenarioFailure.self) { try outcome.thenVersion(9) }
        #expect(throws: ScenarioFailure.self) { try outcome.thenEvents(.created(opened)) }
        let refused = try await Scenario(AccountBehavior()).when(debit)
        #expect(throws: ScenarioFailure.self) { try refused.thenError(Rejection("something else")) }
        #expect(throws: ScenarioFailure.self) { try refused.thenEvents() }
    }

    @Test("a broken arrangement is never the command's outcome")
    func arrangement() async throws {
        // A message that is no event of the behavior: the history cannot be folded.
        let broken = Scenario(AccountBehavior()).givenMessages([Samplepb_Ping()])
        await #expect(throws: ScenarioFailure.self) { _ = try await broken.when(debit) }
    }

    @Test("an old event goes through the adapters")
    func adapters() async throws {
        struct Opens: EventAdapter {
            func adapt(_ event: AnyPayload, at sequenceNumber: SequenceNumber) throws -> AnyPayload {
                guard event.typeName == "samplepb.Ping" else { return event }
                return try AnyPayload(
                    packing: Samplepb_AccountCreated.with {
                        $0.accountID = "old"
                        $0.accountBalance = 50
                    })
            }
        }
        try await Scenario(AccountBehavior(), adapters: [Opens()]).givenMessages([Samplepb_Ping()]).when(debit)
            .thenState(
                .with {
                    $0.accountID = "old"
                    $0.accountBalance = 20
                })
    }

    @Test("a durable state has versions")
    func durable() async throws {
        struct Wallet: DurableStateBehavior {
            typealias Command = AccountBehavior.Command
            let kind = "wallet"
            func initialState(for id: PersistenceID) -> Samplepb_Account { Samplepb_Account() }
            func handle(_ command: Command, _ state: Samplepb_Account) throws -> Samplepb_Account? {
                guard case .credit(let credit) = command else { throw Rejection("credits only") }
                if credit.balance == 0 { return nil }
                return .with { $0.accountBalance = state.accountBalance + credit.balance }
            }
        }
        let five = Samplepb_Account.with { $0.accountBalance = 5 }
        let scenario = Scenario(Wallet()).given(state: five, at: 4)
        try await scenario.when(.credit(.with { $0.balance = 2 })).thenVersion(5)
            .thenState(.with { $0.accountBalance = 7 })
        try await scenario.when(.credit(.with { $0.balance = 0 })).thenVersion(4).thenState(five)
        try await scenario.when(debit).thenError(Rejection("credits only"))
    }
}

@Suite("The manual clock")
struct ManualClockTests {
    @Test("wakes who has slept long enough, and who is cancelled")
    func sleeps() async throws {
        let clock = ManualClock()
        let short = Task { try await clock.sleep(for: .seconds(1)) }
        let long = Task { try await clock.sleep(for: .seconds(10)) }
        while clock.sleepers < 2 { await Task.yield() }
        clock.advance(by: .seconds(1))
        try await short.value
        #expect(clock.sleepers == 1)
        long.cancel()
        await #expect(throws: CancellationError.self) { try await long.value }
    }
}
