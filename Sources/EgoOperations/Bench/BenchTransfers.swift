import EgoCore

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Erases all entities of a store, a hundred a job.
struct EraseWork: BenchWork {
    private let set: BenchSet
    /// Each run needs stores of its own.
    let warmsUp = false

    init(_ set: BenchSet) { self.set = set }

    private var count: Int { min(set.filledEntities, set.parameters.operations ?? 200) }

    private func ids() -> [PersistenceID] { (0..<count).map(BenchFill.id) }

    func limit(_ budget: WorkBudget) async throws -> BenchSample {
        let scratch = try await set.filled()
        let work = RawWork.erase(ids: ids().map(\.rawValue), batch: 100)
        let result = try await scratch.run(work, WorkBudget(duration: nil, operations: nil, stop: budget.stop))
        await scratch.remove()
        return BenchSample(result)
    }

    func run(_ budget: WorkBudget) async throws -> BenchSample {
        let scratch = try await set.filled()
        // Nobody else has this store open: there is nothing to wait for.
        let erasure = EntityErasure(
            store: scratch.store, domain: .bench(), by: .current(reason: "bench"), time: set.time, staleness: .zero)
        var sample = BenchSample()
        let start = ContinuousClock.now
        let plan = try await erasure.plan(ids(), EntityErasure.Options())
        let certificates = try await erasure.run(ids(), EntityErasure.Options(), as: plan, command: "")
        sample.add(certificates.count, since: start)
        await scratch.remove()
        return sample
    }
}

/// Writes the journal to a file.
struct ExportWork: BenchWork {
    private let set: BenchSet
    private let scratch: any ScratchStore
    private let file: BenchFile

    init(_ set: BenchSet) async throws {
        self.set = set
        file = BenchFile(in: set.folder)
        scratch = try await set.filled()
    }

    func limit(_ budget: WorkBudget) async throws -> BenchSample {
        try await set.limit(.export(path: file.path, page: PageLimit.standard.rows), on: scratch, budget)
    }

    func run(_ budget: WorkBudget) async throws -> BenchSample {
        try await set.passes(budget) { sample in
            let start = ContinuousClock.now
            let summary = try await set.export(scratch.store, to: file)
            sample.add(summary.events, since: start)
            file.remove()
        }
    }

    func close() async { file.remove() }
}

/// Takes a file of the journal into an empty store: checks it, then commits its records.
struct ImportWork: BenchWork {
    private let set: BenchSet
    private let file: BenchFile
    /// Each run needs stores of its own.
    let warmsUp = false

    init(_ set: BenchSet) async throws {
        self.set = set
        file = BenchFile(in: set.folder)
        let scratch = try await set.filled()
        do { _ = try await set.export(scratch.store, to: file) } catch {
            file.remove()
            throw error
        }
        await scratch.remove()
    }

    func limit(_ budget: WorkBudget) async throws -> BenchSample {
        let scratch = try await set.scratch()
        let rows = min(PageLimit.standard.rows, set.parameters.journal)
        let work = RawWork.append(rows: rows, entities: set.filledEntities, payload: set.fill.payload)
        let result = try await scratch.run(
            work, WorkBudget(duration: nil, operations: set.parameters.journal, stop: budget.stop))
        await scratch.remove()
        return BenchSample(result)
    }

    func run(_ budget: WorkBudget) async throws -> BenchSample {
        let scratch = try await set.scratch()
        let work = JournalImport(store: scratch.store, format: set.transferFormat, onConflict: .fail)
        var sample = BenchSample()
        let start = ContinuousClock.now
        let checked = try await work.check(file.path)
        let summary = try await work.run(
            file.path, checked, command: "", by: .current(reason: "bench"), time: set.time)
        sample.add(summary.events, since: start)
        await scratch.remove()
        return sample
    }

    func close() async { file.remove() }
}

extension BenchSet {
    var transferFormat: ExportFormat { measured.name.hasSuffix("-protobuf") ? .protobuf : .jsonl }

    func export(_ store: any Store, to file: BenchFile) async throws -> JournalExport.Summary {
        try await JournalExport(
            store: store, messages: Domain.bench().messages, selection: ExportSelection(), format: transferFormat
        ).write(toFile: file.path)
    }
}

/// A file of a measurement, and what a writer of it may leave beside it.
struct BenchFile: Sendable {
    let path: String

    init(in folder: String) {
        path = "\(folder)/.ego-bench-\(getpid())-\(String(UInt64.random(in: 0 ... .max), radix: 36)).export"
    }

    func remove() {
        for suffix in ["", ".partial", ".sha256"] { unlink(path + suffix) }
    }
}
