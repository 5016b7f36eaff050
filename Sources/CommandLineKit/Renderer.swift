/// Writes a command's output in the form that was asked for.
public struct Renderer: Sendable {
    private let options: RenderOptions
    private let sink: any OutputSink

    /// A renderer that writes to a sink.
    public init(_ options: RenderOptions, to sink: any OutputSink) {
        var options = options
        if options.format == .table, options.times == .rfc3339 { options.times = .rfc3339Brief }
        self.options = options
        self.sink = sink
    }

    /// Writes the output; returns how the command ended.
    ///
    /// - Parameter schema: the name and version of the output's form, as `ego.entities/1`.
    /// - Throws: what the command throws while it gives records, ``UsageError`` for a column that is not there, and
    ///   ``OutputError``.
    public func render(_ output: CommandOutput, schema: String) async throws -> CommandOutput.Completion {
        let columns = try columns(of: output)
        let completion: CommandOutput.Completion
        if let stream = output.stream {
            try await stream(sink)
            completion = try await output.finish()
        } else {
            completion = try await render(output, schema, columns)
        }
        try sink.flush()
        return completion
    }

    private func render(
        _ output: CommandOutput, _ schema: String, _ columns: [Column]
    ) async throws -> CommandOutput.Completion {
        switch options.format {
        case .json: try await renderJSON(output, schema)
        case .jsonl: try await renderLines(output, schema)
        case .csv:
            // On a terminal nothing may move the cursor; a file gets the exact text.
            try await renderRows(output, columns) { cells in
                CSV.line(options.width == nil ? cells : cells.map { Escape.shown($0) })
            }
        case .plain:
            try await renderRows(output, columns) { cells in
                cells.map { Escape.shown($0) }.joined(separator: "\t") + "\n"
            }
        case .table: try await renderTable(output, columns)
        }
    }

    /// Writes the envelope of a failure, where the format has one.
    public func render(_ failure: CommandFailure, schema: String) throws(OutputError) {
        let completion = Self.completion(failure)
        if failure.isAfterStream { return try sink.flush() }
        switch options.format {
        case .json: try sink.write(envelope(schema, data: .null, completion) + "\n")
        case .jsonl: try sink.write(summary(schema, [], completion) + "\n")
        case .table, .csv, .plain: break
        }
        try sink.flush()
    }

    private static func completion(_ failure: CommandFailure) -> CommandOutput.Completion {
        CommandOutput.Completion(
            changed: failure.changed, exitCode: failure.exitCode,
            diagnostics: [Diagnostic(.error, code: failure.exitCode.name, failure.description, hint: failure.hint)])
    }

    private func columns(of output: CommandOutput) throws(UsageError) -> [Column] {
        let known = output.records?.columns ?? []
        guard let wanted = options.columns else { return known.filter(\.isDefault) }
        var columns: [Column] = []
        for word in wanted {
            let isFull = word.hasSuffix(":full")
            let name = isFull ? String(word.dropLast(5)) : word
            guard var column = known.first(where: { $0.name == name }) else {
                let names = known.map(\.name)
                throw UsageError(
                    "unknown column \(Escape.shown(name, quoted: true))", subject: "--columns",
                    hint: Suggestion.hint(for: name, among: names)
                        ?? (names.isEmpty ? "this output has no columns" : "columns: \(names.joined(separator: ", "))"))
            }
            if isFull { column.shortening = .never(asked: true) }
            columns.append(column)
        }
        return columns
    }

    // MARK: JSON

    /// How much of an envelope is held back until it is known how the command ends.
    private static let heldBytes = 4 << 20

