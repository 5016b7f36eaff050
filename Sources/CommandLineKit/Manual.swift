/// What the manual tells beside flags and commands.
public struct Manual: Sendable {
    /// What the program is, before its commands are listed.
    public var description: [Prose]
    /// Environment variables, by name.
    public var environment: [ManualEntry]
    /// Files that the program reads or writes.
    public var files: [ManualEntry]
    /// Pages about something else than a command.
    public var topics: [ManualTopic]

    /// A manual with the given parts.
    public init(
        description: [Prose] = [], environment: [ManualEntry] = [], files: [ManualEntry] = [],
        topics: [ManualTopic] = []
    ) {
        self.description = description
        self.environment = environment
        self.files = files
        self.topics = topics
    }
}

/// A name and what is to be said of it.
public struct ManualEntry: Sendable, Hashable {
    /// The name.
    public var name: String
    /// What it is.
    public var text: [Inline]

    /// An entry.
    public init(_ name: String, _ text: [Inline]) {
        self.name = name
        self.text = text
    }
}

/// A page about something else than a command, such as a file format.
public struct ManualTopic: Sendable, Hashable {
    /// Its name, as `ego-config`.
    public var name: String
    /// The section of the manual: 5 for files and formats, 7 for the rest.
    public var section: Int
    /// What it tells, in under 60 characters, without full stop.
    public var summary: String
    /// Its parts.
    public var chapters: [Chapter]

    /// A part of a page.
    public struct Chapter: Sendable, Hashable {
        /// The title, as `CONTEXTS`.
        public var title: String
        /// What it says.
        public var text: [Prose]

        /// A part.
        public init(_ title: String, _ text: [Prose]) {
            self.title = title
            self.text = text
        }
    }

    /// A page with the given parts.
    public init(_ name: String, section: Int, summary: String, chapters: [Chapter]) {
        self.name = name
        self.section = section
        self.summary = summary
        self.chapters = chapters
    }
}
