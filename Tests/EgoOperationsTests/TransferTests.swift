import BankDomain
import ChildProcess
import EgoCore
import EgoOperations
import EgoSQLite
import EgoTestKit
import ExerciserSupport
import Foundation
import Synchronization
import Testing

@Suite("Export and import", .timeLimit(.minutes(3)))
struct TransferTests {
    private let folder: Folder

    init() throws { folder = try Folder() }

    private func export(
        _ store: any Store, to name: String, _ format: ExportFormat = .jsonl,
        _ selection: ExportSelection = ExportSelection(), pagesPerCheckpoint: Int = 1
    ) async throws -> JournalExport.Summary {
        try await JournalExport(
            store: store, messages: Domain.bank.messages, selection: selection, format: format,
            page: PageLimit(rows: 7), pagesPerCheckpoint: pagesPerCheckpoint
        ).write(toFile: folder.path(name), command: "ego export", by: operatorForTests, time: SystemTime())
    }

    private func take(
        _ name: String, into store: any Store, _ format: ExportFormat = .jsonl,
        onConflict: JournalImport.OnConflict = .fail
    ) async throws -> JournalImport.Summary {
        let work = JournalImport(store: store, format: format, onConflict: onConflict, page: PageLimit(rows: 7))
        let checked = try await work.check(folder.path(name))
        return try await work.run(
            folder.path(name), checked, command: "ego import", by: operatorForTests, time: SystemTime())
    }

    /// A store with everything that a record can have.
    private func rich() async throws -> SQLiteStore {
        let store = try await folder.bank("rich.db")
        let odd = try PersistenceID("o\"d\u{1}d\n漢字")
        let any = AnyPayload(typeURL: "type.googleapis.com/unknown.Type", value: [0, 1, 255]).serialized()
        let command = EventMetadata(
            commandID: CommandID("c-1"), correlationID: "x", causationID: "y", traceContext: "00-1-2-01")
        _ = try await store.append([
            AppendRequest(
                persistenceID: odd, kind: "odd", expectedVersion: .noStream,
                events: [
                    NewEvent(timestamp: Timestamp(unixNanoseconds: -5), payload: any),
                    NewEvent(
                        timestamp: Timestamp(unixNanoseconds: 7), manifest: "other", payload: [1, 2, 3],
                        encryptionKeyID: "k-1", isEncrypted: true, unknownFields: [42, 0]),
                ], metadata: command)
        ])
        _ = try await store.save([
            StateWrite(
                persistenceID: try PersistenceID("wallet"), kind: "wallet", expectedVersion: 0,
                timestamp: Timestamp(unixNanoseconds: 9), payload: any,
                metadata: EventMetadata(commandID: CommandID("w-1")))
        ])
        for (name, number) in [("acc-1", 10), ("acc-1", 20), ("acc-2", 5)] {
            try await store.save(
                StoredSnapshot(
                    persistenceID: try PersistenceID(name), sequenceNumber: SequenceNumber(UInt64(number)),
                    timestamp: Timestamp(unixNanoseconds: 11), payload: any))
        }
        // Trimmed: the first events of acc-1 are gone on purpose.
        _ = try await store.commit([.deleteEvents(of: try PersistenceID("acc-1"), through: 4)], under: nil)
        // Trimmed to the last event: only a snapshot stands for what was.
        let end = try PersistenceID("acc-3")
        try await store.save(
            StoredSnapshot(
                persistenceID: end, sequenceNumber: 5, timestamp: Timestamp(unixNanoseconds: 11), payload: any))
        _ = try await store.commit([.deleteEvents(of: end, through: 5)], under: nil)
        // Erased: nothing of it may come back.
        let gone = try PersistenceID("gone")
        _ = try await store.append([
            AppendRequest(
                persistenceID: gone, expectedVersion: .noStream,
                events: [NewEvent(timestamp: Timestamp(unixNanoseconds: 1), payload: any)])
        ])
        _ = try await store.commit(
            [
                .deleteEvents(of: gone, through: 1),
                .placeTombstone(
                    Tombstone(persistenceID: gone, sequenceNumber: 1, erasedAt: Timestamp(unixNanoseconds: 77))),
            ], under: nil)
        return store
    }

