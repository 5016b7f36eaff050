/// A piece of a command's description; help and man pages are renderings of it.
public enum Prose: Sendable, Hashable, ExpressibleByStringLiteral {
    case paragraph([Inline])
    case code(String)
    case list([[Inline]])

    public init(stringLiteral value: String) {
        self = .paragraph([.text(value)])
    }

    /// All references in this piece.
    var inlines: [Inline] {
        switch self {
        case .paragraph(let inlines): inlines
        case .code: []
        case .list(let items): items.flatMap(\.self)
        }
    }
}

/// A run of text within prose.
public enum Inline: Sendable, Hashable, ExpressibleByStringLiteral {
    case text(String)
    /// A flag of this command or of all, by its long name.
    case flag(String)
    /// Another command, by its path, as `snapshot list`.
    case command(String)

    public init(stringLiteral value: String) {
        self = .text(value)
    }

    func plain(program: String) -> String {
        switch self {
        case .text(let text): text
        case .flag(let name): "--\(name)"
        case .command(let path): "\(program) \(path)"
        }
    }
}

/// A command line to try, and what it does.
public struct Example: Sendable, Hashable {
    /// The words after the program's name.
    public let arguments: String
    /// What it does, in under 60 characters, without full stop.
    public let summary: String

    /// An example with its explanation.
    public init(_ arguments: String, _ summary: String) {
        self.arguments = arguments
        self.summary = summary
    }
}
