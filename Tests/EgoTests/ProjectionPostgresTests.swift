import Ego
import EgoCore
import EgoPostgres
import EgoTestKit
import PostgresServer
import Synchronization
import Testing

@Suite("An event whose SQL PostgreSQL refuses", .serialized)
struct ProjectionPostgresTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var testDescription: String
        /// What the handler runs for the third of five events.
        var sql: String
        /// Whether the handler goes on after that, as if nothing had happened.
        var isSwallowed = false

        static let all = [
            Case(testDescription: "division by zero", sql: "SELECT 1 / 0"),
            Case(
                testDescription: "a check", sql: "INSERT INTO {seen} (entity, sequence, what) VALUES ('a', 0, 'bad')"),
            Case(
                testDescription: "a unique key",
                sql: "INSERT INTO {seen} (entity, sequence, what) VALUES ('a', 1, 'x'), ('a', 1, 'x')"),
            Case(
                testDescription: "a unique key that is checked at the commit",
                sql: "INSERT INTO {seen} (entity, sequence, what, late) VALUES ('a', 0, 'x', 1)"),
            Case(testDescription: "a missing table", sql: "SELECT * FROM nowhere"),
            Case(testDescription: "a syntax error", sql: "SELEKT 1"),
            Case(testDescription: "an ambiguous column", sql: "SELECT place FROM {seen} a, {seen} b"),
            Case(testDescription: "a row changed twice", sql: twice),
            Case(testDescription: "a trigger's exception", sql: "DO $$ BEGIN RAISE EXCEPTION 'not this one'; END $$"),
            Case(testDescription: "an error that was swallowed", sql: "SELECT 1 / 0", isSwallowed: true),
        ]

        private static let twice = """
            INSERT INTO {seen} (entity, sequence, what) VALUES ('a', 0, 'x'), ('a', 0, 'y')
            ON CONFLICT (entity, sequence) DO UPDATE SET what = excluded.what
            """
    }

    private struct Model: ReadModel {
        let tables = [
            ReadModelTable(
                "seen",
                columns: """
                    place bigserial PRIMARY KEY, entity text NOT NULL, sequence bigint NOT NULL,
                    what text NOT NULL CHECK (what <> 'bad'), late bigint UNIQUE DEFERRABLE INITIALLY DEFERRED,
                    UNIQUE (entity, sequence)
                    """)
        ]
        let test: Case
        let isEnqueued: Bool

        func handle(_ event: ProjectedEvent, in model: ReadModelWriter) throws {
            let number = Int64(event.sequenceNumber.rawValue)
            if number == 3 {
                do { try run(test.sql, [:], in: model) } catch {
                    if test.isSwallowed { return }
                    throw error
                }
            }
            try run(
                "INSERT INTO {seen} (entity, sequence, what, late) VALUES ('a', :number, 'x', :number)",
                ["number": .integer(number)], in: model)
        }

        private func run(_ sql: String, _ values: [String: ReadModelValue], in model: ReadModelWriter) throws {
            if isEnqueued { try model.enqueue(sql, values) } else { try model.change(sql, values) }
        }
    }

    @Test("is dealt with as the policy says", arguments: Case.all, [RecoveryPolicy.Outcome.skip, .fail])
    func refused(_ test: Case, _ outcome: RecoveryPolicy.Outcome) async throws {
        try await check(test, outcome, isEnqueued: false)
    }

    @Test(
        "is dealt with the same when statements wait for each other", arguments: Case.all,
        [RecoveryPolicy.Outcome.skip, .fail])
    func refusedLate(_ test: Case, _ outcome: RecoveryPolicy.Outcome) async throws {
        try await check(test, outcome, isEnqueued: true)
    }

    private func check(_ test: Case, _ outcome: RecoveryPolicy.Outcome, isEnqueued: Bool) async throws {
        let server = try PostgresServer.shared("projection-sql")
        let schema = try server.makeSchema()
        let url = try PostgresURL(server.url(schema: schema))
        _ = try await PostgresStore.initialize(url: url, storeID: schema)
        let store = try await PostgresStore(url: url)
        try await store.add(5, of: ["a"])
        let options = ProjectionOptions(recovery: RecoveryPolicy(outcome))
        let model = runner(
            .readModel(Model(test: test, isEnqueued: isEnqueued)), store, options, time: HurriedTime(factor: 20))
        let isOver = Atomic(false)
        let task = Task {
            defer { isOver.store(true, ordering: .releasing) }
            return try await model.runUntilCaughtUp()
        }
        // It ends at once, or waits for ever for a store that is there.
        try? await within(.seconds(30)) {
            if case .waiting = model.status { return true }
            return isOver.load(ordering: .acquiring)
        }
        let status = model.status
        task.cancel()
        let letters = try await store.letters()
        let failure = try await store.projection("p")?.failure
        let rows = try server.sql("SELECT string_agg(sequence::text, ' ' ORDER BY place) FROM seen", schema: schema)
            .filter { !$0.isNewline }
        switch outcome {
        case .skip:
            #expect(letters.map(\.sequenceNumber) == [3], "it does \(status)")
            #expect(rows == "1 2 4 5")
            #expect(try await task.value == .caughtUp)
        case .fail:
            #expect(failure?.sequenceNumber == 3, "it does \(status)")
            #expect(rows == "1 2")
            #expect(try await task.value == failure.map { .failed($0) } ?? .cancelled)
        }
        await store.close()
    }
}
