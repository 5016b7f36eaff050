import BankDomain
import Ego
import EgoCore
import EgoSQLite
import EgoTestKit
import Foundation
import SwiftProtobuf
import Synchronization

/// The machine's clock, but whoever sleeps on it sleeps so many times shorter.
struct HurriedTime: TimeSource {
    var factor = 50

    func now() -> Timestamp { SystemTime().now() }

    func sleep(for duration: Duration) async throws { try await Task.sleep(for: duration / factor) }
}

/// How many times longer things may take than they promise: 1, but in a build with a sanitizer.
let slowness = ProcessInfo.processInfo.environment["EGO_TEST_SLOWNESS"].flatMap { Int($0) } ?? 1

/// How many times longer leases are there.
let stretch = min(slowness, 5)

/// Waits until a condition holds; looks 200 times a second.
func within(_ limit: Duration = .seconds(30), _ condition: () async throws -> Bool) async throws {
    let deadline = ContinuousClock.now + limit
    while try await !condition() {
        if ContinuousClock.now > deadline { throw Late() }
        try await Task.sleep(for: .milliseconds(5))
    }
}

/// SQLite stores in a folder that goes when it is no longer used.
final class StoreFolder: Sendable {
    private let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appending(path: "ego-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    func newStore(_ name: String = "a") async throws -> SQLiteStore {
        let path = url.appending(path: "\(name).db").path
        _ = try SQLiteStore.initialize(path: path, storeID: name)
        return try await SQLiteStore(path: path)
    }

    /// The same file, as another process opens it.
    func open(_ name: String = "a") async throws -> SQLiteStore {
        try await SQLiteStore(path: url.appending(path: "\(name).db").path)
    }
}

/// Where a test runs.
enum Place: String, Sendable, CaseIterable {
    case memory, sqlite

    func newStore(_ folder: StoreFolder, _ name: String = "a") async throws -> any Store {
        switch self {
        case .memory: InMemoryStore()
        case .sqlite: try await folder.newStore(name)
        }
    }
}

/// An event as a read model has seen it.
struct Seen: Sendable, Hashable, CustomStringConvertible {
    var entity: String
    var sequence: Int
    var what: String

    init(_ entity: String, _ sequence: Int, _ what: String = "credited") {
        (self.entity, self.sequence, self.what) = (entity, sequence, what)
    }

    init(_ event: ProjectedEvent) throws {
        self.init(event.persistenceID.rawValue, Int(event.sequenceNumber.rawValue))
        if event.content == .erased {
            what = "erased"
        } else if let credited = try event.decoded(as: Samplepb_AccountCredited.self) {
            if credited.accountID != "" { what = credited.accountID }
        } else {
            what = event.type ?? "nothing"
        }
    }

    var description: String { "\(entity)@\(sequence)\(what == "credited" ? "" : " \(what)")" }
}

/// Lets events fail: how often, and counts how often each was tried.
final class Trap: Sendable {
    struct Sprung: Error, CustomStringConvertible { var description: String { "a bug in the handler" } }

    private struct State {
        var left: [String: Int] = [:]
        var error: @Sendable () -> any Error = { Sprung() }
        var tries: [String: Int] = [:]
    }

    private let state = Mutex(State())

    init() {}

    /// Lets an event fail at each of the next `times` tries.
    func set(
        _ event: String, times: Int = .max, with error: @escaping @Sendable () -> any Error = { Sprung() }
    ) {
        state.withLock { state in
            state.left[event] = times
            state.error = error
        }
    }

    func clear() { state.withLock { $0.left = [:] } }

    func tries(_ event: String) -> Int { state.withLock { $0.tries[event] ?? 0 } }

    func step(on event: ProjectedEvent) throws {
        let name = "\(event.persistenceID)@\(event.sequenceNumber)"
        let error = state.withLock { state -> (any Error)? in
            state.tries[name, default: 0] += 1
            guard let left = state.left[name], left > 0 else { return nil }
            state.left[name] = left - 1
            return state.error()
        }
        if let error { throw error }
    }
}

/// A row for each event, in the order in which they came; a second row of an event is refused, unless it is tolerant.
struct SeenModel: ReadModel {
    static let columns = """
        place INTEGER PRIMARY KEY, entity TEXT NOT NULL, sequence INTEGER NOT NULL,
        what TEXT NOT NULL CHECK (what <> 'refused by SQL')
        """
    private static let strict = ReadModelTable(
        "seen", columns: columns + ", UNIQUE (entity, sequence)", entityColumn: "entity")
    var tables: [ReadModelTable]
    let trap: Trap
    private var isTolerantInMemory = false
    /// Called before the table is changed.
    var before: @Sendable (ProjectedEvent) -> Void = { _ in }

    init(tables: [ReadModelTable]? = nil, trap: Trap = Trap()) {
        (self.tables, self.trap) = (tables ?? [Self.strict], trap)
    }

    /// One whose table takes an event twice, so that nothing but the runner keeps it from that.
    static var tolerant: SeenModel { SeenModel(tables: [ReadModelTable("seen", columns: columns)]) }

    private var isTolerant: Bool { tables.first?.columns == Self.columns }

    /// A store in memory has no tables.
    func fitting(_ store: any Store) -> SeenModel {
        var (model, base) = (self, store)
        while let outer = base as? any ForwardingStore { base = outer.base }
        if base is InMemoryStore { (model.isTolerantInMemory, model.tables) = (isTolerant, []) }
        return model
    }

