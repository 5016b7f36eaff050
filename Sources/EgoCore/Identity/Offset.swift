/// Order of commit of one record within its store, as the store numbered it.
public struct Position: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The number itself; starts at 1, grows, may have gaps.
    public let rawValue: Int64

    /// Wraps a number that a store gave.
    public init(_ rawValue: Int64) {
        self.rawValue = rawValue
    }

    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    public var description: String { String(rawValue) }
}

/// How far a reader of the journal has come: everything up to and including this place is behind it.
///
/// Opaque and comparable. PostgreSQL orders by transaction ID and then position; SQLite, which has one writer, by
/// position alone. Never a timestamp (law 2). Its text form is `POSITION` or `TRANSACTION:POSITION`.
public struct Offset: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The transaction that committed the record; 0 where the store has one writer.
    public let transactionID: UInt64
    /// The record's place within the store.
    public let position: Position

    /// Before the first record.
    public static let start = Offset(position: Position(0))

    /// An offset of a store that orders by transaction and position, or by position alone.
    public init(transactionID: UInt64 = 0, position: Position) {
        self.transactionID = transactionID
        self.position = position
    }

    /// Reads the text form; nil when it is not one.
    public init?(_ text: String) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard let last = parts.last, let position = Int64(last), position >= 0 else { return nil }
        var transactionID: UInt64 = 0
        if parts.count == 2 {
            guard let parsed = UInt64(parts[0]) else { return nil }
            transactionID = parsed
        }
        self.init(transactionID: transactionID, position: Position(position))
    }

    /// A place right before this one: whoever reads on from there meets the record of this one first.
    package var previous: Offset {
        Offset(transactionID: transactionID, position: Position(position.rawValue - 1))
    }

    public static func < (left: Self, right: Self) -> Bool {
        (left.transactionID, left.position) < (right.transactionID, right.position)
    }

    public var description: String {
        transactionID == 0 ? position.description : "\(transactionID):\(position)"
    }
}
