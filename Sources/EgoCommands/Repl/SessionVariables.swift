import CommandLineKit

/// Variables of a session: `:name` is what was set, `:"name"` and `:'name'` the same as a string of JSON.
enum SessionVariables {
    /// Whether a variable may have this name.
    static func isName(_ text: some StringProtocol) -> Bool {
        guard let first = text.unicodeScalars.first, first == "_" || first.properties.isAlphabetic else { return false }
        return text.unicodeScalars.allSatisfy(isPartOfName)
    }

    private static func isPartOfName(_ scalar: Unicode.Scalar) -> Bool {
        scalar == "_" || scalar.properties.isAlphabetic || scalar.properties.numericType != nil
    }

    /// The text with the values of those that are set. One that is not set stays as it is, and so does whatever follows
    /// a letter, a digit or a quotation mark, as times and fields of the text format do.
    static func replaced(in text: String, _ values: [String: String]) -> String {
        if values.isEmpty { return text }
        var result = String.UnicodeScalarView()
        var rest = text.unicodeScalars[...]
        var quote: Unicode.Scalar?
        var isEscaped = false
        var before: Unicode.Scalar = " "
        while let scalar = rest.first {
            if isEscaped {
                isEscaped = false
            } else if let open = quote {
                if scalar == "\\" { isEscaped = true } else if scalar == open { quote = nil }
            } else if scalar == "\"" || scalar == "'" {
                quote = scalar
            } else if scalar == ":", ScannedInput.isSpace(before) || "([{,=".unicodeScalars.contains(before),
                let (name, isQuoted, end) = name(after: rest.dropFirst()), let value = values[name]
            {
                result.append(contentsOf: (isQuoted ? quoted(value) : value).unicodeScalars)
                before = "\""
                rest = end
                continue
            }
            result.append(scalar)
            before = scalar
            rest = rest.dropFirst()
        }
        return String(result)
    }

    /// A text as a string of JSON.
    static func quoted(_ text: String) -> String { OutputValue.text(text).json(.rfc3339) }

    private static func name(
        after text: Substring.UnicodeScalarView
    ) -> (name: String, isQuoted: Bool, end: Substring.UnicodeScalarView)? {
        if let mark = text.first, mark == "\"" || mark == "'" {
            guard let end = text.dropFirst().firstIndex(of: mark) else { return nil }
            let name = String(text[text.index(after: text.startIndex)..<end])
            return isName(name) ? (name, true, text[text.index(after: end)...]) : nil
        }
        let part = text.prefix(while: isPartOfName)
        let name = String(part)
        return isName(name) ? (name, false, text[part.endIndex...]) : nil
    }
}
