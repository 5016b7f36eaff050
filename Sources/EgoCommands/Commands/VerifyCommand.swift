import CommandLineKit
import EgoCore
import EgoOperations

/// What `ego verify` was told.
private struct VerifyOptions: Sendable {
    var ids: [PersistenceID] = []
}

extension Command where Context == CommandContext {
    static var verify: Command {
        Command(
            "verify", summary: "check the integrity of a store",
            discussion: [
                "Reads the whole store and changes nothing: its tables, indexes and pages; that each entity's events are without gaps, in order and readable; that snapshots belong to events and, where a behavior is there, equal a fold of them; that offsets are not past the head; that the audit log's chain of hashes holds.",
                "Each finding comes with what to do about it. With entities, only these are checked.",
            ],
            output: .verify, columns: columns, options: { VerifyOptions() },
            operands: [
                Operand(
                    "ID", arity: .any, summary: "the entities; without one, the whole store",
                    completion: .dynamic("entity")
                ) { (word, options) throws(UsageError) in options.ids.append(try persistenceID(word)) }
            ],
            examples: [
                Example("verify", "the whole store; exit 2 when something is wrong"),
                Example("verify acc-1 -o json", "one entity, for a script"),
            ],
            exitCodes: [
                .findings, .notFound, .timedOut, .data, .noInput, .unavailable, .busy, .noPermission, .config,
                .interrupted,
            ]
        ) { options, context in
            let store = try await context.open(readOnly: true)
            let progress = context.progress("verify")
            let run = Verification(
                store: store, domain: context.readingDomain, ids: options.ids, page: context.page
            ) { progress.report(done: $0, total: nil, unit: "events") }
            let records = RecordList("findings", columns: columns) { () -> [OutputValue]? in
                do { return try await run.nextPage()?.map(record) } catch {
                    progress.finish()
                    await store.close()
                    throw error
                }
            }
            return CommandOutput(records: records) {
                progress.finish()
                await store.close()
                return await completion(run)
            }
        }
    }

    private static var columns: [Column] {
        [
            .word("kind"), .id, .sequenceNumber, .sentence("message"),
            .sentence("remedy"),
        ]
    }

    private static func record(_ finding: Verification.Finding) -> OutputValue {
        .object([
            .init("kind", .text(finding.kind.rawValue)), .init("id", .optional(finding.id)),
            .init("sequence_number", finding.sequenceNumber.map(OutputValue.identifier) ?? .null),
            .init("message", .text(finding.message)), .init("remedy", .text(finding.remedy)),
        ])
    }

    private static func completion(_ run: Verification) async -> CommandOutput.Completion {
        let checked = await run.checked
        let unfolded = await run.unfolded
        let count = await run.findings
        var diagnostics = [
            Diagnostic(
                count == 0 ? .note : .error, code: count == 0 ? "verified" : "findings",
                (count == 0 ? "nothing is wrong" : "\(count) things are wrong")
                    + ": \(checked.entities) entities, \(checked.events) events, \(checked.snapshots) snapshots, "
                    + "\(checked.offsets) offsets and \(checked.auditRecords) audit records checked")
        ]
        if unfolded > 0 {
            diagnostics.append(
                Diagnostic(
                    .note, code: "not_folded",
                    "the snapshots of \(unfolded) entities could not be compared: no behavior for them is linked"))
        }
        return CommandOutput.Completion(
            fields: [
                .init(
                    "checked",
                    .object([
                        .init("entities", .number(checked.entities)), .init("events", .number(checked.events)),
                        .init("snapshots", .number(checked.snapshots)), .init("offsets", .number(checked.offsets)),
                        .init("audit_records", .number(checked.auditRecords)),
                    ]))
            ], exitCode: count == 0 ? .ok : .findings, diagnostics: diagnostics)
    }
}
