import BankDomain
import Ego
import EgoCore
import EgoOperations
import EgoSQLite
import Foundation
import ProtobufReflection
import SwiftProtobuf
import Testing

@Suite("A read model in SQL")
struct SQLReadModelTests {
    private let folder: Folder

    init() throws { folder = try Folder() }

    private static let totals = ReadModelTable(
        "totals",
        columns: "account TEXT PRIMARY KEY, credits INTEGER NOT NULL, amount REAL NOT NULL, last TEXT, at INTEGER",
        indexes: ["amount"])
    private static let statements = [
        "samplepb.AccountCreated": [
            "INSERT INTO {totals} VALUES (:account_id, 0, :account_balance, :@type, :@timestamp)"
        ],
        "AccountCredited": [
            "UPDATE {totals} SET credits = credits + 1 WHERE account = :@id",
            "UPDATE {totals} SET amount = amount + :account_balance, last = :@position WHERE account = :@id",
        ],
        "AccountDebited": ["UPDATE {totals} SET amount = amount - :account_balance WHERE account = :@id"],
    ]

    private func model(
        _ statements: [String: [String]] = statements, tables: [ReadModelTable] = [totals]
    ) throws -> SQLReadModel {
        try SQLReadModel(
            tables: tables, statements: statements, descriptors: DescriptorSet(serialized: Domain.bank.descriptorSet))
    }

    private func rows(_ sql: String, _ store: SQLiteStore) async throws -> [[ReadModelValue]] {
        let found = FoundRows()
        _ = try await store.commit([], under: nil) { found.set(try $0.query(sql, [])) }
        return found.rows
    }

    @Test("needs no code of the domain, and has what the entities have")
    func needsNoCode() async throws {
        let store = try await folder.bank("s.db", entities: 5, events: 300)
        let projection = Projection("totals", try model())
        let end = try await ProjectionRunner(projection, store: store, reader: EventReader(), owner: "test")
            .runUntilCaughtUp()
        #expect(end == .caughtUp)
        let engine = Engine(store: store, domain: .bank)
        let found = try await rows("SELECT account, amount, credits FROM totals ORDER BY account", store)
        #expect(found.count == 5)
        for row in found {
            guard case .text(let account) = row[0], case .real(let amount) = row[1], case .integer(let credits) = row[2]
            else {
                Issue.record("\(row)")
                continue
            }
            let state = try await engine.entity(AccountBehavior(), PersistenceID(account)).state()
            #expect(state.accountBalance == amount, "\(account)")
            #expect(credits > 0)
        }
        await engine.shutdown()
        await store.close()
    }

    @Test("binds values, whatever they look like")
    func binds() async throws {
        let store = try await folder.store("s.db")
        let name = "'); DROP TABLE ego_events; --"
        let event = try AnyPayload(packing: Samplepb_AccountCreated.with { $0.accountID = name })
        _ = try await store.append([
            AppendRequest(
                persistenceID: PersistenceID("a"), expectedVersion: .noStream,
                events: [NewEvent(timestamp: SystemTime().now(), payload: event.serialized())])
        ])
        _ = try await ProjectionRunner(
            Projection("totals", try model()), store: store, reader: EventReader(), owner: "test"
        ).runUntilCaughtUp()
        #expect(try await rows("SELECT account FROM totals", store) == [[.text(name)]])
        #expect(try await store.head().position.rawValue == 1)
        await store.close()
    }

    @Test("that does not fit its messages or its tables is refused before it runs")
    func refused() {
        for (type, sql) in [
            ("samplepb.Nothing", "DELETE FROM {totals}"), ("AccountCreated", "DELETE FROM {other}"),
            ("AccountCreated", "DELETE FROM {totals} WHERE account = :nothing"),
            ("AccountCreated", "DELETE FROM {totals} WHERE account = :@nothing"),
            ("AccountCreated", "DELETE FROM {totals} WHERE account = 'a"),
        ] {
            #expect(throws: SQLReadModelError.self, "\(sql)") { try model([type: [sql]]) }
        }
        #expect(throws: SQLReadModelError.self) {
            try model([:], tables: [ReadModelTable("ego_events", columns: "a INT")])
        }
    }
}

/// Rows that were read inside a transaction.
private final class FoundRows: @unchecked Sendable {  // written by one transaction, read after it
    private(set) var rows: [[ReadModelValue]] = []
    func set(_ rows: [[ReadModelValue]]) { self.rows = rows }
}
