import Foundation

/// Checks JSON against a schema of the kind that `ego generate schema` gives. Members that the schema does not name are
/// errors here, although a reader has to expect them from later versions.
struct JSONSchema {
    private let root: [String: Any]

    init?(_ text: String) {
        guard let root = json(text) else { return nil }
        self.root = root
    }

    /// What is wrong with an envelope; empty when nothing is.
    func problems(in value: Any) -> [String] { problems(value, root, "") }

    /// What is wrong with a line of JSON Lines.
    func problems(inLine value: Any, definition: String) -> [String] {
        let definitions = root["$defs"] as? [String: Any]
        guard let schema = definitions?[definition] as? [String: Any] else { return ["no definition \(definition)"] }
        return problems(value, schema, "")
    }

    private func problems(_ value: Any, _ schema: [String: Any], _ path: String) -> [String] {
        if let options = schema["anyOf"] as? [[String: Any]] {
            let results = options.map { problems(value, $0, path) }
            return results.contains([]) ? [] : results.min { $0.count < $1.count } ?? []
        }
        if let constant = schema["const"] as? String {
            return value as? String == constant ? [] : ["\(path): \(value) is not \(constant)"]
        }
        if let choices = schema["enum"] as? [String] {
            return choices.contains(value as? String ?? "") ? [] : ["\(path): \(value) is none of \(choices)"]
        }
        let types = schema["type"] as? [String] ?? (schema["type"] as? String).map { [$0] } ?? []
        if !types.isEmpty, !types.contains(where: { has(value, $0) }) { return ["\(path): \(value) is no \(types)"] }
        if let pattern = schema["pattern"] as? String, let text = value as? String,
            text.range(of: pattern, options: .regularExpression) == nil
        {
            return ["\(path): \(text) does not match \(pattern)"]
        }
        if let items = schema["items"] as? [String: Any], let list = value as? [Any] {
            return list.enumerated().flatMap { problems($1, items, "\(path)[\($0)]") }
        }
        guard let properties = schema["properties"] as? [String: [String: Any]], let object = value as? [String: Any]
        else { return [] }
        let missing = (schema["required"] as? [String] ?? []).filter { object[$0] == nil }.map {
            "\(path).\($0) is missing"
        }
        return missing
            + object.flatMap { name, member in
                properties[name].map { problems(member, $0, "\(path).\(name)") } ?? ["\(path).\(name) is not declared"]
            }
    }

    private func has(_ value: Any, _ type: String) -> Bool {
        let isBool = (value as? NSNumber).map { isBoolean($0) } ?? false
        switch type {
        case "null": return value is NSNull
        case "boolean": return isBool
        case "integer":
            return !isBool && (value as? NSNumber).map { $0.doubleValue == $0.doubleValue.rounded() } ?? false
        case "number": return !isBool && value is NSNumber
        case "string": return value is String
        case "array": return value is [Any]
        default: return value is [String: Any]
        }
    }

    private func isBoolean(_ number: NSNumber) -> Bool { String(cString: number.objCType) == "c" }
}
