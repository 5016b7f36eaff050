import EgoCore
import Synchronization

/// The entities in memory, spread over shards of their own locks.
///
/// When a shard is full, the entity that was not used since the hand last passed it leaves (the CLOCK algorithm).
final class EntityRegistry: Sendable {
    private struct Shard {
        var indices: [PersistenceID: Int] = [:]
        var entities: [EntityCell] = []
        var hand = 0
    }

    private static let shardCount = 64
    private let shards: [ShardLock]
    private let maximumPerShard: Int?

    private final class ShardLock: Sendable {
        let state = Mutex(Shard())
    }

    init(maximumActive: Int?) {
        self.shards = (0..<Self.shardCount).map { _ in ShardLock() }
        self.maximumPerShard = maximumActive.map { max(1, ($0 + Self.shardCount - 1) / Self.shardCount) }
    }

    /// The entity, made when it is not in memory. One of another kind is replaced, unless it is at work.
    func entity(_ id: PersistenceID, kind: String, make: () -> EntityCell) -> EntityCell {
        shard(of: id).state.withLock { shard in
            if let index = shard.indices[id] {
                let entity = shard.entities[index]
                if entity.host.kind == kind || !entity.passivate() { return entity }
                Self.remove(at: index, &shard)
            }
            if let maximumPerShard, shard.entities.count >= maximumPerShard { Self.evictOne(&shard) }
            let entity = make()
            shard.indices[id] = shard.entities.count
            shard.entities.append(entity)
            return entity
        }
    }

    /// The entity, when it is in memory.
    func activeEntity(_ id: PersistenceID) -> EntityCell? {
        shard(of: id).state.withLock { shard in shard.indices[id].map { shard.entities[$0] } }
    }

    /// How many entities are in memory.
    var count: Int { shards.reduce(0) { $0 + $1.state.withLock { $0.entities.count } } }

    /// Returns when nobody is writing to an entity at once any more who began before.
    func settle() {
        for shard in shards { for entity in shard.state.withLock(\.entities) { entity.settle() } }
    }

    /// Passivates the entities that were last used before a round.
    func passivate(unusedSince round: UInt64) {
        for shard in shards {
            shard.state.withLock { shard in
                var index = 0
                while index < shard.entities.count {
                    let entity = shard.entities[index]
                    if entity.use.round < round, entity.passivate() {
                        Self.remove(at: index, &shard)
                    } else {
                        index += 1
                    }
                }
            }
        }
    }

    private func shard(of id: PersistenceID) -> ShardLock {
        shards[Int(UInt(bitPattern: id.hashValue) % UInt(Self.shardCount))]
    }

    private static func evictOne(_ shard: inout Shard) {
        // Two rounds at most: the first may find every entity used recently.
        for _ in 0..<(2 * shard.entities.count) {
            if shard.hand >= shard.entities.count { shard.hand = 0 }
            let entity = shard.entities[shard.hand]
            if !entity.use.takeRecent(), entity.passivate() {
                remove(at: shard.hand, &shard)
                return
            }
            shard.hand += 1
        }
    }

    private static func remove(at index: Int, _ shard: inout Shard) {
        shard.indices[shard.entities[index].id] = nil
        let last = shard.entities.removeLast()
        if index < shard.entities.count {
            shard.entities[index] = last
            shard.indices[last.id] = index
        }
    }
}
