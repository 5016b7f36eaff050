/// When the effect of an operation is on disk. Figures of different classes are never compared.
package enum BenchDurability: String, Sendable {
    /// Nothing is on disk.
    case memory
    /// Each operation waits for a commit of its own.
    case single = "durable single"
    /// Operations share a commit, and each waits for it.
    case grouped = "durable grouped"
}

/// One thing that is measured.
package struct BenchCase: Sendable, Hashable {
    /// The workload.
    package var workload: BenchWorkload
    /// The workload's name, with its variant, as `replay-long`.
    package var name: String
    /// How many callers there are.
    package var clients = 1
    /// How many shards its store has; nil for as many as any new store.
    package var shards: UInt32?
    /// What is counted, as `commands`.
    package var unit: String
    /// What a latency is of, as `command`.
    package var step: String
    /// Nil for what writes nothing.
    package var durability: BenchDurability?
    /// What the limit does.
    package var limitName: String
}

/// What a measurement came to.
///
/// The figures are those of the run whose ratio is the median of all; the latencies are of all runs.
package struct BenchResult: Sendable {
    /// What was measured.
    package var measured: BenchCase
    /// How many operations were done.
    package var operations: Int
    /// How many seconds they took.
    package var seconds: Double
    /// Operations a second.
    package var perSecond: Double
    /// The same work by the bare library, moments before: operations a second.
    package var limitPerSecond: Double
    /// The share of the limit that was reached.
    package var ratio: Double
    /// Times of all runs.
    package var latencies: LatencyHistogram
    /// The most memory that the process had meanwhile, in bytes; nil where the system does not tell.
    package var peakMemoryBytes: Int?
    /// How many bytes of memory each operation has left in use, where that is what was measured.
    package var bytesEach: Int?
}

/// One run.
struct BenchSample: Sendable {
    var operations = 0
    var duration = Duration.zero
    var latencies = LatencyHistogram()
    /// What memory is in use for it in the end, where that is measured.
    var bytes: Int?

    var perSecond: Double { Double(operations) / max(duration / .seconds(1), 1e-9) }
}
