public import EgoCore

/// Why the engine could not do what it was asked.
///
/// ``code`` is API, ``message`` is not. The error of the domain, the store or the record is ``cause``.
public struct EgoError: Error, Sendable, CustomStringConvertible {
    /// What kind of failure it is, and what to do about it.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Value: String {
            case rejected, conflict, alreadyApplied, storage, undecodable, erased, wrongKind, unknownCommand, stopped
            case closed, bug
        }

        private let value: Value

        /// The domain said no; sending again gives the same answer until the entity changes.
        public static let rejected = Code(value: .rejected)
        /// The entity is not at the expected version, or other writers won every time; nothing was changed.
        public static let conflict = Code(value: .conflict)
        /// The command was carried out before, and what it gave can no longer be shown; nothing was changed now.
        public static let alreadyApplied = Code(value: .alreadyApplied)
        /// The store failed. Whether the command was applied is unknown, unless the cause says that nothing was
        /// written; a retry with the same command ID is safe.
        public static let storage = Code(value: .storage)
        /// A stored record or snapshot cannot be read, or one is missing.
        public static let undecodable = Code(value: .undecodable)
        /// The entity was erased and takes no commands.
        public static let erased = Code(value: .erased)
        /// The entity belongs to another kind, or its kind cannot be told.
        public static let wrongKind = Code(value: .wrongKind)
        /// The entity's behavior does not take this type of command.
        public static let unknownCommand = Code(value: .unknownCommand)
        /// The entity failed too often and was stopped; see ``Supervision``.
        public static let stopped = Code(value: .stopped)
        /// The engine was shut down.
        public static let closed = Code(value: .closed)
        /// A behavior threw something other than a ``Rejection``, or made a message that cannot be encoded.
        public static let bug = Code(value: .bug)

        public var description: String { value.rawValue }
    }

    /// What kind of failure it is.
    public var code: Code
    /// What happened, in a sentence.
    public var message: String
    /// The entity, where there is one.
    public var persistenceID: PersistenceID?
    /// The error behind this one.
    public var cause: (any Error)?

    /// An error with the given parts.
    public init(
        _ code: Code, _ message: String, persistenceID: PersistenceID? = nil, cause: (any Error)? = nil
    ) {
        self.code = code
        self.message = message
        self.persistenceID = persistenceID
        self.cause = cause
    }

    public var description: String { persistenceID.map { "entity \($0): \(message)" } ?? message }
}

extension EgoError {
    init(_ error: StoreError, _ id: PersistenceID) {
        self.init(.storage, error.message, persistenceID: id, cause: error)
    }

    package init(_ error: FoldError, _ id: PersistenceID) {
        self.init(.undecodable, "\(error)", persistenceID: id, cause: error)
    }

    static func erased(_ id: PersistenceID) -> EgoError {
        EgoError(.erased, "the entity was erased", persistenceID: id)
    }

    /// Refuses an entity that was recorded with another kind.
    static func check(_ kind: String?, of id: PersistenceID, recorded: String?) throws(EgoError) {
        guard let kind, let recorded, kind != recorded else { return }
        throw EgoError(.wrongKind, "it is of kind \(recorded), not \(kind)", persistenceID: id)
    }

    /// What a behavior threw.
    init(thrownByBehavior error: any Error, _ id: PersistenceID) {
        if let rejection = error as? Rejection {
            self.init(.rejected, rejection.reason, persistenceID: id, cause: rejection)
        } else {
            self.init(.bug, "the behavior failed: \(error)", persistenceID: id, cause: error)
        }
    }
}
