/// The widths of a table's columns, or, where they do not fit the terminal, one record below the other.
struct TableLayout {
    private let columns: [Column]
    private let widths: [Int]
    /// Whether a type's package is left out.
    private let hasShortTypes: Bool
    /// Whether each record is a block of lines, because its columns cannot stand side by side.
    let isExpanded: Bool
    private let limit: Int?
    private static let gap = 2

    /// Fits a table to its first rows, and to the terminal when a width is given.
    init(
        _ columns: [Column], fitting rows: [[String]], headers: Bool, width: Int?, isExpanded: Bool = false
    ) {
        self.columns = columns
        self.limit = width
        func natural(shortTypes: Bool) -> [Int] {
            columns.enumerated().map { index, column in
                let title = headers ? TextWidth.columns(column.title) : 0
                return rows.reduce(max(title, 1)) { widest, row in
                    max(widest, TextWidth.columns(column.text(row[index], shortTypes: shortTypes)))
                }
            }
        }
        func excess(_ widths: [Int]) -> Int {
            guard let width else { return 0 }
            return widths.reduce(0, +) + Self.gap * max(0, widths.count - 1) - width
        }
        var widths = natural(shortTypes: false)
        let hasShortTypes = excess(widths) > 0 && columns.contains { $0.shortening == .package }
        if hasShortTypes { widths = natural(shortTypes: true) }
        // The widest column gives way first, down to the width at which something can still be read.
        let least = columns.enumerated().map { index, column in min(widths[index], column.leastWidth) }
        var left = excess(widths)
        while left > 0 {
            let open = widths.indices.filter { widths[$0] > least[$0] }
            guard let widest = open.max(by: { widths[$0] < widths[$1] }) else { break }
            let second = open.filter { $0 != widest }.map { widths[$0] }.max() ?? 0
            let step = min(left, max(1, widths[widest] - max(second, least[widest])))
            widths[widest] -= step
            left -= step
        }
        self.widths = widths
        self.hasShortTypes = hasShortTypes
        self.isExpanded =
            isExpanded || (left > 0 && !columns.contains { $0.shortening == .never(asked: true) })
    }

    func header(color: Bool) -> String {
        if isExpanded { return "" }
        let text = line(columns.map(\.title))
        return color ? "\u{1b}[1m\(text.dropLast())\u{1b}[0m\n" : text
    }

    /// A record; in an expanded table a block of lines and an empty one.
    func line(_ cells: [String]) -> String {
        if isExpanded {
            return Self.fields(zip(columns, cells).map { ($0.name.replacing("_", with: " "), $1) }, width: limit) + "\n"
        }
        let parts = columns.enumerated().map { index, column in
            column.lines(cells[index], widths[index], shortTypes: hasShortTypes)
        }
        return (0..<(parts.map(\.count).max() ?? 0)).map { row in
            self.row(parts.map { row < $0.count ? $0[row] : "" })
        }.joined()
    }

    private func row(_ texts: [String]) -> String {
        var line = ""
        for (index, column) in columns.enumerated() {
            let padding = String(repeating: " ", count: max(0, widths[index] - TextWidth.columns(texts[index])))
            if index > 0 { line += String(repeating: " ", count: Self.gap) }
            line += column.alignment == .right ? padding + texts[index] : texts[index] + padding
        }
        while line.last == " " { line.removeLast() }
        return line + "\n"
    }

    /// Names and values, one below the other; what is wider than the terminal goes on below its start.
    static func fields(_ fields: [(String, String)], width: Int?) -> String {
        let indent = (fields.map { TextWidth.columns($0.0) }.max() ?? 0) + gap
        return fields.map { name, value in
            let text = value.isEmpty ? "-" : value
            let lines = width.map { TextWidth.lines(text, columns: max(8, $0 - indent)) } ?? [text]
            return name + String(repeating: " ", count: indent - TextWidth.columns(name))
                + lines.joined(separator: "\n" + String(repeating: " ", count: indent)) + "\n"
        }.joined()
    }

    /// The text, cut to a width with an ellipsis where it is wider.
    static func fit(_ text: String, _ width: Int) -> String {
        if TextWidth.columns(text) <= width { return text }
        return TextWidth.prefix(text, columns: width - 1) + "…"
    }
}

extension Column {
    /// The width below which nothing can be read any more.
    fileprivate var leastWidth: Int {
        switch shortening {
        case .never: .max
        case .middle, .package: 12
        case .end: 10
        case .wrap: 20
        }
    }

    fileprivate func text(_ cell: String, shortTypes: Bool) -> String {
        guard shortTypes, shortening == .package else { return cell }
        return cell.split(separator: ".").last.map(String.init) ?? cell
    }

    /// What stands in a row of the table, and in the lines below it.
    fileprivate func lines(_ cell: String, _ width: Int, shortTypes: Bool) -> [String] {
        let text = text(cell, shortTypes: shortTypes)
        if text.isEmpty { return ["-"] }
        guard shortening == .wrap, TextWidth.columns(text) > width else { return [fit(text, width)] }
        return TextWidth.lines(text, columns: width)
    }

    private func fit(_ text: String, _ width: Int) -> String {
        switch shortening {
        case .never: text  // part of a number or a time would be a lie
        case .package, .end, .wrap: TableLayout.fit(text, width)
        case .middle:
            // The end tells one generated ID from the next, the start what it is.
            TextWidth.columns(text) <= width
                ? text
                : TextWidth.prefix(text, columns: width - 1 - (width - 1) / 2) + "…"
                    + TextWidth.suffix(text, columns: (width - 1) / 2)
        }
    }
}
