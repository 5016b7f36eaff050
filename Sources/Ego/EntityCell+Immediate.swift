import EgoCore
import Synchronization

extension EntityCell {
    /// Sends a command to a store that writes at once: it is decided, written and committed under the lock, and nobody
    /// waits for anybody but for that.
    ///
    /// - Parameter decide: called at most once.
    func sendNow(
        _ options: CommandOptions, _ decide: (any AnyEntityState, Timestamp) throws -> EntityChange?
    ) -> SentCommand {
        guard host.writesAtOnce, !options.metadata.hasCommandID else { return .later }
        context.touch(use)
        let sent = core.withLock { core in sendNow(options, decide, &core) }
        if case .failed(let error) = sent, error.code == .bug { didFail(error) }
        return sent
    }

    private func sendNow(
        _ options: CommandOptions, _ decide: (any AnyEntityState, Timestamp) throws -> EntityChange?,
        _ core: inout Core
    ) -> SentCommand {
        // An engine that shuts down looks at each entity's lock after it has said so.
        guard case .active = core.phase, !core.hasPending, !context.calls.isClosed else { return .later }
        let before = core.committed.version
        if let expected = options.expectedVersion.last, expected != before { return .later }
        let change: EntityChange
        do {
            guard let decided = try decide(core.committed.state, context.now()) else {
                return .unchanged(core.committed)
            }
            change = decided
        } catch {
            return .failed(EgoError(thrownByBehavior: error, id))
        }
        let verdict: Ticket.Verdict
        do throws(StoreError) {
            verdict = try host.writeNow(change, of: id, at: before, options.metadata, &core.place)
        } catch {
            return .failed(EgoError(error, id))
        }
        switch verdict {
        case .committed:
            core.committed = Versioned(state: change.after, version: change.version(after: before))
            saveSnapshot(since: before, core.committed)
            return .committed(core.committed)
        case .failed(let error): return .failed(error)
        // Another writer was there first: to be decided anew on what that has left.
        case .rerun, .duplicate: return .later
        }
    }
}
