import CommandLineKit

/// Where a store is, as `--store` names it.
enum StoreLocation: Sendable, Hashable {
    /// A SQLite file.
    case sqlite(path: String)

    private static let schemes = ["sqlite"]

    /// Reads `sqlite:PATH`.
    init(_ text: String) throws(UsageError) {
        guard let colon = text.firstIndex(of: ":") else {
            throw UsageError(
                "\(Escape.shown(text, quoted: true)) names no kind of store", subject: "--store",
                hint: "write sqlite:\(text.isEmpty ? "PATH" : text)")
        }
        let scheme = String(text[..<colon])
        guard scheme == "sqlite" else {
            throw UsageError(
                "unknown store scheme \(Escape.shown(scheme, quoted: true))", subject: "--store",
                hint: Suggestion.hint(for: scheme, among: Self.schemes) ?? "this program knows sqlite:PATH")
        }
        let path = String(text[text.index(after: colon)...])
        if path.isEmpty { throw UsageError("the path is empty", subject: "--store", hint: "write sqlite:PATH") }
        if path == ":memory:" || path.hasPrefix("file:") {
            throw UsageError("a store is a file", subject: "--store", hint: "write sqlite:PATH")
        }
        self = .sqlite(path: path)
    }

    /// The kind of store, for people and programs.
    var kind: String { "sqlite" }

    /// Where it is, without secrets.
    var description: String {
        switch self {
        case .sqlite(let path): path
        }
    }
}
