public import CommandLineKit
public import EgoCore
public import EgoOperations
import Logging
import ProtobufReflection

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif
#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The `ego` command line with an application's domain in it.
///
/// ```swift
/// @main struct BankOps {
///     static func main() async { await EgoCommandLine(domain: .bank).run() }
/// }
/// ```
public struct EgoCommandLine: Sendable {
    private let domain: Domain
    private let sample: (any SampleData)?
    private let time: any TimeSource

    /// A command line for a domain; `Domain.none` for one that only looks.
    ///
    /// - Parameter sample: what `ego demo` fills a store with; without it there is no such command.
    public init(
        domain: Domain, sample: (any SampleData)? = nil, time: any TimeSource = SystemTime()
    ) {
        self.domain = domain
        self.sample = sample
        self.time = time
    }

    /// Runs the process's own command line and ends the process.
    public func run() async -> Never {
        // A reader that goes away and a file that may not grow show as errors of `write`, not as signals.
        signal(SIGPIPE, SIG_IGN)
        signal(SIGXFSZ, SIG_IGN)
        let environment = Self.environment()
        let console = Console.process(environment: environment)
        guard let arguments = Self.arguments() else {
            let failure = CommandFailure(.usage, "", "an argument is not UTF-8")
            Self.say(failure, to: console)
            exit(failure.exitCode.number)
        }
        let trap = SignalTrap()
        let task = Task { await run(arguments, console: console) }
        trap.onSignal { task.cancel() }
        let code = await task.value
        exit(code == ExitCode.interrupted.number ? trap.exitCode : code)
    }

    /// Runs one command line, without the program's name, and returns its exit code.
    public func run(_ arguments: [String], console: Console) async -> Int32 {
        let table = table
        let path = table.completion(after: arguments, current: "").path
        var schema = table.output(of: path)?.name ?? OutputSchema.error.name
        var isVerbose = false
        var render = RenderOptions(format: RequestedFormat.find(arguments, console.environment))
        do {
            let line = try table.words(arguments)
            schema = table.output(of: line.path)?.name ?? OutputSchema.error.name
            let (configuration, problem) = try Self.configuration(line, console)
            var invocation = try table.parse(arguments, global: configuration.options)
            let givenFlags = Set(line.global.flags.map(\.long))
            if invocation.help == nil, let command = table.command(at: line.path) {
                try Self.checkColumns(&invocation.global, command, isGiven: givenFlags.contains("columns"))
            }
            // Pressing Tab decrypts nothing, and must not run a command that a folder's own file names.
            let isCompletion = line.path.first == "__complete"
            let keys = try invocation.help == nil && !isCompletion ? CommandKeys(invocation.global) : nil
            let context = CommandContext(
                console: console, global: invocation.global, configuration: configuration,
                configurationProblem: problem, givenFlags: givenFlags, arguments: arguments,
                domain: domain, keys: keys, readingDomain: Self.readingDomain(domain, keys),
                descriptors: try Self.descriptors(invocation), sample: sample, time: time,
                confirmation: Confirmation(console, invocation.global), table: { self.table })
            render = renderOptions(context)
            if let binary = invocation.global.domain, !binary.isEmpty, Self.trusts(configuration, line) {
                try OperatorBinary(path: binary).replaceProcess(arguments)
            }
            isVerbose = invocation.global.isVerbose
            let run = helpRun(invocation, table)
            var name = schema
            if let help = invocation.help { name = (help == .version ? OutputSchema.version : .help).name }
            let (options, schemaName) = (render, name)
            let start = ContinuousClock.now
            let code = try await Deadline(context).run {
                try await finish(try await run(context), schemaName, options, context)
            }
            context.log.debug(
                "finished",
                metadata: ["exit_code": "\(code)", "ms": "\((ContinuousClock.now - start) / .milliseconds(1))"])
            return code
        } catch let error as OutputError where error == .brokenPipe {
            return ExitCode.ok.number
        } catch {
            return report(error, schema, render, console, isVerbose: isVerbose)
        }
    }

    /// The domain with the keys that were named; help needs none.
    private static func readingDomain(_ domain: Domain, _ keys: CommandKeys?) -> Domain {
        guard let keys, keys.isConfigured else { return domain }
        return domain.decrypting(with: keys)
    }

