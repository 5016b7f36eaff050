import Synchronization

/// Where stores can be made to measure on, beside a store of somebody's: on the same disk or server, and never in it.
package protocol ScratchPlace: Sendable {
    /// The C library whose bare use is the limit, as `sqlite3`.
    var library: String { get }
    /// Whether the database's own work is done by this process, so that its time on the processor is counted as ours.
    var isInProcess: Bool { get }
    /// A folder for files of a measurement.
    var folder: String { get }

    /// Makes an empty store that holds nobody's data.
    ///
    /// - Parameter shards: how many shards it has, 1 to 65,536; nil for as many as any new store.
    func makeScratch(shards: UInt32?) async throws(StoreError) -> any ScratchStore

    /// Removes what can be removed at once of this process's stores, which are still in use: the process ends now.
    func abandon()
}

/// A store to measure on, and the same work done with the bare C library of its database.
package protocol ScratchStore: Sendable {
    /// The store.
    var store: any Store { get }
    /// Where another process finds it.
    var address: ScratchAddress { get }

    /// Does the least work of a kind that the library can, on the tables of this store and with the same durability.
    ///
    /// - Throws: `StoreError` with code `cancelled` when the task was cancelled; it ends within a transaction or a page.
    func run(_ work: RawWork, _ budget: WorkBudget) async throws(StoreError) -> RawResult

    /// Does what the database would do by itself some time after it was filled, such as to gather statistics.
    func settle() async throws(StoreError)

    /// Closes the store, and removes everything of it; also when the task was cancelled.
    func remove() async
}

/// Where a store to measure on is. It holds what a connection needs, and so can hold a password: it is never shown.
package struct ScratchAddress: Sendable, Hashable, Codable {
    /// The store, as `--store` takes it.
    package var store: String
    /// The schema, in a database that has them.
    package var schema: String?

    /// An address with the given parts.
    package init(store: String, schema: String? = nil) { (self.store, self.schema) = (store, schema) }
}

/// Takes stored payloads, where they lie, as they are read. Called on one thread at a time.
package typealias PayloadConsumer = @Sendable (UnsafeRawBufferPointer) -> Void

/// Work that is done with a bare C library.
package enum RawWork: Sendable {
    /// Inserts events of so many entities in turn, `rows` of them in each transaction. Counts events.
    case append(rows: Int, entities: Int, payload: [UInt8])
    /// Reads the journal from its beginning to its end, again and again, in pages of so many events. Counts events.
    case scan(page: Int)
    /// Reads entities whole, one after the other, and hands each payload to `consume`. Counts events.
    case streams(ids: [String], consume: PayloadConsumer)
    /// Reads the newest snapshot of entities and the events after it, one after the other. Counts entities.
    case recover(ids: [String])
    /// Reads the journal once in pages of so many events, and commits an offset after each; with `isReadModel` a row
    /// of a table is changed by each event in the same transaction. Each payload is handed to `consume`. Counts events.
    case project(page: Int, isReadModel: Bool, consume: PayloadConsumer)
    /// Counts the events of each shard. Counts looks.
    case count
    /// Deletes all records of entities, so many in each transaction. Counts entities.
    case erase(ids: [String], batch: Int)
    /// Reads the journal once and writes the payloads to a file, which is on disk in the end. Counts events.
    case export(path: String, page: Int)
}

/// How long work goes on.
package struct WorkBudget: Sendable {
    /// The longest time; nil for no limit.
    package var duration: Duration?
    /// The most operations, in what the work counts; nil for no limit. Whole transactions are done.
    package var operations: Int?
    /// Raised when the work is to stop at once.
    package let stop: StopSignal

    /// A budget with the given limits.
    package init(duration: Duration?, operations: Int?, stop: StopSignal = StopSignal()) {
        (self.duration, self.operations, self.stop) = (duration, operations, stop)
    }

    /// Whether there is more to do.
    package func goesOn(done: Int, since start: ContinuousClock.Instant) -> Bool {
        if stop.isRaised { return false }
        if let operations, done >= operations { return false }
        if let duration, ContinuousClock.now - start >= duration { return false }
        return true
    }

    /// The same for operations that take less than looking at the clock and counting in durations do.
    package func goesOn(done: Int, at now: MonotonicTime, until end: MonotonicTime) -> Bool {
        done < operations ?? .max && now < end && !stop.isRaised
    }

    /// When the longest time is over that begins now.
    package var end: MonotonicTime { duration.map { .now.advanced(by: $0) } ?? MonotonicTime(nanoseconds: .max) }
}

/// Tells blocking work on other threads to stop.
package final class StopSignal: Sendable {
    private let flag = Atomic(false)

    /// A signal that is not raised.
    package init() {}

    /// Whether it was raised.
    package var isRaised: Bool { flag.load(ordering: .relaxed) }

    /// Raises it, for good.
    package func raise() { flag.store(true, ordering: .relaxed) }
}

/// What bare work came to.
package struct RawResult: Sendable, Hashable {
    /// How many operations were done, in what the work counts.
    package var operations: Int
    /// How long they took.
    package var duration: Duration

    /// A result with the given parts.
    package init(operations: Int, duration: Duration) {
        (self.operations, self.duration) = (operations, duration)
    }
}
