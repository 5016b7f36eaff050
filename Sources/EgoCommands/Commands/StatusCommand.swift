import CommandLineKit
import EgoCore
import EgoOperations

extension Command where Context == CommandContext {
    static var status: Command {
        Command(
            "status", summary: "show a store on one screen", output: .status, options: { EmptyOptions() },
            examples: [
                Example("status", "counts, sizes, projections, jobs and hazards"),
                Example("status -o json", "the same for a script"),
            ],
            exitCodes: [.data, .noInput, .unavailable, .busy, .noPermission, .config]
        ) { _, context in
            let location = try context.location
            let status = try await context.reading { try await StoreStatus(of: $0) }
            return CommandOutput(fields: fields(status, location))
        }
    }

    private static func fields(_ status: StoreStatus, _ location: StoreLocation) -> [OutputValue.Field] {
        let counts = status.statistics
        return [
            .init(
                "store",
                .object([
                    .init("kind", .text(location.kind)), .init("location", .text(location.description)),
                    .init("schema_version", .number(status.metadata.schemaVersion)),
                    .init("origin", .text(status.metadata.origin.rawValue)),
                ])),
            .init("entities", .number(counts.entities)), .init("events", .number(counts.events)),
            .init("snapshots", .number(counts.snapshots)), .init("durable_states", .number(counts.durableStates)),
            .init("shards", .number(Int(status.metadata.shardCount))),
            .init("head", .identifier(counts.head.description)),
            .init("bytes", counts.bytes.map(OutputValue.number) ?? .null),
            .init(
                "projections",
                .array(
                    status.projections.map { projection in
                        .object([
                            .init("name", .text(projection.name)), .init("shards", .number(projection.shards)),
                            .init("offset", .identifier(projection.offset.description)),
                        ])
                    })),
            .init(
                "jobs",
                .array(
                    status.jobs.map { job in
                        .object([
                            .init("id", .text(job.id)), .init("kind", .text(job.kind)),
                            .init("state", .text(job.state.rawValue)), .init("updated_at", .moment(job.updatedAt)),
                        ])
                    })),
            .init(
                "hazards",
                .array(
                    status.hazards.map { hazard in
                        .object([.init("code", .text(hazard.code)), .init("message", .text(hazard.message))])
                    })),
        ]
    }
}
