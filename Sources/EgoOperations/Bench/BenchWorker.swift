import Ego
package import EgoCore
import Logging
import SwiftProtobuf

/// What another process of this program is told to do on a store, the first line that it reads.
package struct BenchOrder: Sendable, Codable {
    enum Work: String, Sendable, Codable {
        /// Commands, a turn at a time.
        case send
        /// Brings entities into memory; one turn.
        case entities
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
}

/// What that process says: one line when it is ready, and one after each turn.
struct BenchAnswer: Sendable, Codable {
    var operations = 0
    var nanoseconds: Int64 = 0
    var latencies = LatencyHistogram()
    var bytes: Int?
    /// What went wrong; it ends then.
    var problem: String?

    init(_ sample: BenchSample) {
        (operations, latencies, bytes) = (sample.operations, sample.latencies, sample.bytes)
        nanoseconds = Int64(sample.duration / .nanoseconds(1))
    }

    init(problem: String) { self.problem = problem }

    var sample: BenchSample {
        var sample = BenchSample()
        (sample.operations, sample.latencies, sample.bytes) = (operations, latencies, bytes)
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
                let sample: BenchSample
                if let part {
                    sample = try await run(JobText.decode(line), part)
                } else {
                    part = try await begin(JobText.decode(line))
                    sample = BenchSample()
                }
                try await answer(JobText.encode(BenchAnswer(sample)))
            }
            await part?.close()
        } catch {
            await part?.close()
            if !(error is CancellationError) { try await answer(JobText.encode(BenchAnswer(problem: "\(error)"))) }
            throw error
        }
    }

    /// An order that is being done.
    private struct Part {
        var order: BenchOrder
        var store: any Store
        var senders: BenchSenders?

        func close() async {
            await senders?.close()
            await store.close()
        }
    }

    private func begin(_ order: BenchOrder) async throws -> Part {
        var part = Part(order: order, store: try await open(order.address, order))
        guard order.work == .send else { return part }
        do { part.senders = try BenchSenders(set(of: order), on: part.store) } catch {
            await part.close()
            throw error
        }
        return part
    }

    private func run(_ turn: BenchTurn, _ part: Part) async throws -> BenchSample {
        guard let senders = part.senders else { return try await activate(part.order, part.store) }
        return try await senders.run(
            WorkBudget(duration: turn.nanoseconds.map { .nanoseconds($0) }, operations: turn.operations))
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
        let engine = Engine(
            store: store, domain: .bench(),
            configuration: EngineConfiguration(passivation: Passivation(idleTime: nil, maximumActive: nil)), time: time,
            log: Logger(label: "ego.bench") { _ in SwiftLogNoOpLogHandler() })
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
