import CommandLineKit
import Ego
import EgoCore
import EgoOperations
import EgoPostgres
import EgoSQLite
import Logging
import ProtobufReflection

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What a command gets beside its options.
struct CommandContext: Sendable {
    var console: Console
    var global: GlobalOptions
    var configuration: Configuration
    /// What is wrong with the configuration, for a command that goes on without it.
    var configurationProblem: CommandFailure?
    /// The global flags that were on the command line.
    var givenFlags: Set<String>
    /// The whole command line, without the program's name.
    var arguments: [String]
    var domain: Domain
    /// The encryption keys; nil where only help is wanted.
    var keys: CommandKeys?
    /// The domain with these keys.
    var readingDomain: Domain
    /// The message types of `--descriptor-set`, for what the domain does not know.
    var descriptors: DescriptorSet?
    var sample: (any SampleData)?
    var time: any TimeSource
    var confirmation: Confirmation
    var table: @Sendable () -> CommandTable<GlobalOptions, CommandContext>
    /// The process's signals, for a command that handles them itself.
    var signals: SignalTrap?
    /// The interactive session in which the command was typed.
    var session: ReplSession?

    /// The same with other global options.
    func with(_ global: GlobalOptions) -> CommandContext {
        var context = self
        context.global = global
        return context
    }

    /// The same with all the time there is.
    var withoutTimeout: CommandContext {
        var context = self
        context.global.timeout = nil
        return context
    }

    var location: StoreLocation {
        get throws {
            do { return try StoreLocation(global.store) } catch {
                // What is wrong is not always a flag.
                guard !givenFlags.contains("store"), let origin = configuration.origins["store"] else { throw error }
                throw CommandFailure(.config, origin.description, "store: \(error.message)", hint: error.hint)
            }
        }
    }

    /// Refuses to write over the store itself.
    ///
    /// - Parameter subject: what names the path, as a flag.
    func checkNotStore(_ path: String, subject: String) throws {
        guard case .sqlite(let store) = try location else { return }
        func real(_ path: String) -> String { URL(fileURLWithPath: path).resolvingSymlinksInPath().path }
        if ["", "-wal", "-shm", "-journal"].contains(where: { real(store + $0) == real(path) }) {
            throw UsageError("\(Escape.shown(path)) is the store itself", subject: subject)
        }
    }

    var page: PageLimit { PageLimit(rows: global.page) }

    /// Opens the store for reading, hands it to `body`, and closes it.
    func reading<Value>(_ body: (any Store) async throws -> Value) async throws -> Value {
        try await withStore(readOnly: true, body)
    }

    /// Opens the store for writing, hands it to `body`, and closes it.
    func writing<Value>(_ body: (any Store) async throws -> Value) async throws -> Value {
        try await withStore(readOnly: false, body)
    }

    /// Opens the store; whoever asks for it closes it.
    ///
    /// - Parameter scope: which entities are encrypted; nil for what the configuration says.
    func open(readOnly: Bool, encrypting scope: EncryptionScope? = nil) async throws -> any Store {
        if !readOnly { try checkWritable() }
        let store = try await openAsItIs(readOnly: readOnly)
        guard let keys else { return store }
        do { return try await keys.encrypting(store, readOnly: readOnly, scope: scope, self) } catch {
            await store.close()
            throw error
        }
    }

    private func openAsItIs(readOnly: Bool) async throws -> any Store {
        if let session, try session.stores.location == location {
            return KeptStore(base: try await session.stores.store(readOnly: readOnly))
        }
        return try await connect(readOnly: readOnly)
    }

    /// Opens the store anew.
    func connect(readOnly: Bool) async throws -> any Store {
        let start = ContinuousClock.now
        let store: any Store
        let location = try location
        switch location {
        case .sqlite(let path): store = try await SQLiteStore(path: path, options: sqliteOptions(readOnly: readOnly))
        case .postgres(let url): store = try await PostgresStore(url: url, options: postgresOptions(readOnly: readOnly))
        }
        log.debug(
            "store opened",
            metadata: [
                "store": "\(location.text)", "read_only": "\(readOnly)",
                "ms": "\((ContinuousClock.now - start) / .milliseconds(1))",
            ])
        return store
    }

    /// Opens the store to count events: where it may be written, marks to count by are kept in it. One that may not be
    /// written is looked at all the same.
    func openForMeasuring() async throws -> any Store {
        if global.isReadOnly || global.isProtected || session?.isWritable == false {
            return try await open(readOnly: true)
        }
        do { return try await open(readOnly: false) } catch let error as StoreError
            where [.readOnly, .permission, .notInitialized].contains(error.code)
        {
            return try await open(readOnly: true)
        }
    }

