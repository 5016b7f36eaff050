public import EgoCore
public import SwiftProtobuf

/// A bank account: opened once, then credited and debited, never below zero.
///
/// Its messages and its fold are those of eGo for Go's sample, so that databases of that sample replay here.
public struct AccountBehavior: EventSourcedBehavior {
    /// What an account can be asked to do.
    public enum Command: MessageUnion {
        case create(Samplepb_CreateAccount)
        case credit(Samplepb_CreditAccount)
        case debit(Samplepb_DebitAccount)

        public static let members = MessageMembers(
            MessageMember(Samplepb_CreateAccount.self, Command.create),
            MessageMember(Samplepb_CreditAccount.self, Command.credit),
            MessageMember(Samplepb_DebitAccount.self, Command.debit))

        public var message: any Message {
            switch self {
            case .create(let message): message
            case .credit(let message): message
            case .debit(let message): message
            }
        }
    }

    /// What can have happened to an account.
    public enum Event: MessageUnion {
        case created(Samplepb_AccountCreated)
        case credited(Samplepb_AccountCredited)
        case debited(Samplepb_AccountDebited)

        public static let members = MessageMembers(
            MessageMember(Samplepb_AccountCreated.self, Event.created),
            MessageMember(Samplepb_AccountCredited.self, Event.credited),
            MessageMember(Samplepb_AccountDebited.self, Event.debited))

        public var message: any Message {
            switch self {
            case .created(let message): message
            case .credited(let message): message
            case .debited(let message): message
            }
        }
    }

    /// A behavior without settings.
    public init() {}

    public let kind = "account"

    public func initialState(for id: PersistenceID) -> Samplepb_Account { Samplepb_Account() }

    public func handle(_ command: Command, _ state: Samplepb_Account) throws -> [Event] {
        switch command {
        case .create(let create):
            if !state.accountID.isEmpty { throw Rejection("account \(state.accountID) is open already") }
            if create.accountID.isEmpty { throw Rejection("an account needs an account_id") }
            try Self.check(create.accountBalance, "an account cannot be opened with")
            return [
                .created(
                    .with {
                        $0.accountID = create.accountID
                        $0.accountBalance = create.accountBalance
                    })
            ]
        case .credit(let credit):
            try Self.check(credit.accountID, of: state)
            try Self.check(credit.balance, "an account cannot be credited with")
            return [
                .credited(
                    .with {
                        $0.accountID = state.accountID
                        $0.accountBalance = credit.balance
                    })
            ]
        case .debit(let debit):
            try Self.check(debit.accountID, of: state)
            try Self.check(debit.balance, "an account cannot be debited with")
            if debit.balance > state.accountBalance { throw Rejection("insufficient funds") }
            return [
                .debited(
                    .with {
                        $0.accountID = state.accountID
                        $0.accountBalance = debit.balance
                    })
            ]
        }
    }

    public func apply(_ event: Event, to state: inout Samplepb_Account) {
        switch event {
        case .created(let created):
            state.accountID = created.accountID
            state.accountBalance = created.accountBalance
        case .credited(let credited):
            state.accountID = credited.accountID
            state.accountBalance += credited.accountBalance
        case .debited(let debited):
            state.accountID = debited.accountID
            state.accountBalance -= debited.accountBalance
        }
    }

    /// A command may name its account; when it does, it has to be this one.
    private static func check(_ accountID: String, of state: Samplepb_Account) throws {
        if state.accountID.isEmpty { throw Rejection("there is no such account") }
        if !accountID.isEmpty, accountID != state.accountID {
            throw Rejection("the command is for account \(accountID), this is \(state.accountID)")
        }
    }

    private static func check(_ amount: Double, _ what: String) throws {
        if amount < 0 || !amount.isFinite { throw Rejection("\(what) \(amount)") }
    }
}
