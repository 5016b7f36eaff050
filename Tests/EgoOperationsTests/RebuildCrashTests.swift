import EgoCore
import EgoOperations
import EgoSQLite
import EgoTestKit
import ExerciserSupport
import Foundation
import Synchronization
import Testing

@Suite("A rebuild beside the read model in use", .serialized)
struct RebuildCrashTests {
    private let folder: Folder
    private let name = "noted"

    init() throws { folder = try Folder() }

    // MARK: What it is done with

    private func append(_ store: any Store, _ count: Int) async throws {
        let requests = try (0..<count).map { number in
            AppendRequest(
                persistenceID: try PersistenceID("e-\(number % 7)"), expectedVersion: .any,
                events: [
                    NewEvent(
                        timestamp: SystemTime().now(),
                        payload: AnyPayload(typeURL: "type.googleapis.com/test.Event", value: []).serialized())
                ])
        }
        _ = try await store.append(requests)
    }

    /// Lets the exerciser's projection process everything there is.
    private func drain(_ path: String, _ store: any Store) async throws {
        let process = try ExerciserProcess(["project", path, name])
        defer { process.kill() }
        try await poll("caught up") { try await SeenEvents.isCaughtUp(name, store) }
        process.kill()
        // It cannot give its lease back.
        for lease in try await store.leases() { try await store.release(lease) }
    }

    private func control(_ store: any Store) -> ProjectionControl {
        ProjectionControl(store: store, by: operatorForTests, time: SystemTime())
    }

    private func rebuild(
        _ store: any Store, _ onError: Rebuild.OnError = .fail, name: String? = nil,
        strategy: Rebuild.Strategy? = nil, refuse: (@Sendable (ProjectedEvent) throws -> Void)? = nil
    ) async throws -> Rebuild.Outcome {
        let work = Rebuild(store: store, reader: EventReader(), by: operatorForTests, time: SystemTime())
        let outcomes = try await work.run(
            [Projection(name ?? self.name, SeenEvents(refuse: refuse))],
            Rebuild.Options(strategy: strategy, onError: onError, page: PageLimit(rows: 20)), command: "rebuild")
        return try #require(outcomes.first)
    }

    private func record(_ store: any Store) async throws -> ProjectionRecord {
        try #require(try await store.projection(name))
    }

    /// The tables of a read model's versions.
    private func tables(_ store: any Store) async throws -> Set<String> {
        let rows = try await SeenEvents.query(
            store, "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'seen%'")
        return Set(rows.compactMap { if case .text(let name) = $0[0] { name } else { nil } })
    }

    private static func tables(_ versions: Int...) -> Set<String> {
        Set(versions.flatMap { ["seen_v\($0)", "seen_entities_v\($0)"] })
    }

    /// The read model as the plain names show it.
    private struct Model: Equatable {
        var events: Set<SeenEvents.Row>
        var entities: Set<[ReadModelValue]>

        init(_ store: any Store) async throws {
            events = Set(try await SeenEvents.rows(store))
            entities = Set(try await SeenEvents.query(store, "SELECT id, last, events FROM seen_entities"))
        }
    }

    // MARK: kill -9

