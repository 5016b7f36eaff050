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

    static func isUnsafe(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .lineSeparator, .paragraphSeparator, .surrogate, .unassigned: true
        case .format: scalar != "\u{200d}"  // joins the parts of an emoji
        default: false
        }
    }
}
