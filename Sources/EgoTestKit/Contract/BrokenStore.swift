public import EgoCore
import Synchronization

/// A store in memory that breaks one law on purpose, to show that the contract suite notices.
public final class BrokenStore: ForwardingStore {
    /// What it does wrong, and which law that breaks.
    public enum Fault: String, Sendable, CaseIterable {
        /// Law 1: the expected version is not looked at.
        case ignoresExpectedVersion
        /// Law 1: the version is looked up first and written later.
        case checksBeforeWriting
        /// Law 1: a conflict takes the whole group with it.
        case failsGroupOnConflict
        /// Law 1: a state is written over whatever is there.
        case overwritesStates
        /// Law 1: events are added change by change, and stay when a later one does not fit.
        case addsHalf
        /// Law 2: pages go by timestamp.
        case ordersByTimestamp
        /// Law 2: records become visible out of order.
        case publishesOutOfOrder
        /// Law 3: acknowledged before it is kept.
        case losesOnCrash
        /// Law 4: a page is the whole stream.
        case ignoresPageLimit
        /// Law 5: the offset is committed first, the read model later.
        case commitsOffsetFirst
        /// Law 5: a runner whose lease was taken over may commit.
        case ignoresLease
        /// Law 5: of two who change a projection's record the last one wins.
        case ignoresRevision
        /// Law 6: deleted events leave no floor.
        case forgetsFloor
        /// Law 7: a retry is a new command.
        case forgetsCommands

        /// The law that the fault breaks.
        public var law: Int {
            switch self {
            case .ignoresExpectedVersion, .checksBeforeWriting, .failsGroupOnConflict, .overwritesStates, .addsHalf: 1
            case .ordersByTimestamp, .publishesOutOfOrder: 2
            case .losesOnCrash: 3
            case .ignoresPageLimit: 4
            case .commitsOffsetFirst, .ignoresLease, .ignoresRevision: 5
            case .forgetsFloor: 6
            case .forgetsCommands: 7
            }
        }
    }

    public let base: any Store
    let memory: InMemoryStore
    private let fault: Fault
    private let appends = Mutex(0)

    /// An empty store with a fault.
    public init(_ fault: Fault) {
        let memory = InMemoryStore()
        self.memory = memory
        self.base = memory
        self.fault = fault
    }

    public func forward<Value: Sendable>(
        _ call: StoreCall, _ body: () async throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        try await body()
    }

    public func append(_ group: [AppendRequest]) async throws(StoreError) -> [AppendOutcome] {
        var group = group
        switch fault {
        case .ignoresExpectedVersion:
            for index in group.indices { group[index].expectedVersion = .any }
        case .forgetsCommands:
            for index in group.indices { group[index].metadata.commandID = nil }
        case .checksBeforeWriting:
            for index in group.indices {
                let last = try await memory.stream(of: group[index].persistenceID)?.last ?? .zero
                if let expected = group[index].expectedVersion.last, expected != last {
                    return group.map { _ in .conflict(actual: last) }
                }
                group[index].expectedVersion = .any
                await Task.yield()
            }
        case .failsGroupOnConflict:
            for request in group {
                let last = try await memory.stream(of: request.persistenceID)?.last ?? .zero
                if group.count > 1, let expected = request.expectedVersion.last, expected != last {
                    return group.map { _ in .conflict(actual: last) }
                }
            }
        default: break
        }
        return try await memory.append(group)
    }

    public func save(_ group: [StateWrite]) async throws(StoreError) -> [StateOutcome] {
        guard fault == .overwritesStates else { return try await memory.save(group) }
        var outcomes: [StateOutcome] = []
        for var write in group {
            write.expectedVersion = try await memory.state(of: write.persistenceID)?.version ?? .zero
            outcomes += try await memory.save([write])
        }
        return outcomes
    }

