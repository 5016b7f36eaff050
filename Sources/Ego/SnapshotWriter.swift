import EgoCore
import Logging
import SwiftProtobuf
import Synchronization

/// Saves snapshots and deletes what they make superfluous, away from the path of commands.
///
/// Of an entity that is faster than the store, only the newest state is saved. A failure is logged; the next snapshot
/// makes up for it.
final class SnapshotWriter: Sendable {
    private struct Work: Sendable {
        let id: PersistenceID
        let state: any Message
        let version: SequenceNumber
    }

    private struct UnprovenSnapshot: Error, CustomStringConvertible {
        var description: String { "the state is not what its encoding decodes to" }
    }

    private struct State {
        var waiting: [PersistenceID: Work] = [:]
        var order: [PersistenceID] = []
        var isBusy = false
        var idleWaiters: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())
    private let store: any OperatorStore
    private let retention: Retention
    private let time: any TimeSource
    private let log: Logger

    init(store: any OperatorStore, retention: Retention, time: any TimeSource, log: Logger) {
        self.store = store
        self.retention = retention
        self.time = time
        self.log = log
    }

    /// Plans a snapshot.
    func save(_ entityState: any Message, at version: SequenceNumber, of id: PersistenceID) {
        let starts = state.withLock { state in
            if state.waiting.updateValue(Work(id: id, state: entityState, version: version), forKey: id) == nil {
                state.order.append(id)
            }
            defer { state.isBusy = true }
            return !state.isBusy
        }
        if starts { Task { await run() } }
    }

    /// Returns when nothing waits to be saved.
    func becomeIdle() async {
        await withCheckedContinuation { continuation in
            let isIdle = state.withLock { state in
                if state.isBusy { state.idleWaiters.append(continuation) }
                return !state.isBusy
            }
            if isIdle { continuation.resume() }
        }
    }

    private func run() async {
        while let batch = next() {
            for work in batch {
                do {
                    _ = try await store.commit(changes(for: work), under: nil)
                } catch {
                    log.warning(
                        "snapshot not saved",
                        metadata: [
                            "persistence_id": "\(work.id)", "sequence_number": "\(work.version)", "error": "\(error)",
                        ])
                }
            }
        }
    }

    private func next() -> [Work]? {
        let (batch, waiters) = state.withLock { state -> ([Work]?, [CheckedContinuation<Void, Never>]) in
            if state.order.isEmpty {
                state.isBusy = false
                defer { state.idleWaiters = [] }
                return (nil, state.idleWaiters)
            }
            let batch = state.order.compactMap { state.waiting[$0] }
            state.order = []
            state.waiting = [:]
            return (batch, [])
        }
        for waiter in waiters { waiter.resume() }
        return batch
    }

    /// The snapshot and the deletions that it allows, for one transaction: never the one without the other. What does not
    /// give back the state that it was made from is no snapshot: whoever began there would go on from another state.
    private func changes(for work: Work) throws -> [OperatorChange] {
        let payload = try AnyPayload.serialized(packing: work.state)
        guard try type(of: work.state).init(decoding: payload).isEqualTo(message: work.state) else {
            throw UnprovenSnapshot()
        }
        let snapshot = StoredSnapshot(
            persistenceID: work.id, sequenceNumber: work.version, timestamp: time.now(), payload: payload)
        var changes: [OperatorChange] = [.saveSnapshot(snapshot)]
        if retention.deleteSnapshotsOnSnapshot {
            changes.append(
                .retireSnapshots(of: work.id, through: SequenceNumber(work.version.rawValue - 1)))
        }
        let kept = UInt64(retention.eventsRetentionCount)
        if retention.deleteEventsOnSnapshot, work.version.rawValue > kept {
            changes.append(.retireEvents(of: work.id, through: SequenceNumber(work.version.rawValue - kept)))
        }
        return changes
    }
}
