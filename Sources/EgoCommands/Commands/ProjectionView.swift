import CommandLineKit
import EgoCore
import EgoOperations

/// How projections are shown.
struct ProjectionView: Sendable {
    private let store: any Store
    private let context: CommandContext

    init(_ store: any Store, _ context: CommandContext) {
        self.store = store
        self.context = context
    }

    static var columns: [Column] {
        [
            Column("name"), .word("state"), Column("events_behind", .right, title: "BEHIND"),
            Column("dead_letters", .right, title: "DEAD"), Column("version", .right),
            .time("last_advanced", title: "ADVANCED"),
            .sentence("error"), Column("mode", isDefault: false), Column("owner", isDefault: false),
            Column("tables", isDefault: false), Column("previous_version", .right, isDefault: false),
            Column("shadow_version", .right, isDefault: false), Column("engine", isDefault: false),
            Column("failure", isDefault: false), Column("offsets", isDefault: false),
        ]
    }

    static var runColumns: [Column] {
        [Column("name"), .word("state"), Column("events", .right), .sentence("error")]
    }

    /// - Parameters:
    ///   - names: which; empty for all, nil for none.
    ///   - isWhole: whether everything is told, as for one that is looked at.
    func output(
        _ names: [String]?, isWhole: Bool = false, changed: Bool = false, isDryRun: Bool? = nil
    ) async throws -> CommandOutput {
        var records: [OutputValue] = []
        if let names { records = try await self.records(names) }
        let columns = Self.columns.map { column in
            var column = column
            // Lists within a list are for programs.
            if isWhole { column.isDefault = !["failure", "offsets"].contains(column.name) }
            return column
        }
        return CommandOutput(
            fields: isDryRun.map { [.init("dry_run", .bool($0))] } ?? [],
            records: RecordList("projections", columns: columns, records)
        ) { CommandOutput.Completion(changed: changed) }
    }

    private func records(_ names: [String]) async throws -> [OutputValue] {
        let isAdopted = try await store.metadata().schemaVersion > 0
        let declared = isAdopted || !names.isEmpty ? ProjectionCatalog(context).names : []
        let lags = try await Lag(of: store, declared: declared, time: context.time).measure(names)
        let leases = try await store.leases()
        var records: [OutputValue] = []
        for lag in lags {
            let record = lag.engine == .ego ? try await store.projection(lag.name) : nil
            records.append(try await self.record(lag, record, leases))
        }
        return records
    }

    private func record(
        _ lag: ProjectionLag, _ record: ProjectionRecord?, _ leases: [Lease]
    ) async throws -> OutputValue {
        func version(_ number: Int?) -> OutputValue { number.map { .number($0) } ?? .null }
        let lease = leases.first {
            $0.name == ProjectionRecord.lease(of: lag.name) && $0.expiresAt > context.time.now()
        }
        let letters = try await store.deadLetters(DeadLetterQuery(projection: lag.name, limit: 100_000)).count
        return .object([
            .init("name", .text(lag.name)), .init("engine", .text(lag.engine.rawValue)),
            .init("state", .text(lag.state.rawValue)), .init("mode", .optional(lag.mode?.rawValue)),
            .init("events_behind", .number(lag.eventsBehind)), .init("dead_letters", .number(letters)),
            .init("version", version(record?.activeVersion)),
            .init("previous_version", version(record?.previousVersion)),
            .init("shadow_version", version(record?.shadowVersion)),
            .init("tables", .array((record.flatMap { $0.tables[$0.activeVersion] } ?? []).map { .text($0.name) })),
            .init("owner", .optional(lag.engine == .ego ? lease?.owner : nil)),
            .init("last_advanced", .moment(lag.lastAdvanced)), .init("error", .optional(lag.failure?.message)),
            .init("failure", lag.failure.map(Self.value) ?? .null),
            .init(
                "offsets",
                .array(
                    lag.shards.compactMap { shard in
                        shard.committed.map { place in
                            .object([
                                .init("shard", .number(Int(clamping: shard.shard.rawValue))),
                                .init("offset", .identifier(place.description)),
                                .init("committed_at", .moment(shard.lastAdvanced)),
                            ])
                        }
                    })),
        ])
    }

    private static func value(_ failure: ProjectionFailure) -> OutputValue {
        .object([
            .init("id", .text(failure.persistenceID.rawValue)),
            .init("sequence_number", .number(failure.sequenceNumber)),
            .init("position", .identifier(failure.offset.description)),
            .init("shard", .number(Int(clamping: failure.shard.rawValue))),
            .init("attempts", .number(failure.attempts)), .init("at", .moment(failure.failedAt)),
            .init("message", .text(failure.message)),
        ])
    }
}
