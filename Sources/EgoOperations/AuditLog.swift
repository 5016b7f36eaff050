public import EgoCore

/// Reads the log of what operators did, and checks its chain of hashes.
public struct AuditLog: Sendable {
    private let store: any Store
    private static let pageSize = 1_000

    /// The log of a store.
    public init(store: any Store) {
        self.store = store
    }

    /// The records after `number`, ascending, one page; empty at the end.
    public func page(after number: UInt64, limit: Int = 1_000) async throws -> [AuditRecord] {
        try await store.audit(after: number, limit: limit)
    }

    /// Checks the whole chain: numbers without gaps, each hash that of its record and of the one before.
    ///
    /// A log that was cut off at its end cannot be told from a shorter one by itself: keep ``Verdict/lastHash``
    /// elsewhere, and give it as `expected`.
    ///
    /// - Parameter expected: a hash that must occur; nil for none.
    public func verify(expecting expected: String? = nil) async throws -> Verdict {
        var verdict = Verdict(records: 0, lastHash: AuditRecord.firstPreviousHash, problems: [])
        var hasExpected = expected == nil || expected == verdict.lastHash
        var number: UInt64 = 0
        while true {
            try Task.checkCancellation()
            let page = try await store.audit(after: number, limit: Self.pageSize)
            if page.isEmpty { break }
            for record in page {
                func problem(_ text: String) {
                    verdict.problems.append(Problem(number: record.number, message: text))
                }
                if record.number != number + 1 {
                    problem("\(record.number - number - 1) records before it are missing")
                }
                if record.previousHash != verdict.lastHash { problem("it does not follow the record before it") }
                if !record.isIntact { problem("its content was changed") }
                verdict.records += 1
                verdict.lastHash = record.hash
                if record.hash == expected { hasExpected = true }
                number = record.number
            }
        }
        if !hasExpected {
            verdict.problems.append(
                Problem(number: number, message: "no record has the expected hash: the log was cut off or replaced"))
        }
        return verdict
    }

    /// What a check of the log found.
    public struct Verdict: Sendable, Hashable {
        /// How many records there are.
        public var records: Int
        /// The last record's hash; 64 zeros for an empty log.
        public var lastHash: String
        /// What is wrong; empty for a log that is intact.
        public var problems: [Problem]
    }

    /// Something wrong with a record.
    public struct Problem: Sendable, Hashable {
        /// The record.
        public var number: UInt64
        /// What is wrong.
        public var message: String
    }
}
