/// Times of operations, counted in buckets whose width grows with the time: memory stays the same however many there are.
///
/// A time is known to one part in 64 of itself. The layout is that of HdrHistogram (github.com/HdrHistogram).
package struct LatencyHistogram: Sendable, Hashable, Codable {
    private static let bits = 6
    private static let half = 1 << bits
    /// About 73 minutes in nanoseconds; what took longer counts as that.
    private static let largest: UInt64 = 1 << 42
    private var counts = [Int](repeating: 0, count: index(of: largest) + 1)
    /// How many times were recorded.
    package private(set) var count = 0

    /// Nothing yet.
    package init() {}

    /// Records a time, as that of so many operations; negative ones count as 0.
    package mutating func record(_ duration: Duration, count: Int = 1) {
        let (seconds, attoseconds) = duration.components
        record(
            nanoseconds: seconds >= 4_400
                ? Int64(Self.largest) : max(0, seconds * 1_000_000_000 + attoseconds / 1_000_000_000), count: count)
    }

    /// Records a time, not negative, as that of so many operations.
    package mutating func record(nanoseconds: Int64, count: Int = 1) {
        counts[Self.index(of: min(UInt64(nanoseconds), Self.largest))] += count
        self.count += count
    }

    /// Adds the times of another histogram.
    package mutating func add(_ other: LatencyHistogram) {
        for index in counts.indices { counts[index] += other.counts[index] }
        count += other.count
    }

    /// The time that so many of all, 0 to 1, are not above, in microseconds; nil when there is none.
    package func microseconds(at share: Double) -> Double? {
        if count == 0 { return nil }
        let rank = max(1, Int((Double(count) * share).rounded(.up)))
        var seen = 0
        for (index, count) in counts.enumerated() {
            seen += count
            if seen >= rank { return Self.middle(of: index) / 1_000 }
        }
        return nil
    }

    private static func index(of value: UInt64) -> Int {
        if value < half { return Int(value) }
        let shift = 63 - value.leadingZeroBitCount - bits
        return shift * half + Int(value >> UInt64(shift))
    }

    /// The middle of a bucket, in nanoseconds.
    private static func middle(of index: Int) -> Double {
        if index < 2 * half { return Double(index) }
        let shift = index / half - 1
        let low = Double(UInt64(index - shift * half) << UInt64(shift))
        return low + Double(UInt64(1) << UInt64(shift)) / 2
    }
}