    @Test("that is killed at any call leaves the one in use whole, and the next run finishes it")
    func kill() async throws {
        let (before, after) = (150, 330)
        let base = try await folder.store("base.db")
        try await append(base, before)
        try await drain(folder.path("base.db"), base)
        let old = try await Model(base)
        #expect(old.events.count == before)
        try await append(base, after - before)
        await base.close()

        func copy(_ name: String) throws -> String {
            // Closed by its last user: there is no write-ahead log beside it.
            #expect(!FileManager.default.fileExists(atPath: folder.path("base.db-wal")))
            try FileManager.default.copyItem(atPath: folder.path("base.db"), toPath: folder.path(name))
            return folder.path(name)
        }
        let undisturbed = try exercise(["rebuild", try copy("undisturbed.db"), name, "0"])
        #expect(undisturbed.code == 0 && undisturbed.output.hasSuffix("\(after) 2\n"), "\(undisturbed)")
        let store = try await SQLiteStore(path: folder.path("undisturbed.db"))
        let wanted = try await Model(store)
        #expect(wanted.events.count == after)
        #expect(try await SeenEvents.problems(of: name, in: store) == [])
        await store.close()

        var (moment, promotions) = (1, 0)
        while true {
            let path = try copy("killed-\(moment).db")
            let killed = try exercise(["rebuild", path, name, "\(moment)"])
            if killed.code == 0 { break }
            #expect(killed.code == -SIGKILL, "call \(moment): \(killed.output)")
            let store = try await SQLiteStore(path: path)
            let isPromoted = try await record(store).activeVersion == 2
            promotions += isPromoted ? 1 : 0
            #expect(try await Model(store) == (isPromoted ? wanted : old), "call \(moment)")
            let jobs = try await store.jobs()
            #expect(jobs.allSatisfy { $0.state == (isPromoted ? .done : .running) }, "call \(moment)")
            #expect(try await AuditLog(store: store).verify().problems == [])

            let rest = try exercise(["rebuild", path, name, "0"])
            #expect(rest.code == 0, "call \(moment): \(rest.output)")
            let active = isPromoted ? 3 : 2
            #expect(rest.output.hasSuffix("\(after) \(active)\n"), "call \(moment)")
            #expect(try await Model(store) == wanted, "call \(moment)")
            #expect(try await SeenEvents.problems(of: name, in: store) == [], "call \(moment)")
            let record = try await record(store)
            #expect(record.activeVersion == active && record.previousVersion == active - 1)
            #expect(record.shadowVersion == nil && record.mode == .running)
            #expect(try await tables(store) == Self.tables(active - 1, active), "call \(moment)")
            #expect(try await store.jobs().map(\.state) == (isPromoted ? [.done, .done] : [.done]))
            let verdict = try await AuditLog(store: store).verify()
            #expect(verdict.problems == [] && verdict.records == (isPromoted ? 2 : 1), "call \(moment)")
            await store.close()
            moment += 1
        }
        // Taking the lease, four commits around the pages, giving the lease back; nine pages.
        #expect(moment == 2 * (6 + 9) + 1, "\(moment - 1) moments")
        // After the last commit, and at giving the lease back.
        #expect(promotions == 3)
    }

    @Test("in place that is killed at any call keeps the projection waiting, and the next run finishes it")
    func killInPlace() async throws {
        let (before, after) = (150, 330)
        let base = try await folder.store("base.db")
        try await append(base, before)
        try await drain(folder.path("base.db"), base)
        let old = try await Model(base)
        try await append(base, after - before)
        await base.close()
        #expect(!FileManager.default.fileExists(atPath: folder.path("base.db-wal")))

        var (moment, waits) = (1, 0)
        while true {
            let path = folder.path("killed-\(moment).db")
            try FileManager.default.copyItem(atPath: folder.path("base.db"), toPath: path)
            let killed = try exercise(["rebuild", path, name, "\(moment)", "in-place"])
            if killed.code == 0 { break }
            #expect(killed.code == -SIGKILL, "call \(moment): \(killed.output)")
            let store = try await SQLiteStore(path: path)
            let isDone = try await store.jobs().first?.state == .done
            let mode = try await record(store).mode
            if mode == .rebuilding {
                waits += 1
                let error = await #expect(throws: OperationError.self) { try await control(store).resume(name) }
                #expect(error?.code == .refused)
            } else if !isDone {
                #expect(try await Model(store) == old, "call \(moment)")
            }
            #expect(try await SeenEvents.problems(of: name, in: store, isWhole: isDone) == [], "call \(moment)")

            let rest = try exercise(["rebuild", path, name, "0", "in-place"])
            #expect(rest.code == 0 && rest.output.hasSuffix("\(after) 1\n"), "call \(moment): \(rest.output)")
            #expect(try await SeenEvents.problems(of: name, in: store) == [], "call \(moment)")
            let record = try await record(store)
            #expect(record.activeVersion == 1 && record.previousVersion == nil && record.shadowVersion == nil)
            #expect(record.mode == .running)
            #expect(try await tables(store) == Self.tables(1))
            #expect(try await store.jobs().allSatisfy { $0.state == .done })
            let verdict = try await AuditLog(store: store).verify()
            #expect(verdict.problems == [] && verdict.records == (isDone ? 2 : 1), "call \(moment)")
            await store.close()
            moment += 1
        }
        #expect(moment == 2 * (6 + 9) + 1, "\(moment - 1) moments")
        // From after the second commit until before the last one.
        #expect(waits == 2 * (1 + 9) + 2)
    }

