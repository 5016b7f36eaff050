import EgoCore
import Logging
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The projections that an engine runs.
final class ProjectionHost: Sendable {
    private struct State {
        var runners: [String: ProjectionRunner] = [:]
        var tasks: [Task<Void, Never>] = []
    }

    private let state = Mutex(State())

    /// Starts a runner, unless one of that name runs.
    func start(_ runner: ProjectionRunner, time: any TimeSource, log: Logger) {
        state.withLock { state in
            if state.runners[runner.projection.name] != nil { return }
            state.runners[runner.projection.name] = runner
            state.tasks.append(
                Task {
                    while !Task.isCancelled {
                        do { try await runner.run() } catch {
                            log.critical(
                                "a projection cannot run",
                                metadata: ["projection": "\(runner.projection.name)", "error": "\(error)"])
                            if (error as? StoreError)?.code == .closed { return }
                            // It needs somebody to do something about it; afterwards it goes on by itself.
                            try? await time.sleep(for: .seconds(30))
                        }
                    }
                })
        }
    }

    func status(of name: String) -> ProjectionRunner.Status? { state.withLock { $0.runners[name]?.status } }

    /// Stops all, and returns when they have given their leases back.
    func stop() async {
        let tasks = state.withLock { state in
            defer { state = State() }
            return state.tasks
        }
        for task in tasks { task.cancel() }
        for task in tasks { await task.value }
    }
}

extension Engine {
    /// Starts projections of the domain, each by a runner of its own that goes on until ``shutdown()``. Nothing happens
    /// for those that run.
    ///
    /// - Parameters:
    ///   - names: which; nil for all.
    ///   - leaseTime: how long another process waits at most before it goes on with the projections of this one, when it
    ///     was killed.
    public func startProjections(_ names: Set<String>? = nil, leaseTime: Duration = .seconds(10)) {
        var host = [CChar](repeating: 0, count: 256)
        gethostname(&host, host.count - 1)
        let machine = String(decoding: host.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let owner = "engine on \(machine) (process \(getpid()), run \(UInt32.random(in: 0 ... .max)))"
        for projection in domain.projections where names?.contains(projection.name) ?? true {
            projections.start(
                ProjectionRunner(
                    projection, store: store, reader: domain.reader, owner: owner, leaseTime: leaseTime, time: time,
                    log: log), time: time, log: log)
        }
    }

    /// What the runner of a projection does; nil when this engine does not run it.
    public func projectionStatus(_ name: String) -> ProjectionRunner.Status? { projections.status(of: name) }
}
