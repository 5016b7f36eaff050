import EgoCore
import Logging
import Synchronization

/// What all cells of an engine share.
final class EngineContext: Sendable {
    let configuration: EngineConfiguration
    let time: any TimeSource
    let log: Logger
    let snapshots: SnapshotWriter
    /// Counts the rounds of passivation; an entity's last use is one of them.
    let clock = Atomic<UInt64>(0)

    init(configuration: EngineConfiguration, time: any TimeSource, log: Logger, snapshots: SnapshotWriter) {
        self.configuration = configuration
        self.time = time
        self.log = log
        self.snapshots = snapshots
    }
}

/// When an entity was last used.
final class EntityUse: Sendable {
    private let lastRound = Atomic<UInt64>(0)
    private let isRecent = Atomic<Bool>(true)

    func touch(_ clock: borrowing Atomic<UInt64>) {
        let round = clock.load(ordering: .relaxed)
        if lastRound.load(ordering: .relaxed) != round { lastRound.store(round, ordering: .relaxed) }
        if !isRecent.load(ordering: .relaxed) { isRecent.store(true, ordering: .relaxed) }
    }

    var round: UInt64 { lastRound.load(ordering: .relaxed) }

    /// Whether it was used since the last time that this was asked.
    func takeRecent() -> Bool { isRecent.exchange(false, ordering: .relaxed) }
}
