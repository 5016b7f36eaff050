import CommandLineKit
import EgoCore
import EgoPostgres

/// The store of a session, which stays open from one command to the next: for reading from the start, for writing from
/// the first command that writes.
actor SessionStores {
    /// Where it is.
    nonisolated let location: StoreLocation
    private let context: CommandContext
    private var reading: (any Store)?
    private var writing: (any Store)?

    init(_ context: CommandContext) throws {
        self.context = context
        location = try context.location
    }

    /// The store; the session's to close.
    func store(readOnly: Bool) async throws -> any Store {
        if let known = readOnly ? reading : writing { return known }
        let made = try await context.connect(readOnly: readOnly)
        // Somebody else may have been faster while this was opened.
        if let known = readOnly ? reading : writing {
            await made.close()
            return known
        }
        if readOnly { reading = made } else { writing = made }
        return made
    }

    /// How often a connection to a server was lost so far.
    func lostConnections() -> Int {
        [reading, writing].compactMap { ($0 as? PostgresStore)?.lostConnections }.reduce(0, +)
    }

    /// Closes what is open; the next command opens it again.
    func close() async {
        let open = [reading, writing].compactMap(\.self)
        (reading, writing) = (nil, nil)
        for store in open { await store.close() }
    }
}

/// A store that somebody else closes.
struct KeptStore: ForwardingStore {
    let base: any Store

    func forward<Value: Sendable>(
        _ call: StoreCall, _ body: () async throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        try await body()
    }

    func close() async {}
}
