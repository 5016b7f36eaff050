import ChildProcess
import EgoCore
import EgoPostgres
import Foundation
import PostgresServer

/// A new, empty store in a schema of its own.
struct Fresh {
    let server: PostgresServer
    let schema: String
    let url: PostgresURL
    let text: String

    init(_ suite: String) async throws {
        try await self.init(PostgresServer.shared(suite))
    }

    init(_ server: PostgresServer) async throws {
        self.server = server
        schema = try server.makeSchema()
        text = server.url(schema: schema)
        url = try PostgresURL(text)
        _ = try await PostgresStore.initialize(url: url, storeID: schema)
    }

    func open(_ options: PostgresStoreOptions = PostgresStoreOptions()) async throws -> PostgresStore {
        try await PostgresStore(url: url, options: options)
    }

    @discardableResult
    func sql(_ text: String) throws -> String { try server.sql(text, schema: schema) }
}

func event(_ number: Int = 1, bytes: Int = 8) -> NewEvent {
    NewEvent(
        timestamp: SystemTime().now(),
        payload: AnyPayload(
            typeURL: "type.googleapis.com/test.Event", value: [UInt8](repeating: UInt8(number & 0xff), count: bytes)
        ).serialized())
}

func append(
    _ id: String, _ count: Int = 1, expecting version: ExpectedVersion = .any, command: String? = nil
) throws -> AppendRequest {
    AppendRequest(
        persistenceID: try PersistenceID(id), expectedVersion: version, events: (1...max(1, count)).map { event($0) },
        metadata: EventMetadata(commandID: command.flatMap { CommandID($0) }))
}

/// Every event of the journal, read in small pages.
func journal(of store: any Store, after offset: Offset = .start) async throws -> [PersistedEvent] {
    var all: [PersistedEvent] = []
    var next = offset
    while true {
        let page = try await store.journal(after: next, shard: nil, limit: PageLimit(rows: 37))
        all += page.events
        next = page.next
        if page.reachedHead { return all }
    }
}

func allEvents(of id: String, in store: any Store) async throws -> [PersistedEvent] {
    var events: [PersistedEvent] = []
    while true {
        let page = try await store.events(
            of: PersistenceID(id), from: events.last?.sequenceNumber.next ?? 1, through: .max, limit: .standard)
        if page.isEmpty { return events }
        events += page
    }
}

/// The program that tests start and kill, built beside them.
func exerciser(_ arguments: [String], output: Pipe? = nil) throws -> ChildProcess {
    let process = ChildProcess()
    process.executableURL = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
        .appending(path: "StoreExerciser")
    process.arguments = arguments
    if let output { process.standardOutput = output }
    process.standardError = FileHandle.nullDevice
    try process.run()
    return process
}

/// Waits until a condition holds.
func eventually(within limit: Duration = .seconds(30), _ condition: () async throws -> Bool) async throws {
    let deadline = ContinuousClock.now + limit
    while try await !condition() {
        if ContinuousClock.now > deadline { throw Late() }
        try await Task.sleep(for: .milliseconds(2))
    }
}

struct Late: Error {}