    func handle(_ event: ProjectedEvent, in model: ReadModelWriter) throws {
        before(event)
        try trap.step(on: event)
        let seen = try Seen(event)
        if let memory = model.transaction as? InMemoryTransaction {
            var key = "\(seen.entity)@\(seen.sequence)@\(seen.what)"
            struct Twice: Error {}
            if memory.counters[key] != nil {
                if !isTolerantInMemory { throw Twice() }
                key += "@\(memory.counters.count)"
            }
            memory.counters[key] = memory.counters.count
            return
        }
        try model.change(
            "INSERT INTO {seen} (entity, sequence, what) VALUES (:entity, :sequence, :what)",
            ["entity": .text(seen.entity), "sequence": .integer(Int64(seen.sequence)), "what": .text(seen.what)])
    }
}

/// What a ``SeenModel`` has seen, in that order.
func seen(in store: any Store) async throws -> [Seen] {
    let found = Mutex<[Seen]>([])
    _ = try await store.commit([], under: nil) { transaction in
        if let memory = transaction as? InMemoryTransaction {
            let all = memory.counters.sorted { $0.value < $1.value }.map { entry in
                let parts = entry.key.split(separator: "@")
                return Seen(String(parts[0]), Int(parts[1]) ?? 0, String(parts[2]))
            }
            found.withLock { $0 = all }
            return
        }
        let exists = try transaction.query("SELECT 1 FROM sqlite_master WHERE name = 'seen'", [])
        if exists.isEmpty { return }
        for row in try transaction.query("SELECT entity, sequence, what FROM seen ORDER BY place", []) {
            guard case .text(let entity) = row[0], case .integer(let number) = row[1], case .text(let what) = row[2]
            else { continue }
            found.withLock { $0.append(Seen(entity, Int(number), what)) }
        }
    }
    return found.withLock { $0 }
}

/// A read model elsewhere: keeps what it was given, also twice.
final class Recorder: ProjectionHandler {
    private let all = Mutex<[Seen]>([])
    let trap: Trap
    private let before: @Sendable (ProjectedEvent) async throws -> Void

    init(trap: Trap = Trap(), before: @escaping @Sendable (ProjectedEvent) async throws -> Void = { _ in }) {
        self.trap = trap
        self.before = before
    }

    var seen: [Seen] { all.withLock { $0 } }

    func handle(_ event: ProjectedEvent) async throws {
        try await before(event)
        try trap.step(on: event)
        let seen = try Seen(event)
        all.withLock { $0.append(seen) }
    }
}

/// An event that credits an account; `what` is what a read model sees of it.
func newEvent(_ what: String = "", at seconds: Int64 = 1) throws -> NewEvent {
    let message = Samplepb_AccountCredited.with {
        $0.accountID = what
        $0.accountBalance = 1
    }
    let payload = AnyPayload(
        typeURL: AnyPayload.typeURLPrefix + Samplepb_AccountCredited.protoMessageName,
        value: try message.serializedBytes())
    return newEvent(payload.serialized(), at: seconds)
}

func newEvent(_ payload: [UInt8], at seconds: Int64 = 1) -> NewEvent {
    NewEvent(timestamp: Timestamp(unixNanoseconds: seconds * 1_000_000_000), payload: payload)
}

extension EventStore {
    /// Appends events, each by a command of its own, in one transaction.
    func add(_ events: [(entity: String, event: NewEvent)]) async throws {
        let outcomes = try await append(
            events.map { AppendRequest(persistenceID: id($0.entity), expectedVersion: .any, events: [$0.event]) })
        for outcome in outcomes { guard case .appended = outcome else { throw Late() } }
    }

    /// Appends plain events of some entities in turn.
    func add(_ count: Int, of entities: [String]) async throws {
        try await add((0..<count).map { (entities[$0 % entities.count], try newEvent()) })
    }

    /// The whole journal, as a read model sees it.
    func whole() async throws -> [PersistedEvent] {
        try await journal(after: .start, shard: nil, limit: .standard).events
    }
}

extension Seen {
    init(_ event: PersistedEvent) { self.init(event.persistenceID.rawValue, Int(event.sequenceNumber.rawValue)) }
}

extension Projection.Handler {
    func projection(_ options: ProjectionOptions) -> Projection {
        switch self {
        case .readModel(let model): Projection("p", model, options: options)
        case .external(let handler): Projection("p", handler, options: options)
        }
    }
}

/// A runner of projection `p`.
func runner(
    _ handler: Projection.Handler, _ store: any Store, _ options: ProjectionOptions = ProjectionOptions(),
    reader: EventReader = EventReader(), owner: String = "r", leaseTime: Duration = .seconds(10),
    time: any TimeSource = SystemTime(), progress: @escaping @Sendable (Int) -> Void = { _ in }
) -> ProjectionRunner {
    var handler = handler
    if case .readModel(let model as SeenModel) = handler { handler = .readModel(model.fitting(store)) }
    return ProjectionRunner(
        handler.projection(options), store: store, reader: reader, owner: owner, leaseTime: leaseTime, time: time,
        log: quiet(), progress: progress)
}

/// Runs a runner until `body` has ended.
func running<Value>(
    _ runner: ProjectionRunner, _ body: () async throws -> Value
) async throws -> Value {
    let task = Task { try await runner.run() }
    let result: Result<Value, any Error>
    do { result = .success(try await body()) } catch { result = .failure(error) }
    task.cancel()
    try await task.value
    return try result.get()
}

extension ProjectionStore {
    /// The offset of each shard of projection `p`, least first.
    func places(_ name: String = "p") async throws -> [Int64] {
        try await offsets(of: name, version: 1).map(\.offset.position.rawValue).sorted()
    }

    /// Whether it has neither stopped at an event nor passed one over.
    func isClean() async throws -> Bool {
        let failure = try await projection("p")?.failure
        let letters = try await letters()
        return failure == nil && letters.isEmpty
    }

    func letters() async throws -> [DeadLetter] { try await deadLetters(DeadLetterQuery()) }
}
