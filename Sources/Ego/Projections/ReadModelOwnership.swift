package import EgoCore

/// Whose tables are whose.
package enum ReadModelOwnership {
    /// Refuses a table that belongs to another projection.
    package static func check(_ projection: Projection, in store: any Store) async throws(StoreError) {
        let names = Set(projection.tables.map(\.name))
        for record in try await store.projections() where record.name != projection.name {
            let taken = record.tables.values.joined().first { names.contains($0.name) }
            if let taken {
                throw StoreError(
                    .invalid,
                    "table \(taken.name) of projection \(projection.name) belongs to projection \(record.name)")
            }
        }
    }
}
