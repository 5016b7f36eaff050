/// An input to a session as it was typed, taken apart without knowing what it means.
struct ScannedInput: Sendable, Hashable {
    /// What was typed, without comments and without where the output goes.
    var text = ""
    /// What follows `\g` at the end: where the output goes; nil when there is none.
    var target: String?
    /// What is open at the end, from the outside in, such as `{"`; empty when the input is whole.
    var open = ""

    /// Scans an input, which may have several lines.
    init(_ input: String) {
        var scanner = Scanner()
        // The shell has rules of its own, and a line of it is a line.
        if input.drop(while: \.isWhitespace).hasPrefix("\\!") {
            text = input
            return
        }
        let characters = Array(input)
        var index = 0
        while index < characters.count {
            let character = characters[index]
            if scanner.isOutside {
                if character == "#", scanner.isAfterSpace {
                    while index < characters.count, characters[index] != "\n" { index += 1 }
                    continue
                }
                if character == "\\", scanner.open.isEmpty, scanner.isAfterSpace,
                    characters[index...].dropFirst().first == "g",
                    characters.count == index + 2 || characters[index + 2] == " " || characters[index + 2] == "|",
                    !text.allSatisfy(\.isWhitespace)
                {
                    target = Self.trimmed(String(characters[(index + 2)...]))
                    break
                }
            }
            scanner.take(character)
            text.append(character)
            index += 1
        }
        text = Self.trimmed(text)
        open = scanner.open + (scanner.quote.map { String($0) } ?? "")
    }

    static func trimmed(_ text: String) -> String {
        String(text.drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed())
    }

    /// What is open at a place.
    private struct Scanner {
        var open = ""
        var quote: Character?
        var isEscaped = false
        var isAfterSpace = true

        var isOutside: Bool { quote == nil && !isEscaped }

        mutating func take(_ character: Character) {
            defer { isAfterSpace = character.isWhitespace }
            if isEscaped {
                isEscaped = false
            } else if let quote {
                if character == "\\" { isEscaped = true } else if character == quote { self.quote = nil }
            } else {
                switch character {
                case "\"", "'": quote = character
                case "{", "[": open.append(character)
                case "}", "]": if !open.isEmpty { open.removeLast() }
                default: break
                }
            }
        }
    }
}

/// Variables of a session: `:name` is what was set, `:"name"` and `:'name'` the same as a string of JSON.
enum SessionVariables {
    /// Whether a variable may have this name.
    static func isName(_ text: some StringProtocol) -> Bool {
        guard let first = text.unicodeScalars.first, first == "_" || first.properties.isAlphabetic else { return false }
        return text.unicodeScalars.allSatisfy {
            $0 == "_" || $0.properties.isAlphabetic || $0.properties.numericType != nil
        }
    }

    /// The text with the values of those that are set. One that is not set stays as it is, and so does whatever follows
    /// a letter, a digit or a quotation mark, as times and fields of the text format do.
    static func replaced(in text: String, _ values: [String: String]) -> String {
        if values.isEmpty { return text }
        var result = ""
        var rest = text[...]
        var quote: Character?
        var isEscaped = false
        var before: Character = " "
        while let character = rest.first {
            if isEscaped {
                isEscaped = false
            } else if let open = quote {
                if character == "\\" { isEscaped = true } else if character == open { quote = nil }
            } else if character == "\"" || character == "'" {
                quote = character
            } else if character == ":", before.isWhitespace || "([{,=".contains(before),
                let (name, isQuoted, end) = name(after: rest.dropFirst()), let value = values[name]
            {
                result += isQuoted ? quoted(value) : value
                before = "\""
                rest = end
                continue
            }
            result.append(character)
            before = character
            rest = rest.dropFirst()
        }
        return result
    }

    /// A text as a string of JSON.
    static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            default:
                if scalar.value < 0x20 {
                    let digits = String(scalar.value, radix: 16)
                    result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                } else {
                    result.unicodeScalars.append(scalar)
                }
            }
        }
        return result + "\""
    }

    private static func name(after text: Substring) -> (name: String, isQuoted: Bool, end: Substring)? {
        if let mark = text.first, mark == "\"" || mark == "'" {
            guard let end = text.dropFirst().firstIndex(of: mark) else { return nil }
            let name = text[text.index(after: text.startIndex)..<end]
            return isName(name) ? (String(name), true, text[text.index(after: end)...]) : nil
        }
        let name = text.prefix { $0 == "_" || $0.isLetter || $0.isNumber }
        return isName(name) ? (String(name), false, text[name.endIndex...]) : nil
    }
}

/// The words of a meta command.
///
/// As in a shell: quotation marks group, a backslash takes the next character as it is. A word that begins with a bracket
/// goes on to the bracket that closes it, so that JSON needs no quotation marks around it.
struct SessionWords: Sendable, Hashable {
    /// The words; the last one may be unfinished.
    var words: [String] = []
    /// Where each begins, in bytes of UTF-8.
    var starts: [Int] = []
    /// Whether something follows the last word, so that another one begins.
    var endsOpen = true

    /// Splits a text.
    ///
    /// - Parameter count: after so many words what is left is one word, as it was typed; nil for none.
    init(_ text: String, rawAfter count: Int? = nil) {
        var rest = text[...]
        while true {
            rest = rest.drop(while: \.isWhitespace)
            endsOpen = rest.isEmpty
            if rest.isEmpty { return }
            starts.append(text.utf8.distance(from: text.startIndex, to: rest.startIndex))
            if let count, words.count(where: { !$0.hasPrefix("-") }) >= count {
                words.append(ScannedInput.trimmed(String(rest)))
                return
            }
            words.append(Self.next(&rest))
            if rest.isEmpty { return }
        }
    }

    private static func next(_ rest: inout Substring) -> String {
        if let first = rest.first, first == "{" || first == "[" { return bracketed(&rest) }
        var word = ""
        var quote: Character?
        while let character = rest.popFirst() {
            if character == "\\", quote != "'" {
                if let escaped = rest.popFirst() { word.append(escaped) }
            } else if let open = quote {
                if character == open { quote = nil } else { word.append(character) }
            } else if character == "\"" || character == "'" {
                quote = character
            } else if character.isWhitespace {
                break
            } else {
                word.append(character)
            }
        }
        return word
    }

    private static func bracketed(_ rest: inout Substring) -> String {
        var word = ""
        var depth = 0
        var (isQuoted, isEscaped) = (false, false)
        while let character = rest.popFirst() {
            word.append(character)
            if isEscaped {
                isEscaped = false
            } else if isQuoted {
                if character == "\\" { isEscaped = true } else if character == "\"" { isQuoted = false }
            } else {
                switch character {
                case "\"": isQuoted = true
                case "{", "[": depth += 1
                case "}", "]": depth -= 1
                default: break
                }
                if depth == 0 { break }
            }
        }
        return word
    }
}
