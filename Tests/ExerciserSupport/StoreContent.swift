package import EgoCore

/// Everything that a store holds, but positions and the traces of operators.
package struct StoreContent: Equatable {
    package var events: [PersistedEvent] = []
    package var entities: [EntitySummary] = []
    package var snapshots: [StoredSnapshot] = []
    package var states: [StoredState] = []
    package var commands: [CommandRecord] = []

    package init(of store: any Store) async throws {
        var offset = Offset.start
        while true {
            let page = try await store.journal(after: offset, shard: nil, limit: PageLimit(rows: 1_000))
            events += page.events
            offset = page.next
            if page.reachedHead { break }
        }
        entities = try await store.entities(EntityQuery(limit: 10_000, countsEvents: true))
        for entity in entities {
            let id = entity.persistenceID
            snapshots += try await store.snapshots(of: id, from: 0, limit: .standard)
            if let state = try await store.state(of: id) { states.append(state) }
        }
        for event in events {
            guard let commandID = event.metadata.commandID else { continue }
            if let record = try await store.command(commandID, of: event.persistenceID) { commands.append(record) }
        }
        for index in events.indices { events[index].offset = .start }
        for index in entities.indices {
            entities[index].lastOffset = nil
            if !entities[index].isErased { continue }
            entities[index].erasedAt = Timestamp(unixNanoseconds: 0)
            // It stands for events that are nowhere.
            entities[index].floor = .zero
        }
    }
}
