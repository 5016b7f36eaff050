import CommandLineKit
import EgoCore
import LineEditor
import ProtobufReflection
import SwiftProtobuf

/// Asks for the fields of a message, one after the other.
///
/// Return leaves a field as it is when nothing is said, Ctrl-D ends a list, Ctrl-C drops the message.
struct FieldPrompts {
    private let session: ReplSession
    /// How deep messages are asked for in one another; deeper ones are typed as JSON.
    private static let depthLimit = 8

    init(_ session: ReplSession) { self.session = session }

    /// A message was given up.
    private static var dropped: CommandFailure {
        CommandFailure(.refused, "", "the message was dropped", hint: "nothing was sent")
    }

    /// Asks for a whole message.
    func ask(for type: MessageType) async throws -> any Message {
        guard let descriptor = session.schema.descriptor(of: type.name) else {
            // Without a description nothing can be asked; a message may well have no content.
            throw CommandFailure(
                .config, type.shortName, "its fields are not described",
                hint: "write \(type.shortName) {\"field\": value}, or {} for none; --descriptor-set names a description"
            )
        }
        let fields = descriptor.fields
        if fields.isEmpty { return try type.parseJSON("{}") }
        let json = try await message(descriptor, path: "", depth: 0)
        return try type.parseJSON(json)
    }

    private func message(_ type: MessageDescriptor, path: String, depth: Int) async throws -> String {
        var members: [String] = []
        var chosen: Set<Int> = []
        for field in type.fields {
            if let oneof = field.oneof, chosen.contains(oneof) { continue }
            guard let value = try await value(of: field, in: type, path: path, depth: depth) else { continue }
            members.append("\(SessionVariables.quoted(field.jsonName)):\(value)")
            if let oneof = field.oneof { chosen.insert(oneof) }
        }
        return "{" + members.joined(separator: ",") + "}"
    }

    /// The field's JSON; nil to leave it out.
    private func value(
        of field: FieldDescriptor, in type: MessageDescriptor, path: String, depth: Int
    ) async throws -> String? {
        let name = path + field.name
        if let key = field.mapKey {
            var entries: [String] = []
            while let (_, text) = try await answer(
                "\(name) key (\(Self.label(key)), Ctrl-D ends)", key, isListed: true)
            {
                let keyText = text.hasPrefix("\"") ? text : "\"\(text)\""
                let value = try await single(field, "\(name)[\(text)]", field.typeName, depth, isListed: true)
                entries.append("\(keyText):\(value ?? Self.zero(field))")
            }
            return entries.isEmpty ? nil : "{" + entries.joined(separator: ",") + "}"
        }
        if field.isRepeated {
            var items: [String] = []
            let label = "\(String(field.typeName.dropFirst("repeated ".count))), Ctrl-D ends"
            while let item = try await single(field, "\(name)[\(items.count)]", label, depth, isListed: true) {
                items.append(item)
            }
            return items.isEmpty ? nil : "[" + items.joined(separator: ",") + "]"
        }
        return try await single(field, name, field.typeName, depth, isListed: false)
    }

    private func single(
        _ field: FieldDescriptor, _ name: String, _ label: String, _ depth: Int, isListed: Bool
    ) async throws -> String? {
        if case .message = field.value, let message = field.message {
            return try await nested(message, name, label, depth, isListed: isListed)
        }
        return try await answer(
            "\(name) (\(label)\(isListed ? "" : Self.hint(field)))", field.value, isListed: isListed)?
            .json
    }

