import BankDomain
import ChildProcess
import EgoCore
import EgoSQLite
import EgoTestKit
import Foundation
import Testing

@Suite("After kill -9", .serialized)
struct CrashTests {
    @Test("no acknowledged command is lost, none has a second effect, 200 times")
    func kill() async throws {
        let folder = try TemporaryFolder()
        let path = folder.path("crash.db")
        await (try newStore(path)).close()
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var random = SeededGenerator(seed: seed)
        var acknowledged: [Int: [Int: (sequence: UInt64, balance: Int)]] = [:]
        let clients = 4
        var lines = 0
        for round in 1...200 {
            let pipe = Pipe()
            let process = try exerciser(["credit", path, String(clients)], output: pipe)
            // The moment counts from the first acknowledgement, so that every round kills work under way.
            var output = Data()
            while !output.contains(UInt8(ascii: "a")) || !String(decoding: output, as: UTF8.self).contains("ack") {
                let more = pipe.fileHandleForReading.availableData
                if more.isEmpty { break }
                output += more
            }
            try await Task.sleep(for: .microseconds(Int.random(in: 0...15_000, using: &random)))
            Foundation.kill(process.processIdentifier, SIGKILL)
            output += pipe.fileHandleForReading.readDataToEndOfFile()
            process.waitUntilExit()
            let complete = String(decoding: output, as: UTF8.self).split(
                separator: "\n", omittingEmptySubsequences: false
            )
            .dropLast()
            for line in complete where line.hasPrefix("ack ") {
                let words = line.split(separator: " ")
                guard words.count == 5, let client = Int(words[1]), let number = Int(words[2]),
                    let sequence = UInt64(words[3]), let balance = Int(words[4])
                else { continue }
                lines += 1
                if let before = acknowledged[client]?[number] {
                    // The same command, the same answer.
                    #expect(before.sequence == sequence && before.balance == balance)
                }
                acknowledged[client, default: [:]][number] = (sequence, balance)
            }
            if round.isMultiple(of: 50) {
                try await verify(path, acknowledged, clients: clients)
            }
        }
        #expect(lines > 400, "only \(lines) acknowledgements")
    }

    private func verify(
        _ path: String, _ acknowledged: [Int: [Int: (sequence: UInt64, balance: Int)]], clients: Int
    ) async throws {
        let store = try await SQLiteStore(path: path)
        var positions: [Position] = []
        for client in 0..<clients {
            let events = try await allEvents(of: try PersistenceID("c-\(client)"), in: store)
            #expect(events.map(\.sequenceNumber.rawValue) == Array(1...UInt64(max(1, events.count))))
            let commands = events.compactMap(\.metadata.commandID)
            #expect(Set(commands).count == commands.count, "a command has two effects")
            #expect(commands.map(\.rawValue) == (0..<commands.count).map { "\(client)-\($0 + 1)" })
            for (number, answer) in acknowledged[client] ?? [:] {
                guard answer.sequence <= events.count else {
                    Issue.record("acknowledged command \(client)-\(number) is lost")
                    continue
                }
                let event = events[Int(answer.sequence) - 1]
                #expect(event.metadata.commandID?.rawValue == "\(client)-\(number)")
                #expect(answer.balance == number)
            }
            let own = events.map(\.offset.position)
            #expect(own == own.sorted())
            positions += own
        }
        #expect(Set(positions).count == positions.count)
        await store.close()
    }
}

@Suite("Readers beside writers in several processes", .serialized)
struct ReaderTests {
    @Test("miss nothing and see each entity in order", arguments: [1, 2, 8, 32])
    func follow(_ writers: Int) async throws {
        let folder = try TemporaryFolder()
        let path = folder.path("race.db")
        let store = try await newStore(path)
        let processes = min(writers, 4)
        let count = 2_000 / writers
        var running: [ChildProcess] = []
        for process in 0..<processes {
            running.append(
                try exerciser(["write", path, "p\(process)", String(writers / processes), String(count)]))
        }
        let total = processes * (writers / processes) * count
        var seen: [PersistedEvent] = []
        var next = Offset.start
        var byTime = TimestampReader()
        while true {
            let isLast = !running.contains { $0.isRunning }
            while true {
                let page = try await store.journal(after: next, shard: nil, limit: PageLimit(rows: 37))
                seen += page.events
                next = page.next
                if page.reachedHead { break }
            }
            if isLast { break }
            await Task.yield()
        }
        for process in running { #expect(process.terminationStatus == 0) }
        #expect(seen.count == total)
        #expect(Set(seen.map(\.offset)).count == total)
        #expect(zip(seen, seen.dropFirst()).allSatisfy { $0.offset < $1.offset })
        for (id, events) in Dictionary(grouping: seen, by: \.persistenceID) {
            #expect(events.map(\.sequenceNumber.rawValue) == Array(1...UInt64(events.count)), "\(id)")
        }
        // The same events show what is wrong with timestamps as offsets, to whoever polls after every fifth commit.
        for end in stride(from: 5, through: seen.count, by: 5) { byTime.poll(Array(seen[..<end])) }
        byTime.poll(seen)
        if writers == 32 { #expect(byTime.seen.count < total, "a reader by timestamp missed nothing") }
        await store.close()
    }
}

/// A reader as eGo for Go has it: it goes on after the timestamp of the last event that it saw.
private struct TimestampReader {
    var seen: Set<Offset> = []
    private var last = Timestamp(unixNanoseconds: 0)

    mutating func poll(_ committed: [PersistedEvent]) {
        for event in committed.filter({ $0.timestamp > last }).sorted(by: { $0.timestamp < $1.timestamp }) {
            seen.insert(event.offset)
            last = event.timestamp
        }
    }
}
