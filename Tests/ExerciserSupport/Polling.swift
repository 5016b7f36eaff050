/// A condition did not hold in time.
package struct TooLate: Error, CustomStringConvertible {
    package let description: String
}

/// Waits until a condition holds.
///
/// - Throws: ``TooLate`` after the limit.
package func poll(
    _ what: String, within limit: Duration = .seconds(60), every pause: Duration = .milliseconds(2),
    until condition: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + limit
    while try await !condition() {
        if ContinuousClock.now > deadline { throw TooLate(description: "not within \(limit): \(what)") }
        try await Task.sleep(for: pause)
    }
}
