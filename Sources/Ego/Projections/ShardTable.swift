import EgoCore

/// A value for each shard, found without hashing: it is looked for with every event. Shards of Ego's own stores are small
/// numbers; other software may write larger ones.
struct ShardTable<Value> {
    private static var directCount: Int { 1_024 }
    private var direct: [Value?] = []
    private var others: [Shard: Value] = [:]

    subscript(_ shard: Shard) -> Value? {
        get {
            if shard.rawValue >= UInt64(Self.directCount) { return others[shard] }
            let index = Int(shard.rawValue)
            return index < direct.count ? direct[index] : nil
        }
        set {
            if shard.rawValue >= UInt64(Self.directCount) {
                others[shard] = newValue
                return
            }
            let index = Int(shard.rawValue)
            while direct.count <= index { direct.append(nil) }
            direct[index] = newValue
        }
    }

    /// The shards that have a value, ascending.
    var shards: [Shard] {
        direct.indices.filter { direct[$0] != nil }.map { Shard(UInt64($0)) } + others.keys.sorted()
    }

    /// The values, in the order of ``shards``.
    var values: [Value] { shards.compactMap { self[$0] } }
}

extension ShardTable: Sendable where Value: Sendable {}
