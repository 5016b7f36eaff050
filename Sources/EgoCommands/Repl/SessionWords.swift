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
    /// How many words are flags, or values of flags, before the first that is neither.
    var leadingFlags = 0

    private typealias Rest = Substring.UnicodeScalarView

    /// Splits a text.
    ///
    /// - Parameters:
    ///   - count: after so many words, flags aside, what is left is one word, as it was typed; nil for none.
    ///   - flags: the flags of which the value is a word of its own, as `--count` and `-C`.
    init(_ text: String, rawAfter count: Int? = nil, flagsWithValue flags: Set<String> = []) {
        let scalars = text.unicodeScalars
        var rest = scalars[...]
        var (isValue, taken) = (false, 0)
        while true {
            rest = rest.drop(while: ScannedInput.isSpace)
            endsOpen = rest.isEmpty
            if rest.isEmpty { return }
            starts.append(text.utf8.distance(from: text.startIndex, to: rest.startIndex))
            let isFlag = isValue || rest.first == "-"
            if let count, taken >= count, !isFlag || taken > 0 {
                words.append(ScannedInput.trimmed(String(rest)))
                return
            }
            let word = Self.next(&rest)
            words.append(word)
            if isFlag {
                if taken == 0 { leadingFlags += 1 }
                isValue = !isValue && flags.contains(word)
            } else {
                taken += 1
            }
            if rest.isEmpty { return }
        }
    }

    private static func next(_ rest: inout Rest) -> String {
        if let first = rest.first, first == "{" || first == "[" { return bracketed(&rest) }
        var word = String.UnicodeScalarView()
        var quote: Unicode.Scalar?
        while let scalar = rest.first {
            if quote == nil, ScannedInput.isSpace(scalar) { break }
            rest.removeFirst()
            if scalar == "\\", quote != "'" {
                if let escaped = rest.popFirst() { word.append(escaped) }
            } else if let open = quote {
                if scalar == open { quote = nil } else { word.append(scalar) }
            } else if scalar == "\"" || scalar == "'" {
                quote = scalar
            } else {
                word.append(scalar)
            }
        }
        return String(word)
    }

    private static func bracketed(_ rest: inout Rest) -> String {
        var word = String.UnicodeScalarView()
        var depth = 0
        var (isQuoted, isEscaped) = (false, false)
        while let scalar = rest.popFirst() {
            word.append(scalar)
            if isEscaped {
                isEscaped = false
            } else if isQuoted {
                if scalar == "\\" { isEscaped = true } else if scalar == "\"" { isQuoted = false }
            } else {
                switch scalar {
                case "\"": isQuoted = true
                case "{", "[": depth += 1
                case "}", "]": depth -= 1
                default: break
                }
                if depth == 0 { break }
            }
        }
        return String(word)
    }
}