    // MARK: Beside others

    @Test("misses nothing and counts nothing twice while others append and its projection runs")
    func appends() async throws {
        let path = folder.path("busy.db")
        let store = try await folder.store("busy.db")
        try await append(store, 2_000)
        let projection = try ExerciserProcess(["project", path, name])
        let writer = try ExerciserProcess(["write", path, "w", "2", "800"])
        defer { for process in [projection, writer] { process.kill() } }
        try await poll("it has begun") { projection.pages > 3 }
        let rebuild = try ExerciserProcess(["rebuild", path, name, "0"])
        defer { rebuild.kill() }
        while rebuild.isRunning {
            #expect(try await SeenEvents.problems(of: name, in: store, isWhole: false) == [])
            try await Task.sleep(for: .milliseconds(10))
        }
        #expect(try await rebuild.end() == 0, "\(rebuild.lines.last ?? "")")
        #expect(writer.isRunning, "nothing was appended meanwhile")
        #expect(try await record(store).activeVersion == 2)
        #expect(try await writer.end() == 0)
        try await poll("caught up") { try await SeenEvents.isCaughtUp(name, store) }
        projection.kill()
        #expect(try await SeenEvents.rows(store).count == 2_000 + 1_600)
        #expect(try await SeenEvents.problems(of: name, in: store) == [])
        // What was in use before stays as it was when the new one took its place.
        #expect(try await SeenEvents.problems(of: name, in: store, isWhole: false, suffix: "_v1") == [])
        await store.close()
    }

    @Test("is refused while another one is at work, which finishes all the same")
    func second() async throws {
        let store = try await folder.store("two.db")
        try await append(store, 100)
        let waiting = WaitingStore(store)
        let first = Task { try await rebuild(waiting) }
        try await poll("the first is at work") { waiting.isReached }
        for other in [name, "another"] {
            let error = await #expect(throws: StoreError.self) { try await rebuild(store, name: other) }
            #expect(error?.code == .leaseHeld)
        }
        waiting.goOn()
        #expect(try await first.value.isPromoted)
        #expect(try await SeenEvents.problems(of: name, in: store) == [])
        #expect(try await store.projection("another") == nil)
        #expect(try await rebuild(store).version == 3)
        await store.close()
    }

    // MARK: Nothing to begin with

    @Test("makes the first version of a projection that never ran, and there is nothing to go back to")
    func neverRan() async throws {
        let store = try await folder.store("new.db")
        try await append(store, 130)
        let outcome = try await rebuild(store)
        #expect(outcome.events == 130 && outcome.isPromoted && outcome.isVerified)
        #expect(try await SeenEvents.problems(of: name, in: store) == [])
        #expect(try await record(store).previousVersion == nil)
        #expect(try await tables(store) == Self.tables(outcome.version))
        let error = await #expect(throws: OperationError.self) { try await control(store).rollback(name) }
        #expect(error?.code == .refused)
        #expect(try await !control(store).forgetPrevious(name))
        try await append(store, 50)
        try await drain(folder.path("new.db"), store)
        #expect(try await SeenEvents.rows(store).count == 180)
        #expect(try await SeenEvents.problems(of: name, in: store) == [])
        await store.close()
    }

