import ChildProcess
import EgoCore
import EgoPostgres
import Foundation
import PostgresServer
import Testing

@Suite("Readers of PostgreSQL beside writers in several processes", .serialized)
struct WriterTests {
    /// A writer of another kind: plain inserts, in transactions that stay open for a while.
    private func plainWriter(_ store: Fresh, _ name: String, _ count: Int) throws -> ChildProcess {
        var script = ""
        for number in 1...count {
            script += """
                BEGIN;
                INSERT INTO events_store (persistence_id, sequence_number, is_deleted, event_payload, event_manifest,
                    "timestamp", shard_number, encryption_key_id, is_encrypted)
                VALUES ('\(name)', \(number), false, '\\x0a01780a', 'google.protobuf.Any',
                    (extract(epoch FROM clock_timestamp()) * 1000000000)::bigint, 0, '', false);
                SELECT pg_sleep(0.00\(number % 8));
                COMMIT;

                """
        }
        let process = ChildProcess()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["psql", "-X", "-q", "-o", "/dev/null", "-v", "ON_ERROR_STOP=1", store.text]
        let input = Pipe()
        process.standardInput = input
        try process.run()
        let text = Data(script.utf8)
        DispatchQueue.global().async {
            try? input.fileHandleForWriting.write(contentsOf: text)
            try? input.fileHandleForWriting.close()
        }
        return process
    }

    @Test("miss nothing and see each entity in order", arguments: [1, 2, 8, 32])
    func follow(_ writers: Int) async throws {
        let fresh = try await Fresh("writers")
        let store = try await fresh.open()
        let processes = min(writers, 4)
        let count = 800 / writers
        var running: [ChildProcess] = []
        for process in 0..<processes {
            running.append(
                try exerciser(["write", fresh.text, "p\(process)", String(writers / processes), String(count)]))
        }
        // What another kind of software inserts is in the same order.
        let plain = 150
        for name in ["go-1", "go-2"] { running.append(try plainWriter(fresh, name, plain)) }
        let total = processes * (writers / processes) * count + 2 * plain
        var seen: [PersistedEvent] = []
        var next = Offset.start
        while true {
            let isLast = !running.contains { $0.isRunning }
            while true {
                let page = try await store.journal(after: next, shard: nil, limit: PageLimit(rows: 37))
                seen += page.events
                next = page.next
                if page.reachedHead { break }
            }
            if isLast { break }
            try await store.awaitAppend(after: next, timeout: .milliseconds(20))
        }
        for process in running { #expect(process.terminationStatus == 0) }
        #expect(seen.count == total)
        #expect(Set(seen.map(\.offset)).count == total)
        #expect(zip(seen, seen.dropFirst()).allSatisfy { $0.offset < $1.offset })
        for (id, events) in Dictionary(grouping: seen, by: \.persistenceID) {
            #expect(events.map(\.sequenceNumber.rawValue) == Array(1...UInt64(events.count)), "\(id)")
        }
        await store.close()
    }

    @Test("wait for a transaction that is still running, and then see what it wrote in its place")
    func longTransaction() async throws {
        let fresh = try await Fresh("writers-long")
        let store = try await fresh.open()
        _ = try await store.append([append("a")])
        let before = try await store.head()
        let session = try Session(fresh)
        try session.send("BEGIN; SELECT pg_current_xact_id();")
        _ = try await store.append([append("b")])
        try session.send(
            "INSERT INTO events_store VALUES ('late', 1, false, '\\x0a0178', 'google.protobuf.Any', 1, 0, '', false);")
        // Committed and acknowledged, but something may yet come before it.
        #expect(try await store.head() == before)
        #expect(try await journal(of: store).map(\.persistenceID.rawValue) == ["a"])
        #expect(try await allEvents(of: "b", in: store).count == 1, "its own entity sees it at once")
        let hazards = try await store.hazards(now: SystemTime().now(), isThorough: true).map(\.code)
        #expect(!hazards.contains("long_transaction"), "it is not long yet")
        try session.send("COMMIT;")
        try session.end()
        let all = try await journal(of: store)
        #expect(all.map(\.persistenceID.rawValue) == ["a", "late", "b"])
        // A reader that went by the position alone would have passed "late" with "b".
        #expect(all[1].offset.position > all[2].offset.position)
        await store.close()
    }

    @Test("miss nothing when the newest event is deleted beside a transaction that is still running")
    func deletedHead() async throws {
        let fresh = try await Fresh("writers-long")
        let store = try await fresh.open()
        _ = try await store.append([append("a", 3)])
        let session = try Session(fresh)
        try session.send(
            """
            BEGIN;
            INSERT INTO events_store VALUES ('late', 1, false, '\\x0a0178', 'google.protobuf.Any', 1, 0, '', false);
            """)
        _ = try await store.append([append("b")])
        _ = try await store.commit([.deleteEvents(of: PersistenceID("b"), through: .max)], under: nil)
        let page = try await store.journal(after: .start, shard: nil, limit: .standard)
        #expect(page.events.map(\.persistenceID.rawValue) == ["a", "a", "a"])
        let head = try await store.head()
        #expect(page.next <= head)
        try session.send("COMMIT;")
        try session.end()
        let rest = try await store.journal(after: page.next, shard: nil, limit: .standard)
        #expect(rest.events.map(\.persistenceID.rawValue) == ["late"], "a reader has passed it")
        #expect(try await store.head() >= head)
        await store.close()
    }

    @Test("are woken by an append of another process within 100 ms")
    func woken() async throws {
        let fresh = try await Fresh("writers")
        let (reader, writer) = (try await fresh.open(), try await fresh.open())
        var waits: [Duration] = []
        for number in 1...20 {
            let head = try await reader.head()
            async let waiting: ContinuousClock.Instant = {
                try await reader.awaitAppend(after: head, timeout: .seconds(10))
                return .now
            }()
            try await Task.sleep(for: .milliseconds(20))
            let start = ContinuousClock.now
            _ = try await writer.append([append("w", expecting: .exact(SequenceNumber(UInt64(number - 1))))])
            waits.append(try await waiting - start)
        }
        print("woken after \(waits.sorted()[10]) (median)")
        #expect(waits.allSatisfy { $0 < .seconds(5) }, "a reader slept through an append")
        await reader.close()
        await writer.close()
    }
}

/// A session of psql that stays open.
final class Session {
    private let process = ChildProcess()
    private let input = Pipe()
    private let output = Pipe()

    convenience init(_ store: Fresh) throws { try self.init(store.text) }

    init(_ url: String) throws {
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", url]
        process.standardInput = input
        process.standardOutput = output
        try process.run()
    }

    /// Sends statements and waits until they are done.
    func send(_ sql: String) throws {
        try input.fileHandleForWriting.write(contentsOf: Data((sql + "\n\\echo done\n").utf8))
        var text = ""
        while !text.contains("done") {
            let data = output.fileHandleForReading.availableData
            if data.isEmpty { return }
            text += String(decoding: data, as: UTF8.self)
        }
    }

    /// Sends statements and does not wait.
    func begin(_ sql: String) throws {
        try input.fileHandleForWriting.write(contentsOf: Data((sql + "\n").utf8))
    }

    func end() throws {
        try input.fileHandleForWriting.close()
        process.waitUntilExit()
    }
}
