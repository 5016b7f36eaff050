public import EgoCore

/// Why an operation could not be carried out.
public struct OperationError: Error, Sendable, CustomStringConvertible {
    /// What kind of failure it is.
    public struct Code: Sendable, Hashable {
        private enum Value { case notFound, refused, data, noDomain, failed }
        private let value: Value

        /// There is no such entity, event or snapshot.
        public static let notFound = Code(value: .notFound)
        /// A guard forbids it; nothing was changed.
        public static let refused = Code(value: .refused)
        /// A record cannot be read.
        public static let data = Code(value: .data)
        /// No behavior is there to do it.
        public static let noDomain = Code(value: .noDomain)
        /// It was begun, and failed.
        public static let failed = Code(value: .failed)
    }

    /// What kind of failure it is.
    public var code: Code
    /// What happened, in a sentence.
    public var message: String
    /// What to do about it.
    public var hint: String?
    /// The entity, where there is one.
    public var persistenceID: PersistenceID?

    /// An error with the given parts.
    public init(_ code: Code, _ message: String, hint: String? = nil, persistenceID: PersistenceID? = nil) {
        self.code = code
        self.message = message
        self.hint = hint
        self.persistenceID = persistenceID
    }

    public var description: String { message }
}
