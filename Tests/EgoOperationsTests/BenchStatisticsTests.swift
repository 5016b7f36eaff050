import Testing

@testable import EgoOperations

@Suite("Statistics of a measurement")
struct BenchStatisticsTests {
    @Test("a percentile is that of the sorted times, to one part in 64", arguments: [UInt64(1), 7, 1_234])
    func percentiles(_ seed: UInt64) throws {
        var choice = BenchChoice(.uniform, among: 1_000_000, seed: seed)
        var histogram = LatencyHistogram()
        var times: [Int64] = []
        for index in 0..<20_000 {
            // From nanoseconds to seconds, all orders of magnitude alike.
            let time = Int64(choice.next()) << Int64(index % 14)
            times.append(time)
            histogram.record(.nanoseconds(time))
        }
        times.sort()
        for share in [0.0001, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1] {
            let rank = max(1, Int((Double(times.count) * share).rounded(.up)))
            let exact = Double(times[rank - 1]) / 1_000
            let found = try #require(histogram.microseconds(at: share))
            #expect(abs(found - exact) <= exact / 64 + 0.001, "seed \(seed), \(share): \(found) for \(exact)")
        }
    }

    @Test("histograms that are added are the histogram of all, and the largest times have a place")
    func sums() {
        var (all, one, two) = (LatencyHistogram(), LatencyHistogram(), LatencyHistogram())
        let times: [Duration] = [
            .zero, .nanoseconds(63), .nanoseconds(64), .milliseconds(3), .seconds(9), .seconds(1e6), .seconds(-1),
        ]
        for (index, time) in times.enumerated() {
            all.record(time, count: 3)
            if index % 2 == 0 { one.record(time, count: 3) } else { two.record(time, count: 3) }
        }
        one.add(two)
        #expect(one == all)
        #expect(all.count == 21)
        #expect(all.microseconds(at: 0) == 0)
        #expect(LatencyHistogram().microseconds(at: 0.5) == nil)
        #expect((all.microseconds(at: 1) ?? 0) >= 4_000_000_000)
    }

    @Test("choices are the same for a seed, and others for another", arguments: BenchChoice.Distribution.allCases)
    func choices(_ distribution: BenchChoice.Distribution) {
        func drawn(_ seed: UInt64, client: Int? = nil) -> [Int] {
            var choice = BenchChoice(distribution, among: 1_000, seed: seed)
            if let client { choice = choice.ofClient(client, seed: seed) }
            return (0..<2_000).map { _ in choice.next() }
        }
        #expect(drawn(3) == drawn(3))
        #expect(drawn(3) != drawn(4))
        #expect(drawn(3, client: 1) == drawn(3, client: 1))
        #expect(drawn(3, client: 1) != drawn(3, client: 2))
        #expect(drawn(3).allSatisfy { (0..<1_000).contains($0) })
    }

    @Test("zipf chooses the n-th entity about n times less often than the first, uniform each alike")
    func distributions() {
        func counts(_ distribution: BenchChoice.Distribution) -> [Int] {
            var choice = BenchChoice(distribution, among: 100, seed: 5)
            var counts = [Int](repeating: 0, count: 100)
            for _ in 0..<200_000 { counts[choice.next()] += 1 }
            return counts
        }
        let zipf = counts(.zipf)
        for rank in [2, 5, 10, 50] {
            let factor = Double(zipf[0]) / Double(zipf[rank - 1])
            #expect(factor > Double(rank) * 0.8 && factor < Double(rank) * 1.25, "rank \(rank): \(factor)")
        }
        let uniform = counts(.uniform)
        #expect(uniform.allSatisfy { (1_700...2_300).contains($0) })
    }

    @Test("one entity is always chosen among one")
    func single() {
        for distribution in BenchChoice.Distribution.allCases {
            var choice = BenchChoice(distribution, among: 1, seed: 9)
            #expect((0..<100).allSatisfy { _ in choice.next() == 0 })
        }
    }
}
