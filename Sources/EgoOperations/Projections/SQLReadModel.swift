public import EgoCore
public import ProtobufReflection

/// A read model that is written in SQL: statements by type of event, with fields of the event as values. It needs no code,
/// only the messages' descriptors.
///
/// `:account_balance` is a field, `:owner.name` a field of a message in it; `:@id`, `:@sequence_number`, `:@position`,
/// `:@timestamp` (nanoseconds since the Unix epoch), `:@shard` and `:@type` are what the event is. Values are bound.
/// Types without statements are passed over. At an event of an erased entity its rows are deleted, where a table says by
/// which column.
public struct SQLReadModel: ReadModel {
    public let tables: [ReadModelTable]
    private let statements: [String: (type: MessageDescriptor, all: [ReadModelStatement])]
    /// Tells one declaration from another: SHA-256 in hexadecimal.
    let signature: String

    /// Reads a declaration.
    ///
    /// - Parameters:
    ///   - statements: by the full name of the type, or by its last part where only one type has it.
    ///   - descriptors: the types.
    /// - Throws: ``SQLReadModelError`` with what is wrong.
    public init(
        tables: [ReadModelTable], statements: [String: [String]], descriptors: DescriptorSet
    ) throws(SQLReadModelError) {
        for table in tables {
            if let problem = table.nameProblem {
                throw SQLReadModelError("table \(table.name): \(problem)")
            }
            if let column = table.entityColumn, column.wholeMatch(of: /[A-Za-z_][A-Za-z0-9_]*/) == nil {
                throw SQLReadModelError("table \(table.name): \(column) is no column's name")
            }
        }
        let names = Set(tables.map(\.name))
        var found: [String: (type: MessageDescriptor, all: [ReadModelStatement])] = [:]
        for (name, texts) in statements.sorted(by: { $0.key < $1.key }) {
            let type = try Self.type(name, descriptors)
            let all = try texts.map { (text) throws(SQLReadModelError) in
                do {
                    let statement = try ReadModelStatement(text)
                    for table in statement.tables where !names.contains(table) {
                        throw SQLReadModelError("\(name): there is no table {\(table)}")
                    }
                    for value in statement.values { try Self.check(value, of: type) }
                    return statement
                } catch let error as SQLReadModelError {
                    throw error
                } catch {
                    throw SQLReadModelError("\(name): \(error)")
                }
            }
            if found[type.fullName] != nil { throw SQLReadModelError("\(type.fullName) is declared twice") }
            found[type.fullName] = (type, all)
        }
        self.tables = tables
        self.statements = found
        var digest = PlanDigest()
        for table in tables {
            digest.add(table.name, table.columns, table.entityColumn ?? "", table.indexes.joined(separator: "\n"))
        }
        for (name, texts) in statements.sorted(by: { $0.key < $1.key }) {
            digest.add(name, texts.joined(separator: "\n"))
        }
        signature = digest.finalized()
    }

    private static func type(
        _ name: String, _ descriptors: DescriptorSet
    ) throws(SQLReadModelError) -> MessageDescriptor {
        if let type = descriptors.message(named: name) { return type }
        let names = descriptors.messageNames.filter { $0.hasSuffix(".\(name)") }
        if names.count == 1, let type = descriptors.message(named: names[0]) { return type }
        throw SQLReadModelError(
            names.isEmpty
                ? "the descriptor set has no message \(name)" : "\(name) can be \(names.joined(separator: " or "))")
    }

    private static let ownNames = ["@id", "@sequence_number", "@position", "@timestamp", "@shard", "@type"]

    private static func check(_ value: String, of type: MessageDescriptor) throws {
        if value.hasPrefix("@") {
            if ownNames.contains(value) { return }
            throw SQLReadModelError(
                "there is no value :\(value); there are \(ownNames.map { ":" + $0 }.joined(separator: ", "))")
        }
        try type.checkField(value)
    }

    public func handle(_ event: ProjectedEvent, in model: ReadModelWriter) throws {
        if event.isErased {
            for table in tables {
                guard let column = table.entityColumn else { continue }
                try model.enqueue(
                    "DELETE FROM {\(table.name)} WHERE \(column) = :id", ["id": .text(event.persistenceID.rawValue)])
            }
        }
        guard let payload = event.payload, let (type, all) = statements[payload.typeName] else { return }
        let message = try DynamicMessage(type, serialized: payload.value)
        for statement in all {
            try model.enqueue(statement) { name in
                switch name {
                case "@id": .text(event.persistenceID.rawValue)
                case "@sequence_number": .integer(Int64(clamping: event.sequenceNumber.rawValue))
                case "@position": .text(event.offset.description)
                case "@timestamp": .integer(event.timestamp.unixNanoseconds)
                case "@shard": .integer(Int64(clamping: event.shard.rawValue))
                case "@type": .text(payload.typeName)
                default: ReadModelValue(try message.field(name))
                }
            }
        }
    }
}

/// What is wrong with the declaration of a read model.
public struct SQLReadModelError: Error, Sendable, Hashable, CustomStringConvertible {
    /// What, in a sentence.
    public let description: String

    init(_ description: String) { self.description = description }
}

extension ReadModelValue {
    fileprivate init(_ value: DynamicMessage.FieldValue) {
        switch value {
        case .null: self = .null
        case .bool(let isTrue): self = .bool(isTrue)
        case .integer(let number): self = .integer(number)
        case .unsigned(let number): self = .text(String(number))
        case .real(let number): self = .real(number)
        case .text(let text), .json(let text): self = .text(text)
        case .bytes(let bytes): self = .bytes(bytes)
        }
    }
}