    /// Writes one envelope. A list that is too long to hold is written as it comes: then `data` stands before `ok` and
    /// `code`, and a failure in the middle closes the envelope with what was given so far.
    private func renderJSON(_ output: CommandOutput, _ schema: String) async throws -> CommandOutput.Completion {
        guard let records = output.records else {
            let completion = try await output.finish()
            try sink.write(envelope(schema, data: .object(output.fields + completion.fields), completion) + "\n")
            return completion
        }
        var held = ""
        var isStreaming = false
        var count = 0
        do {
            while let page = try await records.nextPage() {
                for record in page {
                    held += (count == 0 ? "" : ",") + record.json(options.times)
                    count += 1
                    if held.utf8.count < (isStreaming ? 65_536 : Self.heldBytes) { continue }
                    if !isStreaming {
                        let start = OutputValue.object([.init("schema", .text(schema))]).json(options.times).dropLast()
                        let fields = members(output.fields)
                        try sink.write("\(start),\"data\":{\(fields)\(fields.isEmpty ? "" : ",")\"\(records.name)\":[")
                        isStreaming = true
                    }
                    try sink.write(held)
                    held = ""
                }
            }
            let completion = try await output.finish()
            if isStreaming {
                let fields = members(completion.fields)
                try sink.write(held + "]" + (fields.isEmpty ? "" : ",\(fields)") + "}," + tail(completion) + "}\n")
            } else {
                let list = OutputValue.Field(records.name, .json("[\(held)]"))
                let data = OutputValue.object(output.fields + [list] + completion.fields)
                try sink.write(envelope(schema, data: data, completion) + "\n")
            }
            return completion
        } catch {
            guard isStreaming, !(error is OutputError) else { throw error }
            throw InterruptedEnvelope(error) { [held] (failure) throws(OutputError) in
                try sink.write(held + "]}," + tail(Self.completion(failure)) + "}\n")
                try sink.flush()
            }
        }
    }

    /// The fields of an object without its braces.
    private func members(_ fields: [OutputValue.Field]) -> String {
        String(OutputValue.object(fields).json(options.times).dropFirst().dropLast())
    }

    private func tail(_ completion: CommandOutput.Completion) -> String {
        members(
            status(completion) + [.init("diagnostics", .array(completion.diagnostics.map(\.value)))])
    }

    private func envelope(_ schema: String, data: OutputValue, _ completion: CommandOutput.Completion) -> String {
        OutputValue.object(
            [.init("schema", .text(schema))] + status(completion) + [
                .init("data", data), .init("diagnostics", .array(completion.diagnostics.map(\.value))),
            ]
        ).json(options.times)
    }

    private func status(_ completion: CommandOutput.Completion) -> [OutputValue.Field] {
        [
            .init("ok", .bool(completion.exitCode == .ok)), .init("code", .text(completion.exitCode.name)),
            .init("changed", .bool(completion.changed)),
        ]
    }

    private func renderLines(_ output: CommandOutput, _ schema: String) async throws -> CommandOutput.Completion {
        if let records = output.records {
            while let page = try await records.nextPage() {
                for record in page { try sink.write(record.json(options.times) + "\n") }
                if records.isLive { try sink.flush() }
            }
        }
        let completion = try await output.finish()
        try sink.write(summary(schema, output.fields + completion.fields, completion) + "\n")
        return completion
    }

    private func summary(
        _ schema: String, _ fields: [OutputValue.Field], _ completion: CommandOutput.Completion
    ) -> String {
        let head = [OutputValue.Field("type", .text("summary")), .init("schema", .text(schema))]
        let tail = [OutputValue.Field("diagnostics", .array(completion.diagnostics.map(\.value)))]
        return OutputValue.object(head + status(completion) + fields + tail).json(options.times)
    }

    // MARK: Rows

