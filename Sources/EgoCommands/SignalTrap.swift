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
        var diversion: (@Sendable (Int32) -> Bool)?
        var last: (@Sendable () -> Void)?
    }

    private let state = Mutex(State())
    /// Written once, in `init`; kept so that the sources go on.
    nonisolated(unsafe) private var sources: [any DispatchSourceSignal] = []
    private let queue = DispatchQueue(label: "ego.signals")

    init() {
        for number in [SIGINT, SIGTERM] { sources.append(source(of: number)) }
    }

    private func source(of number: Int32) -> any DispatchSourceSignal {
        signal(number, SIG_IGN)
        let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
        source.setEventHandler { [weak self] in self?.receive(number) }
        source.activate()
        return source
    }

    /// Hands all signals to somebody who answers whether that was all there is to do about one; nil for nobody.
    func divert(to handler: (@Sendable (Int32) -> Bool)?) {
        state.withLock { $0.diversion = handler }
    }

    /// Takes further signals, for as long as what is returned is kept; then they are ignored.
    func take(_ numbers: [Int32]) -> [any DispatchSourceSignal] { numbers.map(source) }

    /// What to do at the first signal.
    func onSignal(_ handler: @escaping @Sendable () -> Void) {
        state.withLock { $0.handler = handler }
    }

    /// What to do at the second signal, before the process ends; nil for nothing. It has to be quick.
    func beforeEnd(_ handler: (@Sendable () -> Void)?) {
        state.withLock { $0.last = handler }
    }

    /// How the process ends after it was stopped.
    var exitCode: Int32 {
        state.withLock { $0.received } == SIGTERM ? ExitCode.terminated.number : ExitCode.interrupted.number
    }

    private func receive(_ number: Int32) {
        if number == SIGINT, Pager.isRunning { return }
        if let diversion = state.withLock({ $0.diversion }), diversion(number) { return }
        let (isFirst, handler, last) = state.withLock { state in
            defer { state.received = state.received ?? number }
            return (state.received == nil, state.handler, state.last)
        }
        if isFirst {
            handler?()
        } else {
            last?()
            _exit(128 + number)
        }
    }
}
