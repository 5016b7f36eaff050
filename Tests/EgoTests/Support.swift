import BankDomain
import Ego
import EgoCore
import EgoTestKit
import Logging
import SwiftProtobuf
import Synchronization

typealias Account = Samplepb_Account
typealias Command = AccountBehavior.Command

func create(_ id: String, _ balance: Double = 0) -> Command {
    .create(
        .with {
            $0.accountID = id
            $0.accountBalance = balance
        })
}

func credit(_ amount: Double) -> Command { .credit(.with { $0.balance = amount }) }
func debit(_ amount: Double) -> Command { .debit(.with { $0.balance = amount }) }

func id(_ text: String) -> PersistenceID { PersistenceID(stored: text) }

/// A durable-state account; a credit of 13 is a bug, of 0 changes nothing.
struct Wallet: DurableStateBehavior {
    typealias Command = AccountBehavior.Command
    struct Bug: Error {}

    let kind = "wallet"

    func initialState(for id: PersistenceID) -> Account { .with { $0.accountID = id.rawValue } }

    func handle(_ command: Command, _ state: Account) throws -> Account? {
        var state = state
        switch command {
        case .create(let create): state.accountBalance = create.accountBalance
        case .credit(let credit):
            if credit.balance == 13 { throw Bug() }
            if credit.balance == 0 { return nil }
            state.accountBalance += credit.balance
        case .debit(let debit):
            if debit.balance > state.accountBalance { throw Rejection("insufficient funds") }
            state.accountBalance -= debit.balance
        }
        return state
    }
}

/// An account whose handlers go elsewhere first; tells who is inside.
final class SlowAccount: AsyncEventSourcedBehavior {
    typealias Command = AccountBehavior.Command
    typealias Event = AccountBehavior.Event
    typealias State = Account

    let kind = "slow"
    private let inside = Mutex((now: 0, most: 0, order: [Double]()))

    var mostInside: Int { inside.withLock { $0.most } }
    var order: [Double] { inside.withLock { $0.order } }

    func initialState(for id: PersistenceID) -> Account { Account() }

    func handle(_ command: Command, _ state: Account) async throws -> [Event] {
        inside.withLock { inside in
            inside.now += 1
            inside.most = max(inside.most, inside.now)
            if case .credit(let credit) = command { inside.order.append(credit.balance) }
        }
        defer { inside.withLock { $0.now -= 1 } }
        await Task.yield()
        await Task.yield()
        return try AccountBehavior().handle(command, state)
    }

    func apply(_ event: Event, to state: inout Account) { AccountBehavior().apply(event, to: &state) }
}

/// A store whose appends wait until the test lets them go.
final class GatedStore: ForwardingStore {
    let base: any Store
    private struct State {
        var isOpen = true
        var waiters: [CheckedContinuation<Void, Never>] = []
        var groups: [Int] = []
    }

    private let state = Mutex(State())

    init(_ base: any Store) { self.base = base }

    /// The sizes of the groups that were appended.
    var groups: [Int] { state.withLock { $0.groups } }
    var waiting: Int { state.withLock { $0.waiters.count } }

    func shut() { state.withLock { $0.isOpen = false } }

    func open() {
        let waiters = state.withLock { state in
            state.isOpen = true
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    func append(_ group: [AppendRequest]) async throws(StoreError) -> [AppendOutcome] {
        await withCheckedContinuation { continuation in
            let isOpen = state.withLock { state in
                state.groups.append(group.count)
                if !state.isOpen { state.waiters.append(continuation) }
                return state.isOpen
            }
            if isOpen { continuation.resume() }
        }
        return try await base.append(group)
    }

    func forward<Value: Sendable>(
        _ call: StoreCall, _ body: () async throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        try await body()
    }
}

let bank = Domain(name: "test", kinds: [.eventSourced(AccountBehavior()), .durableState(Wallet())])

/// Waits until a condition holds.
func eventually(_ condition: () async throws -> Bool) async throws {
    let deadline = ContinuousClock.now + .seconds(30)
    while try await !condition() {
        if ContinuousClock.now > deadline { throw Late() }
        await Task.yield()
    }
}

struct Late: Error {}

extension Engine {
    func account(_ name: String) throws -> EntityReference<Command, Account, AccountBehavior.Event> {
        try entity(AccountBehavior(), id(name))
    }

    func wallet(_ name: String) throws -> EntityReference<Command, Account, Never> {
        try entity(Wallet(), id(name))
    }
}

func quiet() -> Logger { Logger(label: "test") { _ in SwiftLogNoOpLogHandler() } }

/// What the store says of an account, folded without an engine.
func stored(_ name: String, in store: any Store) async throws -> (balance: Double, sequence: UInt64) {
    let fold = try await StreamReader(store: store, reader: EventReader()).fold(
        AccountBehavior(), of: id(name), through: .max)
    return (fold.state.accountBalance, fold.sequenceNumber.rawValue)
}
