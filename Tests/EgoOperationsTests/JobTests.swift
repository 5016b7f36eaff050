import ChildProcess
import Ego
import EgoCore
import EgoOperations
import EgoTestKit
import Foundation
import Testing

@Suite("Durable jobs")
struct JobTests {
    private let store = InMemoryStore()
    private let time = ManualClock()
    private let specification = JobSpecification(
        kind: "count", arguments: ["to": "3"], lease: "counting", command: "ego count")

    private func begin(_ person: Operator = operatorForTests) async throws -> JobRun<Int> {
        try await JobRun<Int>.begin(specification, on: store, by: person, time: time, from: { 0 })
    }

    @Test("commit a page and its checkpoint together, and go on from it")
    func resume() async throws {
        let first = try await begin()
        #expect(!first.isResumed)
        _ = try await first.commit([], checkpoint: 1)
        _ = try await first.commit([], checkpoint: 2)
        // As after kill -9: nothing was given back, and the lease has run out.
        time.advance(by: .seconds(31))
        let second = try await begin()
        #expect(second.isResumed && second.id == first.id)
        #expect(await second.checkpoint == 2)
        await #expect(throws: StoreError.self) { _ = try await first.commit([], checkpoint: 9) }
        _ = try await second.finish(result: "{\"count\":3}")
        let jobs = try await store.jobs()
        #expect(jobs.map(\.state) == [.done] && jobs[0].checkpoint == "2")
        #expect(try await store.leases() == [])
        let audit = try await store.audit(after: 0, limit: 10)
        #expect(audit.map(\.entry.action) == ["count"] && audit[0].entry.reason == "a test")
        // Work that is done is not gone on with.
        let third = try await begin()
        #expect(!third.isResumed && third.id != first.id)
    }

    @Test(
        "are interrupted, not failed, however the end of the task is told",
        arguments: [
            CancellationError(), StoreError(.cancelled, "cancelled"),
            EgoError(.storage, "cancelled", cause: StoreError(.cancelled, "cancelled")),
        ] as [any Error])
    func interrupted(_ error: any Error) async throws {
        let stopped = await #expect(throws: JobInterrupted.self) {
            try await JobRun<Int>.run(
                specification, on: store, by: operatorForTests, time: time, from: { 0 }
            ) { _ in throw error }
        }
        #expect(stopped?.command == "ego count")
        #expect(try await store.jobs().map(\.state) == [.interrupted])
    }

    @Test("refuse a second operator, naming the first and since when")
    func held() async throws {
        _ = try await begin(Operator(name: "ann@one", process: 1))
        time.advance(by: .seconds(12))
        do {
            _ = try await begin(Operator(name: "bob@two", process: 2))
            Issue.record("two operators at once")
        } catch let error as StoreError {
            #expect(error.code == .leaseHeld)
            #expect(
                error.message.wholeMatch(of: /ann@one \(process 1 of .*\) has held the lease on counting for 12 s/)
                    != nil)
        }
        #expect(try await store.jobs().count == 1)
    }

    @Test("take the lease of a process over that was killed on this machine, at once")
    func gone() async throws {
        let process = ChildProcess()
        process.executableURL = URL(filePath: "/bin/true")
        try process.run()
        process.waitUntilExit()
        _ = try await begin(Operator(name: "ann@one", process: process.processIdentifier))
        let other = Operator(name: "ann@other", process: 1)
        await #expect(throws: StoreError.self) { _ = try await begin(other) }
        let next = try await begin(Operator(name: "ann@one", process: getpid()))
        #expect(next.isResumed)
    }

    @Test("keep their lease while they work")
    func renew() async throws {
        let job = try await begin()
        for number in 1...10 {
            time.advance(by: .seconds(20))
            _ = try await job.commit([], checkpoint: number)
        }
        _ = try await job.finish(result: "{}")
    }

    @Test("say how to go on after an interruption, and are marked failed after an error")
    func stop() async throws {
        struct Trouble: Error {}
        await #expect(throws: JobInterrupted.self) {
            try await JobRun<Int>.run(specification, on: store, by: operatorForTests, time: time, from: { 0 }) { _ in
                throw CancellationError()
            }
        }
        #expect(try await store.jobs().map(\.state) == [.interrupted])
        #expect(try await store.leases() == [])
        await #expect(throws: Trouble.self) {
            try await JobRun<Int>.run(specification, on: store, by: operatorForTests, time: time, from: { 0 }) { job in
                _ = try await job.commit([], checkpoint: 1)
                throw Trouble()
            }
        }
        #expect(try await store.jobs().map(\.state) == [.failed])
        let results = try await store.audit(after: 0, limit: 10).map(\.entry.result)
        #expect(results == ["{\"outcome\":\"interrupted\"}", "{\"outcome\":\"failed\"}"])
    }
}

@Suite("The audit log")
struct AuditTests {
    private func filled() async throws -> InMemoryStore {
        let store = InMemoryStore()
        for number in 1...5 {
            _ = try await store.commit(
                [
                    .audit(
                        AuditEntry(
                            timestamp: Timestamp(unixNanoseconds: Int64(number)), actor: "ann", action: "test",
                            arguments: "{}", reason: "r\(number)", result: "{}"))
                ], under: nil)
        }
        return store
    }

    @Test("is intact as it is written")
    func intact() async throws {
        let verdict = try await AuditLog(store: try await filled()).verify()
        #expect(verdict.records == 5 && verdict.problems == [])
        let again = try await AuditLog(store: try await filled()).verify(expecting: verdict.lastHash)
        #expect(again.problems == [])
        #expect(try await AuditLog(store: InMemoryStore()).verify().lastHash == AuditRecord.firstPreviousHash)
    }

    @Test("shows what was changed, removed, put in, cut off or forged")
    func tampered() async throws {
        let records = try await filled().audit(after: 0, limit: 10)
        func verdict(_ change: (inout [AuditRecord]) -> Void, expecting: String? = nil) async throws -> [UInt64] {
            var changed = records
            change(&changed)
            return try await AuditLog(store: TamperedStore(changed)).verify(expecting: expecting)
                .problems.map(\.number)
        }
        #expect(try await verdict { _ in } == [])
        #expect(try await verdict { $0[1].entry.reason = "another" } == [2])
        #expect(try await verdict { $0[1].entry.timestamp = Timestamp(unixNanoseconds: 9) } == [2])
        #expect(try await verdict { $0.remove(at: 2) } == [4, 4])
        #expect(try await verdict { $0.removeFirst() } == [2, 2])
        // Hashed anew, the record after it tells.
        #expect(
            try await verdict { records in
                var entry = records[1].entry
                entry.reason = "another"
                records[1] = AuditRecord(number: 2, entry: entry, previousHash: records[1].previousHash)
            } == [3])
        // Cut off at its end it looks whole, but for whoever kept a hash.
        #expect(try await verdict { $0.removeLast() } == [])
        #expect(try await verdict({ $0.removeLast() }, expecting: records[4].hash) == [4])
    }

    /// A store whose log somebody has edited.
    private final class TamperedStore: ForwardingStore {
        let base: any Store = InMemoryStore()
        private let records: [AuditRecord]

        init(_ records: [AuditRecord]) { self.records = records }

        func forward<Value: Sendable>(
            _ call: StoreCall, _ body: () async throws(StoreError) -> Value
        ) async throws(StoreError) -> Value { try await body() }

        func audit(after number: UInt64, limit: Int) async throws(StoreError) -> [AuditRecord] {
            Array(records.filter { $0.number > number }.prefix(limit))
        }
    }
}
