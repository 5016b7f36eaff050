import CommandLineKit
import Ego
import EgoCore
import EgoOperations
import EgoPostgres

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

extension CommandFailure {
    /// What an error of any layer means for the shell and for the operator.
    init(_ error: any Error) {
        switch error {
        case let failure as CommandFailure: self = failure
        case let usage as UsageError: self.init(usage)
        case let error as StoreError: self.init(store: error)
        case let error as EgoError: self.init(engine: error)
        case let error as OperationError: self.init(operation: error)
        case let error as DomainError: self.init(domain: error)
        case let error as FoldError: self.init(.data, "record", "\(error)")
        case let error as PayloadError:
            self.init(
                Self.code(of: error), "record", "\(error)", hint: Self.isEncrypted(error) ? Self.keysHint : nil)
        case let error as InvalidPersistenceID: self.init(.usage, "ID", error.description)
        case let error as OutputError: self.init(.io, "standard output", error.description)
        case let error as FileError: self.init(file: error)
        case let error as JobInterrupted:
            self.init(.interrupted, "interrupted", error.description, hint: "go on with: \(error.command)")
            changed = true
        case is CancellationError: self.init(.interrupted, "interrupted", "stopped before the end")
        default: self.init(.failure, "internal", "\(error)")
        }
    }

    private init(store error: StoreError) {
        if error.code == .cancelled {
            self.init(CancellationError())
            return
        }
        let code: ExitCode =
            switch error.code {
            case .unavailable: .unavailable
            case .busy: .busy
            case .notFound, .isDirectory: .noInput
            case .notAStore, .corrupt: .data
            case .notInitialized, .newerSchema: .config
            case .readOnly, .permission: .noPermission
            case .full, .io: .io
            case .leaseHeld, .fenced: .refused
            case .conflict: .busy
            case .invalid: .usage
            case .timedOut: .timedOut
            default: .failure
            }
        let hint: String? =
            switch error.code {
            case .unavailable: Self.connectionHint(error)
            case .permission: Self.permissionHint(error)
            case .notFound: "ego init creates one; --store names another"
            case .notAStore where error.cause == nil:
                "--store names another; ego init adds a store to a database that has none"
            case .notInitialized: error.remedy ?? "ego init brings it up to date"
            case .newerSchema: "use the version of ego that wrote it, or a newer one"
            case .leaseHeld: "wait until it is done, or look at it with ego jobs; nothing was changed"
            case .conflict: "somebody else wrote it meanwhile; nothing was changed, try again"
            case .busy: "nothing was changed; try again, or wait longer with --timeout"
            case .timedOut: "nothing was changed by this step; try again with a longer --timeout"
            case .full: "nothing of this was written; free some space and try again"
            default: nil
            }
        self.init(code, "store", error.message, hint: hint)
        let causes = [error.cause].compactMap(\.self) + error.secondary
        if !causes.isEmpty { detail = causes.map { "\($0)" }.joined(separator: "; ") }
    }

    /// The tables or statements of a projection are not what the database takes.
    static func readModel(_ error: StoreError) -> CommandFailure {
        CommandFailure(
            .config, "read model", error.message,
            hint:
                "nothing of this step was kept; look at the tables that the projection declares, and at what is there of their names"
        )
    }

    /// What to do when a server cannot be reached, by what it said.
    private static func connectionHint(_ error: StoreError) -> String? {
        guard let cause = error.cause as? PostgresError else { return nil }
        switch cause.sqlState {
        case "": break
        case "3D000": return "the database has to be made first: createdb NAME"
        case "28P01", "28000": return passwordHint
        case "53300": return "the server has no connection left for this user; try again later"
        default: return "try again; the server's log says more"
        }
        if cause.message.contains("password") { return passwordHint }
        return cause.isConnectionLost ? "is the server running, and is that where it listens? ego doctor looks" : nil
    }

