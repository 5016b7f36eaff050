import EgoCore
import EgoTestKit
import Foundation
import Testing

@testable import EgoSQLite

/// What the scanner must neither miss nor take for a residue.
@Suite("The space of a file that no record uses, where it is hard to tell")
struct DeadSpaceMistakeTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    @Test("holds nothing of an entity where others' payloads of the same type have been")
    func sameType() async throws {
        let path = folder.path("store.db")
        let store = try await newStore(path)
        // One event after the other, as an engine under load writes them: the log has old versions of their pages.
        let type = "type.googleapis.com/samplepb.AccountCredited"
        for number in 0..<50 {
            let payload = AnyPayload(typeURL: type, value: Array("living \(number)".utf8)).serialized()
            _ = try await store.append([
                AppendRequest(
                    persistenceID: PersistenceID(stored: "living"), expectedVersion: .any,
                    events: [NewEvent(timestamp: SystemTime().now(), payload: payload)])
            ])
        }
        var sample = PayloadSample()
        sample.add(AnyPayload(typeURL: type, value: Array("gone, of which nothing was ever here".utf8)).serialized())
        let report = try await store.residue(ResidueSearch(ids: [], sample: sample))
        #expect(report.residues == 0)
        await store.close()
    }

    @Test("holds no payload where an index has had an ID", arguments: ["account-1", "1", "12345678"])
    func index(_ name: String) async throws {
        let path = folder.path("store.db")
        let store = try await newStore(path)
        // The first rows' numbers are written in 0 or 1 bytes, and the byte that says so stands before the ID.
        for name in [name] + (0..<20).map({ "other \($0)" }) {
            _ = try await store.append([
                AppendRequest(
                    persistenceID: PersistenceID(stored: name), expectedVersion: .any,
                    events: [NewEvent(timestamp: SystemTime().now(), payload: [10, 3, 97, 47, 98])])
            ])
        }
        let report = try await store.residue(ResidueSearch(ids: [PersistenceID(stored: name)]))
        #expect(report.residues == 0)
        await store.close()
    }

    @Test("holds no payload where a certificate or a job has had an ID of 34 bytes")
    func quote() async throws {
        let path = folder.path("store.db")
        let store = try await newStore(path)
        let id = PersistenceID(stored: String(repeating: "x", count: 34))
        for number in 0..<3 {
            let entry = AuditEntry(
                timestamp: SystemTime().now(), actor: "ann", action: "erase", arguments: "{\"id\":\"\(id)\"}",
                reason: "\(number)", result: "{}")
            _ = try await store.commit([.audit(entry)], under: nil)
        }
        let report = try await store.residue(ResidueSearch(ids: [id], includesLog: false))
        #expect(report.residues == 0)
        await store.close()
    }

    @Test(
        "is not that of a living entity's record, of which the log has an older copy that is younger than the erasure")
    func mention() async throws {
        let path = folder.path("store.db")
        let store = try await newStore(path)
        let type = "type.googleapis.com/samplepb.TransferStarted"
        for number in 0..<10 {
            let mention = Array("\u{a}\u{6}acc-99 \(number)".utf8)
            _ = try await store.append([
                AppendRequest(
                    persistenceID: PersistenceID(stored: "transfer-1"), expectedVersion: .any,
                    events: [
                        NewEvent(
                            timestamp: SystemTime().now(),
                            payload: AnyPayload(typeURL: type, value: mention).serialized())
                    ])
            ])
        }
        let report = try await store.residue(ResidueSearch(ids: [PersistenceID(stored: "acc-99")], includesLog: false))
        #expect(report.residues == 0)
        await store.close()
    }

    @Test("is where every single residue is found, also of an entity that has thousands of events")
    func manyPieces() throws {
        var random = SeededGenerator(seed: 3)
        let markers = (0..<2_000).map { _ in Marker(pieces: 3, using: &random) }
        var missed = 0
        for number in 0..<20 {
            let database = try PlainDatabase(folder.path("\(number).db"))
            try database.run("CREATE TABLE t (id INTEGER PRIMARY KEY, data BLOB)")
            try database.run("INSERT INTO t (data) VALUES (?1)", markers[number].bytes)
            try database.run("DELETE FROM t")
            #expect(Raw.count([markers[number]], in: database.path) > 0)
            if try residues(markers, in: database.path) == 0 { missed += 1 }
        }
        #expect(missed == 0, "of 20 residues")
    }
}
