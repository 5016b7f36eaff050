import CommandLineKit
import Synchronization

/// Asks before something is changed that cannot be had back.
final class Confirmation: Sendable {
    private let console: Console
    private let global: GlobalOptions
    /// Whether the name of the protected context was given.
    private let hasContext: Mutex<Bool>
    /// Whether it was given before this command, which is then asked about by itself.
    private let hadContext: Bool

    /// - Parameter hasContext: whether the name of the protected context was given in the session.
    init(_ console: Console, _ global: GlobalOptions, hasContext: Bool = false) {
        self.console = console
        self.global = global
        self.hadContext = hasContext
        self.hasContext = Mutex(hasContext)
    }

    /// Asks once for the name of the protected context.
    ///
    /// - Throws: ``CommandFailure`` with ``ExitCode/refused``.
    func confirmContext() throws(CommandFailure) {
        if hasContext.withLock({ $0 }) { return }
        let name = global.context ?? ""
        try confirm(
            "This changes a store of the protected context \(Escape.shown(name))", byTyping: name,
            as: "the context's name")
        hasContext.withLock { $0 = true }
    }

    /// Asks yes or no; no is what an empty answer means. In a protected context the context's name is asked for.
    ///
    /// - Parameter what: what will happen, as a sentence without its end.
    /// - Throws: ``CommandFailure`` with ``ExitCode/refused``.
    func confirm(_ what: String) throws(CommandFailure) {
        if global.isProtected, !hadContext {
            try confirmContext()
            return
        }
        if global.isAssumingYes { return }
        try checkTerminal(what, hint: "--yes answers beforehand; --dry-run only looks")
        ask("\(what). Go on? [y/N] ")
        let answer = try answer()?.lowercased() ?? ""
        if answer != "y" && answer != "yes" { throw declined }
    }

    /// Asks for a word, such as the name of what will be gone.
    ///
    /// - Throws: ``CommandFailure`` with ``ExitCode/refused``.
    func confirm(_ what: String, byTyping word: String, as name: String) throws(CommandFailure) {
        if global.confirmations.contains(word) { return }
        if !global.confirmations.isEmpty {
            throw CommandFailure(
                .refused, "--confirm", "it is not \(name), \(Escape.shown(word, quoted: true))",
                hint: "nothing was changed")
        }
        try checkTerminal(what, hint: "--confirm \(Escape.shellWord(word)) answers beforehand; --dry-run only looks")
        ask("\(what). Type \(name), \(Escape.shown(word)), to go on: ")
        if try answer() != word { throw declined }
    }

    private func answer() throws(CommandFailure) -> String? {
        let answer = console.readAnswer()
        if answer == nil, Task.isCancelled {
            throw CommandFailure(
                .interrupted, "interrupted", "the question was not answered", hint: "nothing was changed")
        }
        return answer
    }

    private var declined: CommandFailure { CommandFailure(.refused, "", "not confirmed", hint: "nothing was changed") }

    private func checkTerminal(_ what: String, hint: String) throws(CommandFailure) {
        let why: String? =
            if global.hasNoInput {
                "it needs to be confirmed, and --no-input forbids to ask"
            } else if global.output?.isStructured == true {
                "it needs to be confirmed, and -o json and jsonl do not ask"
            } else if !console.inputIsTerminal || !console.errorsAreTerminal
                || !(console.environment["CI"] ?? "").isEmpty
            {
                "it needs to be confirmed, and there is no terminal to ask on"
            } else {
                nil
            }
        if let why { throw CommandFailure(.refused, what, why, hint: "nothing was changed; \(hint)") }
    }

    private func ask(_ question: String) {
        // Where the question cannot be shown, no answer comes, and that is a no.
        try? console.errors.write(question)
        try? console.errors.flush()
    }
}
