import EgoCore
import PostgresServer
import Testing

@testable import EgoPostgres

@Suite("What a process has seen committed")
struct WrittenEventsTests {
    private func request(_ id: String, at version: SequenceNumber) -> AppendRequest {
        AppendRequest(
            persistenceID: PersistenceID(stored: id), kind: "test", expectedVersion: .exact(version), events: [event()])
    }

    @Test("is not taken for granted of another server, which may never have had it", arguments: [[], ["b", "c"]])
    func otherServer(_ others: [String]) async throws {
        let server = try PostgresServer()
        let fresh = try await Fresh(server)
        let store = try await fresh.open()
        let ids = ["a"] + others
        for version: SequenceNumber in [0, 1, 2] {
            for outcome in try await store.append(ids.map { request($0, at: version) }) {
                guard case .appended(version.next, _) = outcome else {
                    Issue.record("appended at \(version): \(outcome)")
                    return
                }
            }
        }
        // As a replica that had not got everything when it took over.
        try fresh.sql("DELETE FROM events_store WHERE persistence_id = 'a' AND sequence_number = 3")
        server.kill()
        try server.start()
        let outcomes = try await store.append(ids.map { request($0, at: 3) })
        #expect(outcomes.first == .conflict(actual: 2))
        for outcome in outcomes.dropFirst() {
            guard case .appended(4, _) = outcome else {
                Issue.record("the others: \(outcome)")
                return
            }
        }
        // It goes on from what there is.
        guard case .appended(3, _)? = try await store.append([request("a", at: 2)]).first else {
            Issue.record("the entity does not go on")
            return
        }
        await store.close()
    }

    @Test("is not taken for granted through a proxy, behind which there may be any server")
    func proxy() async throws {
        let fresh = try await Fresh("written")
        let store = try await fresh.open(PostgresStoreOptions(isPooled: true))
        for version: SequenceNumber in [0, 1] { _ = try await store.append([request("a", at: version)]) }
        try fresh.sql("DELETE FROM events_store WHERE persistence_id = 'a' AND sequence_number = 2")
        #expect(try await store.append([request("a", at: 2)]) == [.conflict(actual: 1)])
        #expect(try await store.append([request("b", at: 0), request("a", at: 2)]).last == .conflict(actual: 1))
        await store.close()
    }

    @Test("is known by number and server, and of so many entities")
    func table() {
        let written = WrittenEvents(limit: 2)
        func entity(_ id: String, at version: SequenceNumber) -> AppendPlan.Entity {
            AppendPlan.Entity(id: PersistenceID(stored: id), expected: version, kind: nil)
        }
        func add(_ id: String, _ version: SequenceNumber, on server: String = "one") {
            let last = AppendWrite.Written(offset: .start, number: version, shard: 7)
            written.add([nil, last], of: [request("other", at: 0), request(id, at: 0)], on: server)
        }
        add("a", 3)
        #expect(written.shards(of: [entity("a", at: 3), entity("b", at: 3)], on: "one") == [7, nil])
        #expect(written.shards(of: [entity("a", at: 2), entity("a", at: 4)], on: "one") == [nil, nil])
        #expect(written.shards(of: [entity("a", at: 3), entity("other", at: 0)], on: "two") == [nil, nil])
        add("b", 1)
        #expect(written.shards(of: [entity("a", at: 3), entity("b", at: 1)], on: "one") == [7, 7])
        add("c", 1)
        #expect(written.shards(of: [entity("a", at: 3), entity("c", at: 1)], on: "one") == [nil, 7])
        add("a", 4, on: "two")
        #expect(written.shards(of: [entity("c", at: 1)], on: "one") == [nil])
        #expect(written.shards(of: [entity("c", at: 1), entity("a", at: 4)], on: "two") == [nil, 7])
    }
}
