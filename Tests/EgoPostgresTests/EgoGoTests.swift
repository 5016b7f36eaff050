import BankDomain
import EgoCore
import EgoOperations
import EgoPostgres
import Foundation
import PostgresServer
import SwiftProtobuf
import Testing

@Suite("A database of eGo for Go gives what Go computes from it", .serialized)
struct EgoGoTests {
    private let server: PostgresServer

    init() throws {
        server = try PostgresServer.shared("ego-go")
    }

    @Test("looked at as it is, and by a role that may only read", arguments: EgoGoDatabase.Version.allCases)
    func untouched(_ version: EgoGoDatabase.Version) async throws {
        let database = try EgoGoDatabase(version, on: server)
        let role = "reader_\(version)_\(UUID().uuidString.prefix(8).lowercased())"
        try database.sql(
            "CREATE ROLE \(role) LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO \(role)")
        let url = try PostgresURL(server.url(user: role, database: database.name))
        let store = try await PostgresStore(url: url, options: PostgresStoreOptions(readOnly: true))
        try await check(store, version)
        try await checkOffsets(store, version)
        await store.close()
        await #expect(throws: StoreError.self, "it has to be adopted before it is written") {
            _ = try await PostgresStore(url: url)
        }
    }

    @Test("adopted", arguments: EgoGoDatabase.Version.allCases)
    func adopted(_ version: EgoGoDatabase.Version) async throws {
        let database = try EgoGoDatabase(version, on: server)
        let before = try database.sql(Self.digest)
        try await database.adopt()
        #expect(try database.sql(Self.digest) == before, "no payload is changed")
        let store = try await database.open()
        try await check(store, version)
        try await checkOffsets(store, version)
        try await checkOrder(store)
        await store.close()
    }

    @Test("where persistence IDs are in the order of a language", arguments: EgoGoDatabase.Version.allCases)
    func inOrderOfLanguage(_ version: EgoGoDatabase.Version) async throws {
        let database = try EgoGoDatabase(
            version, on: server, options: "LOCALE_PROVIDER icu ICU_LOCALE 'en-US' TEMPLATE template0")
        let store = try await database.open()
        try await check(store, version)
        let all = try await store.entities(EntityQuery(limit: 1_000)).map(\.persistenceID)
        var paged: [PersistenceID] = []
        while let next = try await store.entities(EntityQuery(after: paged.last, limit: 7)).map(\.persistenceID)
            .nonEmpty
        {
            paged += next
        }
        #expect(paged == all)
        let prefixed = try await store.entities(EntityQuery(prefix: "acc", limit: 1_000)).map(\.persistenceID)
        #expect(Set(prefixed) == Set(all.filter { $0.rawValue.hasPrefix("acc") }))
        await store.close()
        try await database.adopt()
        let again = try await database.open()
        try await check(again, version)
        await again.close()
    }

    private static let digest = """
        SELECT md5(string_agg(v.persistence_id || v.sequence_number || md5(v.event_payload) || v.event_manifest
            || v."timestamp" || v.shard_number || v.is_deleted, ',' ORDER BY v.persistence_id COLLATE "C",
            v.sequence_number)) FROM events_store v
        """

    // MARK: What has to come out

    private func check(_ store: PostgresStore, _ version: EgoGoDatabase.Version) async throws {
        let expected = try Expected.of(version)
        let domain = try EgoGoDatabase.domain()
        let counts = try await store.statistics()
        #expect(counts.events == expected.totals.events)
        #expect(counts.snapshots == expected.totals.snapshots ?? 0)
        #expect(counts.durableStates == expected.totals.durable_states)
        let listed = try await store.entities(EntityQuery(limit: 1_000, countsEvents: true))
        let summaries = Dictionary(uniqueKeysWithValues: listed.map { ($0.persistenceID, $0) })
        #expect(summaries.count == expected.totals.entities + expected.totals.durable_states)
        for entity in expected.entities {
            let id = try PersistenceID(entity.persistence_id)
            let summary = try #require(summaries[id])
            #expect(summary.eventCount == entity.event_count)
            #expect(summary.sequenceNumber.rawValue == entity.last_sequence_number)
            #expect([summary.shard.rawValue] == entity.shards)
            #expect(summary.firstTimestamp == Timestamp(stored: entity.first_timestamp))
            #expect(summary.lastTimestamp == Timestamp(stored: entity.last_timestamp))
            try await checkEvents(of: id, entity, store)
            try await checkStates(of: id, entity, store, domain)
        }
        for state in expected.durable_states {
            let id = try PersistenceID(state.persistence_id)
            let stored = try #require(try await store.state(of: id))
            #expect(stored.version.rawValue == state.version_number)
            #expect(stored.timestamp == Timestamp(stored: state.timestamp))
            #expect(stored.shard.rawValue == state.shard_number)
            let account = try Samplepb_Account(serializedBytes: AnyPayload(serialized: stored.payload).value)
            #expect(account.accountBalance == state.state.balance)
        }
    }

    private func checkEvents(of id: PersistenceID, _ entity: Expected.Entity, _ store: PostgresStore) async throws {
        var events: [PersistedEvent] = []
        while true {
            let next = (events.last?.sequenceNumber ?? 0).next
            let page = try await store.events(of: id, from: next, through: .max, limit: PageLimit(rows: 700))
            if page.isEmpty { break }
            events += page
        }
        #expect(
            events.map(\.sequenceNumber.rawValue) == Array(entity.first_sequence_number...entity.last_sequence_number))
        #expect(events.count { $0.isEncrypted } == entity.encrypted_events ?? 0)
        var types: [String: Int] = [:]
        for event in events { types[try AnyPayload(serialized: event.payload).typeName, default: 0] += 1 }
        #expect(types == entity.event_types)
        guard let newest = entity.newest_decodable_inline_state else { return }
        let bad = events.filter { (try? $0.inlineState()) == nil }.map(\.sequenceNumber.rawValue)
        #expect(bad == entity.undecodable_inline_states?.map(\.sequence_number) ?? [])
        let last = try #require(events.last { (try? $0.inlineState()) != nil })
        #expect(last.sequenceNumber.rawValue == newest.sequence_number)
        let state = try #require(try last.inlineState())
        #expect(try Samplepb_Account(serializedBytes: state.value).accountBalance == newest.state.balance)
    }

    private func checkStates(
        of id: PersistenceID, _ entity: Expected.Entity, _ store: PostgresStore, _ domain: Domain
    ) async throws {
        let final = entity.final_state ?? entity.final_state_by_event_replay
        let wanted = try #require(final)
        let replayed = try await Replay(store: store, domain: domain).entity(id)
        let account = try #require(replayed.state as? Samplepb_Account)
        #expect(account.accountBalance == wanted.balance, "\(id)")
        #expect(account.accountID == wanted.account_id)
        #expect(replayed.sequenceNumber.rawValue == entity.last_sequence_number)
        let mismatches = try await Replay(store: store, domain: domain).verify(id)
        #expect(mismatches == [])
        let snapshots = try await store.snapshots(of: id, from: 0, limit: .standard)
        let expected = entity.snapshots ?? []
        #expect(snapshots.map(\.sequenceNumber.rawValue) == expected.map(\.sequence_number))
        for (snapshot, expected) in zip(snapshots, expected) {
            #expect(snapshot.timestamp == Timestamp(stored: expected.timestamp))
            #expect(snapshot.isEncrypted == expected.is_encrypted)
            #expect(snapshot.encryptionKeyID == expected.encryption_key_id)
            let clear = try Samplepb_Account(serializedBytes: domain.reader.clear(snapshot).value)
            #expect(clear.accountBalance == expected.state.balance)
        }
    }

    private func checkOffsets(_ store: PostgresStore, _ version: EgoGoDatabase.Version) async throws {
        let expected = try Expected.of(version)
        let offsets = try await store.timestampOffsets()
        #expect(offsets.count { $0.stored != nil } == expected.totals.offset_rows)
        for row in expected.offsets {
            let offset = try #require(
                offsets.first { $0.projection == row.projection_name && $0.shard.rawValue == row.shard_number })
            #expect(offset.stored == row.current_offset)
            #expect(offset.storedHead == row.shard_latest_timestamp)
            #expect(offset.eventsBehind == row.events_after_offset)
            #expect(offset.committedAt == Timestamp(unixNanoseconds: row.timestamp * 1_000_000))
            let (head, moment) = (try #require(offset.head), try #require(offset.moment))
            let lag = row.lag_nanoseconds.map { Duration.nanoseconds($0) } ?? .seconds(row.lag_seconds ?? -1)
            #expect(head.duration(since: moment) == lag)
        }
        for row in expected.shards_without_offset_row {
            let offset = try #require(
                offsets.first { $0.projection == row.projection_name && $0.shard.rawValue == row.shard_number })
            #expect(offset.stored == nil)
            #expect(offset.eventsBehind == row.events_after_offset)
        }
        for row in expected.shards {
            #expect(
                offsets.filter { $0.shard.rawValue == row.shard_number }.allSatisfy {
                    $0.storedHead == row.latest_timestamp
                })
        }
    }

    /// The journal goes through all events once, by time, and never against the numbers of an entity.
    private func checkOrder(_ store: PostgresStore) async throws {
        var offset = Offset.start
        var last: [PersistenceID: SequenceNumber] = [:]
        var time = Timestamp(unixNanoseconds: .min)
        var count = 0
        while true {
            let page = try await store.journal(after: offset, shard: nil, limit: PageLimit(rows: 900))
            for event in page.events {
                #expect(event.sequenceNumber > last[event.persistenceID] ?? 0)
                #expect(event.timestamp >= time)
                #expect(event.offset > offset)
                (offset, time) = (event.offset, event.timestamp)
                last[event.persistenceID] = event.sequenceNumber
                count += 1
            }
            if page.reachedHead { break }
        }
        let total = try await store.statistics().events
        #expect(count == total)
    }
}

extension EgoGoDatabase {
    /// Adopts the database, as `ego init` does.
    func adopt() async throws {
        _ = try await PostgresStore.initialize(url: url, storeID: "adopted")
        _ = try await PostgresStore.prepareOrder(url: url)
        var options = PostgresStoreOptions()
        options.isAdopting = true
        let store = try await PostgresStore(url: url, options: options)
        let url = try url
        try await Adoption(store: store, person: Operator(name: "test"), time: SystemTime()).run(
            command: "", progress: { _ in }
        ) {
            try await PostgresStore.finishOrder(url: url)
        }
        await store.close()
    }
}

extension Array {
    fileprivate var nonEmpty: Self? { isEmpty ? nil : self }
}
