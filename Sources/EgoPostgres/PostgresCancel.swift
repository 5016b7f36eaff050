import CPostgreSQL

/// What a request to cancel is made from.
///
/// `@unchecked Sendable`: libpq allows it to be used from any thread, and it is never changed.
final class PostgresCancel: @unchecked Sendable {
    private let handle: OpaquePointer

    init(_ handle: OpaquePointer) { self.handle = handle }

    deinit { PQfreeCancel(handle) }

    /// Asks the server to end what the connection is doing; returns once the server has taken the request. A request
    /// that does not arrive changes nothing: the work then ends by itself.
    func cancel() {
        var message = [CChar](repeating: 0, count: 256)
        _ = PQcancel(handle, &message, Int32(message.count))
    }
}
