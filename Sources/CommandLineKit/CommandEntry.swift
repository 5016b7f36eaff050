import Synchronization

/// A command in its place of a table, made when somebody asks for more than its name: a program that runs one command
/// does not make the definitions of all others first.
public struct CommandEntry<Context: Sendable>: Sendable {
    /// The command's name.
    public let name: String
    /// Its other names.
    public let aliases: [String]

    private let definition: Definition

    private final class Definition: Sendable {
        let make: @Sendable () -> Command<Context>
        let made = Mutex<Command<Context>?>(nil)

        init(_ make: @escaping @Sendable () -> Command<Context>) { self.make = make }
    }

    /// A command of these names, which `make` gives the same each time.
    public init(_ name: String, aliases: [String] = [], make: @escaping @Sendable () -> Command<Context>) {
        (self.name, self.aliases, definition) = (name, aliases, Definition(make))
    }

    /// A command that is there already.
    public init(_ command: Command<Context>) {
        self.init(command.name, aliases: command.aliases) { command }
    }

    /// The command; made once.
    public var command: Command<Context> {
        definition.made.withLock { made in
            let command = made ?? definition.make()
            made = command
            return command
        }
    }

    /// Whether a word is one of its names.
    func isNamed(_ word: String) -> Bool { name == word || aliases.contains(word) }
}