    /// The message types that were named.
    private static func descriptors(
        _ invocation: Invocation<GlobalOptions, CommandContext>
    ) throws -> DescriptorSet? {
        guard invocation.help == nil, let path = invocation.global.descriptorSet else { return nil }
        let data: Data
        do { data = try Data(contentsOf: URL(fileURLWithPath: path)) } catch {
            throw CommandFailure(.noInput, Escape.shown(path), "there is no such file, or it cannot be read")
        }
        do { return try DescriptorSet(serialized: Array(data)) } catch {
            throw CommandFailure(
                .data, Escape.shown(path), Escape.shown(error.description),
                hint: "protoc --include_imports --descriptor_set_out=FILE makes one")
        }
    }

    /// The options before any flag, and what is wrong with the configuration where that does not matter.
    private static func configuration(
        _ line: ParsedLine, _ console: Console
    ) throws(CommandFailure) -> (Configuration, CommandFailure?) {
        func chosen(_ name: String) -> String? { line.global.flags.last { $0.long == name }?.value.text }
        do throws(CommandFailure) {
            let configuration = try Configuration(
                environment: console.environment, config: chosen("config"), context: chosen("context"))
            return (configuration, nil)
        } catch {
            // Whoever wants help gets it, whatever the configuration says; and doctor tells what is wrong with it.
            if needsNoConfiguration(line) { return (Configuration(), error) }
            throw error
        }
    }

    /// Whether the binary that the configuration names may be run: not when somebody only presses Tab or asks for help in
    /// a folder that came from elsewhere.
    private static func trusts(_ configuration: Configuration, _ line: ParsedLine) -> Bool {
        guard configuration.origins["domain"]?.path == "./.ego.toml",
            line.global.flags.allSatisfy({ $0.long != "domain" })
        else { return true }
        return line.help == nil && line.path.first.map { !["__complete", "help"].contains($0) } ?? false
    }

    /// Refuses columns that the command does not have, before it does anything. Those of the configuration are for
    /// commands that have any.
    private static func checkColumns(
        _ global: inout GlobalOptions, _ command: Command<CommandContext>, isGiven: Bool
    ) throws(UsageError) {
        guard let wanted = global.columns else { return }
        let known = command.columns.map(\.name)
        if known.isEmpty, !isGiven {
            global.columns = nil
            return
        }
        for word in wanted {
            let name = word.hasSuffix(":full") ? String(word.dropLast(5)) : word
            if known.contains(name) { continue }
            throw UsageError(
                "unknown column \(Escape.shown(name, quoted: true))", subject: "--columns",
                hint: Suggestion.hint(for: name, among: known)
                    ?? (known.isEmpty ? "this output has no columns" : "columns: \(known.joined(separator: ", "))"))
        }
    }

    private static func needsNoConfiguration(_ line: ParsedLine) -> Bool {
        guard line.help == nil, let command = line.path.first else { return true }
        return ["help", "version", "exit-codes", "generate", "doctor", "__complete"].contains(command)
    }

    /// All commands of this command line.
    var table: CommandTable<GlobalOptions, CommandContext> {
        let commands = Self.commands(hasSample: sample != nil)
        return CommandTable(
            program: "ego", summary: "operate event-sourced stores", globalFlags: GlobalOptions.flags,
            commands: commands, manual: { .ego(outputs: OutputSchema.all(of: commands)) })
    }

    private static func commands(hasSample: Bool) -> [Command<CommandContext>] {
        [
            .initialize, hasSample ? .demo : nil, .status, .doctor, .entities, .events, .replay, .send, .snapshot,
            .lag, .projection, .rebuild, .deadLetter, .migrate, .erase, .retain, .retention, .key, .verify, .export,
            .importing, .jobs, .audit, .config, .context,
            .generate, .help, .version, .exitCodes,
            .complete,
        ].compactMap(\.self)
    }

