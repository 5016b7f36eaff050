extension DefaultStringInterpolation {
    /// A number, and the words after it: `"\(count, "entity is", "entities are") left"`.
    mutating func appendInterpolation(_ count: Int, _ one: String, _ many: String) {
        appendInterpolation(count)
        appendLiteral(" ")
        appendLiteral(count == 1 ? one : many)
    }
}
