// A program that tests start and kill. It says on standard output what was acknowledged, a line at a time.
//
//   StoreExerciser credit PATH CLIENTS          credits accounts with numbered commands until it is killed
//   StoreExerciser write PATH NAME WRITERS N    N appends by each of so many writers, timestamps taken early
//   StoreExerciser export PATH FILE CALL        exports, and kills itself at a call of the store; 0 for never
//   StoreExerciser import PATH FILE CALL        imports, likewise
//   StoreExerciser unsnapshot PATH ID CALL      deletes an entity's snapshots, likewise
//   StoreExerciser project PATH NAME [LEASE_MS [PARALLELISM]]
//                                               runs a projection that notes every event until it is killed
//   StoreExerciser rebuild PATH NAME CALL [in-place]
//                                               rebuilds it, and kills itself at a call of the store; 0 for never
//   StoreExerciser migrate|migrate-drop|erase|retain|rotate PATH SUBJECT CALL
//                                               carries an operation out, likewise; SUBJECT are IDs with commas
//                                               between, or the archive
//   StoreExerciser lock PATH                    holds the write lock until standard input ends
//
// PATH is a SQLite file, or the URL of a PostgreSQL database.

import BankDomain
import Ego
import EgoCore
import EgoOperations
import EgoPostgres
import EgoSQLite
import EgoTestKit
import ExerciserSupport
import Foundation
import SwiftProtobuf
import Synchronization

func say(_ line: String) {
    FileHandle.standardOutput.write(Data((line + "\n").utf8))
}

func open(_ path: String, reconnectTimeout: Duration = .seconds(60)) async throws -> any Store {
    if path.hasPrefix("postgres://") {
        return try await PostgresStore(
            url: PostgresURL(path), options: PostgresStoreOptions(reconnectTimeout: reconnectTimeout))
    }
    return try await SQLiteStore(path: path, options: SQLiteStoreOptions(busyTimeout: .seconds(60)))
}

func credit(_ path: String, clients: Int) async throws {
    try await credit(try await open(path), clients: clients)
}

func credit(_ store: some Store, clients: Int) async throws {
    let engine = Engine(
        store: store, domain: .bank, configuration: EngineConfiguration(snapshotInterval: 20))
    say("ready")
    try await withThrowingTaskGroup(of: Void.self) { group in
        for client in 0..<clients {
            group.addTask {
                let account = try engine.entity(AccountBehavior(), try PersistenceID("c-\(client)"))
                let done = Int(try await account.state().accountBalance)
                if done == 0, try await account.sequenceNumber() == 0 {
                    let opened = AccountBehavior.Command.create(.with { $0.accountID = "c-\(client)" })
                    _ = try await account.send(opened, CommandOptions(expectedVersion: .noStream))
                }
                // The last commands are sent again: whoever was killed cannot know whether they arrived.
                for number in max(1, done - 2)... {
                    guard let commandID = CommandID("\(client)-\(number)") else { continue }
                    let reply = try await account.send(
                        .credit(.with { $0.balance = 1 }), CommandOptions(commandID: commandID))
                    say("ack \(client) \(number) \(reply.sequenceNumber) \(Int(reply.state.accountBalance))")
                }
            }
        }
        try await group.waitForAll()
    }
}

func write(_ path: String, name: String, writers: Int, count: Int) async throws {
    let store = try await open(path)
    try await withThrowingTaskGroup(of: Void.self) { group in
        for writer in 0..<writers {
            group.addTask {
                let own = try PersistenceID("\(name)-\(writer)")
                let shared = try PersistenceID("shared")
                for number in 0..<count {
                    let timestamp = SystemTime().now()
                    // What an application does between taking the time and committing.
                    try await Task.sleep(for: .microseconds(Int.random(in: 0...2_000)))
                    let event = NewEvent(
                        timestamp: timestamp,
                        payload: AnyPayload(typeURL: "type.googleapis.com/race.Event", value: []).serialized())
                    _ = try await store.append([
                        AppendRequest(
                            persistenceID: number.isMultiple(of: 4) ? shared : own, expectedVersion: .any,
                            events: [event])
                    ])
                }
            }
        }
        try await group.waitForAll()
    }
    await store.close()
}

/// A store whose process is killed at the n-th call that changes it: an odd number is before its effect, an even one
/// after it.
final class DeadlyStore: ForwardingStore {
    let base: any Store
    private let moment: Int
    private let count = Mutex(0)

    init(_ base: any Store, at moment: Int) {
        self.base = base
        self.moment = moment
    }

    func forward<Value: Sendable>(
        _ call: StoreCall, _ body: () async throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        if call.isWrite { step() }
        let value = try await body()
        if call.isWrite { step() }
        return value
    }

    private func step() {
        let reached = count.withLock { count in
            count += 1
            return count == moment
        }
        if reached { kill(getpid(), SIGKILL) }
    }
}

/// Prints the result of a transfer, or the error that ended it.
func transfer(_ kind: String, _ path: String, _ subject: String, at moment: Int) async throws {
    let store = DeadlyStore(try await open(path), at: moment)
    let page = PageLimit(rows: 7)
    let person = Operator.current()
    switch kind {
    case "export":
        let export = JournalExport(
            store: store, messages: Domain.bank.messages, selection: ExportSelection(), format: .jsonl, page: page,
            pagesPerCheckpoint: 1)
        let summary = try await export.write(toFile: subject, command: "", by: person, time: SystemTime())
        say("\(summary.events) \(summary.sha256)")
    case "import":
        let work = JournalImport(store: store, format: .jsonl, onConflict: .skip, page: page)
        let summary = try await work.run(
            subject, try await work.check(subject), command: "", by: person, time: SystemTime())
        say("\(summary.events)")
    default:
        let snapshots = Snapshots(store: store, domain: .bank, time: SystemTime(), by: person)
        let deletion = Snapshots.Deletion(ids: [try PersistenceID(subject)])
        let plan = try await snapshots.planDeletion(deletion)
        say("\(try await snapshots.delete(deletion, as: plan, command: ""))")
    }
    await store.close()
}

