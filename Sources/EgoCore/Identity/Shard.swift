/// A slice of the journal: a stable hash of the persistence ID, modulo the store's shard count.
public struct Shard: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// 0 to shard count - 1. Databases of eGo for Go hold 64 bits here.
    public let rawValue: UInt64

    /// Wraps a number.
    public init(_ rawValue: UInt64) {
        self.rawValue = rawValue
    }

    /// The shard of an entity in a store of `count` shards.
    ///
    /// The function is that of a cluster of eGo for Go: XXH3-64 of `goakt.dmap`, `actors::` and the ID.
    ///
    /// - Precondition: `count` is at least 1.
    public init(of id: PersistenceID, count: UInt32) {
        self.rawValue = XXH3.hash64(Array("goakt.dmapactors::\(id.rawValue)".utf8)) % UInt64(count)
    }

    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    public var description: String { String(rawValue) }
}
