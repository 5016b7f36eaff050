import EgoCore
import EgoTestKit

/// Stores in memory that are written to in the way that waits for nothing, where a group is a single write.
struct ImmediateFixture: StoreFixture {
    private let base = InMemoryFixture()

    func makeStore() async throws -> any Store { ImmediateFront(InMemoryStore()) }
    func reopen(_ store: any Store) async throws -> any Store { store }
    func second(_ store: any Store) async throws -> any Store { store }

    func count(_ name: String, in transaction: any ReadModelTransaction) throws {
        try base.count(name, in: transaction)
    }

    func counter(_ name: String, of store: any Store) async throws -> Int {
        try await base.counter(name, of: (store as? ImmediateFront)?.base ?? store)
    }
}

private struct ImmediateFront: ForwardingStore {
    let memory: InMemoryStore
    var base: any Store { memory }

    init(_ memory: InMemoryStore) { self.memory = memory }

    func forward<Value: Sendable>(
        _ call: StoreCall, _ body: () async throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        try await body()
    }

    func append(_ group: [AppendRequest]) async throws(StoreError) -> [AppendOutcome] {
        group.count == 1 ? [try memory.appendNow(group[0])] : try await memory.append(group)
    }

    func save(_ group: [StateWrite]) async throws(StoreError) -> [StateOutcome] {
        group.count == 1 ? [try memory.saveNow(group[0])] : try await memory.save(group)
    }
}
