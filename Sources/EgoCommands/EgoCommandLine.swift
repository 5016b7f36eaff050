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
            Presenter.say(failure, to: console)
            exit(failure.exitCode.number)
        }
        let trap = SignalTrap()
        let task = Task { await run(arguments, console: console, signals: trap) }
        trap.onSignal { task.cancel() }
        let code = await task.value
        exit(code == ExitCode.interrupted.number ? trap.exitCode : code)
    }

    /// Runs one command line, without the program's name, and returns its exit code.
    public func run(_ arguments: [String], console: Console) async -> Int32 {
        await run(arguments, console: console, signals: nil)
    }

    private func run(_ arguments: [String], console: Console, signals: SignalTrap?) async -> Int32 {
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
                confirmation: Confirmation(console, invocation.global), table: { table }, signals: signals)
            render = Presenter.options(context)
            if let binary = invocation.global.domain, !binary.isEmpty, Self.trusts(configuration, line) {
                try OperatorBinary(path: binary).replaceProcess(arguments)
            }
            isVerbose = invocation.global.isVerbose
            let run = Self.helpRun(invocation, table)
            var name = schema
            if let help = invocation.help { name = (help == .version ? OutputSchema.version : .help).name }
            let (options, schemaName) = (render, name)
            let start = ContinuousClock.now
            // A session bounds its inputs, and not itself.
            let isSession = table.command(at: line.path)?.session.isEmpty == false
            let code = try await Deadline(isSession ? context.withoutTimeout : context).run {
                try await Presenter.finish(try await run(context), schemaName, options, context).exitCode.number
            }
            context.log.debug(
                "finished",
                metadata: ["exit_code": "\(code)", "ms": "\((ContinuousClock.now - start) / .milliseconds(1))"])
            return code
        } catch let error as OutputError where error == .brokenPipe {
            return ExitCode.ok.number
        } catch {
            return Presenter.report(error, schema, render, console, isVerbose: isVerbose)
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
    static func checkColumns(
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
        let entries = Self.entries(hasSample: sample != nil)
        return CommandTable(
            program: "ego", summary: "operate event-sourced stores", globalFlags: GlobalOptions.flags,
            entries: entries, manual: { .ego(outputs: OutputSchema.all(of: entries.map { $0.command })) })
    }

    private static func entries(hasSample: Bool) -> [CommandEntry<CommandContext>] {
        let sample: [CommandEntry<CommandContext>] = hasSample ? [CommandEntry("demo") { .demo }] : []
        return [CommandEntry("init") { .initialize }] + sample + [
            CommandEntry("status") { .status }, CommandEntry("doctor") { .doctor },
            CommandEntry("entities") { .entities }, CommandEntry("events") { .events },
            CommandEntry("replay") { .replay }, CommandEntry("send") { .send }, CommandEntry("snapshot") { .snapshot },
            CommandEntry("lag") { .lag }, CommandEntry("projection") { .projection },
            CommandEntry("rebuild") { .rebuild }, CommandEntry("dead-letter") { .deadLetter },
            CommandEntry("migrate") { .migrate }, CommandEntry("erase") { .erase }, CommandEntry("retain") { .retain },
            CommandEntry("retention") { .retention }, CommandEntry("key") { .key }, CommandEntry("verify") { .verify },
            CommandEntry("export") { .export }, CommandEntry("import") { .importing }, CommandEntry("bench") { .bench },
            CommandEntry("jobs") { .jobs }, CommandEntry("audit") { .audit }, CommandEntry("config") { .config },
            CommandEntry("context") { .context }, CommandEntry("repl") { .repl },
            CommandEntry("generate") { .generate }, CommandEntry("help") { .help },
            CommandEntry("version") { .version }, CommandEntry("exit-codes") { .exitCodes },
            CommandEntry("__complete") { .complete }, CommandEntry("__bench") { .benchWorker },
        ]
    }

    static func helpRun(
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
