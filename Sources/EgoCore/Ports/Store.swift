/// Every port in one place, as SQLite, PostgreSQL and memory have them.
public protocol Store: EventStore, SnapshotStore, StateStore, ProjectionStore, KeyStore, OperatorStore {
    /// How many groups of writes are worth committing beside each other; 1 where there is one writer at a time.
    var concurrentCommits: Int { get }

    /// Closes the store. Calls that are under way are finished; later ones throw ``StoreError/Code/closed``.
    func close() async
}
