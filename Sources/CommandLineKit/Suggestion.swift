/// Finds what somebody may have meant.
public enum Suggestion {
    /// A hint that names the nearest of the known words; nil when none is near.
    public static func hint(for word: String, among known: [String], prefix: String = "") -> String? {
        guard let nearest = nearest(to: word, among: known) else { return nil }
        return "did you mean \(prefix)\(nearest)?"
    }

    /// The nearest of the known words; nil when none is near.
    public static func nearest(to word: String, among known: [String]) -> String? {
        let word = word.lowercased()
        if word.isEmpty || word.count > 64 { return nil }
        let limit = max(1, word.count / 3)
        let ranked = known.map { ($0, distance(word, $0.lowercased())) }.min { ($0.1, $0.0) < ($1.1, $1.0) }
        if let ranked, ranked.1 <= limit { return ranked.0 }
        return word.count >= 3 ? known.first { $0.lowercased().hasPrefix(word) } : nil
    }

    /// The number of letters to add, drop, change or swap with a neighbor (optimal string alignment distance).
    static func distance(_ left: String, _ right: String) -> Int {
        let left = Array(left.unicodeScalars)
        let right = Array(right.unicodeScalars)
        var previous: [Int] = []
        var current = Array(0...right.count)
        for row in 0..<left.count {
            var next = [row + 1]
            for column in 0..<right.count {
                let change = current[column] + (left[row] == right[column] ? 0 : 1)
                var best = min(change, current[column + 1] + 1, next[column] + 1)
                if row > 0, column > 0, left[row] == right[column - 1], left[row - 1] == right[column] {
                    best = min(best, previous[column - 1] + 1)
                }
                next.append(best)
            }
            previous = current
            current = next
        }
        return current[right.count]
    }
}
