import EgoCore
import Synchronization

extension EntityCell {
    /// Sends a command to a store that writes at once: it is decided, written and committed under the lock, and nobody
    /// waits for anybody but for that.
    ///
    /// - Parameter decide: called at most once.
    func sendNow(
        _ options: CommandOptions, _ decide: (any AnyEntityState, any TimeSource) throws -> EntityChange?
    ) -> SentCommand {
        guard let store = host.immediateStore, !options.metadata.hasCommandID else { return .later }
        use.touch(context.clock)
        let sent = core.withLock { core in
            // An engine that shuts down looks at each entity's lock after it has said so.
            guard case .active = core.phase, !core.hasPending, !context.calls.isClosed else {
                return SentCommand.later
            }
            if let expected = options.expectedVersion.last, expected != core.committed.version { return .later }
            return sendNow(store, options.metadata, decide, &core)
        }
        if case .failed(let error) = sent, error.code == .bug { didFail(error) }
        return sent
    }

    private func sendNow(
        _ store: any ImmediateStore, _ metadata: EventMetadata,
        _ decide: (any AnyEntityState, any TimeSource) throws -> EntityChange?, _ core: inout Core
    ) -> SentCommand {
        let before = core.committed.version
        let change: EntityChange
        do {
            guard let decided = try decide(core.committed.state, context.time) else {
                return .unchanged(core.committed)
            }
            change = decided
        } catch {
            return .failed(EgoError(thrownByBehavior: error, id))
        }
        let verdict: Ticket.Verdict
        do throws(StoreError) {
            verdict = try store.writeNow(change, of: id, kind: host.kind, at: before, metadata)
        } catch {
            return .failed(EgoError(error, id))
        }
        switch verdict {
        case .committed:
            let committed = Versioned(state: change.after, version: change.version(after: before))
            core.committed = committed
            saveSnapshot(since: before, committed)
            return .committed(committed)
        case .failed(let error): return .failed(error)
        // Another writer was there first: to be decided anew on what that has left.
        case .rerun, .duplicate: return .later
        }
    }
}
