import BankDomain
import Ego
import EgoCore
import EgoOperations
import EgoPostgres
import Foundation
import PostgresServer
import SwiftProtobuf
import Testing

@Suite("A database of an older schema version", .serialized)
struct UpgradeTests {
    /// Restores what an older version of this program has written.
    private func restored(version: Int = 1) throws -> (server: PostgresServer, name: String, url: PostgresURL) {
        let server = try PostgresServer.shared("upgrade")
        let name = "d" + UUID().uuidString.replacingOccurrences(of: "-", with: "").lowercased()
        try server.sql("CREATE DATABASE \(name)")
        let dump = EgoGoDatabase.fixtures.appending(path: "../schema/postgres-v\(version).sql")
        try server.sql(String(contentsOf: dump, encoding: .utf8), database: name)
        // Its transactions are those of another server, which this one may not have reached yet.
        try server.sql("UPDATE events_store SET transaction_id = '6'", database: name)
        if version > 1 { try server.sql("UPDATE ego_offsets SET transaction_id = '6'", database: name) }
        return (server, name, try PostgresURL(server.url(database: name)))
    }

    @Test("is brought up to date with everything in it")
    func upgrade() async throws {
        let (server, name, url) = try restored()
        let error = await #expect(throws: StoreError.self) { _ = try await PostgresStore(url: url) }
        #expect(error?.code == .notInitialized)
        let before = try await PostgresStore.initialize(url: url, storeID: "other")
        #expect(before.kind == .older(version: 1))
        let store = try await PostgresStore(url: url)
        let metadata = try await store.metadata()
        #expect(metadata.schemaVersion == PostgresStore.schemaVersion && metadata.storeID != "other")
        let counts = try await store.statistics()
        #expect(counts.entities == 3 && counts.events == 30)
        #expect(try await store.projections().map(\.name) == ["old"])
        let offsets = try await store.offsets(of: "old", version: 1)
        #expect(
            offsets.count == 16 && offsets.allSatisfy { $0.offset == Offset(transactionID: 5, position: Position(0)) })
        #expect(try await store.flaws(isThorough: true) == [])
        let projection = try #require(Domain.bank.projections.first)
        let end = try await ProjectionRunner(projection, store: store, reader: EventReader(), owner: "test")
            .runUntilCaughtUp()
        #expect(end == .caughtUp)
        let accounts = try server.sql("SELECT count(*) FROM account_balances", database: name)
        #expect(accounts == "3")
        await store.close()
        #expect(try await PostgresStore.initialize(url: url, storeID: "other").kind == .current(metadata))
    }

    @Test("of version 2 keeps its projection, and what was written without a checksum is not called damaged")
    func upgradeFrom2() async throws {
        let (server, name, url) = try restored(version: 2)
        #expect(try await PostgresStore.initialize(url: url, storeID: "other").kind == .older(version: 2))
        let store = try await PostgresStore(url: url)
        #expect(try await store.flaws(isThorough: true) == [])
        let verification = Verification(store: store, domain: .bank)
        while let page = try await verification.nextPage() { #expect(page == []) }
        let lag = try #require(try await Lag(of: store, time: SystemTime()).measure().first)
        #expect(lag.name == "balances" && lag.eventsBehind == 0)
        let engine = Engine(store: store, domain: .bank)
        let account = try engine.entity(AccountBehavior(), try PersistenceID("acc-1"))
        _ = try await account.send(.credit(.with { $0.balance = 1 }))
        await engine.shutdown()
        let sums = try server.sql(
            "SELECT count(*), count(checksum) FROM events_store WHERE persistence_id = 'acc-1'", database: name)
        let counts = sums.split(separator: "|").compactMap { Int($0) }
        #expect(counts.count == 2 && counts[0] > 1 && counts[1] == 1)
        await store.close()
    }

    @Test("is brought up once, by whoever comes first", arguments: [1, 2])
    func race(_ version: Int) async throws {
        let (_, _, url) = try restored(version: version)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<4 { group.addTask { _ = try await PostgresStore.initialize(url: url, storeID: "x") } }
            try await group.waitForAll()
        }
        let store = try await PostgresStore(url: url)
        #expect(try await store.projections().count == 1)
        await store.close()
    }
}

@Suite("Projections of eGo for Go", .serialized)
struct EgoGoLagTests {
    private struct Expected: Decodable {
        struct Side: Decodable {
            var offsets: [Row]
            var shards_without_offset_row: [Missing]
        }
        struct Row: Decodable {
            var projection_name: String
            var shard_number: UInt64
            var events_after_offset: Int
            var lag_nanoseconds: Int64?
            var lag_seconds: Int64?
        }
        struct Missing: Decodable {
            var projection_name: String
            var shard_number: UInt64
            var events_after_offset: Int
        }
        var v3, v4: Side
    }

    @Test(
        "are as far behind as Go says, by shard, before and after adoption", arguments: EgoGoDatabase.Version.allCases)
    func lag(_ version: EgoGoDatabase.Version) async throws {
        let database = try EgoGoDatabase(version, on: PostgresServer.shared("go-lag"))
        let data = try Data(contentsOf: EgoGoDatabase.fixtures.appending(path: "expected.json"))
        let all = try JSONDecoder().decode(Expected.self, from: data)
        let expected = version == .v3 ? all.v3 : all.v4
        for isAdopted in [false, true] {
            if isAdopted {
                _ = try await PostgresStore.initialize(url: database.url, storeID: "lag")
                _ = try await PostgresStore.prepareOrder(url: database.url)
                var options = PostgresStoreOptions()
                options.isAdopting = true
                let adopting = try await PostgresStore(url: database.url, options: options)
                while try await adopting.commit([.orderOlderEvents(limit: 5_000)], under: nil) != [0] {}
                await adopting.close()
                try await PostgresStore.finishOrder(url: database.url)
            }
            let store = try await database.open()
            let lags = try await Lag(of: store, time: SystemTime()).measure()
            for row in expected.offsets {
                let lag = try #require(lags.first { $0.name == row.projection_name })
                let shard = try #require(lag.shards.first { $0.shard.rawValue == row.shard_number })
                #expect(shard.eventsBehind == row.events_after_offset)
                let wanted = row.lag_nanoseconds.map { Duration.nanoseconds($0) } ?? .seconds(row.lag_seconds ?? -1)
                #expect(shard.lag == wanted)
                #expect(shard.state == .unknown && lag.engine == .egoGo)
            }
            for row in expected.shards_without_offset_row {
                let shard = lags.first { $0.name == row.projection_name }?.shards
                    .first { $0.shard.rawValue == row.shard_number }
                #expect(shard?.state == .neverRun && shard?.lag == nil)
                #expect(shard?.eventsBehind == row.events_after_offset)
            }
            await store.close()
        }
    }
}
