import CommandLineKit
import EgoCore
import EgoOperations
import ProtobufReflection

/// A read model in SQL that a configuration file declares as `[projection.NAME]`.
struct ProjectionDeclaration: Sendable {
    let name: String
    /// The file and the line of its declaration.
    let place: String
    private var tables: [ReadModelTable] = []
    private var statements: [String: [String]] = [:]
    private var options = ProjectionOptions()
    private var start = "beginning"

    /// Reads a declaration.
    init(_ entry: TOMLTable.Entry, in path: String) throws(CommandFailure) {
        name = entry.key
        place = "\(path):\(entry.node.place.line)"
        let reader = DeclarationReader(path: path)
        if !(1...255).contains(name.count) {
            throw reader.failure(entry.node, "a projection's name has 1 to 255 characters", nil)
        }
        for (key, node) in try reader.table(entry.node, "[projection.\(entry.key)]") {
            switch key {
            case "table":
                for (name, node) in try reader.table(node, "[projection.\(self.name).table.NAME]") {
                    tables.append(try Self.table(name, node, reader))
                }
            case "on":
                for (type, node) in try reader.table(node, "[projection.\(self.name).on]") {
                    statements[type] = try reader.strings(node)
                }
            case "page_size": options.pageSize = try reader.integer(node, in: 1...5_000)
            case "retries": options.recovery.retries = try reader.integer(node, in: 0...1_000_000)
            case "retry_delay": options.recovery.backoff.delay = try reader.duration(node)
            case "on_error":
                options.recovery.outcome = try reader.choice(node, ["fail": .fail, "skip": .skip])
            case "start": start = try reader.string(node)
            default:
                throw reader.failure(
                    node, "unknown key \(Escape.shown(key, quoted: true))",
                    Suggestion.hint(for: key, among: Self.keys) ?? "keys: \(Self.keys.joined(separator: ", "))")
            }
        }
    }

    private static let keys = ["table", "on", "page_size", "retries", "retry_delay", "on_error", "start"]

    private static func table(
        _ name: String, _ node: TOMLNode, _ reader: DeclarationReader
    ) throws(CommandFailure) -> ReadModelTable {
        var table = ReadModelTable(name, columns: "")
        for (key, node) in try reader.table(node, "columns") {
            switch key {
            case "columns": table.columns = try reader.string(node)
            case "indexes": table.indexes = try reader.strings(node)
            case "entity_column": table.entityColumn = try reader.string(node)
            default:
                let keys = ["columns", "indexes", "entity_column"]
                throw reader.failure(
                    node, "unknown key \(Escape.shown(key, quoted: true))",
                    Suggestion.hint(for: key, among: keys) ?? "keys: \(keys.joined(separator: ", "))")
            }
        }
        if let problem = table.nameProblem {
            throw reader.failure(node, "table \(Escape.shown(name)): \(problem)", nil)
        }
        if table.columns.isEmpty {
            throw reader.failure(
                node, "table \(name) has no columns", "columns = \"account TEXT PRIMARY KEY, balance DOUBLE PRECISION\""
            )
        }
        return table
    }

    /// The projection, with the types that its statements speak of.
    ///
    /// - Throws: ``CommandFailure`` with ``ExitCode/config``.
    func projection(_ descriptors: DescriptorSet?, now: Int64) throws(CommandFailure) -> Projection {
        guard let descriptors else {
            throw CommandFailure(
                .config, "projection \(Escape.shown(name))", "its statements need the descriptors of the messages",
                hint: "--descriptor-set FILE names them; protoc --include_imports --descriptor_set_out=FILE makes it")
        }
        var options = options
        do throws(UsageError) { options.start = try Self.start(start, now: now) } catch {
            throw CommandFailure(.config, place, "start: \(error.message)", hint: error.hint)
        }
        do {
            return Projection(
                name, try SQLReadModel(tables: tables, statements: statements, descriptors: descriptors),
                options: options)
        } catch {
            throw CommandFailure(.config, place, "projection \(Escape.shown(name)): \(Escape.shown(error.description))")
        }
    }

    private static func start(_ text: String, now: Int64) throws(UsageError) -> ProjectionStart {
        switch text {
        case "beginning", "start": return .beginning
        case "end": return .end
        default:
            if let offset = Offset(text) { return .after(offset) }
            return .time(Timestamp(unixNanoseconds: try TimeExpression.moment(text, now: now)))
        }
    }
}

/// The projections that this program can run: those of the domain, and those of the configuration.
struct ProjectionCatalog: Sendable {
    private let context: CommandContext
    private let declarations: [String: ProjectionDeclaration]

    init(_ context: CommandContext) {
        self.context = context
        var declarations: [String: ProjectionDeclaration] = [:]
        // The least important file first.
        for file in context.configuration.files {
            for declaration in file.projections { declarations[declaration.name] = declaration }
        }
        self.declarations = declarations
    }

    /// The names of all of them, ascending.
    var names: [String] {
        Set(context.domain.projections.map(\.name)).union(declarations.keys).sorted()
    }

    /// The projection of a name; a declaration of the configuration comes before one of the domain.
    ///
    /// - Throws: ``CommandFailure`` with ``ExitCode/notFound`` where nothing has the name, ``ExitCode/config`` where the
    ///   store knows it and nothing here can run it.
    func projection(_ name: String, in store: any Store) async throws -> Projection {
        if let declaration = declarations[name] {
            return try declaration.projection(try descriptors(), now: context.time.now().unixNanoseconds)
        }
        if let projection = context.domain.projections.first(where: { $0.name == name }) { return projection }
        if try await store.projection(name) != nil {
            throw CommandFailure(
                .config, Escape.shown(name), "the store knows this projection, but nothing here can run it",
                hint: "run your application's own operator binary, or declare it in SQL as [projection.\(name)]")
        }
        throw CommandFailure(
            .notFound, Escape.shown(name), "there is no such projection",
            hint: Suggestion.hint(for: name, among: names)
                ?? (names.isEmpty
                    ? "declare one in SQL as [projection.NAME] in .ego.toml"
                    : "projections: \(names.joined(separator: ", "))"))
    }

    /// All of them.
    func all(in store: any Store) async throws -> [Projection] {
        var found: [Projection] = []
        for name in names { found.append(try await projection(name, in: store)) }
        return found
    }

    private func descriptors() throws -> DescriptorSet? {
        if let descriptors = context.descriptors { return descriptors }
        if context.domain.descriptorSet.isEmpty { return nil }
        do { return try DescriptorSet(serialized: context.domain.descriptorSet) } catch {
            throw CommandFailure(.config, "domain \(context.domain.name)", "its descriptors: \(error)")
        }
    }
}
