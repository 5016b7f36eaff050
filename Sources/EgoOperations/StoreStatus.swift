public import EgoCore

/// One look at a whole store.
public struct StoreStatus: Sendable {
    /// What the store is.
    public var metadata: StoreMetadata
    /// Counts.
    public var statistics: StoreStatistics
    /// How far each projection has come, ascending by name.
    public var projections: [ProjectionStatus]
    /// All jobs, newest first.
    public var jobs: [Job]
    /// What an operator should look at.
    public var hazards: [Hazard]

    /// How far a projection has come.
    public struct ProjectionStatus: Sendable, Hashable {
        /// The projection.
        public var name: String
        /// How many shards it has committed an offset of.
        public var shards: Int
        /// The smallest committed offset.
        public var offset: Place
        /// How many events are behind it; nil where that is not known.
        public var eventsBehind: Int?
    }

    /// Where a projection stands.
    public enum Place: Sendable, Hashable, CustomStringConvertible {
        /// In the order of the journal.
        case offset(Offset)
        /// At a timestamp, as eGo for Go stores it.
        case timestamp(Int64)

        public var description: String {
            switch self {
            case .offset(let offset): offset.description
            case .timestamp(let stored): String(stored)
            }
        }
    }

    /// Something that an operator should look at.
    public struct Hazard: Sendable, Hashable {
        /// What it is, for programs.
        public var code: String
        /// What it is, for people.
        public var message: String
    }

    /// Reads the status of a store.
    public init(of store: any Store) async throws {
        metadata = try await store.metadata()
        statistics = try await store.statistics()
        jobs = try await store.jobs()
        projections = []
        hazards = []
        for projection in try await store.projections() {
            let name = projection.name
            let offsets = try await store.offsets(of: name, version: projection.activeVersion)
            if let failure = projection.failure {
                hazards.append(
                    Hazard(
                        code: "projection_failed",
                        message: "projection \(name) has stopped at event \(failure.sequenceNumber) of "
                            + "\(failure.persistenceID): \(failure.message)"))
            }
            guard let slowest = offsets.map(\.offset).min() else { continue }
            projections.append(ProjectionStatus(name: name, shards: offsets.count, offset: .offset(slowest)))
            if let fastest = offsets.map(\.offset).max(), fastest > statistics.head {
                hazards.append(
                    Hazard(
                        code: "offset_ahead_of_head",
                        message: "projection \(name) is at \(fastest), the journal ends at \(statistics.head)"))
            }
        }
        try await addProjectionsOfEgoGo(store)
        if metadata.schemaVersion == 0 {
            hazards.append(
                Hazard(
                    code: "not_adopted",
                    message: "the database of eGo for Go is not adopted; it can be looked at, ego init adopts it"))
        }
        for job in jobs where job.state == .interrupted || job.state == .failed {
            hazards.append(
                Hazard(
                    code: "job_\(job.state.rawValue)", message: "job \(job.id) (\(job.kind)) is \(job.state.rawValue)"))
        }
    }

    private mutating func addProjectionsOfEgoGo(_ store: any Store) async throws {
        let offsets = try await store.timestampOffsets()
        for name in Set(offsets.map(\.projection)).sorted() {
            let own = offsets.filter { $0.projection == name }
            let committed = own.compactMap(\.stored)
            guard let slowest = committed.min() else { continue }
            projections.append(
                ProjectionStatus(
                    name: name, shards: committed.count, offset: .timestamp(slowest),
                    eventsBehind: own.reduce(0) { $0 + $1.eventsBehind }))
            if let ahead = own.first(where: { ($0.stored ?? .min) > ($0.storedHead ?? .max) }) {
                hazards.append(
                    Hazard(
                        code: "offset_ahead_of_head",
                        message: "projection \(name) of eGo for Go is past the head of shard \(ahead.shard)"))
            }
        }
    }
}
