import CReadline
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// What may stand at the end of the part of a line that was typed.
public struct LineCompletion: Sendable, Hashable {
    /// Where the part begins that the words take the place of, in bytes of UTF-8 from the start of the line.
    public var start: Int
    /// The words; each begins with what is there already.
    public var words: [String]
    /// What follows when there is one word only.
    public var suffix: String
    /// Whether names of files may stand there; the words do not matter then.
    public var takesFiles: Bool

    /// Words from a place on.
    public init(from start: Int, _ words: [String], suffix: String = " ") {
        self.start = start
        self.words = words
        self.suffix = suffix
        self.takesFiles = false
    }

    /// Nothing.
    public static let none = LineCompletion(from: 0, [])

    /// Names of files.
    public static var files: LineCompletion {
        var completion = none
        completion.takesFiles = true
        return completion
    }
}

extension LineEditor {
    /// Answers readline: the words with what they have in common in front, or null for none.
    static func complete(
        _ text: UnsafePointer<CChar>?, from wordStart: Int32, to end: Int32
    ) -> UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? {
        ego_rl_set_completion_over(1)
        guard let completer = state.withLock({ $0.completer }), let buffer = ego_rl_line() else { return nil }
        let typed = UnsafeBufferPointer(start: buffer, count: Int(ego_rl_point())).map { UInt8(bitPattern: $0) }
        let completion = completer(String(decoding: typed, as: UTF8.self))
        if completion.takesFiles {
            ego_rl_set_completion_over(0)
            return nil
        }
        var words = completion.words
        if words.count == 1 { words[0] += completion.suffix }
        // Readline has its own idea of where the word begins.
        let (own, wanted) = (Int(wordStart), min(completion.start, typed.count))
        let between = String(decoding: typed[min(own, wanted)..<max(own, wanted)], as: UTF8.self)
        if own < wanted {
            words = words.map { between + $0 }
        } else if own > wanted {
            words = words.filter { $0.hasPrefix(between) }.map { String($0.dropFirst(between.count)) }
        }
        state.withLock { $0.candidates = words[...] }
        ego_rl_set_append_character(0)
        return rl_completion_matches(text) { _, _ in
            LineEditor.state.withLock { $0.candidates.popFirst() }.flatMap { (word: String) in strdup(word) }
        }
    }
}
