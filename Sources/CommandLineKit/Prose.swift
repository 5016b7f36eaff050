/// A piece of a command's description; help and man pages are renderings of it.
public enum Prose: Sendable, Hashable, ExpressibleByStringLiteral {
    case paragraph([Inline])
    case code(String)
    case list([[Inline]])
    /// Names, and what is to be said of each.
    case definitions([ManualEntry])

    public init(stringLiteral value: String) {
        self = .paragraph([.text(value)])
    }

    /// All references in this piece.
    var inlines: [Inline] {
        switch self {
        case .paragraph(let inlines): inlines
        case .code: []
        case .list(let items): items.flatMap(\.self)
        case .definitions(let entries): entries.flatMap(\.text)
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
    /// A page of the manual, as `ego-config` in section 5.
    case page(String, section: Int)

    public init(stringLiteral value: String) {
        self = .text(value)
    }

    func plain(program: String) -> String {
        switch self {
        case .text(let text): text
        case .flag(let name): "--\(name)"
        case .command(let path): "\(program) \(path)"
        case .page(let name, let section): "\(name)(\(section))"
        }
    }
}

/// A command line to try, and what it does.
public struct Example: Sendable, Hashable {
    /// The words after the program's name.
    public let arguments: String
    /// What it does, in under 60 characters, without full stop.
    public let summary: String
    /// How it ends on a store that is in order.
    public let exitCode: ExitCode

    /// An example with its explanation.
    public init(_ arguments: String, _ summary: String, exitCode: ExitCode = .ok) {
        self.arguments = arguments
        self.summary = summary
        self.exitCode = exitCode
    }
}
