/// One application's behaviors, projections, message types and event adapters.
public struct Domain: Sendable {
    /// The domain's name, for operators.
    public let name: String
    /// The kinds of entities.
    public let kinds: [EntityKind]
    /// The projections of its events.
    public let projections: [Projection]
    /// How stored events become current ones.
    public let reader: EventReader
    /// Every message type: those of the kinds, and those that are only stored or shown.
    public let messages: MessageRegistry
    /// The messages' descriptors with everything that they import, as a serialized `google.protobuf.FileDescriptorSet`;
    /// empty when the domain brings none. What is known by name only, as the fields of a read model in SQL, needs them.
    public let descriptorSet: [UInt8]

    /// A domain with the given parts.
    ///
    /// - Parameters:
    ///   - messages: types beyond those of the kinds, such as the states of entities that have no behavior here.
    ///   - descriptorSet: see ``descriptorSet``.
    public init(
        name: String, kinds: [EntityKind], projections: [Projection] = [], messages: [MessageType] = [],
        adapters: [any EventAdapter] = [], descriptorSet: [UInt8] = []
    ) {
        self.name = name
        self.kinds = kinds
        self.projections = projections
        self.descriptorSet = descriptorSet
        self.reader = EventReader(adapters: adapters)
        self.messages = MessageRegistry(
            messages + kinds.flatMap { $0.commandTypes + $0.eventTypes + [$0.stateType] })
    }

    /// A domain without behaviors: records are shown, not folded.
    public static let none = Domain()

    private init() {
        self.name = "none"
        self.kinds = []
        self.projections = []
        self.descriptorSet = []
        self.reader = EventReader()
        self.messages = MessageRegistry([])
    }

    /// The same domain, which reads encrypted payloads too.
    public func decrypting(with decryptor: any PayloadDecryptor) -> Domain {
        Domain(self, reader: EventReader(adapters: reader.adapters, decryptor: decryptor))
    }

    private init(_ domain: Domain, reader: EventReader) {
        self.name = domain.name
        self.kinds = domain.kinds
        self.projections = domain.projections
        self.reader = reader
        self.messages = domain.messages
        self.descriptorSet = domain.descriptorSet
    }

    /// The kind of a name.
    ///
    /// - Throws: ``DomainError/unknownKind(_:known:)``, or ``DomainError/duplicateKind(_:)`` when two behaviors have it.
    public func kind(named name: String) throws(DomainError) -> EntityKind {
        let found = kinds.filter { $0.name == name }
        guard let kind = found.first else { throw .unknownKind(name, known: kinds.map(\.name)) }
        if found.count > 1 { throw .duplicateKind(name) }
        return kind
    }

    /// A command type by its full name, or by its short name where only one has it.
    ///
    /// - Throws: ``DomainError/unknownCommand(_:known:)`` or ``DomainError/ambiguousCommand(_:choices:)``.
    public func commandType(named name: String) throws(DomainError) -> MessageType {
        var found: [String: MessageType] = [:]
        for type in kinds.flatMap(\.commandTypes) where type.name == name || type.shortName == name {
            found[type.name] = type
        }
        if let exact = found[name] { return exact }
        guard let first = found.first else {
            throw .unknownCommand(name, known: commandTypes.map(\.shortName))
        }
        if found.count > 1 { throw .ambiguousCommand(name, choices: found.keys.sorted()) }
        return first.value
    }

    /// The command types of all kinds, each once, ascending by name.
    public var commandTypes: [MessageType] {
        var types: [String: MessageType] = [:]
        for type in kinds.flatMap(\.commandTypes) { types[type.name] = type }
        return types.values.sorted { $0.name < $1.name }
    }

    /// Whether there is a kind of a name.
    package func hasKind(_ name: String) -> Bool { kinds.contains { $0.name == name } }

