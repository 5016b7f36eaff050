/// The form of a value in machine-readable output; JSON schemas and the manual are renderings of it.
public indirect enum OutputShape: Sendable, Hashable {
    /// A string.
    case text
    /// One of these strings.
    case choice([String])
    /// A sequence number, position, offset or number of nanoseconds: digits in a string, as in protobuf's JSON.
    case identifier
    /// A whole number of things, seconds or bytes.
    case count
    /// A number.
    case real
    case bool
    /// A moment, as `--time-format` says.
    case time
    /// A protobuf message as JSON with `@type`, or what stands for one that cannot be read.
    case message
    /// Any JSON.
    case any
    case list(OutputShape)
    case object([OutputField])
    /// Null where it is unknown or does not apply.
    case optional(OutputShape)
}

/// A named part of an object in machine-readable output.
public struct OutputField: Sendable, Hashable {
    /// The name.
    public var name: String
    /// What it holds.
    public var shape: OutputShape
    /// Whether it is there only in some forms of the command.
    public var isOccasional: Bool
    /// What it means, where the name does not say it.
    public var summary: String

    /// A field with the given parts.
    public init(_ name: String, _ shape: OutputShape, isOccasional: Bool = false, _ summary: String = "") {
        self.name = name
        self.shape = shape
        self.isOccasional = isOccasional
        self.summary = summary
    }
}

/// What a command's output holds, by name and version.
///
/// A command and those below it share one. Fields are only ever added; anything else is a new version.
public struct OutputSchema: Sendable, Hashable {
    /// The name and version, as `ego.entities/1`.
    public var name: String
    /// What `data` holds.
    public var fields: [OutputField]
    /// The fields that JSON Lines give as a record a line; the summary holds the others.
    public var records: [String]

    /// A schema with the given parts.
    public init(_ name: String, records: [String] = [], _ fields: [OutputField]) {
        self.name = name
        self.fields = fields
        self.records = records
    }
}

extension OutputSchema {
    /// The JSON Schema (draft 2020-12) of the envelope of `-o json`. Its definitions `record` and `summary` are the
    /// lines of `-o jsonl`.
    public var jsonSchema: String {
        let data = OutputShape.object(fields)
        let envelope =
            Self.status(name) + [
                JSONField("data", "{\"anyOf\":[{\"type\":\"null\"},\(data.jsonSchema)]}"),
                JSONField("diagnostics", Self.diagnostics),
            ]
        let summary =
            [JSONField("type", "{\"const\":\"summary\"}")] + Self.status(name)
            + fields.filter { !records.contains($0.name) }.map {
                JSONField($0.name, $0.shape.jsonSchema, isRequired: false)
            } + [JSONField("diagnostics", Self.diagnostics)]
        let record = fields.filter { records.contains($0.name) }.map { field in
            guard case .list(let item) = field.shape else { return field.shape.jsonSchema }
            return item.jsonSchema
        }
        var definitions = [JSONField("summary", JSONField.object(summary))]
        if !record.isEmpty { definitions.append(JSONField("record", "{\"anyOf\":[\(record.joined(separator: ","))]}")) }
        let head = [
            "\"$schema\":\"https://json-schema.org/draft/2020-12/schema\"", "\"$id\":\"\(name)\"",
            "\"title\":\"the output of -o json; $defs has the lines of -o jsonl\"",
        ]
        return "{" + head.joined(separator: ",") + "," + JSONField.object(envelope).dropFirst().dropLast()
            + ",\"$defs\":{" + definitions.map(\.member).joined(separator: ",") + "}}"
    }

    private static func status(_ name: String) -> [JSONField] {
        [
            JSONField("schema", "{\"const\":\"\(name)\"}"), JSONField("ok", OutputShape.bool.jsonSchema),
            JSONField("code", OutputShape.choice(Array(Set(ExitCode.all.map(\.name))).sorted()).jsonSchema),
            JSONField("changed", OutputShape.bool.jsonSchema),
        ]
    }

    private static let diagnostics = OutputShape.list(
        .object([
            OutputField("severity", .choice(["note", "warning", "error"])), OutputField("code", .text),
            OutputField("message", .text), OutputField("hint", .optional(.text)),
        ])
    ).jsonSchema
}

extension OutputShape {
    /// The shape as a JSON Schema.
    var jsonSchema: String {
        switch self {
        case .text, .time: "{\"type\":\"string\"}"
        case .choice(let choices): "{\"enum\":[\(choices.map { "\"\($0)\"" }.joined(separator: ","))]}"
        case .identifier: "{\"type\":\"string\",\"pattern\":\"^[0-9]+(:[0-9]+)?$\"}"
        case .count: "{\"type\":\"integer\"}"
        case .real: "{\"type\":\"number\"}"
        case .bool: "{\"type\":\"boolean\"}"
        case .message: "{\"type\":[\"object\",\"string\"]}"
        case .any: "{}"
        case .list(let item): "{\"type\":\"array\",\"items\":\(item.jsonSchema)}"
        case .object(let fields):
            JSONField.object(fields.map { JSONField($0.name, $0.shape.jsonSchema, isRequired: !$0.isOccasional) })
        case .optional(let shape): "{\"anyOf\":[\(shape.jsonSchema),{\"type\":\"null\"}]}"
        }
    }

    /// The shape in the words of the manual.
    public var manualWords: String {
        switch self {
        case .text: "string"
        case .choice(let choices): choices.joined(separator: "|")
        case .identifier: "number as string"
        case .count: "count"
        case .real: "number"
        case .bool: "boolean"
        case .time: "time"
        case .message: "message"
        case .any: "any"
        case .list(let item): "list of \(item.manualWords)"
        case .object: "object"
        case .optional(let shape): "\(shape.manualWords), or null"
        }
    }

    /// The fields of an object, or of the objects in a list.
    public var innerFields: [OutputField] {
        switch self {
        case .object(let fields): fields
        case .list(let shape), .optional(let shape): shape.innerFields
        default: []
        }
    }
}

/// A property of an object in a JSON Schema.
private struct JSONField {
    var name: String
    var schema: String
    var isRequired: Bool

    init(_ name: String, _ schema: String, isRequired: Bool = true) {
        self.name = name
        self.schema = schema
        self.isRequired = isRequired
    }

    var member: String { "\"\(name)\":\(schema)" }

    static func object(_ fields: [JSONField]) -> String {
        let required = fields.filter(\.isRequired).map { "\"\($0.name)\"" }.joined(separator: ",")
        let members = fields.map(\.member).joined(separator: ",")
        return "{\"type\":\"object\",\"required\":[\(required)],\"properties\":{\(members)}}"
    }
}