    private func renderRows(
        _ output: CommandOutput, _ columns: [Column], _ line: ([String]) -> String
    ) async throws -> CommandOutput.Completion {
        guard let records = output.records, !output.showsFields else {
            var fields = output.fields
            if let records = output.records {
                var all: [OutputValue] = []
                while let page = try await records.nextPage() { all += page }
                fields.append(.init(records.name, .json(OutputValue.array(all).json(options.times))))
            }
            let completion = try await output.finish()
            if let text = output.text {
                try sink.write(text)
                return completion
            }
            for (name, value) in Self.flattened(fields + completion.fields) {
                try sink.write(line([name, value.cell(options.times)]))
            }
            return completion
        }
        // With the first row: a command that fails before it writes nothing.
        var header = options.headers ? line(columns.map(\.name)) : ""
        while let page = try await records.nextPage() {
            try sink.write(header)
            header = ""
            for record in page.flatMap(records.rows) {
                try sink.write(line(columns.map { record[$0.name].cell(options.times) }))
            }
            if records.isLive { try sink.flush() }
        }
        let completion = try await output.finish()
        if completion.exitCode == .ok { try sink.write(header) }
        return completion
    }

    // MARK: Table

    private func renderTable(
        _ output: CommandOutput, _ columns: [Column]
    ) async throws -> CommandOutput.Completion {
        if let text = output.text {
            try sink.write(text)
            return try await output.finish()
        }
        guard let records = output.records else {
            let completion = try await output.finish()
            try writeFields(output.fields + completion.fields)
            return completion
        }
        if output.showsFields {
            try writeFields(output.fields)
            try sink.write("\n")
        }
        // The widths come from the first page; later pages are fitted to them, so that memory does not grow.
        var table: TableLayout?
        while let page = try await records.nextPage() {
            let page = page.flatMap(records.rows)
            if page.isEmpty { continue }
            let rows = page.map { record in columns.map { Escape.shown(record[$0.name].cell(options.times)) } }
            if table == nil {
                let layout = TableLayout(
                    columns, fitting: rows, headers: options.headers, width: options.width,
                    isExpanded: options.isExpanded)
                if options.headers { try sink.write(layout.header(color: options.color)) }
                table = layout
            }
            if let table { for row in rows { try sink.write(table.line(row)) } }
            if records.isLive { try sink.flush() }
        }
        return try await output.finish()
    }

    /// Fields of nested objects as `store.kind`, one item of a list after the other.
    private static func flattened(_ fields: [OutputValue.Field]) -> [(String, OutputValue)] {
        fields.flatMap { field -> [(String, OutputValue)] in
            switch field.value {
            case .object(let inner):
                return flattened(inner).map { ("\(field.name).\($0.0)", $0.1) }
            case .array(let items) where !items.isEmpty:
                return items.map { item in
                    guard case .object(let inner) = item else { return (field.name, item) }
                    return (field.name, .array(inner.map(\.value)))
                }
            default: return [(field.name, field.value)]
            }
        }
    }

    private func writeFields(_ fields: [OutputValue.Field]) throws {
        let rows = Self.flattened(fields).map { name, value in
            (name.replacing("_", with: " ").replacing(".", with: " "), Escape.shown(value.cell(options.times)))
        }
        try sink.write(TableLayout.fields(rows, width: options.width))
    }
}

/// A command failed when part of its envelope was written: the rest says so.
public struct InterruptedEnvelope: Error {
    /// What the command threw.
    public let cause: any Error
    private let close: @Sendable (CommandFailure) throws(OutputError) -> Void

    init(_ cause: any Error, close: @escaping @Sendable (CommandFailure) throws(OutputError) -> Void) {
        self.cause = cause
        self.close = close
    }

    /// The same, for another reason.
    public func because(of cause: any Error) -> InterruptedEnvelope { InterruptedEnvelope(cause, close: close) }

    /// Writes the rest of the envelope.
    public func finish(with failure: CommandFailure) throws(OutputError) { try close(failure) }
}

/// Comma-separated values (RFC 4180).
enum CSV {
    static func line(_ cells: [String]) -> String {
        cells.map { cell in
            guard cell.utf8.contains(where: { [0x22, 0x2c, 0x0a, 0x0d].contains($0) }) else { return cell }
            return "\"" + cell.replacing("\"", with: "\"\"") + "\""
        }.joined(separator: ",") + "\r\n"
    }
}
