/// What a command gives: one value, whatever format it is shown in. A command never prints by itself.
public struct CommandOutput: Sendable {
    /// Fields that are known before the records.
    public var fields: [OutputValue.Field]
    /// The list that the value holds; nil when it holds none.
    public var records: RecordList?
    /// Whether a table shows the fields above the records; machine-readable output always has them.
    public var showsFields: Bool
    /// Text that a person reads instead of a table, such as help. Nil for none.
    public var text: String?
    /// Writes what is neither value nor text, such as an export; nothing else is written to standard output then.
    public var stream: (@Sendable (any OutputSink) async throws -> Void)?
    /// Called once after the last record.
    public var finish: @Sendable () async throws -> Completion

    /// How a command ended.
    public struct Completion: Sendable {
        /// Fields that are known only after the last record.
        public var fields: [OutputValue.Field]
        /// Whether anything was changed.
        public var changed: Bool
        /// The exit code.
        public var exitCode: ExitCode
        /// What else there is to say.
        public var diagnostics: [Diagnostic]

        /// A completion with the given parts.
        public init(
            fields: [OutputValue.Field] = [], changed: Bool = false, exitCode: ExitCode = .ok,
            diagnostics: [Diagnostic] = []
        ) {
            self.fields = fields
            self.changed = changed
            self.exitCode = exitCode
            self.diagnostics = diagnostics
        }
    }

    /// An output with the given parts.
    public init(
        fields: [OutputValue.Field] = [], records: RecordList? = nil, showsFields: Bool = false,
        text: String? = nil, finish: @escaping @Sendable () async throws -> Completion = { Completion() }
    ) {
        self.fields = fields
        self.records = records
        self.showsFields = showsFields
        self.text = text
        self.finish = finish
    }
}

/// A list of records, given page by page, so that memory does not grow with it.
public struct RecordList: Sendable {
    /// The list's name in the value, as `entities`.
    public var name: String
    /// The columns of tables, CSV and plain text.
    public var columns: [Column]
    /// Whether records go on to come, so that each page is shown at once.
    public var isLive: Bool
    /// The rows that tables, CSV and plain text make of a record; itself by default.
    public var rows: @Sendable (OutputValue) -> [OutputValue] = { [$0] }
    /// The next page; nil after the last.
    public var nextPage: @Sendable () async throws -> [OutputValue]?

    /// A list with the given parts.
    public init(
        _ name: String, columns: [Column], isLive: Bool = false,
        rows: @escaping @Sendable (OutputValue) -> [OutputValue] = { [$0] },
        nextPage: @escaping @Sendable () async throws -> [OutputValue]?
    ) {
        self.name = name
        self.columns = columns
        self.isLive = isLive
        self.rows = rows
        self.nextPage = nextPage
    }

    /// A list that is there already.
    public init(_ name: String, columns: [Column], _ records: [OutputValue]) {
        let rest = OneTime(records)
        self.init(name, columns: columns) { rest.take() }
    }
}

/// A column of a table.
public struct Column: Sendable, Hashable {
    /// The field of the record, and the column's name for `--columns`.
    public var name: String
    /// What stands above it in a table; CSV and plain text have the name.
    public var title: String
    /// Where the text stands.
    public var alignment: Alignment
    /// Whether it is shown without being asked for.
    public var isDefault: Bool
    /// How it gives way when the terminal is too narrow.
    public var shortening: Shortening

    /// How a column gives way when the terminal is too narrow.
    public enum Shortening: Sendable, Hashable {
        /// Not at all: numbers, times, and what the user asked for in full.
        case never(asked: Bool)
        /// In the middle: IDs, of which the start says what they are and the end which one.
        case middle
        /// The package first: names of protobuf types.
        case package
        /// At the end.
        case end
        /// Not cut, but continued on lines below: sentences.
        case wrap
    }

    /// Where the text of a column stands.
    public enum Alignment: Sendable {
        case left, right
    }

    /// A column of a field. One that stands right is not shortened, any other at its end, unless told otherwise.
    public init(
        _ name: String, _ alignment: Alignment = .left, title: String? = nil, isDefault: Bool = true,
        shortening: Shortening? = nil
    ) {
        self.name = name
        self.shortening = shortening ?? (alignment == .right ? .never(asked: false) : .end)
        self.title = title ?? String(name.uppercased().map { $0 == "_" ? " " : $0 })
        self.alignment = alignment
        self.isDefault = isDefault
    }
}

/// Something to say beside the data.
public struct Diagnostic: Sendable, Hashable {
    /// How bad it is.
    public enum Severity: String, Sendable {
        case note, warning, error
    }

    /// How bad it is.
    public var severity: Severity
    /// What it is, for programs.
    public var code: String
    /// What it is, for people.
    public var message: String
    /// What to do about it.
    public var hint: String?

    /// A diagnostic with the given parts.
    public init(_ severity: Severity, code: String, _ message: String, hint: String? = nil) {
        self.severity = severity
        self.code = code
        self.message = message
        self.hint = hint
    }

    var value: OutputValue {
        .object([
            .init("severity", .text(severity.rawValue)), .init("code", .text(code)), .init("message", .text(message)),
            .init("hint", .optional(hint)),
        ])
    }
}
