/// An input to a session as it was typed, taken apart without knowing what it means.
///
/// It is read scalar by scalar: a mark that combines with a quotation mark must not hide it.
struct ScannedInput: Sendable {
    private var kept = String.UnicodeScalarView()
    private var brackets = String.UnicodeScalarView()
    private var quote: Unicode.Scalar?
    private var isEscaped = false
    private var isAfterSpace = true
    /// What the input begins with, once it has begun.
    private var first: Unicode.Scalar?
    private var isAtName = false
    /// Whether it is a line of the shell, which has rules of its own.
    private var isShell = false
    private var hasLines = false
    /// What follows `\g` at the end: where the output goes; nil when there is none.
    private(set) var target: String?

    /// Scans an input, which may have several lines.
    init(_ input: String = "") {
        if !input.isEmpty { append(input) }
    }

    /// What was typed, without comments and without where the output goes.
    var text: String { Self.trimmed(String(kept)) }

    /// What is open at the end, from the outside in, such as `{"`; empty when the input is whole.
    var open: String { String(brackets) + (quote.map { String($0) } ?? "") }

    /// Whether nothing is open at the end.
    var isWhole: Bool { brackets.isEmpty && quote == nil }

    /// Whether nothing was typed, not even a comment.
    var hasNoLines: Bool { !hasLines }

    /// Goes on with another line; what was scanned before is not scanned again.
    mutating func append(_ line: String) {
        if hasLines { take("\n") }
        hasLines = true
        let scalars = line.unicodeScalars
        var index = scalars.startIndex
        while index < scalars.endIndex {
            let scalar = scalars[index]
            if quote == nil, !isEscaped, !isShell, isAfterSpace {
                if scalar == "#" {
                    index = scalars[index...].firstIndex(of: "\n") ?? scalars.endIndex
                    continue
                }
                if scalar == "\\", first != nil, brackets.isEmpty, Self.isTarget(scalars[index...]) {
                    target = Self.trimmed(String(scalars[index...].dropFirst(2)))
                    return
                }
            }
            take(scalar)
            scalars.formIndex(after: &index)
        }
    }

    private static func isTarget(_ rest: Substring.UnicodeScalarView) -> Bool {
        let start = Array(rest.prefix(3))
        return start.dropFirst().first == "g" && (start.count == 2 || start[2] == "|" || isSpace(start[2]))
    }

    private mutating func take(_ scalar: Unicode.Scalar) {
        kept.append(scalar)
        defer { isAfterSpace = Self.isSpace(scalar) }
        if isShell { return }
        if first == nil {
            if !Self.isSpace(scalar) { (first, isAtName) = (scalar, true) }
        } else if isAtName {
            isAtName = false
            isShell = first == "\\" && scalar == "!"
            if isShell { return }
        }
        if isEscaped {
            isEscaped = false
        } else if let quote {
            if scalar == "\\" { isEscaped = true } else if scalar == quote { self.quote = nil }
        } else {
            switch scalar {
            case "\"", "'": quote = scalar
            case "{", "[": brackets.append(scalar)
            case "}", "]": if !brackets.isEmpty { brackets.removeLast() }
            // In the words of a meta command it takes away what the next one means; messages know no such thing.
            case "\\": isEscaped = first == "\\" && brackets.isEmpty
            default: break
            }
        }
    }

    /// A text without white space around it.
    static func trimmed(_ text: String) -> String {
        let scalars = text.unicodeScalars
        guard let start = scalars.firstIndex(where: { !isSpace($0) }),
            let last = scalars.lastIndex(where: { !isSpace($0) })
        else { return "" }
        return String(scalars[start...last])
    }

    /// Whether words end there.
    static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value < 0x80
            ? scalar.value == 0x20 || (0x09...0x0d).contains(scalar.value) : scalar.properties.isWhitespace
    }
}
