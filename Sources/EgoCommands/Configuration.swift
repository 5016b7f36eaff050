import CommandLineKit

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Where options come from when they are not on the command line: configuration files, then the environment.
///
/// A key of a file is a global flag's long name, with `_` for `-` allowed; `[context.NAME]` holds keys that count when
/// that context is chosen; `current_context` chooses one. `protected`, `encrypt` and `master_key_command` are keys without a flag.
/// `[projection.NAME]` declares a read model in SQL, `[retain.NAME]` a policy of retention.
struct Configuration: Sendable {
    /// The options before any flag.
    var options = GlobalOptions()
    /// Where each value comes from, by key; what is not here has its default.
    var origins: [String: Origin] = [:]
    /// The files that were read, the least important first.
    var files: [ConfigurationFile] = []

    /// Where a value comes from.
    enum Origin: Sendable, Hashable {
        case file(path: String, line: Int)
        case context(name: String, path: String, line: Int)
        case environment(String)

        /// The file; nil for the environment.
        var path: String? {
            switch self {
            case .file(let path, _), .context(_, let path, _): path
            case .environment: nil
            }
        }

        var description: String {
            switch self {
            case .file(let path, let line): "\(path):\(line)"
            case .context(let name, let path, let line):
                "context \(name), \(path):\(line)"
            case .environment(let name): name
            }
        }
    }

    /// The names of all contexts, ascending.
    var contextNames: [String] { Array(Set(files.flatMap(\.contexts.keys))).sorted() }

    init() {}

    /// Reads files and environment.
    ///
    /// - Parameters:
    ///   - config: the only file to read, as a flag names it.
    ///   - context: the context to use, as a flag names it.
    /// - Throws: ``CommandFailure`` with ``ExitCode/noInput`` or ``ExitCode/config``.
    init(
        environment: [String: String], config: String?, context: String?
    ) throws(CommandFailure) {
        files = try Self.load(config ?? environment["EGO_CONFIG"].flatMap { $0.isEmpty ? nil : $0 }, environment)
        // The least important first: whatever comes later wins.
        for file in files {
            for (key, entry) in file.values {
                try apply(key, entry, of: file, .file(path: file.path, line: entry.line))
            }
        }
        if let name = environment["EGO_CONTEXT"], !name.isEmpty {
            options.context = name
            origins["context"] = .environment("EGO_CONTEXT")
        }
        if let context { options.context = context }
        if let name = options.context, !name.isEmpty { try applyContext(name) }
        try applyEnvironment(environment)
    }

    /// Names of environment variables that the flags have.
    static func variable(of flag: String) -> String { "EGO_" + flag.uppercased().replacing("-", with: "_") }

    private mutating func applyContext(_ name: String) throws(CommandFailure) {
        let defining = files.filter { $0.contexts[name] != nil }
        if defining.isEmpty {
            let known = contextNames
            throw CommandFailure(
                .config, "context \(Escape.shown(name, quoted: true))", "no configuration file has it",
                hint: Suggestion.hint(for: name, among: known)
                    ?? (known.isEmpty
                        ? "add [context.\(name)] to ./.ego.toml" : "contexts: \(known.joined(separator: ", "))"))
        }
        for file in defining {
            for (key, entry) in file.contexts[name] ?? [:] {
                try apply(key, entry, of: file, .context(name: name, path: file.path, line: entry.line))
            }
        }
    }

    private mutating func applyEnvironment(_ environment: [String: String]) throws(CommandFailure) {
        for flag in GlobalOptions.flags where flag.long != "config" && flag.long != "context" {
            let name = Self.variable(of: flag.long)
            guard let text = environment[name] else { continue }
            do throws(UsageError) {
                try flag.apply(try Self.value(text, for: flag), &options)
            } catch {
                throw CommandFailure(.config, name, error.message, hint: error.hint)
            }
            origins[flag.long] = .environment(name)
        }
    }

    private mutating func apply(
        _ key: String, _ entry: ConfigurationFile.Entry, of file: ConfigurationFile, _ origin: Origin
    ) throws(CommandFailure) {
        origins[key] = origin
        if key == ConfigurationFile.protected {
            options.isProtected = entry.text == "true"
            return
        }
        if key == ConfigurationFile.masterKeyCommand {
            options.masterKeyCommand = entry.text
            return
        }
        if key == ConfigurationFile.encrypt {
            options.encrypt = entry.text
            return
        }
        guard let flag = GlobalOptions.flags.first(where: { $0.long == key }) else { return }
        do throws(UsageError) {
            try flag.apply(try Self.value(entry.text, for: flag), &options)
        } catch {
            throw CommandFailure(.config, file.path, "line \(entry.line): \(key): \(error.message)", hint: error.hint)
        }
    }

    private static func load(
        _ only: String?, _ environment: [String: String]
    ) throws(CommandFailure) -> [ConfigurationFile] {
        if let only { return [try ConfigurationFile(path: only)] }
        var files: [ConfigurationFile] = []
        for path in standardPaths(environment) where FileManager.default.fileExists(atPath: path) {
            files.append(try ConfigurationFile(path: path))
        }
        return files
    }

    /// The files that are read when no flag names one, the least important first.
    static func standardPaths(_ environment: [String: String]) -> [String] {
        var folder = environment["XDG_CONFIG_HOME"] ?? ""
        if folder.isEmpty, let home = environment["HOME"], !home.isEmpty { folder = home + "/.config" }
        return ["/etc/ego/config.toml"] + (folder.isEmpty ? [] : ["\(folder)/ego/config.toml"]) + ["./.ego.toml"]
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
