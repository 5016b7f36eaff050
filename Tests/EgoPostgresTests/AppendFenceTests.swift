import EgoCore
import EgoPostgres
import PostgresServer
import Testing

@Suite("An append of one event, which takes one statement,", .serialized)
struct AppendFenceTests {
    private static let lockExclusive =
        "SELECT pg_advisory_xact_lock(1162303264::bigint << 32 | 'events_store'::regclass::oid::bigint);"

    @Test("waits for an erasure that is under way, and sees it")
    func erasure() async throws {
        let fresh = try await Fresh("fence")
        let store = try await fresh.open()
        // From the first one on the statement is prepared.
        for number in 0..<3 {
            let request = try append("a", expecting: .exact(SequenceNumber(UInt64(number))), command: "c\(number)")
            guard case .appended = try await store.append([request])[0] else {
                Issue.record("nobody else writes")
                return
            }
        }
        let session = try Session(fresh)
        try session.send("BEGIN; \(Self.lockExclusive) INSERT INTO ego_tombstones VALUES ('a', 3, 1, 1);")
        async let outcome = store.append([append("a", expecting: .exact(3), command: "late")])[0]
        try await waiting(fresh)
        try session.send("COMMIT;")
        try session.end()
        #expect(try await outcome == .erased)
        #expect(try await allEvents(of: "a", in: store).count == 3)
        await store.close()
    }

    @Test("is made beside a transaction that has not ended", arguments: [ExpectedVersion.exact(0), .noStream, .any])
    func beside(_ version: ExpectedVersion) async throws {
        let fresh = try await Fresh("fence")
        let store = try await fresh.open()
        let session = try Session(fresh)
        try session.send("BEGIN; SELECT pg_current_xact_id();")
        let first = try await store.append([append("a", expecting: version, command: "one")])[0]
        guard case .appended(let last, let offset) = first else {
            Issue.record("\(first)")
            return
        }
        #expect(last == 1)
        try session.send("COMMIT;")
        try session.end()
        #expect(try await journal(of: store).map(\.offset) == [offset])
        let again = try await store.append([append("a", expecting: .exact(1), command: "one")])[0]
        #expect(again == .duplicate(CommandRecord(commandID: try #require(CommandID("one")), before: 0, after: 1)))
        let behind = try await store.append([append("a", expecting: .exact(0), command: "two")])[0]
        #expect(behind == .conflict(actual: 1))
        let ahead = try await store.append([append("a", expecting: .exact(2), command: "two")])[0]
        #expect(ahead == .conflict(actual: 1))
        await store.close()
    }

    @Test("keeps no thread of the pool while it waits for the server")
    func threads() async throws {
        let fresh = try await Fresh("fence")
        let stores = [try await fresh.open(), try await fresh.open(), try await fresh.open()]
        // Quick ones first: those that follow begin on the pool's threads.
        for number in 0..<20 {
            for (index, store) in stores.enumerated() {
                _ = try await store.append([append("a\(index)", expecting: .exact(SequenceNumber(UInt64(number))))])
            }
        }
        let session = try Session(fresh)
        try session.send("BEGIN; \(Self.lockExclusive)")
        let appends = stores.enumerated().map { index, store in
            Task { try await store.append([append("a\(index)", expecting: .exact(20))])[0] }
        }
        // With two processors the pool has two threads, and this would not come back with three in the way.
        try await waiting(fresh, 3)
        try session.send("COMMIT;")
        try session.end()
        for append in appends {
            guard case .appended(let last, _) = try await append.value else {
                Issue.record("nobody else writes")
                continue
            }
            #expect(last == 21)
        }
        for store in stores { await store.close() }
    }

    @Test("that waits for the server is ended on the server when it is cancelled")
    func cancelled() async throws {
        let fresh = try await Fresh("fence")
        let store = try await fresh.open()
        for number in 0..<20 {
            _ = try await store.append([append("a", expecting: .exact(SequenceNumber(UInt64(number))))])
        }
        let session = try Session(fresh)
        try session.send("BEGIN; \(Self.lockExclusive)")
        let late = Task { try await store.append([append("a", expecting: .exact(20))]) }
        try await waiting(fresh)
        late.cancel()
        let error = await #expect(throws: StoreError.self) { try await late.value }
        #expect(error?.code == .cancelled)
        try session.send("COMMIT;")
        try session.end()
        let outcome = try await store.append([append("a", expecting: .exact(20))])[0]
        guard case .appended(21, _) = outcome else {
            Issue.record("\(outcome)")
            return
        }
        await store.close()
    }

    @Test("knows where each event of a group is")
    func places() async throws {
        let fresh = try await Fresh("fence")
        let store = try await fresh.open()
        let outcomes = try await store.append([
            append("b", 2, expecting: .exact(0)), append("a", 1, expecting: .exact(0)),
            append("b", 3, expecting: .exact(2)), append("a", 2, expecting: .exact(1)),
        ])
        let journal = try await journal(of: store)
        for (outcome, (id, number)) in zip(outcomes, [("b", 2), ("a", 1), ("b", 5), ("a", 3)] as [(String, Int)]) {
            let there = journal.first { $0.persistenceID.rawValue == id && $0.sequenceNumber.rawValue == number }
            #expect(outcome == .appended(last: SequenceNumber(UInt64(number)), offset: try #require(there).offset))
        }
        await store.close()
    }

    private func waiting(_ fresh: Fresh, _ count: Int = 1) async throws {
        let deadline = ContinuousClock.now + .seconds(30)
        while try fresh.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            .filter(\.isNumber) != "\(count)"
        {
            if ContinuousClock.now > deadline { throw StoreError(.busy, "the append does not wait") }
            try await Task.sleep(for: .milliseconds(5))
        }
    }
}