    @Test("a round trip gives the same store, of events, entities, snapshots, states and command IDs")
    func roundTrip() async throws {
        let source = try await rich()
        let summary = try await export(source, to: "all.jsonl")
        let target = try await folder.store("target.db")
        let taken = try await take("all.jsonl", into: target)
        #expect(taken.events == summary.events && taken.snapshots == 4 && taken.states == 1 && taken.isChecked)
        let (before, after) = (try await StoreContent(of: source), try await StoreContent(of: target))
        #expect(before == after)
        #expect(try await target.stream(of: PersistenceID("acc-1"))?.floor == 4)
        let trimmed = try await target.stream(of: PersistenceID("acc-3"))
        #expect(trimmed?.floor == 5 && trimmed?.last == 5)
        #expect(try await target.tombstone(of: PersistenceID("gone"))?.erasedAt.unixNanoseconds == 77)
        // And once more, from the copy: the same file but for the header and positions.
        _ = try await export(target, to: "again.jsonl")
        func records(_ name: String) -> [String] {
            folder.text(name).split(separator: "\n").dropFirst().dropLast()
                .map { String($0).replacing(/"position":"[0-9]+"/, with: "") }
        }
        for (again, first) in zip(records("again.jsonl"), records("all.jsonl")) { #expect(again == first) }
        #expect(records("again.jsonl").count == records("all.jsonl").count)
        // A file that was imported before is left alone.
        let repeated = try await take("all.jsonl", into: target)
        #expect(!repeated.hasChanges && repeated.skipped == summary.events)
        #expect(try await StoreContent(of: target) == after)
        await source.close()
        await target.close()
    }

    @Test("the size of pages does not matter, nor what is written while the file is")
    func pages() async throws {
        let source = try await rich()
        _ = try await export(source, to: "all.jsonl")
        for rows in [1, 1_000] {
            let target = try await folder.store("pages-\(rows).db")
            let work = JournalImport(store: target, format: .jsonl, onConflict: .fail, page: PageLimit(rows: rows))
            let checked = try await work.check(folder.path("all.jsonl"))
            _ = try await work.run(
                folder.path("all.jsonl"), checked, command: "", by: operatorForTests, time: SystemTime())
            #expect(try await StoreContent(of: target) == StoreContent(of: source))
        }
        // As it was at event 30, although the store is at 60 and has a snapshot of acc-1 at 20 and more.
        let store = try await folder.bank("live.db")
        let id = try PersistenceID("acc-1")
        let events = try await StoreContent(of: store).events
        let last = try #require(events[..<30].last { $0.persistenceID == id }).sequenceNumber
        let snapshots = Snapshots(store: store, domain: .bank, time: SystemTime(), by: operatorForTests)
        for number in [SequenceNumber(3), last.next] {
            _ = try await snapshots.create(id, at: number, kind: nil, isDryRun: false)
        }
        let past = PastStore(store, head: Offset(position: Position(30)))
        _ = try await export(past, to: "past.jsonl")
        let target = try await folder.store("past.db")
        let taken = try await take("past.jsonl", into: target)
        #expect(taken.events == 30 && taken.snapshots == 1)
        #expect(try await target.stream(of: id)?.last == last)
        #expect(try await Verification(store: target, domain: .bank).nextPage() == nil)
    }

    /// A store that says that its journal ends earlier than it does, as one does to an export that began then.
    private final class PastStore: ForwardingStore {
        let base: any Store
        private let end: Offset

        init(_ base: any Store, head: Offset) {
            self.base = base
            self.end = head
        }

        func forward<Value: Sendable>(
            _ call: StoreCall, _ body: () async throws(StoreError) -> Value
        ) async throws(StoreError) -> Value { try await body() }

        func head() async throws(StoreError) -> Offset { end }
    }

    @Test("an export that is gone on with later has what was appended since, or is made anew")
    func laterHead() async throws {
        let store = try await folder.bank("source.db")
        /// Stops after some pages.
        func stopped(_ name: String, after limit: Int) async throws {
            let faulty = FaultyStore(store)
            faulty.plan(.fails, at: limit, of: [.commitChanges])
            await #expect(throws: StoreError.self) { _ = try await export(faulty, to: name) }
        }
        func append() async throws {
            _ = try await store.append([
                AppendRequest(
                    persistenceID: try PersistenceID("late"), expectedVersion: .any,
                    events: [
                        NewEvent(
                            timestamp: Timestamp(unixNanoseconds: 1),
                            payload: AnyPayload(typeURL: "type.googleapis.com/late.Event", value: []).serialized())
                    ])
            ])
        }
        var number = 60
        for limit in [3, 6, 10, 11, 12] {
            let name = "later-\(limit).jsonl"
            try await stopped(name, after: limit)
            try await append()
            number += 1
            let summary = try await export(store, to: name)
            #expect(summary.events == number, "stopped at \(limit)")
            let target = try await folder.store("later-\(limit).db")
            #expect(try await take(name, into: target).events == number)
        }
        // What somebody else wrote into the unfinished file is not taken for one's own.
        try await stopped("mixed.jsonl", after: 5)
        let partial = folder.path("mixed.jsonl.partial")
        var bytes = try Data(contentsOf: URL(filePath: partial))
        bytes[400] ^= 1
        try bytes.write(to: URL(filePath: partial))
        _ = try await export(store, to: "mixed.jsonl")
        #expect(try await take("mixed.jsonl", into: folder.store("mixed.db")).events == number)
    }

    @Test("pages share a checkpoint, and an export that was stopped goes on from the last one")
    func sharedCheckpoints() async throws {
        let store = FaultyStore(try await folder.bank("source.db"))
        _ = try await export(store, to: "whole.jsonl")
        // Nine pages: it is stopped when the sixth is looked for, while the fifth is written.
        store.plan(.fails, at: 6, of: [.journal])
        await #expect(throws: StoreError.self) {
            _ = try await export(store, to: "all.jsonl", pagesPerCheckpoint: 3)
        }
        store.plan(.fails, at: .max)
        _ = try await export(store, to: "all.jsonl", pagesPerCheckpoint: 3)
        #expect(folder.bytes("all.jsonl") == folder.bytes("whole.jsonl"))
        #expect(store.calls.count { $0 == .journal } == 9 - 3)
    }

