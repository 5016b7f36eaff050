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
    /// - Throws: what the command throws while it gives records, ``UsageError`` for a column that is not there, and
    ///   ``OutputError``.
    public func render(_ output: CommandOutput) async throws -> CommandOutput.Completion {
        let columns = try columns(of: output)
        let completion =
            switch options.format {
            case .json: try await renderJSON(output)
            case .jsonl: try await renderLines(output)
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
        try sink.flush()
        return completion
    }

    /// Writes the envelope of a failure, where the format has one.
    public func render(_ failure: CommandFailure, schema: String) throws(OutputError) {
        let diagnostic = Diagnostic(
            .error, code: failure.exitCode.name, failure.description, hint: failure.hint)
        switch options.format {
        case .json:
            try sink.write(
                envelope(
                    schema, data: .null,
                    .init(changed: failure.changed, exitCode: failure.exitCode, diagnostics: [diagnostic])) + "\n")
        case .jsonl:
            let summary = summary(
                schema, [], .init(changed: failure.changed, exitCode: failure.exitCode, diagnostics: [diagnostic]))
            try sink.write(summary + "\n")
        case .table, .csv, .plain: break
        }
        try sink.flush()
    }

    private func columns(of output: CommandOutput) throws(UsageError) -> [Column] {
        let known = output.records?.columns ?? []
        guard let wanted = options.columns else { return known.filter(\.isDefault) }
        var columns: [Column] = []
        for name in wanted {
            guard let column = known.first(where: { $0.name == name }) else {
                let names = known.map(\.name)
                throw UsageError(
                    "unknown column \(Escape.shown(name, quoted: true))", subject: "--columns",
                    hint: Suggestion.hint(for: name, among: names)
                        ?? (names.isEmpty ? "this output has no columns" : "columns: \(names.joined(separator: ", "))"))
            }
            columns.append(column)
        }
        return columns
    }

    // MARK: JSON

    private func renderJSON(_ output: CommandOutput) async throws -> CommandOutput.Completion {
        var fields = output.fields
        if let records = output.records {
            var all: [OutputValue] = []
            while let page = try await records.nextPage() { all += page }
            fields.append(.init(records.name, .array(all)))
        }
        let completion = try await output.finish()
        try sink.write(envelope(output.schema, data: .object(fields + completion.fields), completion) + "\n")
        return completion
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

    private func renderLines(_ output: CommandOutput) async throws -> CommandOutput.Completion {
        if let records = output.records {
            while let page = try await records.nextPage() {
                for record in page { try sink.write(record.json(options.times) + "\n") }
                if records.isLive { try sink.flush() }
            }
        }
        let completion = try await output.finish()
        try sink.write(summary(output.schema, output.fields + completion.fields, completion) + "\n")
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
                let layout = TableLayout(columns, fitting: rows, headers: options.headers, width: options.width)
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
        let rows = Self.flattened(fields).map { ($0.0.replacing("_", with: " ").replacing(".", with: " "), $0.1) }
        let width = rows.map { TextWidth.columns($0.0) }.max() ?? 0
        for (name, value) in rows {
            var text = Escape.shown(value.cell(options.times))
            if text.isEmpty { text = "-" }
            let padding = String(repeating: " ", count: width - TextWidth.columns(name) + 2)
            if let limit = options.width { text = TableLayout.fit(text, max(8, limit - width - 2)) }
            try sink.write("\(name)\(padding)\(text)\n")
        }
    }
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
