/// A store that writes at once, without waiting for anything: one in memory. Whoever has a single write for it need not
/// become asynchronous, nor wait for others to share the transaction with.
///
/// An object, of which a reference is one word to copy: whoever writes a million times a second notices.
public protocol ImmediateStore: AnyObject, EventStore, StateStore {
    /// The same as ``EventStore/append(_:)`` for one request, whose parts are lent: a request would have to own them.
    ///
    /// - Parameter place: where the store keeps the entity. Nil for whoever does not know: the store looks for the entity
    ///   then, and says where it is.
    func appendNow(
        _ events: [NewEvent], of id: PersistenceID, kind: String?, after expected: ExpectedVersion,
        _ metadata: EventMetadata, at place: inout EntityPlace?
    ) throws(StoreError) -> AppendOutcome

    /// The same as ``StateStore/save(_:)`` for one write.
    func saveNow(_ write: StateWrite) throws(StoreError) -> StateOutcome
}

extension ImmediateStore {
    /// The same as ``EventStore/append(_:)`` for one request.
    public func appendNow(_ request: AppendRequest) throws(StoreError) -> AppendOutcome {
        var place: EntityPlace?
        return try appendNow(
            request.events, of: request.persistenceID, kind: request.kind, after: request.expectedVersion,
            request.metadata, at: &place)
    }
}

/// Where a store keeps an entity, for as long as there is the store: found once, an entity need not be looked for again.
///
/// It means nothing to another store.
public struct EntityPlace: Sendable, Hashable {
    /// The store's own number of the entity.
    public let index: UInt32

    /// The place of a number.
    public init(_ index: UInt32) { self.index = index }
}
