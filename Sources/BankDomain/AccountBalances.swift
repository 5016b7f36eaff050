import EgoCore

/// The balance of each account, as a table in the store's own database.
struct AccountBalances: ReadModel {
    let tables = [
        ReadModelTable(
            "account_balances", columns: "account TEXT PRIMARY KEY, balance DOUBLE PRECISION NOT NULL",
            entityColumn: "account")
    ]

    private static let open = """
        INSERT INTO {account_balances} (account, balance) VALUES (:account, :amount)
        ON CONFLICT (account) DO UPDATE SET balance = excluded.balance
        """
    private static let change =
        "UPDATE {account_balances} SET balance = balance + :amount WHERE account = :account"
    private static let close = "DELETE FROM {account_balances} WHERE account = :account"

    func handle(_ event: ProjectedEvent, in model: ReadModelWriter) throws {
        let account = ReadModelValue.text(event.persistenceID.rawValue)
        if event.isErased {
            try model.change(Self.close, ["account": account])
        } else if let created = try event.decoded(as: Samplepb_AccountCreated.self) {
            try model.change(Self.open, ["account": account, "amount": .real(created.accountBalance)])
        } else if let credited = try event.decoded(as: Samplepb_AccountCredited.self) {
            try model.change(Self.change, ["account": account, "amount": .real(credited.accountBalance)])
        } else if let debited = try event.decoded(as: Samplepb_AccountDebited.self) {
            try model.change(Self.change, ["account": account, "amount": .real(-debited.accountBalance)])
        }
    }
}
