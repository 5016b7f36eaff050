import BankDomain
import ChildProcess
import Ego
import EgoCore
import EgoPostgres
import EgoTestKit
import Foundation
import PostgresServer
import Synchronization
import Testing

@Suite("When the server of a store goes away", .serialized)
struct OutageTests {
    @Test("no acknowledged command is lost, none has a second effect, whoever was killed")
    func kill() async throws {
        let server = try PostgresServer()
        let fresh = try await Fresh(server)
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var random = SeededGenerator(seed: seed)
        var acknowledged: [Int: [Int: UInt64]] = [:]
        let clients = 4
        for round in 1...24 {
            let pipe = Pipe()
            let process = try exerciser(["credit", fresh.text, String(clients)], output: pipe)
            // A program whose first connection fails ends; only one that has its store survives a server.
            let ready =
                round.isMultiple(of: 2)
                ? await Task.detached { pipe.fileHandleForReading.availableData }.value : Data()
            let lines = Task.detached { ready + pipe.fileHandleForReading.readDataToEndOfFile() }
            try await Task.sleep(for: .milliseconds(Int.random(in: 150...400, using: &random)))
            // The program survives the server, and goes on with it.
            if round.isMultiple(of: 2) {
                server.kill()
                try server.start()
                try await Task.sleep(for: .milliseconds(Int.random(in: 300...600, using: &random)))
            }
            #expect(process.isRunning, "the program ended with its server")
            Foundation.kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
            for line in String(decoding: await lines.value, as: UTF8.self).split(separator: "\n") {
                let words = line.split(separator: " ")
                guard words.count == 5, words[0] == "ack", let client = Int(words[1]), let number = Int(words[2]),
                    let sequence = UInt64(words[3])
                else { continue }
                if let before = acknowledged[client]?[number] { #expect(before == sequence, "\(client)-\(number)") }
                acknowledged[client, default: [:]][number] = sequence
            }
        }
        #expect(acknowledged.values.reduce(0) { $0 + $1.count } > 200, "too few acknowledgements")
        let store = try await fresh.open()
        for client in 0..<clients {
            let events = try await allEvents(of: "c-\(client)", in: store)
            #expect(events.map(\.sequenceNumber.rawValue) == Array(1...UInt64(max(1, events.count))))
            let commands = events.compactMap(\.metadata.commandID?.rawValue)
            #expect(commands == (0..<commands.count).map { "\(client)-\($0 + 1)" })
            for (number, sequence) in acknowledged[client] ?? [:] {
                #expect(sequence <= UInt64(events.count), "acknowledged command \(client)-\(number) is lost")
            }
        }
        await store.close()
    }

    /// Ends the sessions of appenders again and again, at any moment of an append. Where none gets through, because the
    /// machine is busy, the next one is given more time.
    private func disturb(_ fresh: Fresh, progress: () -> Int, while running: () -> Bool) async throws {
        var (last, longest) = (0, 15)
        while running() {
            let now = progress()
            longest = now > last ? 15 : min(longest * 2, 2_000)
            last = now
            try fresh.sql(
                """
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE application_name = 'ego' AND pid <> pg_backend_pid()
                """)
            try await Task.sleep(for: .milliseconds(Int.random(in: 1...longest)))
        }
    }

    @Test("an append whose connection is lost is there once, with or without a command ID", arguments: [true, false])
    func lostConnection(_ hasCommandIDs: Bool) async throws {
        let fresh = try await Fresh("outage")
        let store = try await fresh.open(PostgresStoreOptions(reconnectTimeout: .seconds(60)))
        let done = Progress()
        let work = Task {
            for number in 0..<400 {
                done.count.store(number, ordering: .relaxed)
                let request = try append(
                    "a", 2, expecting: .exact(SequenceNumber(UInt64(number * 2))),
                    command: hasCommandIDs ? "c-\(number)" : nil)
                let outcomes = try await store.append([request, try append("b-\(number % 3)")])
                guard case .appended(let last, let offset)? = outcomes.first else {
                    Issue.record("append \(number) gave \(outcomes)")
                    return
                }
                #expect(last.rawValue == UInt64(number * 2 + 2))
                #expect(offset > .start)
            }
        }
        let isDone = Flag()
        async let disturbance: Void = disturb(
            fresh, progress: { done.count.load(ordering: .relaxed) }, while: { !isDone.isSet })
        do { try await work.value } catch { Issue.record(error) }
        isDone.set()
        try await disturbance
        #expect(try await allEvents(of: "a", in: store).count == 800)
        var others = 0
        for name in 0..<3 { others += try await allEvents(of: "b-\(name)", in: store).count }
        #expect(others == 400)
        await store.close()
    }

    @Test("reads go on when it is back")
    func reads() async throws {
        let server = try PostgresServer()
        let fresh = try await Fresh(server)
        let store = try await fresh.open(PostgresStoreOptions(reconnectTimeout: .seconds(60)))
        for number in 0..<20 { _ = try await store.append([append("r-\(number)", 100)]) }
        let reading = Task { () -> Int in
            var count = 0
            for _ in 0..<30 { count += try await journal(of: store).count }
            return count
        }
        for _ in 0..<2 {
            try await Task.sleep(for: .milliseconds(60))
            server.kill()
            try server.start()
        }
        #expect(try await reading.value == 30 * 2_000)
        await store.close()
    }

    @Test("a call fails as unavailable when it stays away, and nothing hangs")
    func staysAway() async throws {
        let server = try PostgresServer()
        let fresh = try await Fresh(server)
        let store = try await fresh.open(PostgresStoreOptions(reconnectTimeout: .milliseconds(300)))
        _ = try await store.append([append("a")])
        server.kill()
        let error = await #expect(throws: StoreError.self) { try await store.head() }
        #expect(error?.code == .unavailable)
        let write = await #expect(throws: StoreError.self) { try await store.append([append("a")]) }
        #expect(write?.code == .unavailable)
        let opened = await #expect(throws: StoreError.self) { try await fresh.open() }
        #expect(opened?.code == .unavailable)
        await store.close()
    }
}

/// A switch that one task turns on and another looks at.
/// How far a test's work has come.
private final class Progress: Sendable {
    let count = Atomic(0)
}

final class Flag: @unchecked Sendable {
    private let lock = NSLock()
    private var value = false

    var isSet: Bool { lock.withLock { value } }

    func set() { lock.withLock { value = true } }
}
