import BankDomain
import EgoCore
import EgoOperations
import EgoPostgres
import Foundation
import PostgresServer
import SwiftProtobuf
import Testing

@Suite("The inline state of a database of eGo v3", .serialized)
struct MigrationPostgresTests {
    private let server: PostgresServer

    init() throws {
        server = try PostgresServer.shared("migration")
    }

    private struct Answer: Decodable {
        struct Side: Decodable { var entities: [Expected.Entity] }
        var v3: Side
    }

    private func expected() throws -> [Expected.Entity] {
        let data = try Data(contentsOf: EgoGoDatabase.fixtures.appending(path: "expected.json"))
        return try JSONDecoder().decode(Answer.self, from: data).v3.entities
    }

    private func migration(_ store: any Store) -> InlineStateMigration {
        InlineStateMigration(
            store: store, domain: .bank, by: Operator(name: "ann@test"), time: SystemTime(),
            page: PageLimit(rows: 500))
    }

    @Test("becomes the snapshots that Go expects, and goes once it is verified", arguments: [1, 4])
    func migrate(_ jobs: Int) async throws {
        let database = try EgoGoDatabase(.v3, on: server)
        try await database.adopt()
        let store = try await database.open(readOnly: false)
        let wanted = try expected()
        let summary = try await migration(store).run(.init(verifies: true, drops: true, jobs: jobs), command: "")
        let corrupt = wanted.filter {
            !($0.undecodable_inline_states ?? []).isEmpty && $0.persistence_id != "empty-state"
        }
        #expect(summary.entities == wanted.count && summary.written == wanted.count)
        #expect(summary.failed.map(\.id) == corrupt.map(\.persistence_id))
        #expect(summary.failed.map(\.sequenceNumber) == [14])
        for entity in wanted {
            let id = try PersistenceID(entity.persistence_id)
            let inline = try #require(entity.newest_decodable_inline_state)
            let snapshot = try #require(try await store.latestSnapshot(of: id, through: .max), "\(id)")
            #expect(snapshot.sequenceNumber.rawValue == inline.sequence_number)
            let state = try Samplepb_Account(serializedBytes: AnyPayload(serialized: snapshot.payload).value)
            #expect(state.accountBalance.bitPattern == inline.state.balance.bitPattern)
            let recovered = try await Replay(store: store, domain: .bank).entity(id).state as? Samplepb_Account
            let final = entity.final_state_by_event_replay ?? entity.final_state
            #expect(recovered?.accountBalance.bitPattern == final?.balance.bitPattern)
        }
        let left = try database.sql(
            "SELECT DISTINCT persistence_id FROM events_store WHERE state_payload IS NOT NULL")
        #expect(left == "corrupt-state", "only what could not be verified keeps its columns")
        let again = try await migration(store).preview()
        #expect(again.written == 0 && again.failures == 1)
        await store.close()
    }
}
