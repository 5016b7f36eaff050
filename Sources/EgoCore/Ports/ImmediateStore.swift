/// A store that writes at once, without waiting for anything: one in memory. Whoever has a single write for it need not
/// become asynchronous, nor wait for others to share the transaction with.
///
/// An object, of which a reference is one word to copy: whoever writes a million times a second notices.
public protocol ImmediateStore: AnyObject, EventStore, StateStore {
    /// The same as ``EventStore/append(_:)`` for one request.
    func appendNow(_ request: AppendRequest) throws(StoreError) -> AppendOutcome

    /// The same as ``StateStore/save(_:)`` for one write.
    func saveNow(_ write: StateWrite) throws(StoreError) -> StateOutcome
}
