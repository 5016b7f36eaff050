import CommandLineKit

/// Columns that many commands have.
extension Column {
    static let id = Column("id", shortening: .middle)
    static let sequenceNumber = Column("sequence_number", .right, title: "SEQ")
    static let type = Column("type", shortening: .package)

    /// A moment; part of one would be another.
    static func time(_ name: String, title: String? = nil, isDefault: Bool = true) -> Column {
        Column(name, title: title, isDefault: isDefault, shortening: .never(asked: false))
    }

    /// A sentence; cut off it says nothing.
    static func sentence(_ name: String) -> Column { Column(name, shortening: .wrap) }

    /// A word of a fixed set, such as a state.
    static func word(_ name: String, title: String? = nil, isDefault: Bool = true) -> Column {
        Column(name, title: title, isDefault: isDefault, shortening: .never(asked: false))
    }
}
