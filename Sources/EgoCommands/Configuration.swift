import CommandLineKit
import TOMLKit

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Where options come from when they are not on the command line: the environment, then configuration files.
///
/// A key of a file is a global flag's long name, with `_` for `-` allowed; `[context.NAME]` holds keys that count when
/// that context is chosen. `read_only = true` in a context is the flag `--read-only`.
struct Configuration {
    private let environment: [String: String]

    init(environment: [String: String]) {
        self.environment = environment
    }

    /// The options before any flag, with the files and the context that the flags choose.
    ///
    /// - Throws: ``CommandFailure`` with ``ExitCode/noInput`` or ``ExitCode/config``.
    func options(config: String?, context: String?) throws(CommandFailure) -> GlobalOptions {
        let files = try load(config ?? environment["EGO_CONFIG"])
        var options = GlobalOptions()
        // The least important first: whatever comes later wins.
        for file in files { try file.apply(file.values, to: &options) }
        var chosen = options.context
        if let name = environment["EGO_CONTEXT"], !name.isEmpty { chosen = name }
        if let context { chosen = context }
        if let chosen, !chosen.isEmpty {
            let defining = files.filter { $0.contexts[chosen] != nil }
            if defining.isEmpty {
                let known = files.flatMap { $0.contexts.keys }.sorted()
                throw CommandFailure(
                    .config, "context \(Escape.shown(chosen, quoted: true))", "no configuration file has it",
                    hint: Suggestion.hint(for: chosen, among: known)
                        ?? (known.isEmpty
                            ? "add [context.\(chosen)] to ./.ego.toml" : "contexts: \(known.joined(separator: ", "))"))
            }
            for file in defining { try file.apply(file.contexts[chosen] ?? [:], to: &options) }
            options.context = chosen
        }
        try applyEnvironment(to: &options)
        return options
    }

    private func applyEnvironment(to options: inout GlobalOptions) throws(CommandFailure) {
        for flag in GlobalOptions.flags {
            let name = "EGO_" + flag.long.uppercased().replacing("-", with: "_")
            guard let text = environment[name], flag.long != "config", flag.long != "context" else { continue }
            do throws(UsageError) {
                try flag.apply(try Self.value(text, for: flag), &options)
            } catch {
                throw CommandFailure(.config, name, error.message, hint: error.hint)
            }
        }
    }

    private func load(_ only: String?) throws(CommandFailure) -> [ConfigurationFile] {
        if let only { return [try ConfigurationFile(path: only)] }
        let home = environment["XDG_CONFIG_HOME"] ?? environment["HOME"].map { "\($0)/.config" }
        let paths = ["/etc/ego/config.toml", home.map { "\($0)/ego/config.toml" }, "./.ego.toml"]
        var files: [ConfigurationFile] = []
        for case let path? in paths where FileManager.default.fileExists(atPath: path) {
            files.append(try ConfigurationFile(path: path))
        }
        return files
    }

    static func value(_ text: String, for flag: Flag<GlobalOptions>) throws(UsageError) -> FlagValue {
        guard case .toggle = flag.arity else { return .text(text) }
        switch text.lowercased() {
        case "1", "true", "yes", "on": return .toggle(true)
        case "", "0", "false", "no", "off": return .toggle(false)
        default: throw UsageError("\(Escape.shown(text, quoted: true)) is neither true nor false")
        }
    }
}

/// One configuration file.
private struct ConfigurationFile {
    let path: String
    let values: [String: String]
    let contexts: [String: [String: String]]

    init(path: String) throws(CommandFailure) {
        self.path = path
        var isFolder: Bool { (try? FileManager.default.contentsOfDirectory(atPath: path)) != nil }
        guard FileManager.default.fileExists(atPath: path) else {
            throw CommandFailure(.noInput, path, "there is no such configuration file")
        }
        if isFolder { throw CommandFailure(.noInput, path, "a folder is no configuration file") }
        guard let data = FileManager.default.contents(atPath: path) else {
            throw CommandFailure(.noPermission, path, "the configuration file cannot be read")
        }
        guard let text = String(validating: data, as: UTF8.self) else {
            throw CommandFailure(.config, path, "the configuration file is not UTF-8")
        }
        let table: TOMLTable
        do { table = try TOMLTable(string: text) } catch {
            throw CommandFailure(.config, path, "the configuration does not parse: \(Self.text(error))")
        }
        var values: [String: String] = [:]
        var contexts: [String: [String: String]] = [:]
        for (key, value) in table {
            if key == "context", let named = value.table {
                for (name, section) in named {
                    guard let section = section.table else {
                        throw CommandFailure(.config, path, "context.\(name) has to be a table")
                    }
                    contexts[name] = try Self.values(section, path: path, in: "context.\(name)")
                }
            } else {
                values.merge(try Self.values(TOMLTable([key: value]), path: path)) { $1 }
            }
        }
        self.values = values
        self.contexts = contexts
    }

    func apply(_ values: [String: String], to options: inout GlobalOptions) throws(CommandFailure) {
        for flag in GlobalOptions.flags {
            guard let text = values[flag.long] else { continue }
            do throws(UsageError) {
                try flag.apply(try Configuration.value(text, for: flag), &options)
            } catch {
                throw CommandFailure(.config, path, "\(flag.long): \(error.message)", hint: error.hint)
            }
        }
    }

    private static func values(
        _ table: TOMLTable, path: String, in section: String? = nil
    ) throws(CommandFailure) -> [String: String] {
        let known = GlobalOptions.flags.map(\.long)
        var values: [String: String] = [:]
        for (key, value) in table {
            let name = key.replacing("_", with: "-")
            guard known.contains(name), name != "config" else {
                throw CommandFailure(
                    .config, path,
                    "unknown key \(Escape.shown(key, quoted: true))" + (section.map { " in \($0)" } ?? ""),
                    hint: Suggestion.hint(for: name, among: known))
            }
            if let text = value.string {
                values[name] = text
            } else if let flag = value.bool {
                values[name] = String(flag)
            } else if let number = value.int {
                values[name] = String(number)
            } else {
                throw CommandFailure(.config, path, "\(key) has to be a string, a number or a boolean")
            }
        }
        return values
    }

    private static func text(_ error: any Error) -> String {
        guard let error = error as? TOMLParseError else { return "\(error)" }
        return "line \(error.source.begin.line), column \(error.source.begin.column): \(error.description)"
    }
}