    @Test("of an empty journal gives an empty read model, which fills")
    func emptyJournal() async throws {
        let store = try await folder.store("empty.db")
        let outcome = try await rebuild(store)
        #expect(outcome.events == 0 && outcome.isPromoted && outcome.isVerified)
        #expect(try await SeenEvents.rows(store) == [])
        try await append(store, 60)
        try await drain(folder.path("empty.db"), store)
        #expect(try await SeenEvents.rows(store).count == 60)
        #expect(try await SeenEvents.problems(of: name, in: store) == [])
        await store.close()
    }

    // MARK: Events that fail

    private struct Refused: Error, CustomStringConvertible { let description = "refused by the test" }

    @Test("that an event stops leaves the one in use, and goes on where it stopped once the handler is mended")
    func failing() async throws {
        let store = try await folder.store("failing.db")
        try await append(store, 100)
        #expect(try await rebuild(store).version == 2)
        let old = try await Model(store)
        try await append(store, 100)
        let bad = try await SeenEvents.journal(store)[130]
        let error = await #expect(throws: OperationError.self) {
            try await rebuild(store) { if $0.offset.description == bad.position { throw Refused() } }
        }
        #expect(error?.code == .failed)
        #expect(error?.message == "projection noted, event \(bad.number) of \(bad.id): refused by the test")
        #expect(try await Model(store) == old)
        let stopped = try await record(store)
        #expect(stopped.activeVersion == 2 && stopped.shadowVersion == 3 && stopped.mode == .running)
        #expect(stopped.failure == nil, "the projection in use has not failed")
        let job = try #require(try await store.jobs().first { $0.state.isUnfinished })
        #expect(job.state == .failed)

