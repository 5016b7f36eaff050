import CommandLineKit
import EgoCore
import EgoOperations

/// What a session has to know of an entity before commands go to it.
struct SessionEntities {
    private let store: any Store
    private let context: CommandContext
    private let resolver: EntityResolver

    init(_ store: any Store, _ context: CommandContext) {
        self.store = store
        self.context = context
        self.resolver = EntityResolver(store: store, domain: context.readingDomain)
    }

    /// An ID that nobody else has.
    static func newID() -> String {
        var random = SystemRandomNumberGenerator()
        let digits = String(random.next(), radix: 36) + String(random.next(), radix: 36)
        return String(digits.prefix(22))
    }

    /// What the store knows of an entity; nil when it knows nothing.
    func record(_ id: PersistenceID) async throws -> EntityRecord? { try await resolver.record(id) }

    /// An entity that is there.
    ///
    /// - Throws: ``CommandFailure`` with ``ExitCode/notFound``, `DomainError` for a kind that is not there.
    func existing(_ id: PersistenceID, kind requested: String?) async throws -> ReplSession.Entity {
        if let requested { _ = try context.domain.kind(named: requested) }
        guard let record = try await resolver.record(id) else {
            throw CommandFailure(
                .notFound, Escape.shown(id.rawValue), "there is no such entity",
                hint: "\\new \(Escape.shellWord(id.rawValue)) begins one, \\entities lists them")
        }
        if record.stream.isErased { context.note("\(Escape.shown(id.rawValue)) was erased: it takes no commands") }
        // Without a behavior it can still be looked at.
        let kind = try? await resolver.kind(of: id, record: record, requested: requested)
        return ReplSession.Entity(
            id: id, kind: kind?.name ?? record.stream.kind,
            sequenceNumber: record.isDurableState ? record.state?.version ?? .zero : record.stream.last,
            isEncrypted: try await isEncrypted(id, record))
    }

    /// An entity that is not there yet.
    ///
    /// - Throws: ``CommandFailure`` with ``ExitCode/refused`` when it is.
    func absent(_ id: PersistenceID, kind: String?) async throws -> ReplSession.Entity {
        if let record = try await resolver.record(id) {
            throw CommandFailure(
                .refused, Escape.shown(id.rawValue),
                record.stream.isErased ? "there was such an entity, and it was erased" : "it is there already",
                hint: record.stream.isErased ? nil : "\\use \(Escape.shellWord(id.rawValue)) chooses it")
        }
        let only = context.domain.kinds.count == 1 ? context.domain.kinds.first?.name : nil
        return ReplSession.Entity(
            id: id, kind: kind ?? only, sequenceNumber: .zero,
            // What would be encrypted with the first event is treated so from the start.
            isEncrypted: try await EncryptedStore.inside(store)?.wouldEncrypt(id, kind: kind ?? only) ?? false)
    }

    /// Whether anything of an entity is stored encrypted, or will be.
    func isEncrypted(_ id: PersistenceID, _ record: EntityRecord) async throws -> Bool {
        if let store = EncryptedStore.inside(store), try await store.wouldEncrypt(id, kind: record.stream.kind) {
            return true
        }
        if record.state?.isEncrypted == true { return true }
        if let snapshot = try await store.latestSnapshot(of: id, through: .max), snapshot.isEncrypted { return true }
        let last = record.stream.last
        if last == .zero { return false }
        return try await store.events(of: id, from: last, through: last, limit: PageLimit(rows: 1)).first?.isEncrypted
            ?? false
    }
}