    /// A message within a message: typed as JSON, asked for with `{`, or left out.
    private func nested(
        _ type: MessageDescriptor, _ name: String, _ label: String, _ depth: Int, isListed: Bool
    ) async throws -> String? {
        let isOwn = type.hasOwnJSON || depth >= Self.depthLimit
        let prompt = "\(name) (\(label)\(isOwn ? ", as JSON" : isListed ? ", { or JSON" : ", { to fill it in"))"
        while true {
            switch await read(prompt, words: isOwn ? [] : ["{"]) {
            case .end:
                if isListed { return nil }
                throw Self.dropped
            case .interrupted: throw Self.dropped
            case .line(let line):
                let text = ScannedInput.trimmed(line)
                if text.isEmpty {
                    if isListed, !isOwn { return "{}" }
                    return nil
                }
                if text == "{", !isOwn { return try await message(type, path: name + ".", depth: depth + 1) }
                // Without quotation marks it is text, as a time is.
                let json =
                    text.first.map { "{[\"-0123456789".contains($0) } == true
                    || ["null", "true", "false"].contains(text)
                let value = json && !(isOwn && Self.looksLikeTime(text)) ? text : SessionVariables.quoted(text)
                if let problem = check(value, type) { say(problem) } else { return value }
            }
        }
    }

    private static func looksLikeTime(_ text: String) -> Bool {
        text.first?.isNumber == true && (text.contains("T") || text.hasSuffix("s"))
    }

    private func check(_ json: String, _ type: MessageDescriptor) -> String? {
        do {
            _ = try DynamicMessage(type, json: json)
            return nil
        } catch { return "\(error)" }
    }

    /// One value that is no message, as JSON; nil when it is left out, or the list ends.
    private func answer(
        _ prompt: String, _ value: FieldDescriptor.Scalar, isListed: Bool
    ) async throws -> (json: String, text: String)? {
        while true {
            let words: [String] =
                switch value {
                case .bool: ["true", "false"]
                case .enumeration(let names): names
                default: []
                }
            switch await read(prompt, words: words) {
            case .end:
                if isListed { return nil }
                throw Self.dropped
            case .interrupted: throw Self.dropped
            case .line(let line):
                let text = ScannedInput.trimmed(line)
                if text.isEmpty, !isListed { return nil }
                switch Self.json(text, line, value) {
                case .success(let json): return (json, json)
                case .failure(let problem): say(problem.message)
                }
            }
        }
    }

    private static func json(
        _ text: String, _ line: String, _ value: FieldDescriptor.Scalar
    ) -> Result<String, UsageError> {
        switch value {
        case .integer:
            if text.isEmpty || Int64(text) != nil || UInt64(text) != nil {
                return .success("\"\(text.isEmpty ? "0" : text)\"")
            }
            return .failure(UsageError("\(Escape.shown(text, quoted: true)) is no whole number"))
        case .real:
            if text.isEmpty { return .success("0") }
            if ["NaN", "Infinity", "-Infinity"].contains(text) { return .success("\"\(text)\"") }
            guard let number = Double(text), number.isFinite else {
                return .failure(UsageError("\(Escape.shown(text, quoted: true)) is no number"))
            }
            return .success("\(number)")
        case .bool:
            switch text.lowercased() {
            case "true", "t", "yes", "y": return .success("true")
            case "false", "f", "no", "n", "": return .success("false")
            default: return .failure(UsageError("write true or false"))
            }
        case .string:
            // With quotation marks it may begin or end with a space, or be empty.
            if text.hasPrefix("\""), text.hasSuffix("\""), text.count > 1 { return .success(text) }
            return .success(SessionVariables.quoted(text))
        case .bytes: return .success(SessionVariables.quoted(text))
        case .enumeration(let names):
            if names.contains(text) { return .success("\"\(text)\"") }
            if text.isEmpty { return .success("\"\(names.first ?? "")\"") }
            if Int32(text) != nil { return .success(text) }
            return .failure(
                UsageError(
                    "\(Escape.shown(text, quoted: true)) is none of \(names.joined(separator: ", "))"))
        case .message: return .success(text)
        }
    }

    private static func label(_ value: FieldDescriptor.Scalar) -> String {
        switch value {
        case .integer: "whole number"
        case .real: "number"
        case .bool: "bool"
        case .string: "string"
        case .bytes: "base64"
        case .enumeration(let names): names.joined(separator: "|")
        case .message: "message"
        }
    }

    /// What stands behind the type of a field that is not repeated.
    private static func hint(_ field: FieldDescriptor) -> String {
        if field.isRequired { return ", required" }
        return switch field.value {
        case .integer, .real: ", default 0"
        case .bool: ", default false"
        case .string: ""
        case .bytes: ", in base64"
        case .enumeration(let names): ": \(names.joined(separator: ", ")); default \(names.first ?? "")"
        case .message: ""
        }
    }

    private static func zero(_ field: FieldDescriptor) -> String {
        switch field.value {
        case .integer, .real: "0"
        case .bool: "false"
        case .string, .bytes: "\"\""
        case .enumeration(let names): "\"\(names.first ?? "")\""
        case .message: "{}"
        }
    }

    private func read(_ prompt: String, words: [String]) async -> LineEditor.Answer {
        let answer = await LineEditor.shared.readLine(prompt: "  \(Escape.shown(prompt)) => ") { line in
            LineCompletion(from: 0, words.filter { $0.hasPrefix(line) })
        }
        // A session that is told to leave in the middle of a list must not send what there is of it.
        return session.quits ? .interrupted : answer
    }

    private func say(_ problem: String) {
        try? session.context.console.errors.write("  \(Escape.shown(problem))\n")
        try? session.context.console.errors.flush()
    }
}