    @Test("numbers that nobody counts to are refused, not computed with")
    func hostileNumbers() async throws {
        let target = try await folder.store("target.db")
        for numbers: [UInt64] in [
            [.max, 1], [UInt64(Int64.max), UInt64(Int64.max) + 1], [UInt64(Int64.max)], [1 << 62 + 1], [0],
        ] {
            var bytes: [UInt8] = []
            for number in numbers {
                var event = PersistedEvent(
                    persistenceID: try PersistenceID("a"), sequenceNumber: SequenceNumber(number),
                    timestamp: Timestamp(unixNanoseconds: 1), shard: Shard(0), payload: [10, 1, 120])
                event.timestamp = Timestamp(unixNanoseconds: 1_767_225_600_000_000_000)
                let message = EgoWire.bytes(event)
                bytes += [UInt8(message.count)] + message
            }
            try Data(bytes).write(to: URL(filePath: folder.path("hostile.pb")))
            let error = await #expect(throws: OperationError.self) {
                _ = try await take("hostile.pb", into: target, .protobuf)
            }
            #expect(error?.code == .data, "\(numbers)")
        }
        #expect(try await target.statistics().entities == 0)
    }

    @Test("many entities are many entities, and one that lives here is not erased by a file")
    func manyAndLiving() async throws {
        let source = try await folder.bank("many.db", entities: 30_000, events: 30_000)
        _ = try await JournalExport(
            store: source, messages: Domain.bank.messages, selection: ExportSelection(), format: .jsonl
        ).write(toFile: folder.path("many.jsonl"), command: "", by: operatorForTests, time: SystemTime())
        let work = JournalImport(store: try await folder.store("copy.db"), format: .jsonl, onConflict: .fail)
        #expect(try await work.check(folder.path("many.jsonl")).events == 30_000)
        // Erased there, alive here.
        let other = try await folder.bank("other.db")
        _ = try await other.commit(
            [
                .deleteEvents(of: PersistenceID("acc-2"), through: .max),
                .placeTombstone(
                    Tombstone(
                        persistenceID: PersistenceID("acc-2"), sequenceNumber: 22,
                        erasedAt: Timestamp(unixNanoseconds: 1))),
            ], under: nil)
        _ = try await export(other, to: "erased.jsonl")
        let living = try await folder.bank("living.db")
        let taken = try await take("erased.jsonl", into: living, onConflict: .skip)
        #expect(taken.notErased == 1 && taken.skipped == 38)
        #expect(try await living.stream(of: PersistenceID("acc-2"))?.isErased == false)
    }

    @Test("snapshots of many entities are written in small pieces: memory does not grow with them")
    func pieces() async throws {
        let store = try await folder.store("snapshots.db")
        let state = AnyPayload(typeURL: "type.googleapis.com/a.Thing", value: [UInt8](repeating: 7, count: 3_000))
        for name in (0..<60).map({ PersistenceID(stored: "e-\($0)") }) {
            _ = try await store.append([
                AppendRequest(
                    persistenceID: name, expectedVersion: .any,
                    events: (0..<20).map { _ in NewEvent(timestamp: SystemTime().now(), payload: state.serialized()) })
            ])
            _ = try await store.commit(
                (1...20).map { number in
                    .saveSnapshot(
                        StoredSnapshot(
                            persistenceID: name, sequenceNumber: SequenceNumber(number), timestamp: SystemTime().now(),
                            payload: state.serialized()))
                }, under: nil)
        }
        let largest = Mutex(0)
        let summary = try await JournalExport(
            store: store, messages: Domain.bank.messages, selection: ExportSelection(), format: .jsonl,
            page: PageLimit(rows: 50)
        ).write { block in largest.withLock { $0 = max($0, block.count) } }
        #expect(summary.snapshots == 1_200 && summary.events == 1_200)
        #expect(1..<1 << 20 ~= largest.withLock { $0 }, "of \(summary.bytes)")
        await store.close()
    }

    @Test("protobuf messages hold what eGo for Go knows, and a checksum stands beside them")
    func protobuf() async throws {
        let source = try await folder.bank("source.db")
        let summary = try await export(source, to: "all.pb", .protobuf)
        #expect(folder.text("all.pb.sha256") == "\(summary.sha256)  all.pb\n")
        let target = try await folder.store("target.db")
        let taken = try await take("all.pb", into: target, .protobuf)
        #expect(taken.events == 60 && taken.isChecked)
        #expect(try await StoreContent(of: target).events == StoreContent(of: source).events)
        // A flipped bit is seen by the checksum.
        var bytes = Array(folder.bytes("all.pb") ?? Data())
        bytes[200] ^= 1
        try Data(bytes).write(to: URL(filePath: folder.path("all.pb")))
        let other = try await folder.store("other.db")
        await #expect(throws: OperationError.self) { try await take("all.pb", into: other, .protobuf) }
        #expect(try await other.statistics().events == 0)
    }

    @Test("selects by entity, kind, shard, time and position")
    func selection() async throws {
        let store = try await folder.bank("source.db", entities: 10, events: 200)
        let all = try await StoreContent(of: store).events
        func exported(_ change: (inout ExportSelection) -> Void) async throws -> [String] {
            var selection = ExportSelection()
            change(&selection)
            let name = "\(UUID().uuidString).jsonl"
            _ = try await export(store, to: name, .jsonl, selection)
            return folder.text(name).split(separator: "\n").compactMap { line in
                guard let value = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any],
                    value["type"] as? String == "event"
                else { return nil }
                return "\(value["id"] ?? "") \(value["sequence_number"] ?? "")"
            }
        }
        func expected(_ isWanted: (PersistedEvent) -> Bool) -> [String] {
            all.filter(isWanted).map { "\($0.persistenceID.rawValue) \($0.sequenceNumber)" }
        }
        #expect(try await exported { _ in } == expected { _ in true })
        #expect(try await exported { $0.ids = ["acc-3"] } == expected { $0.persistenceID.rawValue == "acc-3" })
        #expect(try await exported { $0.kind = "account" } == expected { _ in true })
        #expect(try await exported { $0.kind = "wallet" } == [])
        let shard = all[0].shard
        #expect(try await exported { $0.shard = shard.rawValue } == expected { $0.shard == shard })
        let (since, until) = (all[20].timestamp, all[90].timestamp)
        #expect(
            try await exported {
                $0.since = since.unixNanoseconds
                $0.until = until.unixNanoseconds
            } == expected { $0.timestamp >= since && $0.timestamp < until })
        #expect(try await exported { $0.after = "150" }.count == 50)
    }

    @Test("what is appended after an export began is not in it")
    func headIsFixed() async throws {
        let store = try await folder.bank("source.db")
        let selection = ExportSelection()
        let export = JournalExport(
            store: store, messages: Domain.bank.messages, selection: selection, format: .jsonl,
            page: PageLimit(rows: 7))
        let appended = Mutex(false)
        let bytes = Mutex<[UInt8]>([])
        let writer = Task {
            let event = NewEvent(
                timestamp: Timestamp(unixNanoseconds: 1),
                payload: AnyPayload(typeURL: "type.googleapis.com/late.Event", value: []).serialized())
            _ = try await store.append([
                AppendRequest(persistenceID: try PersistenceID("late"), expectedVersion: .any, events: [event])
            ])
            appended.withLock { $0 = true }
        }
        let summary = try await export.write(to: { block in bytes.withLock { $0 += block } })
        try await writer.value
        #expect(summary.events <= 61)
        let text = bytes.withLock { String(decoding: $0, as: UTF8.self) }
        #expect(text.contains("\"head\":\"\(summary.position)\""))
    }

    // MARK: Conflicts

    @Test("an event that is there stops the import before anything is written, or is left alone")
    func conflicts() async throws {
        let source = try await folder.bank("source.db")
        _ = try await export(source, to: "all.jsonl")
        // The target has acc-1 up to event 5, of which event 2 is not the same.
        let target = try await folder.store("target.db")
        let events = try await source.events(of: PersistenceID("acc-1"), from: 1, through: 5, limit: .standard)
        var new = events.map { NewEvent(timestamp: $0.timestamp, payload: $0.payload) }
        new[1].timestamp = Timestamp(unixNanoseconds: 1)
        _ = try await target.append([
            AppendRequest(persistenceID: PersistenceID("acc-1"), expectedVersion: .noStream, events: new)
        ])
        let before = try await StoreContent(of: target)
        do {
            _ = try await take("all.jsonl", into: target)
            Issue.record("nothing was refused")
        } catch let error as OperationError {
            #expect(error.code == .refused && error.persistenceID?.rawValue == "acc-1", "\(error)")
        }
        #expect(try await StoreContent(of: target) == before)
        let taken = try await take("all.jsonl", into: target, onConflict: .skip)
        // Two histories of acc-1 do not make one: it stays as it is, and the others are taken.
        #expect(taken.events == 27 && taken.skipped == 33 && taken.differing == 29 && taken.diverged == ["acc-1"])
        #expect(try await target.stream(of: PersistenceID("acc-1"))?.last == 5)
        #expect(try await Verification(store: target, domain: .bank).nextPage() == nil)
    }

    @Test("events of an entity that was erased do not come back")
    func erased() async throws {
        let source = try await folder.bank("source.db")
        _ = try await export(source, to: "all.jsonl")
        let target = try await folder.store("target.db")
        _ = try await target.commit(
            [
                .placeTombstone(
                    Tombstone(
                        persistenceID: PersistenceID("acc-2"), sequenceNumber: 22,
                        erasedAt: Timestamp(unixNanoseconds: 1)))
            ], under: nil)
        let taken = try await take("all.jsonl", into: target, onConflict: .skip)
        #expect(taken.erased == 22 && taken.events == 38)
        #expect(try await target.events(of: PersistenceID("acc-2"), from: 1, through: .max, limit: .standard) == [])
    }

    // MARK: Bad files

    @Test("a file that is truncated, damaged, out of order, incomplete or of another version changes nothing")
    func badFiles() async throws {
        let source = try await folder.bank("source.db")
        _ = try await export(source, to: "good.jsonl")
        let good = folder.text("good.jsonl")
        let lines = good.split(separator: "\n").map(String.init)
        /// The lines with a trailer that fits them: edited with care.
        func forged(_ lines: [String]) throws -> String {
            let text = lines.dropLast().joined(separator: "\n") + "\n"
            try folder.write(text, to: "forged")
            let sum = ChildProcess()
            let pipe = Pipe()
            sum.executableURL = URL(filePath: "/usr/bin/sha256sum")
            sum.arguments = [folder.path("forged")]
            sum.standardOutput = pipe
            try sum.run()
            let hash = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self).prefix(64)
            sum.waitUntilExit()
            return text + lines[lines.count - 1].replacing(/"sha256":"[0-9a-f]+"/, with: "\"sha256\":\"\(hash)\"")
                + "\n"
        }
        var swapped = lines
        swapped.swapAt(3, 4)
        var missing = lines
        missing.remove(at: 5)
        var flipped = Array(good.utf8)
        flipped[good.utf8.count / 2] ^= 4
        let cases: [(String, String)] = [
            ("", "truncated"), ("no export\n", "truncated"), (String(good.dropLast(40)), "truncated"),
            (lines.dropLast().joined(separator: "\n") + "\n", "truncated"),
            (String(decoding: flipped, as: UTF8.self), "checksum"),
            (swapped.joined(separator: "\n") + "\n", "checksum"), (try forged(swapped), "out of order"),
            (try forged(missing), "out of order"),
            (try forged(lines.map { $0.replacing("ego.export/1", with: "ego.export/2") }), "format ego.export/2"),
            (try forged([lines[1]] + lines.dropFirst()), "no header"),
            (try forged(lines.map { $0.replacing("\"bytes\":\"C", with: "\"bytes\":\"!") }), "base64"),
            (
                try forged(lines.map { $0.replacing("\"sequence_number\":\"3\"", with: "\"sequence_number\":\"0\"") }),
                "out of range"
            ),
            (try forged(lines.map { $0.replacing("\"type\":\"event\"", with: "\"type\":\"thing\"") }), "type thing"),
            (try forged(lines.map { $0.replacing("\"events\":60", with: "\"events\":61") }), "trailer"),
            (good + "{}\n", "no trailer"),
        ]
        for (text, says) in cases {
            try folder.write(text, to: "bad.jsonl")
            let target = try await folder.store("\(UUID().uuidString).db")
            do {
                _ = try await take("bad.jsonl", into: target)
                Issue.record("\(says): taken")
            } catch let error as OperationError {
                #expect(error.code == .data && error.message.contains(says), "\(says): \(error.message)")
            }
            #expect(try await target.statistics().entities == 0)
            #expect(try await target.jobs() == [])
            await target.close()
        }
    }

    @Test("files of random bytes give errors, never a crash")
    func fuzz() async throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var random = SeededGenerator(seed: seed)
        let target = try await folder.store("target.db")
        let source = try await folder.bank("source.db", entities: 2, events: 6)
        _ = try await export(source, to: "good.jsonl")
        _ = try await export(source, to: "good.pb", .protobuf)
        for name in ["good.jsonl", "good.pb"] {
            let good = Array(folder.bytes(name) ?? Data())
            for _ in 0..<150 {
                var bytes = good
                for _ in 0..<Int.random(in: 1...4, using: &random) {
                    let place = Int.random(in: 0..<bytes.count, using: &random)
                    switch Int.random(in: 0...2, using: &random) {
                    case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
                    case 1: bytes.remove(at: place)
                    default: bytes.removeLast(min(bytes.count - 1, Int.random(in: 0...40, using: &random)))
                    }
                }
                try Data(bytes).write(to: URL(filePath: folder.path("fuzz")))
                let work = JournalImport(
                    store: target, format: name == "good.pb" ? .protobuf : .jsonl, onConflict: .fail)
                do { _ = try await work.check(folder.path("fuzz")) } catch is OperationError {}
            }
        }
        #expect(try await target.statistics().entities == 0)
    }

    // MARK: kill -9

    @Test("an export that is killed at any call goes on, and the file is the same byte for byte")
    func killExport() async throws {
        await (try await folder.bank("source.db")).close()
        let plain = try exercise(["export", folder.path("source.db"), folder.path("plain.jsonl"), "0"])
        #expect(plain.code == 0)
        let wanted = folder.bytes("plain.jsonl")
        var moment = 1
        while true {
            let name = "killed-\(moment).jsonl"
            let killed = try exercise(["export", folder.path("source.db"), folder.path(name), "\(moment)"])
            let isOver = killed.code == 0
            if !isOver {
                #expect(killed.code == -SIGKILL)
                let rest = try exercise(["export", folder.path("source.db"), folder.path(name), "0"])
                #expect(rest.code == 0 && rest.output == plain.output, "\(moment)")
            }
            #expect(folder.bytes(name) == wanted, "call \(moment)")
            #expect(!FileManager.default.fileExists(atPath: folder.path(name + ".partial")))
            if isOver { break }
            moment += 1
        }
        #expect(moment > 20, "only \(moment) calls")
    }

    @Test("an import that is killed at any call goes on, and the store is the same")
    func killImport() async throws {
        let source = try await rich()
        _ = try await export(source, to: "all.jsonl")
        let wanted = try await StoreContent(of: source)
        await source.close()
        var moment = 1
        while true {
            let name = "target-\(moment).db"
            await (try await folder.store(name)).close()
            let killed = try exercise(["import", folder.path(name), folder.path("all.jsonl"), "\(moment)"])
            if killed.code != 0 {
                #expect(killed.code == -SIGKILL)
                let rest = try exercise(["import", folder.path(name), folder.path("all.jsonl"), "0"])
                #expect(rest.code == 0, "\(moment)")
            }
            let target = try await SQLiteStore(path: folder.path(name))
            #expect(try await StoreContent(of: target) == wanted, "call \(moment)")
            let verdict = try await AuditLog(store: target).verify()
            #expect(verdict.problems == [] && verdict.records == 1)
            await target.close()
            if killed.code == 0 { break }
            moment += 1
        }
        #expect(moment > 20, "only \(moment) calls")
    }

    @Test("snapshots that are deleted by a process which is killed are gone after the next run")
    func killDelete() async throws {
        var moment = 1
        while true {
            let name = "store-\(moment).db"
            let store = try await folder.bank(name)
            for number in [5, 10, 15] {
                try await store.save(
                    StoredSnapshot(
                        persistenceID: PersistenceID("acc-1"), sequenceNumber: SequenceNumber(UInt64(number)),
                        timestamp: Timestamp(unixNanoseconds: 1), payload: []))
            }
            await store.close()
            let killed = try exercise(["unsnapshot", folder.path(name), "acc-1", "\(moment)"])
            if killed.code != 0 {
                let rest = try exercise(["unsnapshot", folder.path(name), "acc-1", "0"])
                #expect(rest.code == 0)
            }
            let after = try await SQLiteStore(path: folder.path(name))
            #expect(try await after.statistics().snapshots == 0)
            #expect(try await after.jobs().allSatisfy { $0.state == .done }, "call \(moment)")
            #expect(try await AuditLog(store: after).verify().problems == [])
            await after.close()
            if killed.code == 0 { break }
            moment += 1
        }
        #expect(moment > 8)
    }

    @Test("an unfinished export of another store is not written over")
    func otherStore() async throws {
        let source = try await folder.bank("source.db")
        _ = try await export(source, to: "all.jsonl")
        try FileManager.default.moveItem(atPath: folder.path("all.jsonl"), toPath: folder.path("all.jsonl.partial"))
        let before = folder.bytes("all.jsonl.partial")
        let other = try await folder.bank("other.db")
        do {
            _ = try await export(other, to: "all.jsonl")
            Issue.record("written over")
        } catch let error as OperationError {
            #expect(error.code == .refused && error.message.contains("another store"))
        }
        #expect(folder.bytes("all.jsonl.partial") == before)
    }
}
