import CommandLineKit
import TOMLKit

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// One configuration file.
struct ConfigurationFile: Sendable {
    let path: String
    /// What stands before any table, by flag name.
    private(set) var values: [String: Entry] = [:]
    /// What stands in `[context.NAME]`, by name.
    private(set) var contexts: [String: [String: Entry]] = [:]
    private let lines: [Substring]

    /// The key that makes a context ask for its name before anything is changed.
    static let protected = "protected"

    /// A value and the line where it stands, where that could be told.
    struct Entry: Sendable, Hashable {
        var text: String
        var line: Int?

        /// The place as the start of a message.
        var place: String { line.map { "line \($0): " } ?? "" }
    }

    init(path: String) throws(CommandFailure) {
        self.path = path
        let text = try Self.read(path)
        self.lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        let table: TOMLTable
        do { table = try TOMLTable(string: text) } catch {
            throw CommandFailure(.config, path, "the configuration does not parse: \(Self.text(error))")
        }
        for (key, value) in table {
            if key == "context", let named = value.table {
                for (name, section) in named {
                    guard let section = section.table else {
                        throw failure(name, in: "context", "\(name) is not a table", "[context.\(name)]")
                    }
                    var entries: [String: Entry] = [:]
                    for (key, value) in section {
                        let (name, entry) = try entry(key, value, in: "context.\(name)")
                        entries[name] = entry
                    }
                    contexts[name] = entries
                }
            } else {
                let (name, entry) = try entry(key, value, in: nil)
                values[name] = entry
            }
        }
    }

    private static func read(_ path: String) throws(CommandFailure) -> String {
        guard FileManager.default.fileExists(atPath: path) else {
            throw CommandFailure(.noInput, path, "there is no such configuration file")
        }
        if (try? FileManager.default.contentsOfDirectory(atPath: path)) != nil {
            throw CommandFailure(.noInput, path, "a folder is no configuration file")
        }
        guard let data = FileManager.default.contents(atPath: path) else {
            throw CommandFailure(.noPermission, path, "the configuration file cannot be read")
        }
        guard let text = String(validating: data, as: UTF8.self) else {
            throw CommandFailure(.config, path, "the configuration file is not UTF-8")
        }
        return text
    }

    private func entry(
        _ key: String, _ value: any TOMLValueConvertible, in section: String?
    ) throws(CommandFailure) -> (name: String, entry: Entry) {
        let name = key.replacing("_", with: "-")
        let line = line(of: key, in: section)
        if name == Self.protected {
            guard let isOn = value.bool else { throw failure(key, in: section, "it is no boolean", "true or false") }
            return (name, Entry(text: String(isOn), line: line))
        }
        guard let flag = GlobalOptions.flags.first(where: { $0.long == name }), name != "config",
            section == nil || name != "context"
        else {
            let known = GlobalOptions.flags.map(\.long).filter { $0 != "config" } + [Self.protected]
            throw CommandFailure(
                .config, path,
                (line.map { "line \($0), column 1: " } ?? "") + "unknown key \(Escape.shown(key, quoted: true))"
                    + (section.map { " in \($0)" } ?? ""),
                hint: Suggestion.hint(for: name, among: known) ?? "keys: \(known.joined(separator: ", "))")
        }
        switch flag.arity {
        case .toggle:
            guard let isOn = value.bool else { throw failure(key, in: section, "it is no boolean", "true or false") }
            return (name, Entry(text: String(isOn), line: line))
        case .value("N", _):
            guard let number = value.int else { throw failure(key, in: section, "it is no number", "a whole number") }
            return (name, Entry(text: String(number), line: line))
        case .value, .pair:
            guard let text = value.string else { throw failure(key, in: section, "it is no string", "a quoted string") }
            return (name, Entry(text: text, line: line))
        }
    }

    private func failure(
        _ key: String, in section: String?, _ problem: String, _ expected: String
    ) -> CommandFailure {
        let place = line(of: key, in: section).map { "line \($0), column 1: " } ?? ""
        return CommandFailure(
            .config, path, "\(place)\(Escape.shown(key)): \(problem)", hint: "expected \(expected)")
    }

    /// The line on which a key stands, counted from 1: the parser tells places of syntax errors only.
    private func line(of key: String, in section: String?) -> Int? {
        var current: String?
        for (index, line) in lines.enumerated() {
            let text = Self.trimmed(line)
            if text.hasPrefix("[") {
                current = String(text.dropFirst().prefix { $0 != "]" }).replacing("\"", with: "")
                    .replacing(" ", with: "")
                if section == "context", current == "context.\(key)" { return index + 1 }
            } else if current == section, let equals = text.firstIndex(of: "=") {
                let name = Self.trimmed(text[..<equals]).replacing("\"", with: "")
                if name == key { return index + 1 }
            }
        }
        return nil
    }

    private static func trimmed(_ text: some StringProtocol) -> String {
        let start = text.drop { $0.isWhitespace }
        return String(start.reversed().drop { $0.isWhitespace }.reversed())
    }

    private static func text(_ error: any Error) -> String {
        guard let error = error as? TOMLParseError else { return "\(error)" }
        return "line \(error.source.begin.line), column \(error.source.begin.column): \(error.description)"
    }

    /// The file's text with `context` set; comments and everything else stay as they are.
    func text(choosingContext name: String) -> String {
        let assignment = "context = \"\(name)\""
        var lines = lines.map(String.init)
        if let line = line(of: "context", in: nil) {
            let comment = lines[line - 1].firstIndex(of: "#").map { " " + lines[line - 1][$0...] } ?? ""
            lines[line - 1] = assignment + comment
        } else {
            // A key of its own has to stand before the first table.
            let first = lines.firstIndex { Self.trimmed($0).hasPrefix("[") } ?? lines.count
            lines.insert(contentsOf: first == 0 ? [assignment, ""] : [assignment], at: first)
        }
        return lines.joined(separator: "\n")
    }
}