    /// Writes a command's output and its diagnostics.
    private func finish(
        _ output: CommandOutput, _ schema: String, _ options: RenderOptions, _ context: CommandContext
    ) async throws -> Int32 {
        let pager = pager(output, options, context)
        let completion: CommandOutput.Completion
        do {
            completion = try await Renderer(options, to: pager ?? context.console.output).render(output, schema: schema)
        } catch {
            try? pager?.close()  // what went wrong first is what is told
            throw await Self.afterwards(error, output)
        }
        // Whoever leaves the pager early has read enough.
        do { try pager?.close() } catch { if error != .brokenPipe { throw error } }
        for diagnostic in completion.diagnostics {
            if context.global.isQuiet, diagnostic.severity != .error { continue }
            let prefix = diagnostic.severity == .error ? "" : "\(diagnostic.severity.rawValue): "
            Self.say(prefix + diagnostic.message, diagnostic.hint, to: context.console)
        }
        return completion.exitCode.number
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
    private func pager(_ output: CommandOutput, _ options: RenderOptions, _ context: CommandContext) -> Pager? {
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
        guard Self.canRun(command, console.environment["PATH"] ?? "") else { return nil }
        return Pager(command, rows: size.rows, terminal: console.output)
    }

    /// Whether the program of a line of the shell is there: output must not be lost to a pager that is not.
    private static func canRun(_ command: String, _ path: String) -> Bool {
        guard let name = command.split(separator: " ").first.map(String.init) else { return false }
        if name.contains(where: { "=$`'\"\\|;&(".contains($0) }) { return true }  // for the shell to say
        if name.contains("/") { return access(name, X_OK) == 0 }
        return path.split(separator: ":").contains { access("\($0)/\(name)", X_OK) == 0 }
    }

    private func report(
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
            if failure.exitCode != .io { Self.say(CommandFailure(error), to: console) }
        }
        Self.say(failure, to: console)
        if isVerbose, let detail = failure.detail { Self.say("cause: \(detail)", nil, to: console) }
        return failure.exitCode.number
    }

    private func helpRun(
        _ invocation: Invocation<GlobalOptions, CommandContext>,
        _ table: CommandTable<GlobalOptions, CommandContext>
    ) -> Command<CommandContext>.Run {
        switch (invocation.help, invocation.run) {
        case (.version, _): { _ in VersionReport.output }
        case (let request?, _): { context in HelpText.output(table, invocation.path, request, context) }
        case (nil, let run?): run
        case (nil, nil): { context in HelpText.output(table, [], .short, context) }
        }
    }

    private func renderOptions(_ context: CommandContext) -> RenderOptions {
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

    private static func say(_ message: String, _ hint: String?, to console: Console) {
        // There is nowhere left to tell that standard error cannot be written.
        try? console.errors.write("ego: \(oneLine(message))\n")
        if let hint { try? console.errors.write("hint: \(oneLine(hint))\n") }
        try? console.errors.flush()
    }

    /// Messages may hold names that somebody else chose.
    private static func oneLine(_ text: String) -> String {
        text.unicodeScalars.contains { $0.value < 0x20 || $0.value == 0x7f } ? Escape.shown(text) : text
    }

    private static func arguments() -> [String]? {
        var arguments: [String] = []
        for index in 1..<max(1, Int(CommandLine.argc)) {
            guard let start = CommandLine.unsafeArgv[index], let text = String(validatingCString: start) else {
                return nil
            }
            arguments.append(text)
        }
        return arguments
    }

    private static func environment() -> [String: String] {
        var variables: [String: String] = [:]
        var next = environ
        while let entry = next.pointee {
            let text = String(cString: entry)
            if let equals = text.firstIndex(of: "=") {
                variables[String(text[..<equals])] = String(text[text.index(after: equals)...])
            }
            next += 1
        }
        return variables
    }
}

/// The format that a command line asks for, also when the rest of it is wrong.
private enum RequestedFormat {
    static func find(_ arguments: [String], _ environment: [String: String]) -> OutputFormat {
        var found = environment["EGO_OUTPUT"]
        let words = Array(arguments.prefix { $0 != "--" })
        for (index, word) in words.enumerated() {
            if word == "-o" || word == "--output" {
                if index + 1 < words.count { found = words[index + 1] }
            } else if word.hasPrefix("--output=") {
                found = String(word.dropFirst(9))
            } else if word.hasPrefix("-o"), !word.hasPrefix("--") {
                found = String(word.dropFirst(word.hasPrefix("-o=") ? 3 : 2))
            }
        }
        return found.flatMap(OutputFormat.init(rawValue:)) ?? .plain
    }
}
