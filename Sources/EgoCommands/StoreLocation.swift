import CommandLineKit
import EgoCore
import EgoPostgres

/// Where a store is, as `--store` names it.
enum StoreLocation: Sendable, Hashable {
    /// A SQLite file.
    case sqlite(path: String)
    /// A PostgreSQL database.
    case postgres(PostgresURL)

    private static let schemes = ["sqlite", "postgres", "postgresql"]

    /// Reads `sqlite:PATH` or `postgres://...`.
    init(_ text: String) throws(UsageError) {
        guard let colon = text.firstIndex(of: ":") else {
            let isShown = !Self.mayHoldSecret(text)
            throw UsageError(
                isShown ? "\(Escape.shown(text, quoted: true)) names no kind of store" : "this names no kind of store",
                subject: "--store",
                hint: isShown
                    ? "write sqlite:\(text.isEmpty ? "PATH" : text)"
                    : "write sqlite:PATH or postgres://USER@HOST/DATABASE")
        }
        let scheme = String(text[..<colon])
        switch scheme {
        case "sqlite": self = .sqlite(path: try Self.path(String(text[text.index(after: colon)...])))
        case "postgres", "postgresql":
            guard text[colon...].hasPrefix("://") else {
                throw UsageError("this is no URL", subject: "--store", hint: "write \(scheme)://HOST/DATABASE")
            }
            do { self = .postgres(try PostgresURL(text)) } catch {
                throw UsageError(error.message, subject: "--store", hint: "write postgres://USER@HOST:PORT/DATABASE")
            }
        default:
            throw UsageError(
                !Self.mayHoldSecret(scheme)
                    ? "unknown store scheme \(Escape.shown(scheme, quoted: true))" : "unknown store scheme",
                subject: "--store",
                hint: Suggestion.hint(for: scheme, among: Self.schemes)
                    ?? "this program knows sqlite:PATH and postgres://...")
        }
    }

    private static func path(_ path: String) throws(UsageError) -> String {
        if path.isEmpty { throw UsageError("the path is empty", subject: "--store", hint: "write sqlite:PATH") }
        if path == ":memory:" || path.hasPrefix("file:") {
            throw UsageError("a store is a file", subject: "--store", hint: "write sqlite:PATH")
        }
        return path
    }

    /// What `--store` was given, without secrets; a text that names no store is not shown where it could hold one.
    static func shown(_ text: String) -> String {
        if let location = try? StoreLocation(text) { return location.text }
        return mayHoldSecret(text) ? "..." : text
    }

    /// Whether a text that names no store could be a misspelled URL with a password.
    private static func mayHoldSecret(_ text: String) -> Bool { text.contains("=") || text.contains("@") }

    /// The kind of store, for people and programs.
    var kind: String {
        switch self {
        case .sqlite: "sqlite"
        case .postgres: "postgres"
        }
    }

    /// Where it is, without secrets.
    var description: String {
        switch self {
        case .sqlite(let path): path
        case .postgres(let url): url.description
        }
    }

    /// The same as `--store` takes it, without secrets.
    var text: String {
        switch self {
        case .sqlite(let path): "sqlite:\(path)"
        case .postgres(let url): url.description
        }
    }
}
