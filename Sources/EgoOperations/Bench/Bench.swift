package import EgoCore

/// Measures a kind of store, on stores of its own, against what the bare C library of the database does there in the same
/// minutes: figures of different machines or hours say little, their ratios to this limit do.
package struct Bench: Sendable {
    private let place: any ScratchPlace
    private let parameters: BenchParameters
    private let program: String?
    private let time: any TimeSource

    /// Measurements at a place.
    ///
    /// - Parameter program: the program that is started to measure how long that takes; nil leaves it out.
    package init(
        at place: any ScratchPlace, _ parameters: BenchParameters, program: String?, time: any TimeSource
    ) {
        (self.place, self.parameters, self.program, self.time) = (place, parameters, program, time)
    }

    /// The measurements that workloads come to, in their order.
    package func cases(_ workloads: [BenchWorkload]) -> [BenchCase] { workloads.flatMap(cases) }

    private func cases(_ workload: BenchWorkload) -> [BenchCase] {
        let library = place.library
        func one(
            _ name: String, _ unit: String, _ step: String, _ durability: BenchDurability?, _ limit: String
        ) -> BenchCase {
            BenchCase(
                workload: workload, name: name, unit: unit, step: step, durability: durability,
                limitName: "\(library) \(limit)")
        }
        func writing(_ name: String, _ note: String = "") -> [BenchCase] {
            parameters.clients.map { clients in
                var measured = one(
                    name, "commands", "command", clients == 1 ? .single : .grouped,
                    "insert, \(clients * parameters.events) a commit\(note)")
                measured.clients = clients
                return measured
            }
        }
        /// The same on the 16 shards of any new store, and on a single one.
        func sharded(_ name: String, _ step: String) -> [BenchCase] {
            let measured = one(name, "events", step, .grouped, "read the journal, decode, write offsets")
            var single = measured
            (single.name, single.shards) = ("\(name)-1-shard", 1)
            return [measured, single]
        }
        switch workload {
        case .append, .send: return writing(workload.rawValue)
        case .sendProcesses:
            if program == nil { return [] }
            return parameters.clients.map { clients in
                var measured = one("send-processes", "commands", "command", .grouped, "")
                measured.clients = clients
                measured.limitName = "send by one of the two processes"
                return measured
            }
        case .entities:
            if program == nil { return [] }
            return [one("entities", "entities", "run", nil, "read streams, decode, apply")]
        case .sendMemory:
            return parameters.clients.map { clients in
                var measured = one("send-memory", "commands", "command", .memory, "")
                measured.clients = clients
                measured.limitName = "a loop: encode, apply, keep"
                return measured
            }
        case .replay:
            return [
                one("replay-long", "events", "entity", nil, "read a stream, decode, apply"),
                one("replay-short", "events", "entity", nil, "read streams, decode, apply"),
                one("recovery", "entities", "entity", nil, "read a snapshot and the rest"),
            ]
        case .scan: return [one("scan", "events", "page", nil, "read the journal")]
        case .projection: return sharded("projection", "page")
        case .readModel:
            return [one("read-model", "events", "page", .grouped, "read the journal, decode, write rows and offsets")]
        case .delivery:
            return (program == nil ? ["delivery"] : ["delivery", "delivery-processes"]).map {
                one($0, "commands", "event", .single, "insert, \(parameters.events) a commit")
            }
        case .rebuild:
            return [one("rebuild", "events", "run", .grouped, "read the journal, decode, write rows and offsets")]
                + sharded("rebuild-no-op", "run")
        case .lag: return [one("lag", "looks", "look", nil, "count the journal")]
        case .erase: return [one("erase", "entities", "run", .grouped, "delete, 100 a commit")]
        case .export:
            return ["export", "export-protobuf"].map {
                one($0, "events", "run", .single, "read the journal, write a file")
            }
        case .importing:
            return ["import", "import-protobuf"].map { one($0, "events", "run", .grouped, "insert, 5000 a commit") }
        case .encrypted:
            let note = ", not encrypted"
            return writing("send-encrypted", note)
                + [one("replay-encrypted", "events", "entity", nil, "read streams, decode, apply\(note)")]
        case .startup:
            if program == nil { return [] }
            // What looks at a store is that of a file: how long a server takes is no matter of the program.
            return (place.isInProcess ? ["startup", "startup-status"] : ["startup"]).map { name in
                var measured = one(name, "starts", "start", nil, "")
                measured.limitName = "start of /bin/true"
                return measured
            }
        }
    }

    /// Measures one thing. Whatever it makes is removed again, also when it fails or the task is cancelled.
    package func run(_ measured: BenchCase) async throws -> BenchResult {
        let scratches = BenchScratches(place)
        do {
            let work = try await work(measured, scratches)
            let result: BenchResult
            do { result = try await run(measured, work) } catch {
                await work.close()
                throw error
            }
            await work.close()
            await scratches.removeAll()
            return result
        } catch {
            await scratches.removeAll()
            if Task.isCancelled { throw CancellationError() }
            throw error
        }
    }

    private func work(_ measured: BenchCase, _ scratches: BenchScratches) async throws -> any BenchWork {
        let set = try BenchSet(
            measured: measured, parameters: parameters, scratches: scratches, folder: place.folder, time: time)
        switch measured.workload {
        case .append: return try await AppendWork(set)
        case .send: return try await SendWork(set)
        case .sendMemory: return SendMemoryWork(set)
        case .sendProcesses: return try await SendProcessesWork(set, program: program ?? "")
        case .entities: return try await EntitiesWork(set, program: program ?? "")
        case .replay: return try await ReplayWork(set)
        case .scan: return try await ScanWork(set)
        case .projection, .readModel: return try await ProjectionWork(set)
        case .delivery: return try await DeliveryWork(set, program: program ?? "")
        case .rebuild: return try await RebuildWork(set)
        case .lag: return try await LagWork(set)
        case .erase: return EraseWork(set)
        case .export: return try await ExportWork(set)
        case .importing: return try await ImportWork(set)
        case .encrypted:
            return measured.name == "send-encrypted" ? try await SendWork(set) : try await ReplayWork(set)
        case .startup: return try await StartupWork(set, program: program ?? "")
        }
    }

    private func run(_ measured: BenchCase, _ work: any BenchWork) async throws -> BenchResult {
        if parameters.warmUp > .zero, work.warmsUp {
            let budget = { WorkBudget(duration: parameters.warmUp, operations: parameters.operations) }
            _ = try await work.limit(budget())
            _ = try await work.run(budget())
        }
        MachineLoad.resetPeakMemory()
        var runs: [(limit: BenchSample, own: BenchSample)] = []
        var latencies = LatencyHistogram()
        for _ in 0..<max(1, parameters.repeats) {
            try Task.checkCancellation()
            let budget = { WorkBudget(duration: parameters.duration, operations: parameters.operations) }
            let limit = try await work.limit(budget())
            try Task.checkCancellation()
            let own = try await work.run(budget())
            latencies.add(own.latencies)
            runs.append((limit, own))
        }
        func ratio(_ run: (limit: BenchSample, own: BenchSample)) -> Double {
            run.own.perSecond / max(run.limit.perSecond, 1e-9)
        }
        runs.sort { ratio($0) < ratio($1) }
        let median = runs[(runs.count - 1) / 2]
        return BenchResult(
            measured: measured, operations: median.own.operations, seconds: median.own.duration / .seconds(1),
            perSecond: median.own.perSecond, limitPerSecond: median.limit.perSecond, ratio: ratio(median),
            latencies: latencies, peakMemoryBytes: MachineLoad.peakMemoryBytes,
            bytesEach: median.own.bytes.map { $0 / max(1, median.own.operations) })
    }
}