    /// Opens the store to count events, hands it to `body`, and closes it.
    func measuring<Value>(_ body: (any Store) async throws -> Value) async throws -> Value {
        try await closing(openForMeasuring(), body)
    }

    /// Refuses when nothing may be changed; in a protected context the context's name is asked for.
    func checkWritable() throws {
        if let session, !session.isWritable {
            throw CommandFailure(
                .refused, "session", "it is read-only", hint: "nothing was changed; \\rw lets it write")
        }
        if global.isReadOnly {
            throw CommandFailure(.refused, "store", "--read-only forbids this command", hint: "nothing was changed")
        }
        if global.isProtected { try confirmation.confirmContext() }
    }

    /// Refuses a change that has to say why.
    func requireReason(_ what: String) throws(CommandFailure) {
        if global.reason.isEmpty {
            throw CommandFailure(
                .refused, "--reason", "missing: the audit log keeps why",
                hint: "nothing was changed; \(what) with --reason TEXT, or look with --dry-run")
        }
    }

    func sqliteOptions(readOnly: Bool) -> SQLiteStoreOptions {
        SQLiteStoreOptions(
            readOnly: readOnly, busyTimeout: global.timeout.map { .nanoseconds($0) } ?? .seconds(5), readers: 1,
            cacheBytes: 6 << 20)
    }

    func postgresOptions(readOnly: Bool) -> PostgresStoreOptions {
        PostgresStoreOptions(
            readOnly: readOnly, connections: 2, statementTimeout: global.timeout.map { .nanoseconds($0) })
    }

    /// An engine for a command or two.
    func engine(on store: any Store) -> Engine {
        Engine(
            store: store, domain: domain,
            configuration: EngineConfiguration(passivation: Passivation(idleTime: nil, maximumActive: nil)), time: time,
            log: log)
    }

    var log: Logger {
        let handler = ConsoleLogHandler(
            console, format: global.logFormat, level: global.isVerbose ? .debug : .error, time: time)
        return Logger(label: "ego") { _ in handler }
    }

    /// Says something while the command runs.
    func note(_ text: String) {
        if global.isQuiet { return }
        // What cannot be said is no reason to stop the work.
        try? console.errors.write("ego: note: \(text)\n")
        try? console.errors.flush()
    }

    /// Who runs this command.
    var person: Operator { .current(reason: global.reason) }

    /// This command line as one to paste into a shell: repeating it goes on with what was stopped.
    ///
    /// - Parameter resolved: values that take the place of those that were given, by flag: what "two hours ago" means
    ///   must not change.
    func commandLine(resolved: [String: String] = [:]) -> String {
        var words = arguments
        let secrets = [global.store, global.keys ?? ""].contains { StoreLocation.shown($0) != $0 && !$0.isEmpty }
        if secrets || !resolved.isEmpty, var line = try? table().words(arguments) {
            for (index, flag) in line.own.flags.enumerated() {
                if let value = resolved[flag.long] { line.own.flags[index].value = .text(value) }
            }
            // Whoever repeats it has the password where he had it, or not in his shell's history.
            for (index, flag) in line.global.flags.enumerated() where ["store", "keys"].contains(flag.long) {
                line.global.flags[index].value = .text(StoreLocation.shown(flag.value.text))
            }
            words = table().render(line)
        }
        return (["ego"] + words.map(Escape.shellWord)).joined(separator: " ")
    }

    /// Reads a moment that the user wrote.
    func moment(_ text: String, flag: String) throws(UsageError) -> Timestamp {
        do {
            return Timestamp(
                unixNanoseconds: try TimeExpression.moment(text, now: time.now().unixNanoseconds))
        } catch {
            throw UsageError(error.message, subject: "--\(flag)", hint: error.hint)
        }
    }

    func progress(_ label: String) -> any ProgressReporter {
        let style: ProgressStyle
        switch global.progress {
        case .none: return SilentProgress()
        case .auto:
            if global.isQuiet { return SilentProgress() }
            let isTerminal =
                console.errorsAreTerminal && (console.environment["CI"] ?? "").isEmpty
                && console.environment["TERM"] ?? "dumb" != "dumb"
            style = isTerminal ? .bar : .lines
        case .bar: style = console.errorsAreTerminal ? .bar : .lines
        case .plain: style = .lines
        case .json: style = .json
        }
        return ConsoleProgress(label, console: console, style: style)
    }

    func withStore<Value>(
        readOnly: Bool, encrypting scope: EncryptionScope? = nil, _ body: (any Store) async throws -> Value
    ) async throws -> Value {
        try await closing(open(readOnly: readOnly, encrypting: scope), body)
    }

    private func closing<Value>(
        _ store: any Store, _ body: (any Store) async throws -> Value
    ) async throws -> Value {
        do {
            let value = try await body(store)
            await store.close()
            return value
        } catch {
            await store.close()
            throw error
        }
    }
}
