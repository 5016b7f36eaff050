import Ego
import EgoCore
import Synchronization

/// Sends commands one by one, each when a projection was handed the events of the one before: how long each event takes
/// from its acknowledgement until then, in this process or in another.
final class DeliveryWork: BenchWork {
    private let set: BenchSet
    private let bare: any ScratchStore
    private let senders: BenchSenders
    private let deliveries = BenchDeliveries()
    /// The process of the projection, where it is not this one.
    private let process: BenchProcess?

    init(_ set: BenchSet, program: String) async throws {
        self.set = set
        let own = try await set.scratch()
        bare = try await set.scratch()
        let isHere = set.measured.name == "delivery"
        senders = try BenchSenders(set, on: own.store, projections: isHere ? [deliveries.projection] : [])
        process = isHere ? nil : try await BenchProcess.start(program, BenchOrder(.deliver, on: own.address, set))
    }

    func limit(_ budget: WorkBudget) async throws -> BenchSample { try await set.insertLimit(on: bare, budget) }

    func run(_ budget: WorkBudget) async throws -> BenchSample {
        // The projection has to start before it can be handed anything.
        _ = try await deliver()
        var sample = BenchSample()
        let start = ContinuousClock.now
        while budget.goesOn(done: sample.operations, since: start) {
            try Task.checkCancellation()
            for nanoseconds in try await deliver() { sample.latencies.record(nanoseconds: nanoseconds) }
            sample.operations += 1
        }
        sample.duration = ContinuousClock.now - start
        return sample
    }

    /// Sends one command; returns how many nanoseconds after its acknowledgement each of its events was handed over, 0 for
    /// one that was before.
    private func deliver() async throws -> [Int64] {
        try await senders.send()
        let acknowledged = MonotonicTime.now
        let times =
            if let process { try await process.deliveries(set.parameters.events) } else {
                try await deliveries.next(set.parameters.events)
            }
        return times.map { max(0, $0.nanoseconds - acknowledged.nanoseconds) }
    }

    func close() async {
        await senders.close()
        await process?.end()
    }
}

/// Notes when it is handed each event, for one caller who waits for them in turn.
final class BenchDeliveries: ProjectionHandler {
    /// Those that nobody has asked for yet, in the order of the journal.
    private let state = Mutex((last: Offset.start, times: [MonotonicTime]()))
    private let arrived = AppendSignal()
    /// Far more than a projection takes that works.
    private static let patience = Duration.seconds(30)

    var projection: Projection { Projection("bench", self) }

    func handle(_ event: ProjectedEvent) async throws {
        let now = MonotonicTime.now
        state.withLock { state in
            // It comes again when its offset was not committed.
            if event.offset <= state.last { return }
            state.last = event.offset
            state.times.append(now)
        }
        arrived.give()
    }

    /// When it was handed the next `count` events.
    ///
    /// - Throws: ``OperationError`` with code `failed` when they do not come.
    func next(_ count: Int) async throws -> [MonotonicTime] {
        let end = MonotonicTime.now.advanced(by: Self.patience)
        while true {
            let given = arrived.count
            let times = state.withLock { state -> [MonotonicTime]? in
                if state.times.count < count { return nil }
                defer { state.times.removeFirst(count) }
                return Array(state.times.prefix(count))
            }
            if let times { return times }
            try Task.checkCancellation()
            if MonotonicTime.now >= end {
                throw OperationError(.failed, "a projection was not handed an event in \(Self.patience)")
            }
            await arrived.wait(after: given, timeout: Self.patience)
        }
    }
}
