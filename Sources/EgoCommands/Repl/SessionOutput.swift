import CommandLineKit
import EgoCore
import EgoOperations
import SwiftProtobuf

/// Outputs of the session's own commands.
enum SessionOutput {
    /// An output of which nothing is shown.
    static var nothing: CommandOutput { silent(exitCode: .ok) }

    /// The same for a command that may have failed, and has said why.
    static func silent(exitCode: ExitCode) -> CommandOutput {
        var output = CommandOutput { CommandOutput.Completion(exitCode: exitCode) }
        output.stream = { _ in }
        return output
    }

    /// A setting: said to a person, and to nobody else.
    static func note(_ text: String, _ context: CommandContext) -> CommandOutput {
        guard context.global.output == .table, !context.global.isQuiet else { return nothing }
        return CommandOutput(text: "  \(text)\n")
    }

    /// The entity that was chosen; a person sees it in the prompt.
    static func entity(_ entity: ReplSession.Entity) -> CommandOutput {
        CommandOutput(
            fields: [
                .init("id", .text(entity.id.rawValue)), .init("kind", .optional(entity.kind)),
                .init("sequence_number", .number(entity.sequenceNumber)),
                .init("encrypted", .bool(entity.isEncrypted)),
            ], text: "")
    }

    /// A state as a person reads it.
    static func state(_ entity: ReplayedEntity, _ view: PayloadView) throws -> String {
        var head = "\(Escape.shown(entity.persistenceID.rawValue))@\(entity.sequenceNumber)"
        if let kind = entity.kind { head += "  \(Escape.shown(kind))" }
        if let time = entity.timestamp { head += "  \(TimeStyle.rfc3339Brief.text(time.unixNanoseconds))" }
        if let key = entity.encryptionKeyID, view.hides(key) { return "\(head)\n  <encrypted key=\(key)>\n" }
        let lines = try EntityView.lines(entity.state)
        return head + "\n" + (lines.isEmpty ? "  (empty)\n" : lines.map { "  \($0)\n" }.joined())
    }

    /// An input as it can be typed again: its own backslashes stay as they are.
    static func typed(_ input: String) -> String {
        input.split(separator: "\\", omittingEmptySubsequences: false).map { Escape.shown(String($0)) }
            .joined(separator: "\\")
    }

    /// What is left of a line as the name of a file.
    static func path(_ text: String, _ context: CommandContext) -> String { inHome(word(text), context) }

    /// A path in which `~` is the home of the user.
    static func inHome(_ path: String, _ context: CommandContext) -> String {
        guard path == "~" || path.hasPrefix("~/"), let home = context.console.environment["HOME"], !home.isEmpty
        else { return path }
        return home + path.dropFirst()
    }

    /// What is left of a line as one word: quotation marks around all of it are taken away.
    static func word(_ text: String) -> String {
        if text.hasPrefix("|") { return text }
        let words = SessionWords(text).words
        return words.count == 1 ? words[0] : text
    }
}

/// The message types of a session.
struct SessionTypes {
    var name: String
    var role: String
    var kind: String?

    var value: OutputValue {
        .object([.init("type", .text(name)), .init("role", .text(role)), .init("kind", .optional(kind))])
    }

    /// Those of the entity's kind first, or of all kinds, then what else is known.
    static func all(_ schema: SessionSchema, of entity: ReplSession.Entity?) -> [SessionTypes] {
        var types: [SessionTypes] = []
        let kinds = schema.domain.kinds
        let own = kinds.filter { $0.name == entity?.kind }
        for kind in own.isEmpty ? kinds : own {
            types += kind.commandTypes.map { SessionTypes(name: $0.name, role: "command", kind: kind.name) }
            types += kind.eventTypes.map { SessionTypes(name: $0.name, role: "event", kind: kind.name) }
            types.append(SessionTypes(name: kind.stateType.name, role: "state", kind: kind.name))
        }
        let known = Set(types.map(\.name))
        types += schema.describedNames.filter { !known.contains($0) && !$0.hasPrefix("google.protobuf.") }
            .map { SessionTypes(name: $0, role: "message") }
        return types
    }
}

/// What `\?` tells.
enum SessionHelp {
    static func overview(
        _ table: CommandTable<GlobalOptions, CommandContext>, _ context: CommandContext
    ) -> CommandOutput {
        let width = min(context.console.columns() ?? 80, 100)
        let own = context.table().command(at: ["repl"])?.session ?? []
        let others = context.table().commands.filter { !$0.isHidden && $0.name != "repl" }.map { "\\\($0.name)" }
        let text = """
            A command to the entity: TYPE {"field": value}, TYPE field: value, or the TYPE alone.

            In the session:
            \(table.sessionOverview(own, width))
            As from a shell, with the same flags: \(others.joined(separator: " ")).

            \\? COMMAND tells more about one. Tab completes, Ctrl-C drops the line, Ctrl-D leaves.

            """
        return CommandOutput(fields: [.init("command", .text("")), .init("text", .text(text))], text: text)
    }
}
