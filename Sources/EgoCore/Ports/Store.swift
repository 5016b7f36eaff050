/// Every port in one place, as SQLite, PostgreSQL and memory have them.
public protocol Store: EventStore, SnapshotStore, StateStore, ProjectionStore, KeyStore, OperatorStore {
    /// Closes the store. Calls that are under way are finished; later ones throw ``StoreError/Code/closed``.
    func close() async
}
