import CommandLineKit
import Dispatch
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Turns the first SIGINT or SIGTERM into a clean stop; the second ends the process at once.
final class SignalTrap: Sendable {
    private struct State {
        var received: Int32?
        var handler: (@Sendable () -> Void)?
    }

    private let state = Mutex(State())
    /// Written once, in `init`; kept so that the sources go on.
    nonisolated(unsafe) private var sources: [any DispatchSourceSignal] = []

    init() {
        let queue = DispatchQueue(label: "ego.signals")
        for number in [SIGINT, SIGTERM] {
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
            source.setEventHandler { [weak self] in self?.receive(number) }
            source.activate()
            sources.append(source)
        }
    }

    /// What to do at the first signal.
    func onSignal(_ handler: @escaping @Sendable () -> Void) {
        state.withLock { $0.handler = handler }
    }

    /// How the process ends after it was stopped.
    var exitCode: Int32 {
        state.withLock { $0.received } == SIGTERM ? ExitCode.terminated.number : ExitCode.interrupted.number
    }

    private func receive(_ number: Int32) {
        if number == SIGINT, Pager.isRunning { return }
        let (isFirst, handler) = state.withLock { state in
            defer { state.received = state.received ?? number }
            return (state.received == nil, state.handler)
        }
        if isFirst { handler?() } else { _exit(128 + number) }
    }
}
