/// The place of an event within its entity: 1, 2, 3 and so on without gaps. Zero means "before the first event".
///
/// For a durable state it is the version. At most `Int64.max`, which is what the databases hold.
public struct SequenceNumber: Sendable, Hashable, Comparable, CustomStringConvertible, ExpressibleByIntegerLiteral {
    /// The number itself.
    public let rawValue: UInt64

    /// Before the first event.
    public static let zero: SequenceNumber = 0

    /// The largest number that a store can hold.
    public static let max = SequenceNumber(UInt64(Int64.max))

    /// The largest number that is taken from a file: none that was counted up to, and far enough from ``max``.
    package static let largestAdded = SequenceNumber(1 << 62)

    /// Wraps a number.
    public init(_ rawValue: UInt64) {
        self.rawValue = rawValue
    }

    public init(integerLiteral value: UInt64) {
        self.rawValue = value
    }

    /// The number after this one.
    public var next: SequenceNumber { SequenceNumber(rawValue + 1) }

    /// The number `count` places further on.
    public func advanced(by count: Int) -> SequenceNumber {
        SequenceNumber(rawValue + UInt64(count))
    }

    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    public var description: String { String(rawValue) }
}
