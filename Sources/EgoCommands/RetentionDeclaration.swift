import CommandLineKit
import EgoCore
import EgoOperations

/// A policy of retention that a configuration file declares as `[retain.NAME]`.
struct RetentionDeclaration: Sendable {
    let name: String
    private var policy = RetentionPolicy()
    private var olderThan: (text: String, place: String)?
    private let path: String

    private static let keys = ["kind", "prefix", "keep_events", "older_than", "keep_snapshots", "closed_by"]

    /// Reads a declaration.
    init(_ entry: TOMLTable.Entry, in path: String) throws(CommandFailure) {
        name = entry.key
        self.path = path
        let reader = DeclarationReader(path: path)
        for (key, node) in try reader.table(entry.node, "[retain.\(entry.key)]") {
            switch key {
            case "kind": policy.kind = try reader.string(node)
            case "prefix": policy.prefix = try reader.string(node)
            case "keep_events": policy.keepEvents = UInt64(try reader.integer(node, in: 0...Int.max))
            case "keep_snapshots": policy.keepSnapshots = try reader.integer(node, in: 1...Int.max)
            case "older_than": olderThan = (try reader.string(node), node.place.description)
            case "closed_by": policy.closedBy = try reader.strings(node)
            default:
                throw reader.failure(
                    node, "unknown key \(Escape.shown(key, quoted: true))",
                    Suggestion.hint(for: key, among: Self.keys) ?? "keys: \(Self.keys.joined(separator: ", "))")
            }
        }
    }

    /// The policy, with its ages counted from a moment.
    func policy(now: Int64) throws(CommandFailure) -> RetentionPolicy {
        guard let olderThan else { return policy }
        var policy = policy
        do throws(UsageError) {
            policy.olderThan = try TimeExpression.moment(olderThan.text, now: now)
        } catch {
            throw CommandFailure(
                .config, path, "\(olderThan.place): older_than: \(error.message)", hint: error.hint)
        }
        return policy
    }
}
