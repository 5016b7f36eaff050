import Synchronization

/// How long the calls of a connection have taken of late.
///
/// A call that blocks has a thread of its own to do so, unless it is over sooner than two threads are woken: the one that it
/// is handed to, and the one that waits for its result.
package final class CallPace: Sendable {
    /// What calls have to be quicker than, in nanoseconds; to wake two threads takes a tenth of it.
    private static let limit: Int64 = 1_000_000
    /// After so many nanoseconds in calls a thread of the cooperative pool is anybody's again.
    private static let turn: Int64 = 2_000_000
    private let average = Atomic<Int64>(0)
    private let kept = Atomic<Int64>(0)

    /// A pace that counts as quick until calls were not.
    package init() {}

    /// Whether the next call may be expected to be over within a millisecond.
    package var isQuick: Bool { average.load(ordering: .relaxed) < Self.limit }

    /// Takes note of a call that began at `start` and is over; the last four or so count.
    package func took(since start: MonotonicTime) {
        // Of two who do this at once one is not counted, which is no loss.
        let duration = MonotonicTime.now.nanoseconds - start.nanoseconds
        let before = average.load(ordering: .relaxed)
        average.store(before + (duration - before) / 4, ordering: .relaxed)
        kept.store(kept.load(ordering: .relaxed) + duration, ordering: .relaxed)
    }

    /// Lets others have the caller's thread, once it was kept for long enough in calls. A caller that goes on and on would
    /// keep it for itself, where there may be no other one; each time, it would wake another thread for nothing.
    package func giveWay() async {
        if kept.load(ordering: .relaxed) < Self.turn { return }
        kept.store(0, ordering: .relaxed)
        await Task.yield()
    }
}
