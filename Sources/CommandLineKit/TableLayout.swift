/// The widths of a table's columns.
struct TableLayout {
    private let columns: [Column]
    private let widths: [Int]
    private static let gap = 2
    /// Columns give way down to the first width, and where that is not enough down to the second.
    private static let narrowest = [8, 3]

    /// Fits a table to its first rows, and to the terminal when a width is given.
    init(_ columns: [Column], fitting rows: [[String]], headers: Bool, width: Int?) {
        self.columns = columns
        var widths = columns.map { headers ? TextWidth.columns($0.title) : 0 }
        for row in rows {
            for (index, cell) in row.enumerated() { widths[index] = max(widths[index], TextWidth.columns(cell), 1) }
        }
        if let width {
            // The widest column gives way first, down to a width at which something can still be read.
            var excess = widths.reduce(0, +) + Self.gap * max(0, widths.count - 1) - width
            for narrowest in Self.narrowest {
                while excess > 0 {
                    guard let widest = widths.indices.max(by: { widths[$0] < widths[$1] }), widths[widest] > narrowest
                    else { break }
                    let second = widths.indices.filter { $0 != widest }.map { widths[$0] }.max() ?? 0
                    let step = min(excess, max(1, widths[widest] - max(second, narrowest)))
                    widths[widest] -= step
                    excess -= step
                }
            }
        }
        self.widths = widths
    }

    func header(color: Bool) -> String {
        let text = line(columns.map(\.title))
        return color ? "\u{1b}[1m\(text.dropLast())\u{1b}[0m\n" : text
    }

    func line(_ cells: [String]) -> String {
        var line = ""
        for (index, column) in columns.enumerated() {
            let text = cells[index].isEmpty ? "-" : Self.fit(cells[index], widths[index])
            let padding = String(repeating: " ", count: max(0, widths[index] - TextWidth.columns(text)))
            if index > 0 { line += String(repeating: " ", count: Self.gap) }
            switch column.alignment {
            case .right: line += padding + text
            case .left: line += index == columns.count - 1 ? text : text + padding
            }
        }
        return line + "\n"
    }

    /// The text, cut to a width with an ellipsis where it is wider.
    static func fit(_ text: String, _ width: Int) -> String {
        if TextWidth.columns(text) <= width { return text }
        return TextWidth.prefix(text, columns: width - 1) + "…"
    }
}
