/// The form in which a value is written.
public enum OutputFormat: String, Sendable, CaseIterable {
    /// Aligned columns, for people.
    case table
    /// One envelope.
    case json
    /// One record a line, the last one a summary.
    case jsonl
    /// RFC 4180.
    case csv
    /// Fields between tabs, for `cut` and `awk`; what could be taken for a tab or line end is escaped.
    case plain

    /// Whether programs read it.
    public var isStructured: Bool { self == .json || self == .jsonl }
}

/// How a value is written.
public struct RenderOptions: Sendable {
    /// The form.
    public var format: OutputFormat
    /// The columns to show, in this order; nil for the default ones.
    public var columns: [String]?
    /// Whether there is a line of titles.
    public var headers: Bool
    /// How moments are written.
    public var times: TimeStyle
    /// The width that a table has to fit; nil for no limit.
    public var width: Int?
    /// Whether titles are set off by terminal attributes.
    public var color: Bool
    /// Whether a table shows each record as a block of lines, wherever there is room or not.
    public var isExpanded = false

    /// Options with the given values.
    public init(
        format: OutputFormat, columns: [String]? = nil, headers: Bool = true, times: TimeStyle = .rfc3339,
        width: Int? = nil, color: Bool = false
    ) {
        self.format = format
        self.columns = columns
        self.headers = headers
        self.times = times
        self.width = width
        self.color = color
    }
}
