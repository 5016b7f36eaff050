public import EgoCore

/// What every store must do, as checks that any test framework can run.
///
/// ```swift
/// @Test(arguments: StoreContract.laws)
/// func keeps(_ law: StoreLaw) async throws {
///     try await law.check(MyFixture())
/// }
/// ```
public enum StoreContract {
    /// All checks.
    public static let laws: [StoreLaw] =
        appendLaws + orderLaws + durabilityLaws + pagingLaws + projectionLaws + deletionLaws + retirementLaws
        + erasureLaws + commandLaws + recordLaws + snapshotLaws + stateLaws + keyLaws + operatorLaws
}

/// One check of a store.
public struct StoreLaw: Sendable, CustomStringConvertible {
    /// The law of the design that it belongs to, 1 to 7; nil for a promise of one port.
    public let number: Int?
    /// What the store does, as a sentence.
    public let name: String
    private let body: @Sendable (any StoreFixture, LawContext) async throws -> Void

    init(
        _ number: Int?, _ name: String,
        _ body: @escaping @Sendable (any StoreFixture, LawContext) async throws -> Void
    ) {
        self.number = number
        self.name = name
        self.body = body
    }

    /// Runs the check on a store of its own.
    ///
    /// - Throws: ``LawViolation`` when the store breaks the law; any other error when the check could not be made.
    public func check(_ fixture: any StoreFixture) async throws {
        try await body(fixture, LawContext(law: name))
    }

    public var description: String { number.map { "law \($0): \(name)" } ?? name }
}

/// Gives a contract suite the stores that it checks.
public protocol StoreFixture: Sendable {
    /// A new, empty store.
    func makeStore() async throws -> any Store

    /// Ends a store as a crash would and opens what it left; the same store where the data lives in memory only.
    func reopen(_ store: any Store) async throws -> any Store

    /// Another way into the same data, as a second process would have; the same store where there is none.
    func second(_ store: any Store) async throws -> any Store

    /// Adds 1 to the read model's counter of that name.
    func count(_ name: String, in transaction: any ReadModelTransaction) throws

    /// The read model's counter of that name; 0 when it was never counted.
    func counter(_ name: String, of store: any Store) async throws -> Int
}

/// A store did not do what the contract says.
public struct LawViolation: Error, Sendable, CustomStringConvertible {
    /// The law.
    public let law: String
    /// What was seen.
    public let message: String

    public var description: String { "\(law): \(message)" }
}

/// What the body of a check uses to say what it expects.
struct LawContext: Sendable {
    let law: String

    func expect(_ condition: Bool, _ message: @autoclosure () -> String) throws(LawViolation) {
        if !condition { throw LawViolation(law: law, message: message()) }
    }

    func expectEqual<Value: Equatable>(_ found: Value, _ wanted: Value, _ what: String) throws(LawViolation) {
        if found != wanted { throw LawViolation(law: law, message: "\(what) is \(found), not \(wanted)") }
    }

    func expectError(
        _ code: StoreError.Code, _ what: String, _ body: () async throws -> Void
    ) async throws {
        do {
            try await body()
        } catch let error as StoreError {
            try expect(error.code == code, "\(what) failed as \(error.code), not as \(code)")
            return
        }
        throw LawViolation(law: law, message: "\(what) did not fail")
    }

    // MARK: Material

    func id(_ text: String) throws -> PersistenceID { try PersistenceID(text) }

    func command(_ text: String) throws -> CommandID {
        guard let id = CommandID(text) else { throw LawViolation(law: law, message: "bad command ID \(text)") }
        return id
    }

    let start = Timestamp(unixNanoseconds: 1_767_225_600_000_000_000)

    func event(_ number: Int, bytes: Int = 8) -> NewEvent {
        NewEvent(
            timestamp: start.advanced(by: .seconds(number)),
            payload: AnyPayload(
                typeURL: "type.googleapis.com/contract.Event",
                value: [UInt8](repeating: UInt8(number & 0xff), count: bytes)
            ).serialized())
    }

    func append(
        _ count: Int, to id: PersistenceID, expecting version: ExpectedVersion = .any, command: CommandID? = nil,
        bytes: Int = 8
    ) -> AppendRequest {
        AppendRequest(
            persistenceID: id, kind: "contract", expectedVersion: version,
            events: (0..<count).map { event($0 + 1, bytes: bytes) }, metadata: EventMetadata(commandID: command))
    }

    /// All of a stream, read in small pages.
    func stream(_ id: PersistenceID, of store: any Store) async throws -> [PersistedEvent] {
        var all: [PersistedEvent] = []
        var next: SequenceNumber = 1
        while true {
            let page = try await store.events(of: id, from: next, through: .max, limit: PageLimit(rows: 7))
            guard let last = page.last else { return all }
            try expect(last.sequenceNumber >= next, "a page goes back to \(last.sequenceNumber)")
            all += page
            next = last.sequenceNumber.next
        }
    }

    /// All of the journal after an offset, read in small pages.
    func journal(
        of store: any Store, after offset: Offset = .start, shard: Shard? = nil
    ) async throws -> [PersistedEvent] {
        var all: [PersistedEvent] = []
        var next = offset
        while true {
            let page = try await store.journal(after: next, shard: shard, limit: PageLimit(rows: 7))
            all += page.events
            if page.reachedHead { return all }
            try expect(page.next > next, "a page of the journal does not move on from \(next)")
            next = page.next
        }
    }
}