    private static let passwordHint =
        "the password comes from PGPASSWORD, PGPASSFILE (~/.pgpass) or a service file; the user from the URL or PGUSER"

    private static func permissionHint(_ error: StoreError) -> String? {
        error.cause is PostgresError ? "grant it to this role, or use another: ego doctor lists what is missing" : nil
    }

    private init(file error: FileError) {
        let code: ExitCode =
            switch error.number {
            case EWOULDBLOCK: .refused
            case ENOENT, ENOTDIR, EISDIR: .noInput
            case EACCES, EPERM, EROFS: .noPermission
            default: .io
            }
        self.init(
            code, error.path, error.number == EWOULDBLOCK ? "another process writes it" : error.description,
            hint: error.number == EWOULDBLOCK ? "nothing was changed; wait until it is done" : nil)
    }

    private init(engine error: EgoError) {
        if let cause = error.cause as? StoreError {
            self.init(store: cause)
            return
        }
        let what = error.persistenceID.map { Escape.shown($0.rawValue) } ?? ""
        let code: ExitCode =
            switch error.code {
            case .rejected, .erased: .rejected
            case .conflict: .busy
            case .undecodable: Self.code(of: error.cause)
            case .wrongKind, .unknownCommand: .usage
            default: .failure
            }
        var hint = error.code == .conflict ? "nothing was changed; look at the entity and try again" : nil
        if code == .config { hint = Self.keysHint }
        self.init(code, what, error.message, hint: hint)
    }

    private init(operation error: OperationError) {
        let code: ExitCode =
            switch error.code {
            case .notFound: .notFound
            case .refused: .refused
            case .data: .data
            case .noDomain: .config
            default: .failure
            }
        self.init(
            code, error.persistenceID.map { Escape.shown($0.rawValue) } ?? "store", error.message, hint: error.hint)
    }

    private init(domain error: DomainError) {
        switch error {
        case .duplicateKind: self.init(.config, "domain", "\(error)")
        case .unknownKind(let name, let known):
            self.init(
                .usage, "--kind", "\(error)",
                hint: Suggestion.hint(for: name, among: known) ?? "kinds: \(known.joined(separator: ", "))")
        case .unknownCommand(let name, let known) where known.isEmpty:
            self.init(.config, Escape.shown(name), "no behavior takes this command", hint: Self.noDomainHint)
        case .unknownCommand(let name, let known):
            self.init(
                .usage, Escape.shown(name), "no behavior takes this command",
                hint: Suggestion.hint(for: name, among: known) ?? "commands: \(known.joined(separator: ", "))")
        case .ambiguousCommand(let name, let choices):
            self.init(
                .usage, Escape.shown(name), "it can be \(choices.joined(separator: " or "))", hint: "give the full name"
            )
        case .noBehavior(let id, let why):
            self.init(.config, Escape.shown(id.rawValue), "no behavior: \(why)", hint: Self.noDomainHint)
        case .ambiguousKind(let id, let choices):
            self.init(
                .usage, Escape.shown(id.rawValue), "it can be of kind \(choices.joined(separator: " or "))",
                hint: "name one with --kind")
        }
    }

    /// The two ways to supply a domain.
    private static let noDomainHint =
        "run your application's own operator binary, which embeds EgoCommandLine(domain:), or name it with --domain FILE"

    private static let keysHint =
        "name the master key with --master-key FILE, and with --keys where the keys are, unless they are in the store"

    /// An encrypted record without a key is a matter of configuration, everything else one of data.
    private static func code(of cause: (any Error)?) -> ExitCode {
        switch cause {
        case FoldError.undecodable(_, let payload)? where Self.isEncrypted(payload): .config
        case let payload as PayloadError where Self.isEncrypted(payload): .config
        default: .data
        }
    }

    private static func isEncrypted(_ error: PayloadError) -> Bool {
        switch error {
        case .encrypted, .locked: return true
        default: return false
        }
    }
}
