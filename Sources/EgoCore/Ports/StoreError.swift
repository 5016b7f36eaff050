/// What went wrong in a store.
///
/// ``code`` is API, ``message`` is not. ``cause`` is the error of the database or operating system, ``secondary`` are
/// errors of the rollback or close that followed.
public struct StoreError: Error, Sendable, CustomStringConvertible {
    /// What kind of failure it is, and what to do about it.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Value: String {  // the names are stable: tests and logs show them
            case unavailable, busy, notFound, notAStore, isDirectory, notInitialized, newerSchema, readOnly
            case permission, full, io, corrupt, conflict, leaseHeld, fenced, invalid, closed, cancelled, timedOut
        }

        private let value: Value

        /// The store cannot be reached; retry later.
        public static let unavailable = Code(value: .unavailable)
        /// Locked by somebody else for longer than the timeout; retry is safe.
        public static let busy = Code(value: .busy)
        /// There is no such file or database.
        public static let notFound = Code(value: .notFound)
        /// It exists and is no Ego store.
        public static let notAStore = Code(value: .notAStore)
        /// A folder was named where a file is wanted.
        public static let isDirectory = Code(value: .isDirectory)
        /// The schema is missing or older than this program's; `ego init` brings it up to date.
        public static let notInitialized = Code(value: .notInitialized)
        /// The schema was written by a newer version; use that version.
        public static let newerSchema = Code(value: .newerSchema)
        /// The store was opened for reading, or its medium cannot be written.
        public static let readOnly = Code(value: .readOnly)
        /// The operating system or the server refused access.
        public static let permission = Code(value: .permission)
        /// No space is left.
        public static let full = Code(value: .full)
        /// Reading or writing failed.
        public static let io = Code(value: .io)
        /// The database, or a record in it, is damaged.
        public static let corrupt = Code(value: .corrupt)
        /// A record is there already, or the one before it is not; nothing was changed.
        public static let conflict = Code(value: .conflict)
        /// Another owner holds the lease; nothing was changed.
        public static let leaseHeld = Code(value: .leaseHeld)
        /// The lease or generation that guarded this write was lost; nothing was changed.
        public static let fenced = Code(value: .fenced)
        /// The request itself is wrong.
        public static let invalid = Code(value: .invalid)
        /// The store was closed.
        public static let closed = Code(value: .closed)
        /// The task was cancelled; nothing was changed.
        public static let cancelled = Code(value: .cancelled)
        /// The database gave up after the time that it was allowed; nothing was changed.
        public static let timedOut = Code(value: .timedOut)

        public var description: String { value.rawValue }
    }

    /// What kind of failure it is.
    public var code: Code
    /// What happened, in a sentence for an operator.
    public var message: String
    /// What to do about it, where the code does not say it.
    public var remedy: String?
    /// The database's or operating system's own error.
    public var cause: (any Error)?
    /// Errors met while cleaning up after the first.
    public var secondary: [any Error]

    /// An error with the given parts.
    public init(_ code: Code, _ message: String, remedy: String? = nil, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.remedy = remedy
        self.cause = cause
        self.secondary = []
    }

    public var description: String { message }

    /// Whether it says nothing of what was asked, only of when: the same may succeed later.
    public var isCircumstance: Bool {
        switch code {
        case .unavailable, .busy, .full, .io, .timedOut, .cancelled, .closed, .fenced, .readOnly: true
        default: false
        }
    }

    /// The error of a sequence number that no entity reaches.
    package static func outOfRange(_ event: PersistedEvent) -> StoreError {
        StoreError(.invalid, "event \(event.sequenceNumber) of \(event.persistenceID.rawValue) is out of range")
    }

    /// The error of an event that does not follow its entity's last one.
    package init(_ code: Code, _ event: PersistedEvent, after last: SequenceNumber) {
        let number = event.sequenceNumber
        self.init(
            code,
            number <= last
                ? "\(event.persistenceID.rawValue) has an event \(number) already"
                : "event \(number) of \(event.persistenceID.rawValue) does not follow its last one, \(last)")
    }

    /// Whether it is no fault of what was written: a circumstance, or a missing permission.
    package var isAboutStore: Bool { isCircumstance || code == .permission }

    /// The error of a projection's record that is not the stored one any more.
    package static func changedMeanwhile(_ record: ProjectionRecord) -> StoreError {
        StoreError(.conflict, "projection \(record.name) was changed by somebody else meanwhile")
    }

    /// The error of a read model's change.
    package static func ofReadModel(_ error: any Error) -> StoreError {
        if let error = error as? StoreError, error.isAboutStore { return error }
        return StoreError(.invalid, "the read model's change failed: \(error)", cause: error)
    }
}
