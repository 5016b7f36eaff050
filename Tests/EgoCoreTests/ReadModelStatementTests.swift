import Testing

@testable import EgoCore

@Suite("A statement of a read model")
struct ReadModelStatementTests {
    private func bound(_ text: String, _ dialect: SQLDialect = .postgres) throws -> (
        sql: String, values: [ReadModelValue]
    ) {
        let prepared = try ReadModelStatement(text).prepared(dialect) { $0 == "t" ? "t_v3" : nil }
        return (prepared.sql, try prepared.values { .text($0) })
    }

    @Test("has its tables and values replaced, each value bound once")
    func replaced() throws {
        let text = "UPDATE {t} SET a = :a.b, c = :@id WHERE d = :a.b"
        let (sql, values) = try bound(text)
        #expect(sql == "UPDATE t_v3 SET a = $1, c = $2 WHERE d = $1")
        #expect(values == [.text("a.b"), .text("@id")])
        #expect(try bound(text, .sqlite).sql == "UPDATE t_v3 SET a = ?1, c = ?2 WHERE d = ?1")
        let statement = try ReadModelStatement(text)
        #expect(statement.values == ["a.b", "@id"] && statement.tables == ["t"])
    }

    @Test(
        "is left as it is in quotes, comments, casts and slices",
        arguments: [
            "SELECT ':a {t}'", "SELECT \":a {t}\"", "SELECT 1 -- :a {t} 'x", "SELECT /* :a {t} ' */ 1",
            "SELECT 'it''s :a'",
            "SELECT $$ :a {t} ' $$", "SELECT $tag$ :a $$ {t} $tag$", "SELECT '1'::numeric", "SELECT list[1:2]",
            "SELECT a : b", "SELECT $1",
        ])
    func left(_ text: String) throws {
        let (sql, values) = try bound(text)
        #expect(sql == text && values.isEmpty)
    }

    @Test(
        "that does not end is refused",
        arguments: [
            "SELECT 'a", "SELECT \"a", "SELECT /* a", "SELECT $x$ a $y$", "SELECT {t", "SELECT {}", "SELECT { t }", "",
            " ", ";", "-- a", "/* a */ ;",
        ])
    func open(_ text: String) throws {
        #expect(throws: ReadModelStatement.Problem.self) { try ReadModelStatement(text) }
    }

    @Test(
        "that would end its transaction, or outlast it, is refused",
        arguments: [
            "COMMIT", " commit;", "-- a\nROLLBACK", "/* a */ begin", ";SET x = 1", "COPY {t} TO STDOUT", "\tpragma x",
        ])
    func foreign(_ text: String) throws {
        #expect(throws: ReadModelStatement.Problem.self) { try ReadModelStatement(text) }
        _ = try ReadModelStatement("SELECT 'COMMIT'")
        _ = try ReadModelStatement("(SELECT 1) -- COMMIT")
    }

    @Test("that names what is not there is refused")
    func unknown() throws {
        #expect(throws: ReadModelStatement.Problem.self) { try bound("DELETE FROM {other}") }
        #expect(throws: ReadModelStatement.Problem.self) {
            try ReadModelStatement("SELECT :a").prepared(.sqlite, { $0 }).values { _ in nil }
        }
    }

    @Test(
        "can have no table of any name",
        arguments: [
            "", "Balances", "a b", "1a", "ego_events", "sqlite_master", "pg_class", "events_store", "a;b", "é",
            String(repeating: "a", count: 41), "a\"b",
        ])
    func names(_ name: String) {
        #expect(ReadModelTable(name, columns: "a INT").nameProblem != nil)
        #expect(ReadModelTable("balances_2", columns: "a INT").nameProblem == nil)
    }

    @Test("Waits of a backoff grow up to their limit, whatever the chance")
    func backoff() {
        let backoff = Backoff(delay: .milliseconds(100), factor: 2, maximum: .seconds(1), jitter: 0.5)
        #expect(
            (1...5).map { backoff.wait(before: $0, chance: 0) }
                == [100, 200, 400, 800, 1_000].map { .milliseconds($0) })
        #expect(backoff.wait(before: 2, chance: 1) == .milliseconds(100))
        #expect(backoff.wait(before: .max, chance: 0) == .seconds(1))
        #expect(Backoff(delay: .zero, maximum: .seconds(1)).wait(before: 900, chance: 0) == .zero)
    }
}
