import CSQLite
import EgoCore

/// A result code of libsqlite3 with its text; the cause of the ``StoreError`` that callers see.
///
/// Bound values are not part of it, so that no payload reaches a log.
public struct SQLiteError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The extended result code (sqlite.org/rescode.html).
    public let code: Int32
    /// The library's text for it.
    public let message: String

    /// The code without its extension.
    var primaryCode: Int32 { code & 0xff }

    init(code: Int32, message: String) {
        self.code = code
        self.message = message
    }

    /// The last error of a connection.
    init(_ connection: OpaquePointer?, code: Int32) {
        self.code = connection.map { sqlite3_extended_errcode($0) } ?? code
        self.message = String(cString: connection.map { sqlite3_errmsg($0) } ?? sqlite3_errstr(code))
    }

    public var description: String { "SQLite error \(code): \(message)" }
}

extension StoreError {
    /// What a result code means to the caller of a port.
    init(_ error: SQLiteError, during what: String) {
        let code: StoreError.Code
        let why: String
        switch error.primaryCode {
        case SQLITE_BUSY, SQLITE_LOCKED, SQLITE_PROTOCOL:
            (code, why) = (.busy, "the store is locked by another process")
        case SQLITE_READONLY: (code, why) = (.readOnly, "the store cannot be written: its file or folder is read-only")
        case SQLITE_PERM, SQLITE_AUTH: (code, why) = (.permission, error.message)
        case SQLITE_FULL: (code, why) = (.full, "no space is left for the store")
        case SQLITE_NOTADB: (code, why) = (.notAStore, "the file is not a SQLite database")
        // The statements are right: what does not fit them is a schema that somebody changed.
        case SQLITE_ERROR: (code, why) = (.corrupt, error.message)
        case SQLITE_CORRUPT: (code, why) = (.corrupt, "the database is damaged: \(error.message)")
        case SQLITE_CANTOPEN: (code, why) = (.unavailable, error.message)
        case SQLITE_TOOBIG, SQLITE_MISMATCH, SQLITE_RANGE, SQLITE_CONSTRAINT:
            (code, why) = (.invalid, error.message)
        default: (code, why) = (.io, error.message)
        }
        self.init(code, "\(what): \(why)", cause: error)
    }
}
