import BankDomain
import ChildProcess
import EgoCore
import EgoOperations
import EgoPostgres
import ExerciserSupport
import Foundation
import PostgresServer
import Testing

/// Operations that are killed at calls of the store that change it, and run again; each on its own copy of a database.
@Suite(
    "An operation on PostgreSQL that is killed and run again ends as if it had not been", .serialized,
    .timeLimit(.minutes(5)))
struct OperationCrashTests {
    private let server: PostgresServer

    init() throws { server = try PostgresServer.shared("operation crash") }

    private func open(_ database: String) async throws -> PostgresStore {
        try await PostgresStore(url: PostgresURL(server.url(database: database)))
    }

    /// A database to copy from.
    private func makeBase(_ name: String, isEncrypted: Bool, hasSnapshots: Bool) async throws {
        try server.sql("CREATE DATABASE \(name)")
        _ = try await PostgresStore.initialize(url: PostgresURL(server.url(database: name)), storeID: name)
        let plain = try await open(name)
        let ring = KeyRing(store: plain, master: try .exercise(1))
        let store: any Store = isEncrypted ? EncryptedStore(plain, encryptor: AESEncryptor(keys: ring)) : plain
        let parameters = SampleParameters(entities: 4, events: 120, isLegacy: false, seed: 3)
        _ = try await SampleFill(store: store, sample: BankSample()).run(parameters)
        if hasSnapshots {
            let snapshots = Snapshots(store: store, domain: .bank, time: SystemTime(), by: .forExercise)
            for entity in try await store.entities(EntityQuery()) {
                for number in [entity.sequenceNumber.rawValue / 2, entity.sequenceNumber.rawValue] where number > 0 {
                    _ = try await snapshots.create(
                        entity.persistenceID, at: SequenceNumber(number), kind: nil, isDryRun: false)
                }
            }
        }
        await plain.close()
    }

    private func copy(_ base: String, _ name: String) async throws {
        // A connection takes a moment to end on the server's side.
        try await eventually {
            try server.sql("SELECT count(*) FROM pg_stat_activity WHERE datname = '\(base)'").hasPrefix("0")
        }
        try server.sql("CREATE DATABASE \(name) TEMPLATE \(base)")
    }

    private func run(_ kind: String, _ database: String, at moment: Int) throws -> (code: Int32, output: String) {
        let output = Pipe()
        let process = try exerciser([kind, server.url(database: database), "-", "\(moment)"], output: output)
        let said = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        let isKilled = process.terminationReason == .uncaughtSignal
        return (isKilled ? -process.terminationStatus : process.terminationStatus, said)
    }

    private func outcome(_ database: String) async throws -> OperationOutcome {
        let store = try await open(database)
        let outcome = try await OperationOutcome(of: store, domain: .bank)
        await store.close()
        return outcome
    }

    @Test("retain and rotate", arguments: ["retain", "rotate"])
    func killed(_ kind: String) async throws {
        let base = "base_\(kind)"
        try await makeBase(base, isEncrypted: kind == "rotate", hasSnapshots: kind == "retain")
        let before = try await outcome(base)
        try await copy(base, "undisturbed_\(kind)")
        let undisturbed = try run(kind, "undisturbed_\(kind)", at: 0)
        #expect(undisturbed.code == 0, "\(undisturbed.output)")
        let wanted = try await outcome("undisturbed_\(kind)")
        #expect(wanted.unfinished == 0 && wanted.problems == [] && wanted != before)
        var (moment, kills) = (1, 0)
        while true {
            let name = "\(kind)_\(moment)"
            try await copy(base, name)
            let killed = try run(kind, name, at: moment)
            if killed.code == 0 { break }
            #expect(killed.code == -SIGKILL, "call \(moment): \(killed.output)")
            let rest = try run(kind, name, at: 0)
            #expect(rest.code == 0, "call \(moment): \(rest.output)")
            #expect(try await outcome(name).differences(from: wanted) == [], "call \(moment)")
            try server.sql("DROP DATABASE \(name) WITH (FORCE)")
            kills += 1
            // Before the effect of one call, after that of another, and so on: SQLite's tests take them all.
            moment += kind == "retain" ? 5 : 3
        }
        #expect(kills > 4, "only \(kills)")
    }
}
