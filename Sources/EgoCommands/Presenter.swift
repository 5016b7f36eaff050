import CommandLineKit
import EgoCore

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Shows what commands give, and what went wrong.
enum Presenter {
    /// Writes a command's output and its diagnostics.
    static func finish(
        _ output: CommandOutput, _ schema: String, _ options: RenderOptions, _ context: CommandContext
    ) async throws -> CommandOutput.Completion {
        let pager = pager(output, options, context)
        let completion: CommandOutput.Completion
        do {
            completion = try await Renderer(options, to: pager ?? context.console.output).render(output, schema: schema)
        } catch {
            try? pager?.close()  // what went wrong first is what is told
            throw await afterwards(error, output)
        }
        // Whoever leaves the pager early has read enough.
        do { try pager?.close() } catch { if error != .brokenPipe { throw error } }
        for diagnostic in completion.diagnostics {
            if context.global.isQuiet, diagnostic.severity != .error { continue }
            let prefix = diagnostic.severity == .error ? "" : "\(diagnostic.severity.rawValue): "
            say(prefix + diagnostic.message, diagnostic.hint, to: context.console)
        }
        return completion
    }

    /// An answer that could not be written does not undo what was done: the error has to say so.
    private static func afterwards(_ error: any Error, _ output: CommandOutput) async -> any Error {
        guard let problem = error as? OutputError, problem != .brokenPipe,
            let completion = try? await output.finish(), completion.changed
        else { return error }
        var failure = CommandFailure(problem)
        failure.changed = true
        failure.hint = "the command was carried out; only its answer is lost"
        return failure
    }

    /// The pager for what may be taller than the terminal; nil where there is none to use.
    private static func pager(_ output: CommandOutput, _ options: RenderOptions, _ context: CommandContext) -> Pager? {
        let console = context.console
        let command = console.environment["PAGER"] ?? "less -FRX"
        guard options.format == .table, output.stream == nil, output.records?.isLive != true,
            console.outputIsTerminal, let size = console.terminalSize(), size.rows > 0, !command.isEmpty
        else { return nil }
        switch context.global.pager {
        case .never: return nil
        case .always: break
        case .auto:
            guard console.inputIsTerminal, console.environment["TERM"] ?? "dumb" != "dumb",
                (console.environment["CI"] ?? "").isEmpty
            else { return nil }
        }
        guard canRun(command, console.environment["PATH"] ?? "") else { return nil }
        return Pager(command, rows: size.rows, terminal: console.output)
    }

    /// Whether the program of a line of the shell is there: output must not be lost to a pager that is not.
    private static func canRun(_ command: String, _ path: String) -> Bool {
        guard let name = command.split(separator: " ").first.map(String.init) else { return false }
        if name.contains(where: { "=$`'\"\\|;&(".contains($0) }) { return true }  // for the shell to say
        if name.contains("/") { return access(name, X_OK) == 0 }
        return path.split(separator: ":").contains { access("\($0)/\(name)", X_OK) == 0 }
    }

    static func report(
        _ error: any Error, _ schema: String, _ options: RenderOptions, _ console: Console, isVerbose: Bool
    ) -> Int32 {
        let envelope = error as? InterruptedEnvelope
        let failure = CommandFailure(envelope?.cause ?? error)
        do throws(OutputError) {
            // What the command has given before it failed belongs to the reader.
            if let envelope {
                try envelope.finish(with: failure)
            } else {
                try Renderer(options, to: console.output).render(failure, schema: schema)
            }
        } catch {
            if error == .brokenPipe { return ExitCode.ok.number }
            if failure.exitCode != .io { say(CommandFailure(error), to: console) }
        }
        say(failure, to: console)
        if isVerbose, let detail = failure.detail { say("cause: \(detail)", nil, to: console) }
        return failure.exitCode.number
    }

    static func options(_ context: CommandContext) -> RenderOptions {
        let console = context.console
        let environment = console.environment
        let usesColor =
            switch context.global.color {
            case .always: true
            case .never: false
            case .auto:
                !(environment["NO_COLOR"] ?? "").isEmpty
                    ? false
                    : !(environment["FORCE_COLOR"] ?? "").isEmpty
                        || (console.outputIsTerminal && environment["TERM"] != "dumb")
            }
        let times: TimeStyle =
            switch context.global.timeFormat {
            case .rfc3339: .rfc3339
            case .unix: .unix
            case .relative: .relative(to: context.time.now().unixNanoseconds)
            }
        return RenderOptions(
            format: context.global.output ?? (console.outputIsTerminal ? .table : .plain),
            columns: context.global.columns, headers: context.global.headers, times: times,
            width: console.outputIsTerminal ? console.columns() ?? 80 : nil, color: usesColor)
    }

    static func say(_ failure: CommandFailure, to console: Console) {
        say(failure.description, failure.hint, to: console)
    }

    static func say(_ message: String, _ hint: String?, to console: Console) {
        // There is nowhere left to tell that standard error cannot be written.
        try? console.errors.write("ego: \(oneLine(message))\n")
        if let hint { try? console.errors.write("hint: \(oneLine(hint))\n") }
        try? console.errors.flush()
    }

    /// Messages may hold names that somebody else chose.
    private static func oneLine(_ text: String) -> String {
        text.unicodeScalars.contains { $0.value < 0x20 || $0.value == 0x7f } ? Escape.shown(text) : text
    }
}
