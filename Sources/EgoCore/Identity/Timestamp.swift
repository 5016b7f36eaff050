/// A moment in wall-clock time, in nanoseconds since 1970-01-01T00:00:00Z.
public struct Timestamp: Sendable, Hashable, Comparable {
    /// Nanoseconds since the Unix epoch.
    public let unixNanoseconds: Int64

    /// Wraps nanoseconds since the Unix epoch.
    public init(unixNanoseconds: Int64) {
        self.unixNanoseconds = unixNanoseconds
    }

    /// Reads what an event, snapshot or durable state carries on disk, telling the unit by its magnitude.
    ///
    /// eGo v3, v4.0 and v4.1 wrote seconds, later versions nanoseconds; a reset by eGo for Go wrote milliseconds.
    /// Whatever is below 10^11 is taken as seconds (the year 5138), below 10^14 as milliseconds, else nanoseconds.
    public init(stored value: Int64) {
        switch value.magnitude {
        case 0..<100_000_000_000: self.unixNanoseconds = value &* 1_000_000_000
        case 100_000_000_000..<100_000_000_000_000: self.unixNanoseconds = value &* 1_000_000
        default: self.unixNanoseconds = value
        }
    }

    /// Whether two stored numbers count in the same unit, as ``init(stored:)`` tells it.
    package static func areOfOneUnit(_ left: Int64, _ right: Int64) -> Bool {
        func unit(_ value: Int64) -> Int {
            value.magnitude < 100_000_000_000 ? 0 : value.magnitude < 100_000_000_000_000 ? 1 : 2
        }
        return unit(left) == unit(right)
    }

    /// The moment `duration` later, saturating at the ends of the range.
    public func advanced(by duration: Duration) -> Timestamp {
        let (seconds, attoseconds) = duration.components
        let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, overflow2) = unixNanoseconds.addingReportingOverflow(overflow ? 0 : scaled)
        let (total, overflow3) = sum.addingReportingOverflow(attoseconds / 1_000_000_000)
        if overflow || overflow2 || overflow3 {
            return Timestamp(unixNanoseconds: seconds < 0 ? .min : .max)
        }
        return Timestamp(unixNanoseconds: total)
    }

    /// The time from `earlier` to this moment; negative when `earlier` is later.
    public func duration(since earlier: Timestamp) -> Duration {
        .nanoseconds(unixNanoseconds) - .nanoseconds(earlier.unixNanoseconds)
    }

    public static func < (left: Self, right: Self) -> Bool { left.unixNanoseconds < right.unixNanoseconds }
}
