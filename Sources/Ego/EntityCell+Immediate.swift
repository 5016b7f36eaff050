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
        use.touch(in: context.round)
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
        if let expected = options.expectedVersion.last, expected != core.committed.version { return .later }
        do {
            guard let change = try decide(core.committed.state, host.now()) else { return .unchanged(core.committed) }
            return commit(change, options.metadata, &core)
        } catch {
            return .failed(EgoError(thrownByBehavior: error, id))
        }
    }

    private func commit(_ change: EntityChange, _ metadata: EventMetadata, _ core: inout Core) -> SentCommand {
        let before = core.committed.version
        let verdict: Ticket.Verdict
        do throws(StoreError) {
            verdict = try host.writeNow(change, of: id, at: before, metadata, &core.place)
        } catch {
            return .failed(EgoError(error, id))
        }
        switch verdict {
        case .committed:
            core.committed = core.committed.after(change)
            saveSnapshot(since: before, core.committed)
            return .committed(core.committed)
        case .failed(let error): return .failed(error)
        // Another writer was there first: to be decided anew on what that has left.
        case .rerun, .duplicate: return .later
        }
    }
}
