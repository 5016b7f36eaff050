/// A read model in the store's own database: its changes and the projection's offset are committed together, so that each
/// event counts exactly once, whatever is killed when.
///
/// The tables belong to the projection. Each rebuild fills another version of them beside the one in use; the plain name is
/// a view of the version in use. Statements name a table as `{balances}` and a value as `:owner`:
///
/// ```swift
/// struct Balances: ReadModel {
///     let tables = [ReadModelTable("balances", columns: "account TEXT PRIMARY KEY, balance DOUBLE PRECISION")]
///
///     func handle(_ event: ProjectedEvent, in model: ReadModelWriter) throws {
///         guard case .credited(let credited) = try event.decoded(as: AccountEvent.self) else { return }
///         try model.change(
///             "UPDATE {balances} SET balance = :balance WHERE account = :account",
///             ["balance": .real(credited.accountBalance), "account": .text(event.persistenceID.rawValue)])
///     }
/// }
/// ```
public protocol ReadModel: Sendable {
    /// The tables. Empty for a read model that a store in memory holds.
    var tables: [ReadModelTable] { get }

    /// Takes one event. Events of one shard come in the order of the journal.
    ///
    /// It runs inside the transaction, also again for an event whose transaction was not committed: it changes nothing
    /// but the read model. What it throws is dealt with as the projection's ``RecoveryPolicy`` says.
    func handle(_ event: ProjectedEvent, in model: ReadModelWriter) throws
}

/// A table of a read model.
public struct ReadModelTable: Sendable, Hashable {
    /// The name: letters, digits and underscores, at most 40, not starting with a digit or with `ego_`.
    public var name: String
    /// The columns and constraints, as they stand between the parentheses of `CREATE TABLE`.
    public var columns: String
    /// The columns of each further index, as `owner, balance DESC`.
    public var indexes: [String]
    /// The column that holds the persistence ID; rows of an entity that is erased are deleted by it. Nil where the table
    /// holds nothing of single entities.
    public var entityColumn: String?

    /// A table with the given parts.
    public init(_ name: String, columns: String, indexes: [String] = [], entityColumn: String? = nil) {
        self.name = name
        self.columns = columns
        self.indexes = indexes
        self.entityColumn = entityColumn
    }

    /// The table that holds one version.
    public func name(ofVersion version: Int) -> String { "\(name)_v\(version)" }

    /// Why the name cannot be a table's; nil when it can.
    public var nameProblem: String? {
        let isPlain = name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"): true
            default: false
            }
        }
        if name.isEmpty || !isPlain || name.utf8.count > 40 || name.first?.isNumber == true {
            return "a table's name has at most 40 small letters, digits and underscores"
        }
        if name.hasPrefix("ego_") || name.hasPrefix("sqlite_") || name.hasPrefix("pg_") || Self.reserved.contains(name)
        {
            return "the name belongs to the store"
        }
        return nil
    }

    private static let reserved: Set = ["events_store", "snapshots_store", "states_store", "offsets_store"]
}
