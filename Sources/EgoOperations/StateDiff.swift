public import SwiftProtobuf

/// A field that differs between two states.
public struct StateChange: Sendable, Hashable {
    /// The field, as `accountBalance` or `owner.name`, in protobuf JSON's names.
    public var path: String
    /// Its value before as protobuf JSON; nil when it was not set.
    public var before: String?
    /// Its value after as protobuf JSON; nil when it is not set.
    public var after: String?

    /// The fields that differ between two messages, in the order of their fields; those of nested messages one by one.
    public static func between(_ before: any Message, _ after: any Message) throws -> [StateChange] {
        differences(JSONText(try before.jsonString()), JSONText(try after.jsonString()), path: "")
    }

    /// The fields of a message that are set, as protobuf JSON, in their order; those of nested messages one by one.
    public static func fields(of message: any Message) throws -> [(path: String, value: String)] {
        func below(_ json: JSONText, _ path: String) -> [(path: String, value: String)] {
            guard let members = json.members, !members.isEmpty else { return [(path, json.text)] }
            return members.flatMap { below($0.value, path.isEmpty ? $0.name : "\(path).\($0.name)") }
        }
        let json = JSONText(try message.jsonString())
        return json.members?.isEmpty == false ? below(json, "") : []
    }

    private static func differences(_ before: JSONText, _ after: JSONText, path: String) -> [StateChange] {
        let left = before.members ?? []
        let right = after.members ?? []
        let names = left.map(\.name) + right.map(\.name).filter { name in !left.contains { $0.name == name } }
        return names.flatMap { name -> [StateChange] in
            let path = path.isEmpty ? name : "\(path).\(name)"
            let old = left.first { $0.name == name }?.value
            let new = right.first { $0.name == name }?.value
            if old?.text == new?.text { return [] }
            if let old, let new, old.members != nil, new.members != nil {
                return differences(old, new, path: path)
            }
            return [StateChange(path: path, before: old?.text, after: new?.text)]
        }
    }
}

/// JSON that is taken apart only where it has to be: numbers and strings stay exactly as they are written.
struct JSONText {
    let text: String

    init(_ text: String) { self.text = text }

    /// The members of an object in their order; nil when this is none.
    var members: [(name: String, value: JSONText)]? {
        let bytes = Array(text.utf8)
        guard bytes.first == UInt8(ascii: "{"), bytes.last == UInt8(ascii: "}") else { return nil }
        var members: [(name: String, value: JSONText)] = []
        var start = 1
        var colon: Int?
        var depth = 0
        var inString = false
        var index = 1
        while index < bytes.count {
            let byte = bytes[index]
            if inString {
                if byte == UInt8(ascii: "\\") { index += 1 } else if byte == UInt8(ascii: "\"") { inString = false }
            } else {
                switch byte {
                case UInt8(ascii: "\""): inString = true
                case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
                case UInt8(ascii: ":") where depth == 0 && colon == nil: colon = index
                case UInt8(ascii: ",") where depth == 0, UInt8(ascii: "}") where depth == 0:
                    if let colon {
                        let name = String(decoding: bytes[start..<colon], as: UTF8.self)
                        let value = String(decoding: bytes[(colon + 1)..<index], as: UTF8.self)
                        members.append((String(name.dropFirst().dropLast()), JSONText(value)))
                    }
                    start = index + 1
                    colon = nil
                case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
                default: break
                }
            }
            index += 1
        }
        return members
    }
}