/// One workload, ready to be measured.
protocol BenchWork: Sendable {
    /// Whether its first runs are slower than later ones.
    var warmsUp: Bool { get }

    /// The work by the bare library, counted as ``run(_:)`` counts.
    func limit(_ budget: WorkBudget) async throws -> BenchSample

    /// The work.
    func run(_ budget: WorkBudget) async throws -> BenchSample

    /// Ends what was begun; stores are removed by others.
    func close() async
}

extension BenchWork {
    var warmsUp: Bool { true }
    func close() async {}
}

/// What workloads are made from.
struct BenchSet: Sendable {
    let measured: BenchCase
    let parameters: BenchParameters
    let fill: BenchFill
    let folder: String
    let time: any TimeSource
    private let scratches: BenchScratches

    init(
        measured: BenchCase, parameters: BenchParameters, scratches: BenchScratches, folder: String,
        time: any TimeSource
    ) throws {
        (self.measured, self.parameters, self.scratches, self.folder) = (measured, parameters, scratches, folder)
        (self.fill, self.time) = (try BenchFill(parameters), time)
    }

    func scratch() async throws -> any ScratchStore { try await scratches.make(shards: measured.shards) }

    /// The store in front of another that encrypts what is written to it, with keys of its own in it.
    func encrypting(_ store: any Store) throws -> EncryptedStore {
        let master = try MasterKey(bytes: [UInt8](repeating: 0x42, count: 32))
        return EncryptedStore(store, encryptor: AESEncryptor(keys: KeyRing(store: store, master: master)))
    }

    /// A store with the journal that is read.
    func filled(entities: Int? = nil, isEncrypted: Bool = false) async throws -> any ScratchStore {
        let scratch = try await scratch()
        try await fill.fill(
            isEncrypted ? try encrypting(scratch.store) : scratch.store, events: parameters.journal,
            entities: min(entities ?? parameters.entities, parameters.journal))
        try await scratch.settle()
        return scratch
    }

    /// How many entities the journal has.
    var filledEntities: Int { min(parameters.entities, parameters.journal) }

    /// Repeats a pass over all there is until the budget is used up, at least once.
    func passes(
        _ budget: WorkBudget, _ pass: (inout BenchSample) async throws -> Void
    ) async throws -> BenchSample {
        let start = ContinuousClock.now
        var sample = BenchSample()
        var goesOn = true
        while goesOn {
            try Task.checkCancellation()
            try await pass(&sample)
            goesOn = budget.goesOn(done: sample.operations, since: start)
        }
        return sample
    }

    /// Raw work that is done once a pass.
    func limit(_ work: RawWork, on scratch: any ScratchStore, _ budget: WorkBudget) async throws -> BenchSample {
        try await passes(budget) { sample in
            let once = try await limitOnce(work, on: scratch, budget.stop)
            sample.operations += once.operations
            sample.duration += once.duration
        }
    }

    /// A function of its own, never inlined: the optimizer of Swift 6.3.1 crashes on it within a loop.
    @inline(never)
    private func limitOnce(
        _ work: RawWork, on scratch: any ScratchStore, _ stop: StopSignal
    ) async throws -> BenchSample {
        BenchSample(try await scratch.run(work, WorkBudget(duration: nil, operations: nil, stop: stop)))
    }
}

extension BenchSample {
    init(_ result: RawResult, per count: Int = 1) {
        (operations, duration) = (result.operations / count, result.duration)
    }

    /// Adds a pass that was measured as one.
    mutating func add(_ operations: Int, since start: ContinuousClock.Instant) {
        let duration = ContinuousClock.now - start
        self.operations += operations
        self.duration += duration
        latencies.record(duration)
    }
}