func project(_ path: String, name: String, leaseTime: Duration, parallelism: Int) async throws {
    // Short, so that an outage is the runner's to wait for, not the store's.
    let store = try await open(path, reconnectTimeout: .seconds(1))
    let options = ProjectionOptions(pageSize: 37, pollInterval: .milliseconds(100), parallelism: parallelism)
    let pages = Mutex(0)
    let runner = ProjectionRunner(
        Projection(name, SeenEvents(), options: options), store: store, reader: EventReader(),
        owner: "exerciser \(getpid())", leaseTime: leaseTime,
        progress: { _ in
            let number = pages.withLock { pages in
                pages += 1
                return pages
            }
            say("page \(number)")
        })
    say("ready")
    try await runner.run()
}

/// Prints how many events were handed out and the version that they made, or the error that ended it.
func rebuild(_ path: String, name: String, at moment: Int, _ strategy: Rebuild.Strategy?) async throws {
    let store = DeadlyStore(try await open(path), at: moment)
    let work = Rebuild(store: store, reader: EventReader(), by: .current(), time: SystemTime())
    do {
        let outcomes = try await work.run(
            [Projection(name, SeenEvents())], Rebuild.Options(strategy: strategy, page: PageLimit(rows: 41)),
            command: "rebuild",
            progress: { done, _ in say("page \(done)") })
        for outcome in outcomes { say("\(outcome.events) \(outcome.version)") }
    } catch {
        say("failed: \(error)")
        exit(1)
    }
    await store.close()
}

/// Prints what an operation did, or the error that ended it.
func operate(_ kind: String, _ path: String, _ subject: String, at moment: Int) async throws {
    let store = DeadlyStore(try await open(path), at: moment)
    let (person, time, page) = (Operator.forExercise, SystemTime(), PageLimit(rows: 7))
    switch kind {
    case "migrate", "migrate-drop":
        let work = InlineStateMigration(store: store, domain: .bank, by: person, time: time, page: page)
        let options = InlineStateMigration.Options(verifies: true, drops: kind == "migrate-drop")
        let summary = try await work.run(options, command: "migrate")
        say("\(summary.written + summary.kept) \(summary.failures)")
    case "erase":
        let ids = try subject.split(separator: ",").map { try PersistenceID(String($0)) }
        let work = EntityErasure(
            store: store, domain: .bank, by: person, time: time, page: page, staleness: .zero)
        let plan = try await work.plan(ids, EntityErasure.Options())
        let certificates = try await work.run(ids, EntityErasure.Options(), as: plan, command: "erase")
        say("\(certificates.count)")
    case "retain":
        let work = JournalRetention(store: store, domain: .bank, by: person, time: time, page: page)
        let policies = [RetentionPolicy(keepEvents: 5, keepSnapshots: 1)]
        let archive = subject == "-" ? nil : subject
        let isUnfinished = try await work.isUnfinished(policies, archive: archive)
        let plan = try await work.plan(policies).plan
        let summary = try await work.run(
            policies, archive: archive, as: isUnfinished ? nil : plan, command: "retain")
        say("\(summary.events) \(summary.snapshots)")
    default:
        let summary = try await KeyRotation(store: store, keys: store, by: person, time: time).rotate(
            from: .exercise(1), to: .exercise(2), isDryRun: false, command: "rotate")
        say("\(summary.rotated + summary.kept) \(summary.failures)")
    }
    await store.close()
}

func lock(_ path: String) async throws {
    let store = try await SQLiteStore(path: path)
    struct Undo: Error {}
    do {
        _ = try await store.commit([], under: nil) { _ in
            say("locked")
            _ = FileHandle.standardInput.readDataToEndOfFile()
            throw Undo()
        }
    } catch {}
}

let arguments = Array(CommandLine.arguments.dropFirst())
switch arguments.first {
case "credit": try await credit(arguments[1], clients: Int(arguments[2]) ?? 1)
case "write":
    try await write(arguments[1], name: arguments[2], writers: Int(arguments[3]) ?? 1, count: Int(arguments[4]) ?? 1)
case "export"?, "import"?, "unsnapshot"?:
    try await transfer(arguments[0], arguments[1], arguments[2], at: Int(arguments[3]) ?? 0)
case "project":
    let milliseconds = arguments.count > 3 ? Int(arguments[3]) ?? 300 : 300
    let parallelism = arguments.count > 4 ? Int(arguments[4]) ?? 1 : 1
    try await project(
        arguments[1], name: arguments[2], leaseTime: .milliseconds(milliseconds), parallelism: parallelism)
case "rebuild":
    let strategy = arguments.count > 4 ? Rebuild.Strategy(rawValue: arguments[4]) : nil
    try await rebuild(arguments[1], name: arguments[2], at: Int(arguments[3]) ?? 0, strategy)
case "migrate"?, "migrate-drop"?, "erase"?, "retain"?, "rotate"?:
    do { try await operate(arguments[0], arguments[1], arguments[2], at: Int(arguments[3]) ?? 0) } catch {
        say("failed: \(error)")
        exit(1)
    }
case "lock": try await lock(arguments[1])
default: exit(64)
}
