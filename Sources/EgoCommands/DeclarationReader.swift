import CommandLineKit

/// Reads values, and says where one is not what it should be.
struct DeclarationReader {
    let path: String

    func failure(_ node: TOMLNode, _ problem: String, _ hint: String?) -> CommandFailure {
        CommandFailure(.config, path, "\(node.place.description): \(problem)", hint: hint)
    }

    private func wrong(_ node: TOMLNode, _ expected: String) -> CommandFailure {
        failure(node, "it is \(node.value.kind)", "expected \(expected)")
    }

    func table(_ node: TOMLNode, _ expected: String) throws(CommandFailure) -> [(String, TOMLNode)] {
        guard case .table(let table) = node.value else { throw wrong(node, expected) }
        return table.entries.map { ($0.key, $0.node) }
    }

    func string(_ node: TOMLNode) throws(CommandFailure) -> String {
        guard case .string(let text) = node.value else { throw wrong(node, "a quoted string") }
        return text
    }

    /// One string, or an array of them.
    func strings(_ node: TOMLNode) throws(CommandFailure) -> [String] {
        guard case .array(let nodes) = node.value else { return [try string(node)] }
        return try nodes.map { (node) throws(CommandFailure) in try string(node) }
    }

    func integer(_ node: TOMLNode, in range: ClosedRange<Int>) throws(CommandFailure) -> Int {
        guard case .integer(let number) = node.value, let value = Int(exactly: number), range.contains(value) else {
            throw wrong(node, "a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    func duration(_ node: TOMLNode) throws(CommandFailure) -> Duration {
        let text = try string(node)
        do throws(UsageError) { return .nanoseconds(try TimeExpression.duration(text)) } catch {
            throw failure(node, error.message, error.hint)
        }
    }

    func choice<Value>(_ node: TOMLNode, _ choices: [String: Value]) throws(CommandFailure) -> Value {
        let text = try string(node)
        guard let value = choices[text] else {
            throw failure(
                node, "unknown value \(Escape.shown(text, quoted: true))",
                "one of \(choices.keys.sorted().joined(separator: ", "))")
        }
        return value
    }
}