        let handled = Mutex(0)
        let outcome = try await rebuild(store) { _ in handled.withLock { $0 += 1 } }
        #expect(outcome.version == 3 && outcome.events == 200 && outcome.isPromoted)
        // Six pages of twenty were committed; those are not handed out again.
        #expect(handled.withLock { $0 } == 80)
        #expect(try await store.job(job.id)?.state == .done)
        #expect(try await SeenEvents.problems(of: name, in: store) == [])
        let promoted = try await record(store)
        #expect(promoted.activeVersion == 3 && promoted.previousVersion == 2 && promoted.shadowVersion == nil)
        let verdict = try await AuditLog(store: store).verify()
        #expect(verdict.problems == [] && verdict.records == 3)
        await store.close()
    }

    /// Events of a journal to fail on: first and last of a page, some side by side, and some by chance.
    private func chosen(_ store: any Store, seed: UInt64) async throws -> [SeenEvents.Row] {
        var random = SeededGenerator(seed: seed)
        let journal = try await SeenEvents.journal(store)
        var numbers: Set = [0, 19, 20, 21, 22, journal.count - 1]
        while numbers.count < 15 { numbers.insert(Int.random(in: 0..<journal.count, using: &random)) }
        return numbers.sorted().map { journal[$0] }
    }

    @Test("keeps events that fail as dead letters, and only those")
    func deadLetters() async throws {
        let store = try await folder.store("letters.db")
        try await append(store, 200)
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        let bad = try await chosen(store, seed: seed)
        let positions = Set(bad.map(\.position))
        let refuse: @Sendable (ProjectedEvent) throws -> Void = {
            if positions.contains($0.offset.description) { throw Refused() }
        }
        let outcome = try await rebuild(store, .deadLetter, refuse: refuse)
        #expect(outcome.deadLetters == bad.count && outcome.events == 200 - bad.count && outcome.skipped == 0)
        #expect(outcome.isPromoted)
        let letters = try await store.deadLetters(DeadLetterQuery(projection: name))
        #expect(letters.map(\.offset.description) == bad.map(\.position))
        #expect(letters.map { Int64($0.sequenceNumber.rawValue) } == bad.map(\.number))
        #expect(letters.allSatisfy { $0.version == outcome.version && $0.error == "refused by the test" })
        #expect(try await Set(SeenEvents.rows(store)) == Set(SeenEvents.journal(store)).subtracting(bad))
        #expect(try await record(store).failure == nil)

        // With a handler that is mended, each of them is processed once.
        let care = DeadLetters(store: store, reader: EventReader(), by: operatorForTests, time: SystemTime())
        try await care.retry(letters, with: Projection(name, SeenEvents(refuse: { _ in }))) { letter, retry in
            #expect(retry == .processed, "\(letter.offset)")
        }
        #expect(try await Set(SeenEvents.rows(store)) == Set(SeenEvents.journal(store)))
        #expect(try await store.deadLetters(DeadLetterQuery(projection: name)) == [])

        // A further rebuild forgets the version before the last, with its letters.
        #expect(try await rebuild(store, .deadLetter, refuse: refuse).version == 3)
        #expect(try await store.deadLetters(DeadLetterQuery(projection: name, version: 3)).count == bad.count)
        #expect(try await rebuild(store).version == 4)
        #expect(try await rebuild(store).version == 5)
        #expect(try await store.deadLetters(DeadLetterQuery(projection: name, version: 3)) == [])
        #expect(try await tables(store) == Self.tables(4, 5))
        #expect(try await AuditLog(store: store).verify().problems == [])
        await store.close()
    }

    @Test("passes events that fail over, and counts them")
    func skipping() async throws {
        let store = try await folder.store("skipping.db")
        try await append(store, 200)
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        let bad = try await chosen(store, seed: seed)
        let positions = Set(bad.map(\.position))
        let outcome = try await rebuild(store, .skip) {
            if positions.contains($0.offset.description) { throw Refused() }
        }
        #expect(outcome.skipped == bad.count && outcome.events == 200 - bad.count && outcome.deadLetters == 0)
        #expect(outcome.isPromoted)
        #expect(try await store.deadLetters(DeadLetterQuery(projection: name)) == [])
        #expect(try await Set(SeenEvents.rows(store)) == Set(SeenEvents.journal(store)).subtracting(bad))
        await store.close()
    }

    @Test("that stopped is given up when another one takes its place, and the next begins anew")
    func overtaken() async throws {
        let store = try await folder.store("overtaken.db")
        try await append(store, 100)
        let refuse: @Sendable (ProjectedEvent) throws -> Void = { if $0.sequenceNumber == 9 { throw Refused() } }
        await #expect(throws: OperationError.self) { try await rebuild(store, refuse: refuse) }
        // What the hint of that error says.
        #expect(try await rebuild(store, .deadLetter, refuse: refuse).isPromoted)
        #expect(try await store.jobs().map(\.state).sorted { $0.rawValue < $1.rawValue } == [.discarded, .done])
        let handled = Mutex(0)
        let outcome = try await rebuild(store) { _ in handled.withLock { $0 += 1 } }
        #expect(handled.withLock { $0 } == 100 && outcome.events == 100 && outcome.isPromoted)
        #expect(try await SeenEvents.problems(of: name, in: store) == [])
        await store.close()
    }

    @Test("that is in place does not go on beside the runner once another one has overtaken it")
    func overtakenInPlace() async throws {
        let store = try await folder.store("overtaken-in-place.db")
        try await append(store, 100)
        let refuse: @Sendable (ProjectedEvent) throws -> Void = { if $0.sequenceNumber == 9 { throw Refused() } }
        await #expect(throws: OperationError.self) { try await rebuild(store, strategy: .inPlace, refuse: refuse) }
        #expect(try await self.record(store).mode == .rebuilding)
        #expect(try await rebuild(store).isPromoted)
        let record = try await self.record(store)
        #expect(record.mode == .running && record.rebuildJob == nil)
        try await append(store, 50)
        let outcome = try await rebuild(store, strategy: .inPlace)
        #expect(outcome.events == 150 && outcome.isPromoted)
        #expect(try await SeenEvents.problems(of: name, in: store) == [])
        await store.close()
    }

    // MARK: Back

    @Test("is taken back by a rollback, from which the older version goes on, and forgotten for good afterwards")
    func rollback() async throws {
        let path = folder.path("back.db")
        let store = try await folder.store("back.db")
        try await append(store, 100)
        try await drain(path, store)
        try await append(store, 100)
        #expect(try await rebuild(store).version == 2)
        #expect(try await SeenEvents.rows(store).count == 200)
        try await control(store).rollback(name)
        var record = try await record(store)
        #expect(record.activeVersion == 1 && record.previousVersion == 2)
        #expect(try await SeenEvents.rows(store).count == 100, "the older version as it was left")
        try await append(store, 30)
        try await drain(path, store)
        #expect(try await SeenEvents.problems(of: name, in: store) == [])

        // And forth again: the newer version catches up from where it was left.
        try await control(store).rollback(name)
        #expect(try await SeenEvents.rows(store).count == 200)
        try await drain(path, store)
        #expect(try await SeenEvents.rows(store).count == 230)
        #expect(try await SeenEvents.problems(of: name, in: store) == [])

        #expect(try await control(store).forgetPrevious(name))
        record = try await self.record(store)
        #expect(record.activeVersion == 2 && record.previousVersion == nil)
        #expect(try await tables(store) == Self.tables(2))
        #expect(try await store.offsets(of: name, version: 1).isEmpty)
        #expect(try await !control(store).forgetPrevious(name))
        let error = await #expect(throws: OperationError.self) { try await control(store).rollback(name) }
        #expect(error?.code == .refused)
        #expect(try await SeenEvents.problems(of: name, in: store) == [])
        let verdict = try await AuditLog(store: store).verify()
        #expect(verdict.problems == [] && verdict.records == 4)
        await store.close()
    }

    @Test("that was given up leaves nothing behind")
    func discarded() async throws {
        let store = try await folder.store("discarded.db")
        try await append(store, 100)
        #expect(try await rebuild(store).version == 2)
        let refuse: @Sendable (ProjectedEvent) throws -> Void = { if $0.sequenceNumber == 9 { throw Refused() } }
        await #expect(throws: OperationError.self) { try await rebuild(store, refuse: refuse) }
        #expect(try await tables(store) == Self.tables(2, 3))
        let job = try #require(try await store.jobs().first { $0.state.isUnfinished })
        let given = try await Jobs(store: store, time: SystemTime(), by: operatorForTests)
            .discard(job.id, isDryRun: false)
        #expect(given.isChanged)
        #expect(try await tables(store) == Self.tables(2))
        #expect(try await store.offsets(of: name, version: 3).isEmpty)
        #expect(try await self.record(store).shadowVersion == nil)
        let outcome = try await rebuild(store)
        #expect(outcome.version == 3 && outcome.events == 100)
        #expect(try await SeenEvents.problems(of: name, in: store) == [])
        #expect(try await tables(store) == Self.tables(2, 3))
        await store.close()
    }

    @Test("that was given up before its projection ever ran leaves nothing that a later one would find")
    func discardedFirst() async throws {
        let store = try await folder.store("first.db")
        try await append(store, 100)
        let refuse: @Sendable (ProjectedEvent) throws -> Void = { if $0.sequenceNumber == 9 { throw Refused() } }
        await #expect(throws: OperationError.self) { try await rebuild(store, refuse: refuse) }
        let job = try #require(try await store.jobs().first { $0.state.isUnfinished })
        _ = try await Jobs(store: store, time: SystemTime(), by: operatorForTests).discard(job.id, isDryRun: false)
        #expect(try await control(store).forget(name))
        #expect(try await tables(store) == [])
        do {
            #expect(try await rebuild(store).events == 100)
            #expect(try await SeenEvents.problems(of: name, in: store) == [])
        } catch {
            Issue.record("the next rebuild fails on what it found: \(error)")
        }
        await store.close()
    }

    @Test("that was given up before its projection ever ran leaves nothing behind once another one is done")
    func discardedBeforeAnother() async throws {
        let store = try await folder.store("before.db")
        try await append(store, 100)
        let refuse: @Sendable (ProjectedEvent) throws -> Void = { if $0.sequenceNumber == 9 { throw Refused() } }
        await #expect(throws: OperationError.self) { try await rebuild(store, refuse: refuse) }
        let outcome = try await rebuild(store, .skip)
        #expect(outcome.events == 100)
        #expect(try await tables(store) == Self.tables(outcome.version))
        #expect(try await SeenEvents.problems(of: name, in: store) == [])
        await store.close()
    }

    // MARK: Other tables

    private func rebuildNext(_ store: any Store) async throws -> Rebuild.Outcome {
        let work = Rebuild(store: store, reader: EventReader(), by: operatorForTests, time: SystemTime())
        let outcomes = try await work.run(
            [Projection(name, NextSeenEvents())], Rebuild.Options(page: PageLimit(rows: 20)), command: "rebuild")
        return try #require(outcomes.first)
    }

    /// The views of a read model, and those of them that cannot be read.
    private func views(_ store: any Store) async throws -> (all: Set<String>, broken: Set<String>) {
        let rows = try await SeenEvents.query(
            store, "SELECT name FROM sqlite_master WHERE type = 'view' AND name LIKE 'seen%'")
        let all = Set(rows.compactMap { if case .text(let name) = $0[0] { name } else { nil } })
        var broken: Set<String> = []
        for view in all {
            do { _ = try await SeenEvents.query(store, "SELECT count(*) FROM \(view)") } catch { broken.insert(view) }
        }
        return (all, broken)
    }

    @Test("shows the tables of the version in use and no others, whichever tables the versions have")
    func otherTables() async throws {
        let store = try await folder.store("tables.db")
        try await append(store, 60)
        try await drain(folder.path("tables.db"), store)
        #expect(try await rebuildNext(store).version == 2)
        #expect(try await views(store).all == ["seen", "seen_days"], "after the rebuild")
        #expect(try await views(store).broken == [])
        #expect(try await SeenEvents.query(store, "SELECT events FROM seen_days") == [[.integer(60)]])
        try await control(store).rollback(name)
        #expect(try await views(store).all == ["seen", "seen_entities"], "after the rollback")
        #expect(try await views(store).broken == [], "after the rollback")
        try await append(store, 20)
        // The release before runs again.
        try await drain(folder.path("tables.db"), store)
        #expect(try await SeenEvents.problems(of: name, in: store) == [])
        #expect(try await control(store).forgetPrevious(name))
        #expect(try await tables(store) == Self.tables(1), "after the newer version was forgotten")
        await store.close()
    }

    @Test("forgets all tables of an older version, also those that the newer one has not")
    func forgottenTables() async throws {
        let store = try await folder.store("forgotten.db")
        try await append(store, 60)
        try await drain(folder.path("forgotten.db"), store)
        #expect(try await rebuildNext(store).version == 2)
        #expect(try await control(store).forgetPrevious(name))
        #expect(try await tables(store) == ["seen_v2", "seen_days_v2"])
        #expect(try await control(store).forget(name))
        #expect(try await tables(store) == [])
        #expect(try await views(store).all == [])
        await store.close()
    }
}

/// A store whose second page of the journal waits until the test lets it go.
private final class WaitingStore: ForwardingStore {
    private struct State {
        var pages = 0
        var isOpen = false
    }

    let base: any Store
    private let state = Mutex(State())

    init(_ base: any Store) { self.base = base }

    var isReached: Bool { state.withLock { $0.pages >= 2 } }

    func goOn() { state.withLock { $0.isOpen = true } }

    func forward<Value: Sendable>(
        _ call: StoreCall, _ body: () async throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        if call == .journal {
            state.withLock { $0.pages += 1 }
            if isReached {
                do { try await poll("the test") { state.withLock { $0.isOpen } } } catch {
                    throw StoreError(.timedOut, "\(error)")
                }
            }
        }
        return try await body()
    }
}
