import Synchronization

/// How long the calls of a connection have taken of late.
///
/// A call that blocks has a thread of its own to do so, unless it is over sooner than two threads are woken: the one that it
/// is handed to, and the one that waits for its result.
package final class CallPace: Sendable {
    /// What calls have to be quicker than, in nanoseconds; to wake two threads takes a tenth of it.
    private static let limit: Int64 = 1_000_000
    private let average = Atomic<Int64>(0)

    /// A pace that counts as quick until calls were not.
    package init() {}

    /// Whether the next call may be expected to be over within a millisecond.
    package var isQuick: Bool { average.load(ordering: .relaxed) < Self.limit }

    /// Takes note of a call that began at `start` and is over; the last four or so count.
    package func took(since start: MonotonicTime) {
        let before = average.load(ordering: .relaxed)
        // Of two who do this at once one is not counted, which is no loss.
        average.store(before + (MonotonicTime.now.nanoseconds - start.nanoseconds - before) / 4, ordering: .relaxed)
    }
}
