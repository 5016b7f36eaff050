#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A moment of the machine's monotonic clock, in nanoseconds, which is the same in all of its processes: one look at the
/// clock, and no more, where a measurement has no time for `ContinuousClock`.
package struct MonotonicTime: Sendable, Comparable, Codable {
    /// Nanoseconds since some moment before.
    package let nanoseconds: Int64

    /// Wraps nanoseconds of the clock.
    package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    /// This moment.
    package static var now: MonotonicTime {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return MonotonicTime(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
    }

    /// The moment `duration` later.
    package func advanced(by duration: Duration) -> MonotonicTime {
        MonotonicTime(nanoseconds: nanoseconds + Int64(duration / .nanoseconds(1)))
    }

    package static func < (left: Self, right: Self) -> Bool { left.nanoseconds < right.nanoseconds }
}