    public func events(
        of id: PersistenceID, from first: SequenceNumber, through last: SequenceNumber, limit: PageLimit
    ) async throws(StoreError) -> [PersistedEvent] {
        let limit = fault == .ignoresPageLimit ? PageLimit(rows: .max, bytes: .max) : limit
        return try await memory.events(of: id, from: first, through: last, limit: limit)
    }

    public func journal(
        after offset: Offset, shard: Shard?, limit: PageLimit
    ) async throws(StoreError) -> JournalPage {
        switch fault {
        case .ordersByTimestamp:
            // What eGo for Go does: the offset is the timestamp of the last record.
            let all = try await memory.journal(after: .start, shard: shard, limit: PageLimit(rows: .max, bytes: .max))
            let later = all.events.filter { $0.timestamp.unixNanoseconds > offset.position.rawValue }
                .sorted { $0.timestamp < $1.timestamp }
            let page = Array(later.prefix(limit.rows))
            let next = page.last.map { Offset(position: Position($0.timestamp.unixNanoseconds)) } ?? offset
            return JournalPage(events: page, next: next, reachedHead: page.count == later.count)
        case .publishesOutOfOrder:
            // As a sequence without commit order does: now and then the last record is seen before the one before it.
            let page = try await memory.journal(after: offset, shard: shard, limit: limit)
            guard page.reachedHead, page.events.count > 1 else { return page }
            var events = page.events
            events.remove(at: events.count - 2)
            return JournalPage(events: events, next: page.next, reachedHead: true)
        default: return try await memory.journal(after: offset, shard: shard, limit: limit)
        }
    }

    public func commit(
        _ changes: [OperatorChange], under lease: Lease?, with work: ReadModelWork?
    ) async throws(StoreError) -> [Int] {
        switch fault {
        case .commitsOffsetFirst:
            let counts = try await memory.commit(changes, under: lease)
            if let work { _ = try await memory.commit([], under: lease, with: work) }
            return counts
        case .ignoresLease: return try await memory.commit(changes, under: nil, with: work)
        case .addsHalf:
            var counts: [Int] = []
            for change in changes {
                guard case .addEvents(let events) = change else {
                    counts += try await memory.commit([change], under: lease)
                    continue
                }
                for event in events { counts += try await memory.commit([.addEvents([event])], under: lease) }
            }
            return counts
        case .ignoresRevision:
            var current = changes
            for (index, change) in changes.enumerated() {
                guard case .saveProjection(var record) = change else { continue }
                record.revision = try await memory.projection(record.name)?.revision ?? 0
                current[index] = .saveProjection(record)
            }
            return try await memory.commit(current, under: lease, with: work)
        case .forgetsFloor:
            let counts = try await memory.commit(changes, under: lease, with: work)
            for case .deleteEvents(let id, _) in changes {
                memory.state.withLock { $0.entities[id]?.floor = .zero }
            }
            return counts
        default: return try await memory.commit(changes, under: lease, with: work)
        }
    }

    /// What a crash leaves.
    func crash() -> BrokenStore {
        fault == .losesOnCrash ? BrokenStore(fault) : self
    }
}

/// Stores in memory, whole or broken on purpose.
public struct InMemoryFixture: StoreFixture {
    private let fault: BrokenStore.Fault?

    /// Makes stores with a fault, or without one.
    public init(fault: BrokenStore.Fault? = nil) {
        self.fault = fault
    }

    public func makeStore() async throws -> any Store {
        if let fault { return BrokenStore(fault) }
        return InMemoryStore()
    }

    public func reopen(_ store: any Store) async throws -> any Store {
        (store as? BrokenStore)?.crash() ?? store
    }

    public func second(_ store: any Store) async throws -> any Store { store }

    public func count(_ name: String, in transaction: any ReadModelTransaction) throws {
        (transaction as? InMemoryTransaction)?.counters[name, default: 0] += 1
    }

    public func counter(_ name: String, of store: any Store) async throws -> Int {
        ((store as? BrokenStore)?.memory ?? store as? InMemoryStore)?.counter(name) ?? 0
    }
}