    /// The kind that an entity belongs to.
    ///
    /// What is known narrows the choice, in this order: the kind that was asked for, the kind that was recorded with
    /// the entity, the types of its events, the type of the command.
    ///
    /// - Throws: ``DomainError/noBehavior(id:why:)`` when no kind fits, ``DomainError/ambiguousKind(id:choices:)``
    ///   when several do.
    public func kind(of entity: EntityEvidence) throws(DomainError) -> EntityKind {
        if let requested = entity.requestedKind { return try kind(named: requested) }
        if let recorded = entity.recordedKind, hasKind(recorded) {
            return try kind(named: recorded)
        }
        var fitting = kinds
        var why = "it has no events and no command says what it is"
        if let isDurableState = entity.isDurableState {
            fitting = fitting.filter { $0.isDurableState == isDurableState }
            why = "no kind of domain \(name) has a durable state"
        }
        if !entity.eventTypes.isEmpty {
            fitting = fitting.filter { kind in
                let known = Set(kind.eventTypes.map(\.name))
                return entity.eventTypes.allSatisfy(known.contains)
            }
            why = "no kind of domain \(name) has events of type \(entity.eventTypes.sorted().joined(separator: ", "))"
        }
        if let command = entity.commandType {
            if !fitting.isEmpty { why = "no fitting kind of domain \(name) takes command \(command)" }
            fitting = fitting.filter { $0.commandTypes.contains { $0.name == command } }
        }
        let isEvidence = entity.isDurableState != nil || !entity.eventTypes.isEmpty || entity.commandType != nil
        guard let kind = fitting.first, isEvidence || kinds.count == 1 else {
            throw .noBehavior(id: entity.persistenceID, why: why)
        }
        if fitting.count > 1 { throw .ambiguousKind(id: entity.persistenceID, choices: fitting.map(\.name)) }
        return kind
    }
}

/// What is known about an entity whose kind is wanted.
public struct EntityEvidence: Sendable {
    /// The entity.
    public var persistenceID: PersistenceID
    /// The kind that the caller named.
    public var requestedKind: String?
    /// The kind that the store recorded.
    public var recordedKind: String?
    /// Full names of types of its events, after adaptation.
    public var eventTypes: Set<String>
    /// Whether it has a durable state; nil when it has neither that nor events.
    public var isDurableState: Bool?
    /// The full name of the type of a command to it.
    public var commandType: String?

    /// Evidence with the given parts.
    public init(
        persistenceID: PersistenceID, requestedKind: String? = nil, recordedKind: String? = nil,
        eventTypes: Set<String> = [], isDurableState: Bool? = nil, commandType: String? = nil
    ) {
        self.persistenceID = persistenceID
        self.requestedKind = requestedKind
        self.recordedKind = recordedKind
        self.eventTypes = eventTypes
        self.isDurableState = isDurableState
        self.commandType = commandType
    }
}

/// What a domain cannot answer.
public enum DomainError: Error, Sendable, Equatable {
    /// Two behaviors have the same kind.
    case duplicateKind(String)
    /// No behavior has that kind.
    case unknownKind(String, known: [String])
    /// No behavior takes a command of that name.
    case unknownCommand(String, known: [String])
    /// Several packages have a command of that short name.
    case ambiguousCommand(String, choices: [String])
    /// No behavior fits the entity.
    case noBehavior(id: PersistenceID, why: String)
    /// Several behaviors fit the entity.
    case ambiguousKind(id: PersistenceID, choices: [String])
}

extension DomainError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .duplicateKind(let kind): "two behaviors have the kind \(kind)"
        case .unknownKind(let kind, _): "no behavior of kind \(kind)"
        case .unknownCommand(let name, _): "no behavior takes a command \(name)"
        case .ambiguousCommand(let name, let choices): "\(name) can be \(choices.joined(separator: " or "))"
        case .noBehavior(let id, let why): "no behavior for entity \(id): \(why)"
        case .ambiguousKind(let id, let choices): "entity \(id) can be of kind \(choices.joined(separator: " or "))"
        }
    }
}
