/// A table that is still being read: what may be added to it depends on how it came to be.
final class TOMLTableBuilder {
    /// How a table came to be.
    enum Origin {
        /// By a header of its own.
        case header
        /// By a longer header.
        case implicit
        /// By a dotted name.
        case dotted
        /// Between braces; nothing can be added to it later.
        case inline
    }

    private enum Content {
        case value(TOMLValue)
        case table(TOMLTableBuilder)
        case list([TOMLTableBuilder])
    }

    private var origin: Origin
    private var order: [String] = []
    private var contents: [String: (content: Content, place: TOMLPlace)] = [:]

    init(_ origin: Origin) { self.origin = origin }

    /// What was read.
    var table: TOMLTable {
        TOMLTable(
            entries: order.compactMap { key in
                guard let (content, place) = contents[key] else { return nil }
                let value: TOMLValue =
                    switch content {
                    case .value(let value): value
                    case .table(let builder): .table(builder.table)
                    case .list(let builders):
                        .array(builders.map { TOMLNode(value: .table($0.table), place: place) })
                    }
                return .init(key: key, node: TOMLNode(value: value, place: place))
            })
    }

    /// The table of a name, made when there is none.
    func open(_ key: String, _ place: TOMLPlace, as wanted: Origin) throws(TOMLError) -> TOMLTableBuilder {
        switch contents[key]?.content {
        case nil:
            let table = TOMLTableBuilder(wanted)
            add(key, .table(table), place)
            return table
        case .table(let table)?:
            switch (wanted, table.origin) {
            case (.implicit, .header), (.implicit, .implicit), (.implicit, .dotted), (.dotted, .dotted): return table
            case (.header, .implicit):
                table.origin = .header
                contents[key]?.place = place
                return table
            default: throw TOMLError(place: place, message: "\(key) is defined already")
            }
        case .list(let tables)? where wanted == .implicit:
            if let last = tables.last { return last }
            throw TOMLError(place: place, message: "\(key) is no table")
        case .list?, .value?: throw TOMLError(place: place, message: "\(key) is defined already, and not as a table")
        }
    }

    /// A new table at the end of the list of a name.
    func append(to key: String, _ place: TOMLPlace) throws(TOMLError) -> TOMLTableBuilder {
        let table = TOMLTableBuilder(.header)
        switch contents[key]?.content {
        case nil: add(key, .list([table]), place)
        case .list(let tables)?: contents[key]?.content = .list(tables + [table])
        default: throw TOMLError(place: place, message: "\(key) is defined already, and not as a list of tables")
        }
        return table
    }

    func set(_ key: String, _ value: TOMLValue, _ place: TOMLPlace) throws(TOMLError) {
        if contents[key] != nil { throw TOMLError(place: place, message: "\(key) is defined already") }
        add(key, .value(value), place)
    }

    private func add(_ key: String, _ content: Content, _ place: TOMLPlace) {
        order.append(key)
        contents[key] = (content, place)
    }
}
