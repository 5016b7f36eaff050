import CommandLineKit
import EgoCore
import EgoOperations
import Synchronization

/// What an interactive session, or a script of its inputs, knows from one input to the next.
final class ReplSession: Sendable {
    /// The entity that commands go to.
    struct Entity: Sendable, Hashable {
        var id: PersistenceID
        /// Its kind, where it is known.
        var kind: String?
        var sequenceNumber: SequenceNumber
        /// Whether anything of it is stored encrypted, or would be.
        var isEncrypted = false
    }

    /// What `\set` and its kin change.
    struct Settings: Sendable {
        /// The form of the output; nil for a table on a terminal and JSON Lines elsewhere.
        var format: OutputFormat?
        var isExpanded = false
        var isTiming = false
        var pager: GlobalOptions.Choice
        var variables: [String: String] = [:]
    }

    private struct State {
        var entity: Entity?
        var isWritable = false
        var hasConfirmedContext = false
        var settings: Settings
        /// Where output goes instead of standard output.
        var target: SessionTarget?
        /// The input before, for `\g` and `\e`, and whether it changed anything.
        var last = ""
        var lastChanged = false
        var lastIsMessage = false
        var quits = false
        /// Text that stands at the next prompt, to be edited.
        var prefill = ""
        var fileDepth = 0
    }

    /// What `ego repl` was told.
    let context: CommandContext
    let stores: SessionStores
    /// Whether a person types at a prompt.
    let isInteractive: Bool
    let schema: SessionSchema
    /// The flags of every command that the session was begun with, as words.
    let globalArguments: [String]
    private let state: Mutex<State>

    init(_ context: CommandContext, isInteractive: Bool) throws {
        self.context = context
        self.isInteractive = isInteractive
        stores = try SessionStores(context)
        schema = try SessionSchema(context)
        var line = ParsedLine()
        line.global = try context.table().words(context.arguments).global
        globalArguments = context.table().render(line)
        var settings = Settings(pager: context.global.pager)
        settings.format = context.global.output
        state = Mutex(State(settings: settings))
    }

    var entity: Entity? {
        get { state.withLock { $0.entity } }
        set { state.withLock { $0.entity = newValue } }
    }
    var isWritable: Bool { state.withLock { $0.isWritable } }
    var quits: Bool {
        get { state.withLock { $0.quits } }
        set { state.withLock { $0.quits = newValue } }
    }
    var settings: Settings {
        get { state.withLock { $0.settings } }
        set { state.withLock { $0.settings = newValue } }
    }
    /// The input before this one.
    var last: (text: String, changed: Bool, isMessage: Bool) {
        get { state.withLock { ($0.last, $0.lastChanged, $0.lastIsMessage) } }
        set { state.withLock { ($0.last, $0.lastChanged, $0.lastIsMessage) = newValue } }
    }

    /// Takes the text that stands at the next prompt.
    func takePrefill() -> String {
        state.withLock { state in
            defer { state.prefill = "" }
            return state.prefill
        }
    }

    /// Puts text at the next prompt.
    func prefill(_ text: String) { state.withLock { $0.prefill = text } }

    /// Counts files that name files; false when they are too deep in one another.
    func enterFile() -> Bool {
        state.withLock { state in
            state.fileDepth += 1
            return state.fileDepth <= 16
        }
    }

    func leaveFile() { state.withLock { $0.fileDepth -= 1 } }

    // MARK: Writing

    /// Lets the session write, or not any more.
    ///
    /// - Throws: ``CommandFailure`` when that is forbidden or not confirmed, and `StoreError`.
    func setWritable(_ wanted: Bool) async throws {
        if wanted {
            if context.global.isReadOnly {
                throw CommandFailure(.refused, "session", "--read-only forbids to write")
            }
            if context.global.isProtected, !state.withLock({ $0.hasConfirmedContext }) {
                try Confirmation(context.console, context.global).confirmContext()
                state.withLock { $0.hasConfirmedContext = true }
            }
            _ = try await stores.store(readOnly: false)
        }
        state.withLock { $0.isWritable = wanted }
    }

    // MARK: Output

    /// Where output goes from now on.
    func setTarget(_ target: SessionTarget?) throws {
        let before = state.withLock { state in
            defer { state.target = target }
            return state.target
        }
        try before?.close()
    }

    var target: SessionTarget? { state.withLock { $0.target } }

    /// The table of everything that can be typed after a backslash.
    var table: CommandTable<GlobalOptions, CommandContext> {
        let table = context.table()
        let own = table.command(at: ["repl"])?.session ?? []
        let names = Set(own.flatMap { [$0.name] + $0.aliases })
        return CommandTable(
            program: "\\", prefix: "\\", summary: "a session", globalFlags: GlobalOptions.flags,
            commands: own + table.commands.filter { !names.contains($0.name) && $0.name != "repl" })
    }
}

extension CommandTable<GlobalOptions, CommandContext> {
    /// The flags of a command of which the value can be a word of its own, as they are typed.
    func flagsWithValue(of command: Command<CommandContext>) -> Set<String> {
        var words: Set<String> = []
        for flag in globalFlags.map(\.definition) + command.flags {
            guard case .value = flag.arity else { continue }
            words.insert("--" + flag.long)
            if let short = flag.short { words.insert("-\(short)") }
        }
        return words
    }
}

extension CommandContext {
    /// The session in which a command was typed that only a session has.
    var inSession: ReplSession {
        get throws {
            guard let session else { throw CommandFailure(.failure, "internal", "there is no session") }
            return session
        }
    }
}
