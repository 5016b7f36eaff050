/// How many columns of a terminal a text takes.
enum TextWidth {
    /// The columns of a text without control characters.
    static func columns(_ text: String) -> Int {
        text.reduce(0) { $0 + columns($1) }
    }

    /// The longest start of a text that fits.
    static func prefix(_ text: String, columns limit: Int) -> String {
        var width = 0
        var end = text.startIndex
        while end < text.endIndex {
            width += columns(text[end])
            if width > limit { break }
            end = text.index(after: end)
        }
        return String(text[..<end])
    }

    /// The longest end of a text that fits.
    static func suffix(_ text: String, columns limit: Int) -> String {
        var width = 0
        var start = text.endIndex
        while start > text.startIndex {
            let before = text.index(before: start)
            width += columns(text[before])
            if width > limit { break }
            start = before
        }
        return String(text[start...])
    }

    /// The text in lines of at most so many columns, broken between words where that is possible.
    static func lines(_ text: String, columns limit: Int) -> [String] {
        var lines = [""]
        for word in text.split(separator: " ", omittingEmptySubsequences: false) {
            var word = String(word)
            let last = lines[lines.count - 1]
            if last.isEmpty {
                lines[lines.count - 1] = word
            } else if columns(last) + 1 + columns(word) <= limit {
                lines[lines.count - 1] = last + " " + word
            } else {
                lines.append(word)
            }
            word = lines[lines.count - 1]
            while columns(word) > limit {
                let piece = prefix(word, columns: limit)
                lines[lines.count - 1] = piece
                word = String(word.dropFirst(piece.count))
                lines.append(word)
            }
        }
        return lines
    }

    /// Unicode Standard Annex 11, the wide and fullwidth ranges, and emoji presentation.
    private static func columns(_ character: Character) -> Int {
        guard let first = character.unicodeScalars.first else { return 0 }
        if first.value < 0x300 { return 1 }
        switch first.properties.generalCategory {
        case .nonspacingMark, .enclosingMark, .format: return 0
        default: break
        }
        if first.properties.isEmojiPresentation { return 2 }
        if character.unicodeScalars.contains(where: { $0.value == 0xfe0f }) { return 2 }
        switch first.value {
        case 0x1100...0x115f, 0x2e80...0x303e, 0x3041...0x33ff, 0x3400...0x4dbf, 0x4e00...0x9fff, 0xa000...0xa4cf,
            0xa960...0xa97f, 0xac00...0xd7a3, 0xf900...0xfaff, 0xfe30...0xfe6f, 0xff00...0xff60, 0xffe0...0xffe6,
            0x17000...0x18aff, 0x1b000...0x1b2ff, 0x1f200...0x1f2ff, 0x20000...0x3fffd:
            return 2
        default: return 1
        }
    }
}
