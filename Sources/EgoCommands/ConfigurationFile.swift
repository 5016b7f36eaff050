import CommandLineKit

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
    /// What stands in `[projection.NAME]`.
    private(set) var projections: [ProjectionDeclaration] = []
    /// What stands in `[retain.NAME]`, in its order.
    private(set) var retentions: [RetentionDeclaration] = []
    private let text: String

    /// The key that chooses a context; `context` itself is the table of contexts.
    static let currentContext = "current-context"
    /// The key that makes a context ask for its name before anything is changed.
    static let protected = "protected"
    /// The key that says which entities are encrypted: `existing`, `all`, or kinds.
    static let encrypt = "encrypt"
    /// The key of the command that prints the master key.
    static let masterKeyCommand = "master-key-command"
    /// The keys without a flag that have text.
    private static let texts = [encrypt, masterKeyCommand]

    /// A value and the line where it stands.
    struct Entry: Sendable, Hashable {
        var text: String
        var line: Int
    }

    init(path: String) throws(CommandFailure) {
        try self.init(path: path, text: try Self.read(path))
    }

    private init(path: String, text: String) throws(CommandFailure) {
        self.path = path
        self.text = text
        let table: TOMLTable
        do { table = try TOMLParser.parse(text) } catch {
            throw CommandFailure(
                .config, path, "\(error.place.description): the configuration does not parse: \(error.message)")
        }
        for entry in table.entries {
            if entry.key == "context", case .table(let named) = entry.node.value {
                for section in named.entries { contexts[section.key] = try context(section) }
            } else if entry.key == "projection", case .table(let named) = entry.node.value {
                for section in named.entries { projections.append(try ProjectionDeclaration(section, in: path)) }
            } else if entry.key == "retain", case .table(let named) = entry.node.value {
                for section in named.entries { retentions.append(try RetentionDeclaration(section, in: path)) }
            } else {
                let (name, entry) = try self.entry(entry, in: nil)
                values[name] = entry
            }
        }
    }

    private func context(_ section: TOMLTable.Entry) throws(CommandFailure) -> [String: Entry] {
        guard case .table(let table) = section.node.value else {
            throw failure(section, "it is \(section.node.value.kind)", expected: "[context.\(section.key)]")
        }
        var entries: [String: Entry] = [:]
        for entry in table.entries {
            let (name, entry) = try self.entry(entry, in: "context.\(section.key)")
            entries[name] = entry
        }
        return entries
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
        _ entry: TOMLTable.Entry, in section: String?
    ) throws(CommandFailure) -> (name: String, entry: Entry) {
        let (key, value) = (entry.key, entry.node.value)
        var name = key.replacing("_", with: "-")
        if section == nil, name == Self.currentContext { name = "context" } else if name == "context" { name = "" }
        func wrong(_ expected: String) -> CommandFailure { failure(entry, "it is \(value.kind)", expected: expected) }
        func found(_ text: String) -> (name: String, entry: Entry) {
            (name, Entry(text: text, line: entry.node.place.line))
        }
        if name == Self.protected {
            guard case .boolean(let isOn) = value else { throw wrong("true or false") }
            return found(String(isOn))
        }
        if Self.texts.contains(name) {
            guard case .string(let text) = value else { throw wrong("a quoted string") }
            return found(text)
        }
        guard let flag = GlobalOptions.flags.first(where: { $0.long == name }), name != "config" else {
            let known = Self.keys(in: section)
            throw CommandFailure(
                .config, path,
                "\(entry.node.place.description): unknown key \(Escape.shown(key, quoted: true))"
                    + (section.map { " in \(Escape.shown($0))" } ?? ""),
                hint: Suggestion.hint(for: key, among: known) ?? "keys: \(known.joined(separator: ", "))")
        }
        switch (flag.arity, value) {
        case (.toggle, .boolean(let isOn)): return found(String(isOn))
        case (.toggle, _): throw wrong("true or false")
        case (.value("N", _), .integer(let number)): return found(String(number))
        case (.value("N", _), _): throw wrong("a whole number")
        case (_, .string(let text)): return found(text)
        default: throw wrong("a quoted string")
        }
    }

    private func failure(_ entry: TOMLTable.Entry, _ problem: String, expected: String) -> CommandFailure {
        CommandFailure(
            .config, path, "\(entry.node.place.description): \(Escape.shown(entry.key)): \(problem)",
            hint: "expected \(expected)")
    }

    /// The keys that a file, or a context in it, may have.
    private static func keys(in section: String?) -> [String] {
        let flags = GlobalOptions.flags.map(\.long).filter { $0 != "config" && $0 != "context" }
        let own = (section == nil ? [currentContext, protected] : [protected]) + texts
        return (own + flags).map { $0.replacing("-", with: "_") }
    }

    /// The file's text with another context chosen; comments and everything else stay as they are.
    ///
    /// - Throws: ``CommandFailure`` with ``ExitCode/refused`` where that cannot be done for certain.
    func text(choosingContext name: String) throws(CommandFailure) -> String {
        let assignment = "current_context = \(Self.quoted(name))"
        // Lines by their ends alone: a carriage return before it is part of the line.
        var lines = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false)
            .map { String(String.UnicodeScalarView($0)) }
        let end = lines.first?.unicodeScalars.last == "\r" ? "\r" : ""
        if let line = values["context"]?.line {
            let old = lines[line - 1]
            let comment = old.lastIndex(of: "#").map { " " + old[$0...] } ?? end
            lines[line - 1] = assignment + comment
        } else {
            lines.insert(assignment + end, at: 0)
        }
        let changed = lines.joined(separator: "\n")
        // The change is checked as whoever reads the file will see it.
        let after = try? ConfigurationFile(path: path, text: changed)
        var wanted = values.mapValues(\.text)
        wanted["context"] = name
        guard let after, after.values.mapValues(\.text) == wanted,
            after.contexts.mapValues({ $0.mapValues(\.text) }) == contexts.mapValues({ $0.mapValues(\.text) })
        else {
            throw CommandFailure(
                .refused, path, "the context cannot be chosen without touching something else",
                hint: "write \(assignment) into it by hand")
        }
        return changed
    }

    /// A basic string of TOML.
    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\\(scalar)"
            case _ where scalar.value < 0x20 || scalar.value == 0x7f:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
