import Synchronization

/// A statement of this module that is run often: each connection keeps it prepared in a place of its own, where a text
/// would be looked up each time.
///
/// One is made for each constant, never within a call: places are not given back.
struct OwnSQL: Sendable {
    let text: String
    /// The index of the statement among those that a connection has prepared.
    let place: Int

    private static let count = Atomic(0)

    init(_ text: String) {
        self.text = text
        place = Self.count.add(1, ordering: .relaxed).oldValue
    }
}
