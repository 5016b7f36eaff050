/// Makes text safe to show: what could move a cursor, change colors or reorder a line is written out.
public enum Escape {
    /// The text with control characters, line breaks and direction marks written as escapes.
    ///
    /// - Parameter quoted: puts quotation marks around it.
    public static func shown(_ text: String, quoted: Bool = false) -> String {
        var result = quoted ? "\"" : ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case "\\": result += "\\\\"
            case "\"" where quoted: result += "\\\""
            default:
                if isUnsafe(scalar) {
                    result += "\\u{\(String(scalar.value, radix: 16))}"
                } else {
                    result.unicodeScalars.append(scalar)
                }
            }
        }
        return quoted ? result + "\"" : result
    }

    /// The text as one word of a shell (bash, zsh), so that it can be pasted: exactly this text, and nothing is run.
    public static func shellWord(_ text: String) -> String {
        let isPlain =
            !text.isEmpty
            && text.utf8.allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x2f, 0x3a, 0x3d, 0x40, 0x5f, 0x2c, 0x2b: true
                default: false
                }
            }
        if isPlain { return text }
        guard text.unicodeScalars.contains(where: isUnsafe) else {
            return "'" + text.replacing("'", with: "'\\''") + "'"
        }
        var word = "$'"
        for scalar in text.unicodeScalars {
            switch scalar {
            case "'": word += "\\'"
            case "\\": word += "\\\\"
            case _ where isUnsafe(scalar):
                for byte in String(scalar).utf8 {
                    let digits = String(byte, radix: 16)
                    word += "\\x" + (digits.count == 1 ? "0" + digits : digits)
                }
            default: word.unicodeScalars.append(scalar)
            }
        }
        return word + "'"
    }

    static func isUnsafe(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .lineSeparator, .paragraphSeparator, .surrogate, .unassigned: true
        case .format: scalar != "\u{200d}"  // joins the parts of an emoji
        default: false
        }
    }
}
