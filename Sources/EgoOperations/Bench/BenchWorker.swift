import Ego
package import EgoCore
import SwiftProtobuf

/// What another process of this program is told to do on a store, the first line that it reads.
package struct BenchOrder: Sendable, Codable {
    enum Work: String, Sendable, Codable {
        /// Commands, a turn at a time.
        case send
        /// Brings entities into memory; one turn.
        case entities
        /// Runs a projection; each turn is so many events that it is handed.
        case deliver
    }

    var work: Work
    var address: ScratchAddress
    var entities: Int
    var firstEntity: Int
    var clients: Int
    var events: Int
    var payload: Int
    var choice: BenchChoice.Distribution
    var seed: UInt64

    /// Whether what is read is read once: a cache would only be in the way of what is measured.
    package var readsOnce: Bool { work == .entities }

    init(_ work: Work, on address: ScratchAddress, _ set: BenchSet) {
        let parameters = set.parameters
        (self.work, self.address, clients) = (work, address, set.measured.clients)
        (entities, firstEntity, events) = (parameters.entities, parameters.firstEntity, parameters.events)
        (payload, choice, seed) = (parameters.payload, parameters.choice, parameters.seed)
    }

    fileprivate var parameters: BenchParameters {
        var parameters = BenchParameters()
        (parameters.entities, parameters.firstEntity, parameters.events) = (entities, firstEntity, events)
        (parameters.payload, parameters.choice, parameters.seed) = (payload, choice, seed)
        return parameters
    }
}

/// One run of that process, each line that it reads after the first.
struct BenchTurn: Sendable, Codable {
    var nanoseconds: Int64?
    var operations: Int?

    var budget: WorkBudget { WorkBudget(duration: nanoseconds.map { .nanoseconds($0) }, operations: operations) }
}

/// What that process says: one line when it is ready, and one after each turn.
struct BenchAnswer: Sendable, Codable {
    var operations = 0
    var nanoseconds: Int64 = 0
    /// Nil where there are none: it is a long line.
    var latencies: LatencyHistogram?
    var bytes: Int?
    /// When events were handed over.
    var deliveries: [MonotonicTime]?
    /// What went wrong; it ends then.
    var problem: String?

    init(_ sample: BenchSample) {
        (operations, bytes) = (sample.operations, sample.bytes)
        latencies = sample.latencies.count > 0 ? sample.latencies : nil
        nanoseconds = Int64(sample.duration / .nanoseconds(1))
    }

    init(deliveries: [MonotonicTime]) { (operations, self.deliveries) = (deliveries.count, deliveries) }

    init(problem: String) { self.problem = problem }

    var sample: BenchSample {
        var sample = BenchSample()
        (sample.operations, sample.bytes) = (operations, bytes)
        sample.latencies = latencies ?? LatencyHistogram()
        sample.duration = .nanoseconds(nanoseconds)
        return sample
    }
}

/// The process that is told: it takes one order, then turns, until there are no more lines.
package struct BenchWorker: Sendable {
    private let time: any TimeSource
    private let open: @Sendable (ScratchAddress, BenchOrder) async throws -> any Store

    /// - Parameter open: opens the store of an order.
    package init(
        time: any TimeSource, open: @escaping @Sendable (ScratchAddress, BenchOrder) async throws -> any Store
    ) {
        (self.time, self.open) = (time, open)
    }

    /// Does what the lines say.
    ///
    /// - Parameter answer: takes each line of the answer.
    package func serve(
        _ lines: AsyncStream<String>, answer: @Sendable (String) async throws -> Void
    ) async throws {
        var part: Part?
        do {
            for await line in lines {
                let result: BenchAnswer
                if let part {
                    result = try await part.take(JobText.decode(line))
                } else {
                    part = try await begin(JobText.decode(line))
                    result = BenchAnswer(BenchSample())
                }
                try await answer(JobText.encode(result))
            }
            await part?.close()
        } catch {
            await part?.close()
            if !(error is CancellationError) { try await answer(JobText.encode(BenchAnswer(problem: "\(error)"))) }
            throw error
        }
    }

    /// An order that is being done.
    private struct Part: Sendable {
        var store: any Store
        var take: @Sendable (BenchTurn) async throws -> BenchAnswer
        var end: @Sendable () async -> Void = {}

        func close() async {
            await end()
            await store.close()
        }
    }

    private func begin(_ order: BenchOrder) async throws -> Part {
        let store = try await open(order.address, order)
        switch order.work {
        case .send:
            do {
                let senders = try await BenchSenders.begun(set(of: order), on: store)
                return Part(store: store) {
                    BenchAnswer(try await senders.run($0.budget))
                } end: {
                    await senders.close()
                }
            } catch {
                await store.close()
                throw error
            }
        case .entities: return Part(store: store) { _ in BenchAnswer(try await activate(order, store)) }
        case .deliver:
            let deliveries = BenchDeliveries()
            let engine = Engine.bench(store, projections: [deliveries.projection], time: time)
            return Part(store: store) {
                BenchAnswer(deliveries: try await deliveries.next($0.operations ?? 1))
            } end: {
                await engine.shutdown()
            }
        }
    }

    private func set(of order: BenchOrder) throws -> BenchSet {
        var measured = BenchCase(
            workload: .send, name: "send", unit: "commands", step: "command", durability: .grouped, limitName: "")
        measured.clients = order.clients
        return try BenchSet(
            measured: measured, parameters: order.parameters, scratches: BenchScratches(NoScratchPlace()), folder: "",
            time: time)
    }

    /// Brings all entities into memory, and looks what memory there is after the first few, which fill what is kept for
    /// all, and in the end.
    private func activate(_ order: BenchOrder, _ store: any Store) async throws -> BenchSample {
        let engine = Engine.bench(store, time: time)
        let few = min(1_000, order.entities / 10)
        try await activate(0..<few, engine)
        let before = MachineLoad.ownMemoryBytes
        var sample = BenchSample()
        let start = ContinuousClock.now
        try await activate(few..<order.entities, engine)
        sample.add(order.entities - few, since: start)
        if let before, let after = MachineLoad.ownMemoryBytes { sample.bytes = max(0, after - before) }
        guard engine.activeEntities == order.entities else {
            throw OperationError(.failed, "\(engine.activeEntities) of \(order.entities) entities are in memory")
        }
        await engine.shutdown()
        return sample
    }

    private func activate(_ numbers: Range<Int>, _ engine: Engine) async throws {
        let behavior = BenchBehavior()
        for number in numbers {
            if number % 1_000 == 0 { try Task.checkCancellation() }
            let state = try await engine.entity(behavior, BenchFill.id(number)).state()
            if state.value != 1 {
                throw OperationError(.failed, "an entity of one event has counted \(state.value)")
            }
        }
    }
}

/// The place of a process that makes no stores.
private struct NoScratchPlace: ScratchPlace {
    let library = ""
    let isInProcess = true
    let folder = ""

    func abandon() {}

    func makeScratch(shards: UInt32?) async throws(StoreError) -> any ScratchStore {
        throw StoreError(.invalid, "this process makes no stores")
    }
}
