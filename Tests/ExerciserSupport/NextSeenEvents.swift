package import EgoCore

/// The read model of a program's next release: ``SeenEvents`` with another table, and without one that it had.
package struct NextSeenEvents: ReadModel {
    package let tables = [
        ReadModelTable("seen", columns: "position TEXT PRIMARY KEY, id TEXT NOT NULL, number BIGINT NOT NULL"),
        ReadModelTable("seen_days", columns: "day TEXT PRIMARY KEY, events BIGINT NOT NULL"),
    ]

    /// A read model that is empty.
    package init() {}

    private static let insert = "INSERT INTO {seen} (position, id, number) VALUES (:position, :id, :number)"
    private static let count = """
        INSERT INTO {seen_days} AS d (day, events) VALUES ('today', 1)
        ON CONFLICT (day) DO UPDATE SET events = d.events + 1
        """

    package func handle(_ event: ProjectedEvent, in model: ReadModelWriter) throws {
        try model.change(
            Self.insert,
            [
                "position": .text(event.offset.description), "id": .text(event.persistenceID.rawValue),
                "number": .integer(Int64(event.sequenceNumber.rawValue)),
            ])
        try model.change(Self.count)
    }
}
