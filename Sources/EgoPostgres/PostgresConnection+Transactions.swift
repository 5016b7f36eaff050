import CPostgreSQL

extension PostgresConnection {
    /// Runs `body` in a transaction: committed when it returns, rolled back when it throws.
    func transaction<Value, Failure: Error>(
        _ begin: String = "BEGIN ISOLATION LEVEL READ COMMITTED", _ body: () throws(Failure) -> Value,
        wrap: (PostgresError) -> Failure
    ) throws(Failure) -> Value {
        try transaction(
            begin, opening: [], { (_: [PostgresResult]) throws(Failure) in try body() }, closing: { _ in [] },
            wrap: wrap)
    }

    /// Runs `body` in a transaction.
    ///
    /// - Parameters:
    ///   - opening: statements that travel with the beginning; `body` is handed what they returned.
    ///   - closing: statements that travel with the end, given what `body` has returned.
    func transaction<Value, Failure: Error>(
        _ begin: String, opening: [PostgresStatement], _ body: ([PostgresResult]) throws(Failure) -> Value,
        closing: (Value) -> [PostgresStatement], wrap: (PostgresError) -> Failure
    ) throws(Failure) -> Value {
        let opened: [PostgresResult]
        do throws(PostgresError) {
            let start = [PostgresStatement(begin)] + session.localSettings
            opened = Array(try batch(start + opening).dropFirst(start.count))
        } catch {
            throw wrap(error.beforeWork)
        }
        isInTransaction = true
        defer { isInTransaction = false }
        do throws(Failure) {
            let value = try body(opened)
            do throws(PostgresError) {
                try commit(after: closing(value))
            } catch {
                throw wrap(error)
            }
            return value
        } catch {
            // The first error is what the caller has to know; a connection on which this fails is not used again.
            if PQstatus(handle) == CONNECTION_OK { try? script("ROLLBACK") }
            throw error
        }
    }

    /// Commits. A transaction in which a statement has failed is rolled back by the server, which says so in passing.
    private func commit(after statements: [PostgresStatement]) throws(PostgresError) {
        let results = try batch(statements + [PostgresStatement("COMMIT")])
        if results.last.map({ String(cString: PQcmdStatus($0.handle)) }) != "COMMIT" {
            throw PostgresError(
                sqlState: "25P02", message: "a statement of the transaction had failed; nothing was changed")
        }
    }

    /// The same for work that throws what this connection throws.
    func transaction<Value>(
        _ begin: String = "BEGIN ISOLATION LEVEL READ COMMITTED", _ body: () throws(PostgresError) -> Value
    ) throws(PostgresError) -> Value {
        try transaction(begin, body, wrap: { $0 })
    }

    /// Runs statements in one transaction and one round trip; the results are in their order. The first error undoes all
    /// of them.
    func pipeline(_ statements: [PostgresStatement]) throws(PostgresError) -> [PostgresResult] {
        unframed(try batch(framed(statements)))
    }

    private var frameStart: [PostgresStatement] {
        [PostgresStatement("BEGIN ISOLATION LEVEL READ COMMITTED")] + session.localSettings
    }

    private func framed(_ statements: [PostgresStatement]) -> [PostgresStatement] {
        frameStart + statements + [PostgresStatement("COMMIT")]
    }

    private func unframed(_ results: [PostgresResult]) -> [PostgresResult] {
        Array(results.dropFirst(1 + session.localSettings.count).dropLast())
    }

    /// Statements that are one transaction when they are sent together: without asking for it, where a connection has a
    /// session of its own. Its isolation is the session's then, which has to be read committed where that matters.
    func atomic(_ statements: [PostgresStatement]) -> [PostgresStatement] {
        session.isPooled ? framed(statements) : statements
    }

    /// Those of the results of ``atomic(_:)`` that are of the statements themselves.
    func results(ofAtomic results: [PostgresResult]) -> [PostgresResult] {
        session.isPooled ? unframed(results) : results
    }
}
