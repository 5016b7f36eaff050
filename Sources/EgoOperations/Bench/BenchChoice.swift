#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Which entity is next: the same ones in the same order for the same seed.
package struct BenchChoice: Sendable {
    /// How entities are chosen.
    package enum Distribution: String, Sendable, CaseIterable, Codable {
        /// Each as often as any other.
        case uniform
        /// The first one most often, the n-th one n to the power of 0.99 times less often, as in YCSB.
        case zipf
    }

    private let count: Int
    /// The shares of the entities up to each, ascending to 1; empty where all have the same.
    private let shares: [Double]
    private var random: SplitMix64

    /// A choice among `count` entities, at least 1.
    package init(_ distribution: Distribution, among count: Int, seed: UInt64) {
        self.count = max(1, count)
        random = SplitMix64(seed: seed)
        switch distribution {
        case .uniform: shares = []
        case .zipf:
            var sum = 0.0
            var sums: [Double] = []
            sums.reserveCapacity(count)
            for rank in 1...self.count {
                sum += 1 / pow(Double(rank), 0.99)
                sums.append(sum)
            }
            shares = sums.map { $0 / sum }
        }
    }

    /// The same choice of another client: the distribution is shared, the order is not.
    package func ofClient(_ number: Int, seed: UInt64) -> BenchChoice {
        var choice = self
        choice.random = SplitMix64(seed: seed &+ UInt64(number) &* 0x9e37_79b9)
        return choice
    }

    /// The next entity's number, from 0.
    package mutating func next() -> Int {
        if shares.isEmpty { return Int(random.next(upperBound: UInt64(count))) }
        let wanted = Double(random.next() >> 11) / Double(UInt64(1) << 53)
        var (low, high) = (0, count - 1)
        while low < high {
            let middle = (low + high) / 2
            if shares[middle] > wanted { high = middle } else { low = middle + 1 }
        }
        return low
    }
}

/// A generator whose numbers are the same everywhere for the same seed.
///
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014).
private struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }
}
