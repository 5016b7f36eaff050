import CommandLineKit
import Dispatch
import EgoCore
import LineEditor
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A session at a terminal: a prompt, an input, an answer, and so on until the user leaves.
final class ReplPrompt: Sendable {
    private struct State {
        /// Called at Ctrl-C while an input runs; nil while one is typed.
        var interrupt: (@Sendable () -> Void)?
        /// Whether Ctrl-C came after a line was typed, and before it ran.
        var isInterrupted = false
        /// What was said while nobody waited for it.
        var notes: [String] = []
        var isTerminated = false
        var lostConnections = 0
        var isUnreachable = false
        /// A look at the store that has not come back.
        var isLooking = false
    }

    private let session: ReplSession
    private let completer: SessionCompleter
    private let history: SessionHistory
    private let state = Mutex(State())

    /// How long a prompt waits for the store, and an input that was interrupted for its end.
    private static let lookLimit: Duration = .milliseconds(150)
    private static let endLimit: Duration = .seconds(1)

    init(_ session: ReplSession) {
        self.session = session
        completer = SessionCompleter(session)
        history = SessionHistory(session.context)
    }

    /// Runs the session; returns how the process ends.
    func run() async -> ExitCode {
        let signals = session.context.signals
        let sources = signals?.take([SIGWINCH, SIGTSTP, SIGQUIT]) ?? []
        signals?.divert { [self] in handle($0) }
        defer {
            signals?.divert(to: nil)
            for source in sources { source.cancel() }
        }
        LineEditor.shared.remember(history.file.load(), limit: history.file.limit)
        var (pending, input) = (ScannedInput(), "")
        while !session.quits {
            let prompt = pending.hasNoLines ? await prompt() : Self.secondPrompt(pending.open)
            let before = input
            state.withLock { $0.isInterrupted = false }
            let answer = await LineEditor.shared.readLine(
                prompt: prompt, text: pending.hasNoLines ? session.takePrefill() : ""
            ) { [completer] line in completer.complete(line, after: before) }
            switch answer {
            case .end:
                if state.withLock({ $0.isTerminated }) { return leave(.terminated) }
                // In the middle of an input it ends the input, and not the session.
                if pending.hasNoLines { return leave(.ok) }
                (pending, input) = (ScannedInput(), "")
            case .interrupted: (pending, input) = (ScannedInput(), "")
            case .line(let text):
                // What is pasted may be several inputs.
                for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
                    input += (pending.hasNoLines ? "" : "\n") + line
                    pending.append(String(line))
                    if !pending.isWhole { continue }
                    let (whole, isEmpty) = (input, pending.text.isEmpty)
                    (pending, input) = (ScannedInput(), "")
                    if isEmpty { continue }
                    if await run(whole) || session.quits { break }
                }
            }
        }
        return leave(state.withLock { $0.isTerminated } ? .terminated : .ok)
    }

    private func leave(_ exitCode: ExitCode) -> ExitCode {
        history.file.trim()
        return exitCode
    }

    // MARK: Signals

    private func handle(_ number: Int32) -> Bool {
        switch number {
        case SIGINT:
            // A program that has the terminal gets it too, and says itself what it means.
            if Shell.isRunning { break }
            // A running input may read a line, of a field.
            if LineEditor.shared.interrupt() { break }
            state.withLock { state in
                if let interrupt = state.interrupt { interrupt() } else { state.isInterrupted = true }
            }
        case SIGWINCH: LineEditor.shared.resize()
        case SIGTSTP: LineEditor.shared.suspend()
        case SIGTERM:
            let wasTerminated = state.withLock { state in
                defer { state.isTerminated = true }
                return state.isTerminated
            }
            if wasTerminated {
                TerminalGuard.restore()
                return false
            }
            session.quits = true
            state.withLock { $0.interrupt }?()
            LineEditor.shared.stop()
        default: break
        }
        return true
    }

    // MARK: One input

    private enum Event: Sendable {
        case done(ReplSession.Outcome)
        case interrupted
        case waitedLongEnough
    }

    /// Runs an input until it is done, or until the user does not want to wait for it any more.
    ///
    /// - Returns: whether the user has stopped it.
    private func run(_ input: String) async -> Bool {
        let before = session.entity
        let (events, continuation) = AsyncStream.makeStream(of: Event.self)
        let work = Task { await session.run(input) }
        let watch = Task { _ = continuation.yield(.done(await work.value)) }
        state.withLock { state in
            state.interrupt = { continuation.yield(.interrupted) }
            if state.isInterrupted { continuation.yield(.interrupted) }
            state.isInterrupted = false
        }
        defer { state.withLock { $0.interrupt = nil } }
        var patience: Task<Void, Never>?
        waiting: for await event in events {
            switch event {
            case .done: break waiting
            case .interrupted:
                work.cancel()
                if patience != nil { continue }
                patience = Task {
                    try? await Task.sleep(for: Self.endLimit)
                    continuation.yield(.waitedLongEnough)
                }
            case .waitedLongEnough:
                abandon(input, watch)
                break waiting
            }
        }
        patience?.cancel()
        // Where the store does not say in time whether an input may be kept, it is not.
        let entities = [before, session.entity]
        let isKept = await within(Self.lookLimit) { [session] in
            await SessionHistory.keeps(input, entities, session)
        }
        if isKept == true {
            history.file.append(input)
            LineEditor.shared.remember([input], limit: history.file.limit)
        }
        return patience != nil
    }

    /// Says what may become of an input that nobody waits for any more.
    private func abandon(_ input: String, _ watch: Task<Void, Never>) {
        let isMessage = !input.drop(while: \.isWhitespace).hasPrefix("\\")
        say(
            isMessage
                ? "stopped waiting; the command may still be applied: \\state shows whether it was"
                : "stopped waiting; what it has begun may still be done")
        Task {
            await watch.value
            state.withLock { $0.notes.append("what was interrupted before has ended now") }
        }
    }

    private func say(_ text: String) {
        try? session.context.console.errors.write("ego: \(text)\n")
        try? session.context.console.errors.flush()
    }

    // MARK: The prompt

    /// The prompt, after a look at the entity that never takes long.
    private func prompt() async -> String {
        let connection = await look()
        for note in state.withLock({ state in
            defer { state.notes = [] }
            return state.notes
        }) { say("note: \(note)") }
        let context = session.context
        var text = context.domain.name
        if let name = context.global.context, !name.isEmpty { text += "@\(name)" }
        text += ":\(session.stores.location.kind) [\(session.isWritable ? "rw" : "ro")\(connection)]"
        if let entity = session.entity { text += " \(entity.id.rawValue)@\(entity.sequenceNumber)" }
        return Escape.shown(text) + " => "
    }

    private static func secondPrompt(_ open: String) -> String { "  \(open) => " }

    /// Looks at the store: where the entity is by now, and whether the store can be reached at all.
    ///
    /// - Returns: what the prompt says of the connection.
    private func look() async -> String {
        let isBusy = state.withLock { state in
            defer { state.isLooking = true }
            return state.isLooking
        }
        if isBusy { return await unreachable() }
        let entity = session.entity
        let found = await within(Self.lookLimit) { [self] in
            defer { state.withLock { $0.isLooking = false } }
            do {
                let store = try await session.stores.store(readOnly: true)
                guard let entity else {
                    _ = try await store.head()
                    return true
                }
                var last = try await store.stream(of: entity.id)?.last ?? .zero
                if last == .zero, let state = try await store.state(of: entity.id) { last = state.version }
                if session.entity == entity { session.entity?.sequenceNumber = last }
                return true
            } catch { return false }
        }
        if found != true {
            state.withLock { $0.isUnreachable = true }
            return await unreachable()
        }
        let lost = await session.stores.lostConnections()
        let isBack = state.withLock { state in
            defer {
                state.lostConnections = lost
                state.isUnreachable = false
            }
            return lost > state.lostConnections || state.isUnreachable
        }
        return isBack ? ", reconnected" : ""
    }

    /// What the prompt says of a store that gives no answer in time: its server is gone, or it waits for a lock.
    private func unreachable() async -> String {
        await session.stores.lostConnections() > state.withLock { $0.lostConnections }
            ? ", no connection" : ", no answer"
    }
}
