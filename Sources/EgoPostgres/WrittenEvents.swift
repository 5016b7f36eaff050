import EgoCore
import Synchronization

/// The last event of entities as this process has seen it committed, and the shard that it is in.
///
/// Known of one server only, from its start to its end: another one that takes over, or one that is restored, may never
/// have had the event, and an append that takes it for granted would leave a gap.
final class WrittenEvents: Sendable {
    private struct State {
        var server = ""
        var last: [PersistenceID: Entry] = [:]
    }

    private struct Entry {
        let number: SequenceNumber
        let shard: Int64
    }

    private let state = Mutex(State())
    /// How many entities are known of before all are forgotten.
    private let limit: Int

    init(limit: Int = 100_000) { self.limit = limit }

    /// For each entity, its shard, where its expected event is known to be there.
    ///
    /// - Parameter server: see ``PostgresSession/server``.
    func shards(of entities: [AppendPlan.Entity], on server: String) -> [Int64?] {
        state.withLock { state in
            if state.server != server { return entities.map { _ in nil } }
            return entities.map { entity in
                state.last[entity.id].flatMap { $0.number == entity.expected ? $0.shard : nil }
            }
        }
    }

    /// Events were committed.
    func add(_ written: [AppendWrite.Written?], of group: [AppendRequest], on server: String) {
        state.withLock { state in
            if state.server != server || state.last.count >= limit { state = State(server: server) }
            for (request, written) in zip(group, written) {
                guard let written else { continue }
                state.last[request.persistenceID] = Entry(number: written.number, shard: written.shard)
            }
        }
    }
}
