import CommandLineKit
import Ego
import EgoCore
import EgoOperations
import EgoSQLite
import Logging

/// What a command gets beside its options.
struct CommandContext: Sendable {
    let console: Console
    let global: GlobalOptions
    let domain: Domain
    let sample: (any SampleData)?
    let time: any TimeSource
    let table: @Sendable () -> CommandTable<GlobalOptions, CommandContext>

    var location: StoreLocation {
        get throws { try StoreLocation(global.store) }
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
    func open(readOnly: Bool) async throws -> any Store {
        if !readOnly { try checkWritable() }
        switch try location {
        case .sqlite(let path):
            return try await SQLiteStore(path: path, options: sqliteOptions(readOnly: readOnly))
        }
    }

    /// Refuses when nothing may be changed.
    func checkWritable() throws {
        if global.isReadOnly {
            throw CommandFailure(.refused, "store", "--read-only forbids this command", hint: "nothing was changed")
        }
    }

    func sqliteOptions(readOnly: Bool) -> SQLiteStoreOptions {
        SQLiteStoreOptions(
            readOnly: readOnly, busyTimeout: global.timeout.map { .nanoseconds($0) } ?? .seconds(5), readers: 1)
    }

    /// An engine for a command or two.
    func engine(on store: some Store) -> Engine {
        Engine(
            store: store, domain: domain,
            configuration: EngineConfiguration(passivation: Passivation(idleTime: nil, maximumActive: nil)), time: time,
            log: log)
    }

    var log: Logger {
        var log = Logger(label: "ego") { StreamLogHandler.standardError(label: $0) }
        log.logLevel = global.isVerbose ? .debug : .error
        return log
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
        let isBar =
            switch global.progress {
            case .auto:
                console.errorsAreTerminal && console.environment["CI"] == nil && console.environment["TERM"] != "dumb"
            case .bar: true
            case .plain: false
            case .none: false
            }
        if global.progress == .none || (global.isQuiet && global.progress == .auto) { return SilentProgress() }
        return ConsoleProgress(label, console: console, bar: isBar)
    }

    private func withStore<Value>(
        readOnly: Bool, _ body: (any Store) async throws -> Value
    ) async throws -> Value {
        let store = try await open(readOnly: readOnly)
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
