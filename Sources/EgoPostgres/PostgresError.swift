import CPostgreSQL
import EgoCore

/// An error of the server or of libpq; the cause of the ``StoreError`` that callers see.
///
/// It holds no value of a row or a parameter: the server's detail, which quotes them, is left out, and so is the message of
/// an error about a value.
public struct PostgresError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The SQLSTATE (postgresql.org/docs/current/errcodes-appendix.html); empty where libpq itself failed.
    public let sqlState: String
    /// The text for it, without values.
    public let message: String
    /// The constraint that was violated; empty when none was.
    public let constraint: String
    /// Whether the connection is gone: what was sent last may or may not have been done.
    public let isConnectionLost: Bool
    /// Whether the connection was lost before anything was asked of it.
    let isBeforeWork: Bool

    init(
        sqlState: String = "", message: String, constraint: String = "", isConnectionLost: Bool = false,
        isBeforeWork: Bool = false
    ) {
        self.sqlState = sqlState
        self.message = message
        self.constraint = constraint
        self.isConnectionLost = isConnectionLost
        self.isBeforeWork = isBeforeWork
    }

    /// The same error, of a connection of which nothing was asked yet.
    var beforeWork: PostgresError {
        PostgresError(
            sqlState: sqlState, message: message, constraint: constraint, isConnectionLost: isConnectionLost,
            isBeforeWork: isConnectionLost)
    }

    /// The error of a statement.
    init(_ result: PostgresResult, isConnectionLost: Bool) {
        func field(_ code: Int) -> String {
            PQresultErrorField(result.handle, Int32(code)).map { String(cString: $0) } ?? ""
        }
        // The codes are characters (postgres_ext.h), which the importer does not take from their macros.
        let state = field(Int(UInt8(ascii: "C")))
        // Whatever ends the session, of which there are more with every version.
        let isFatal = ["FATAL", "PANIC"].contains(field(Int(UInt8(ascii: "V"))))
        let isAboutValue = state.hasPrefix("22") || state.hasPrefix("23")
        let subject = [field(Int(UInt8(ascii: "t"))), field(Int(UInt8(ascii: "c")))].filter { !$0.isEmpty }
        let text = field(Int(UInt8(ascii: "M")))
        self.init(
            sqlState: state,
            message: isAboutValue
                ? "a value was refused" + (subject.isEmpty ? "" : " (\(subject.joined(separator: ".")))")
                : text.isEmpty ? Self.firstLine(String(cString: PQresultErrorMessage(result.handle))) : text,
            constraint: field(Int(UInt8(ascii: "n"))),
            isConnectionLost: isConnectionLost || isFatal || state.isEmpty || state.hasPrefix("08"))
    }

    /// What libpq says of a connection.
    init(connection: OpaquePointer?, isConnectionLost: Bool) {
        let text = connection.flatMap { PQerrorMessage($0) }.map { String(cString: $0) } ?? "no memory is left"
        self.init(message: Self.firstLine(text), isConnectionLost: isConnectionLost)
    }

    private static func firstLine(_ text: String) -> String {
        let lines = text.split(whereSeparator: \.isNewline).map { $0.trimmingPrefix(while: \.isWhitespace) }
        return lines.first.map(String.init) ?? "unknown error"
    }

    public var description: String {
        sqlState.isEmpty ? message : "SQLSTATE \(sqlState): \(message)"
    }

    /// Whether it may succeed when it is done again as a whole.
    var isTransient: Bool { ["40001", "40P01"].contains(sqlState) }

    /// Whether it says nothing of what was asked, only of when.
    var isCircumstance: Bool { isConnectionLost || isTransient || ["57014", "55P03"].contains(sqlState) }

    /// Whether an append found an entity not to be as expected; of nothing else are there texts to be read as a value.
    var isRefusal: Bool { sqlState == "22P02" }

    /// Whether a row was there already.
    var isUniqueViolation: Bool { sqlState == "23505" }
}

extension StoreError {
    /// What an error of the server means to the caller of a port.
    init(_ error: PostgresError, during what: String) {
        let code: StoreError.Code
        var why = error.message
        switch error.sqlState {
        case "": code = error.isConnectionLost ? .unavailable : .io
        case "57014": (code, why) = (.timedOut, "the server took longer than the timeout")
        case "55P03": (code, why) = (.busy, "a lock was held by another session for too long")
        case "40001", "40P01":
            (code, why) = (.busy, "it collided with another transaction")
        case "25006": (code, why) = (.readOnly, "the server takes no writes: it is a replica, or set to read only")
        case "42501": code = .permission
        case "53100": (code, why) = (.full, "no space is left on the server")
        case "XX001", "XX002": (code, why) = (.corrupt, "the database is damaged: \(error.message)")
        case "23505": code = .conflict
        case "58030", "58P01": code = .io
        case "28P01", "28000", "3D000": code = .unavailable
        default:
            switch error.sqlState.prefix(2) {
            case "08", "53", "57": code = .unavailable
            // The store's statements are right: what does not fit them is a schema that somebody changed.
            case "42", "3F": code = .corrupt
            case "58", "F0", "HV", "XX": code = .io
            default: code = .invalid
            }
        }
        self.init(code, "\(what): \(why)", cause: error)
    }
}
