import CSQLite
import EgoCore

/// A prepared statement. Belongs to its connection's executor.
final class SQLiteStatement: RowValues {
    private let handle: OpaquePointer
    private let connection: OpaquePointer
    private let sql: String

    init(_ sql: String, on connection: OpaquePointer) throws(SQLiteError) {
        var handle: OpaquePointer?
        var hasMore = false
        let code = sql.withCString { start in
            var tail: UnsafePointer<CChar>?
            let code = sqlite3_prepare_v3(
                connection, start, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &handle, &tail)
            hasMore = tail.map { !String(cString: $0).allSatisfy { $0.isWhitespace || $0 == ";" } } ?? false
            return code
        }
        guard code == SQLITE_OK, let handle else { throw SQLiteError(connection, code: code) }
        if hasMore {
            sqlite3_finalize(handle)
            throw SQLiteError(code: SQLITE_ERROR, message: "one statement at a time")
        }
        self.handle = handle
        self.connection = connection
        self.sql = sql
    }

    deinit {
        sqlite3_finalize(handle)
    }

    /// Binds `value` to the parameter `index`, counted from 1.
    func bind(_ value: SQLiteValue, at index: Int32) throws(SQLiteError) {
        switch value {
        case .null: try bindNull(at: index)
        case .integer(let number): try bind(number, at: index)
        case .real(let number): try check(sqlite3_bind_double(handle, index, number))
        case .text(let text): try bind(text, at: index)
        case .blob(let bytes): try bind(bytes, at: index)
        }
    }

    func bindNull(at index: Int32) throws(SQLiteError) { try check(sqlite3_bind_null(handle, index)) }

    func bind(_ number: Int64, at index: Int32) throws(SQLiteError) {
        try check(sqlite3_bind_int64(handle, index, number))
    }

    /// Binds a copy of `text`.
    func bind(_ text: String, at index: Int32) throws(SQLiteError) {
        var text = text
        try check(
            text.withUTF8 { bytes in
                bytes.withMemoryRebound(to: CChar.self) { bytes in
                    guard let start = bytes.baseAddress else {
                        return sqlite3_bind_text(handle, index, "", 0, Self.transient)
                    }
                    return sqlite3_bind_text(handle, index, start, Int32(bytes.count), Self.transient)
                }
            })
    }

    /// Binds a copy of `bytes`.
    func bind(_ bytes: [UInt8], at index: Int32) throws(SQLiteError) {
        try check(bytes.withUnsafeBytes { bind($0, at: index, Self.transient) })
    }

    /// Binds bytes where they lie: they have to stay there until other ones are bound, or until ``reset()``.
    func bind(inPlace bytes: UnsafeRawBufferPointer, at index: Int32) throws(SQLiteError) {
        try check(bind(bytes, at: index, nil))
    }

    private func bind(
        _ bytes: UnsafeRawBufferPointer, at index: Int32, _ owner: sqlite3_destructor_type?
    ) -> Int32 {
        guard let start = bytes.baseAddress, !bytes.isEmpty else { return sqlite3_bind_zeroblob(handle, index, 0) }
        return sqlite3_bind_blob(handle, index, start, Int32(bytes.count), owner)
    }

    /// Runs `body` with `values` bound where they lie, from the parameter `index` on; what is bound is void after it.
    func withBound<Value>(
        _ values: ArraySlice<ReadModelValue>, from index: Int32 = 1, _ body: () throws(SQLiteError) -> Value
    ) throws(SQLiteError) -> Value {
        guard let value = values.first else { return try body() }
        let rest = values.dropFirst()
        switch value {
        case .null: try bindNull(at: index)
        case .bool(let isTrue): try bind(isTrue ? 1 : 0, at: index)
        case .integer(let number): try bind(number, at: index)
        case .real(let number): try check(sqlite3_bind_double(handle, index, number))
        // A call within a call for each text; a statement with more than these has its texts copied.
        case .text(let text) where index > 32: try bind(text, at: index)
        case .bytes(let bytes) where index > 32: try bind(bytes, at: index)
        case .text(var text):
            return try text.withExactBytes { (bytes) throws(SQLiteError) in
                let start = bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
                guard let start, !bytes.isEmpty else {
                    try bind("", at: index)
                    return try withBound(rest, from: index + 1, body)
                }
                try check(sqlite3_bind_text(handle, index, start, Int32(bytes.count), nil))
                return try withBound(rest, from: index + 1, body)
            }
        case .bytes(let bytes):
            return try bytes.withExactBytes { (bytes) throws(SQLiteError) in
                try bind(inPlace: bytes, at: index)
                return try withBound(rest, from: index + 1, body)
            }
        }
        return try withBound(rest, from: index + 1, body)
    }

    @inline(__always)
    private func check(_ code: Int32) throws(SQLiteError) {
        guard code == SQLITE_OK else { throw SQLiteError(connection, code: code) }
    }

    /// Runs on to the next row; false after the last one.
    func step() throws(SQLiteError) -> Bool {
        let code = sqlite3_step(handle)
        switch code {
        case SQLITE_ROW: return true
        case SQLITE_DONE: return false
        default: throw SQLiteError(connection, code: code)
        }
    }

    /// Makes the statement ready to run again. Its last error is reported by ``step()``, not here.
    func reset() {
        sqlite3_reset(handle)
        sqlite3_clear_bindings(handle)
    }

    /// The same, but keeps what is bound: for a statement that binds all of its parameters each time, and none of them
    /// to much.
    func rewind() { sqlite3_reset(handle) }

    func isNull(_ column: Int32) -> Bool { sqlite3_column_type(handle, column) == SQLITE_NULL }
    func integer(_ column: Int32) -> Int64 { sqlite3_column_int64(handle, column) }

    func text(_ column: Int32) -> String {
        guard let start = sqlite3_column_text(handle, column) else { return "" }
        let count = Int(sqlite3_column_bytes(handle, column))
        return String(decoding: UnsafeBufferPointer(start: start, count: count), as: UTF8.self)
    }

    func optionalText(_ column: Int32) -> String? { isNull(column) ? nil : text(column) }

    func blob(_ column: Int32) -> [UInt8] { Array(bytes(column)) }

    func bytes(_ column: Int32) -> UnsafeRawBufferPointer {
        guard let start = sqlite3_column_blob(handle, column) else {
            return UnsafeRawBufferPointer(start: nil, count: 0)
        }
        return UnsafeRawBufferPointer(start: start, count: Int(sqlite3_column_bytes(handle, column)))
    }

    func value(_ column: Int32) -> SQLiteValue {
        switch sqlite3_column_type(handle, column) {
        case SQLITE_INTEGER: .integer(integer(column))
        case SQLITE_FLOAT: .real(sqlite3_column_double(handle, column))
        case SQLITE_TEXT: .text(text(column))
        case SQLITE_BLOB: .blob(blob(column))
        default: .null
        }
    }

    var columnCount: Int32 { sqlite3_column_count(handle) }

    /// SQLite copies the bytes before the call returns.
    private static var transient: sqlite3_destructor_type { unsafeBitCast(-1, to: sqlite3_destructor_type.self) }
}

/// A value of a column or a parameter.
public enum SQLiteValue: Sendable, Hashable {
    case null
    case integer(Int64)
    case real(Double)
    case text(String)
    case blob([UInt8])
}

extension SQLiteValue {
    static func optional(_ text: String?) -> SQLiteValue { text.map(SQLiteValue.text) ?? .null }

    /// Empty bytes are stored as NULL.
    static func bytes(orNull bytes: [UInt8]) -> SQLiteValue { bytes.isEmpty ? .null : .blob(bytes) }

    static func time(_ timestamp: Timestamp) -> SQLiteValue { .integer(timestamp.unixNanoseconds) }

    static func sequence(_ number: SequenceNumber) -> SQLiteValue { .integer(Int64(clamping: number.rawValue)) }
}

extension Array where Element == UInt8 {
    /// Calls `body` with these bytes; unlike `withUnsafeBytes` it keeps the type of what `body` throws.
    func withExactBytes<Value>(
        _ body: (UnsafeRawBufferPointer) throws(SQLiteError) -> Value
    ) throws(SQLiteError) -> Value {
        try withUnsafeBufferPointer { (buffer) throws(SQLiteError) in try body(UnsafeRawBufferPointer(buffer)) }
    }
}

extension String {
    /// Calls `body` with the text's bytes; unlike `withUTF8` it keeps the type of what `body` throws.
    mutating func withExactBytes<Value>(
        _ body: (UnsafeRawBufferPointer) throws(SQLiteError) -> Value
    ) throws(SQLiteError) -> Value {
        let result = withUTF8 { bytes -> Result<Value, SQLiteError> in
            do throws(SQLiteError) {
                return .success(try body(UnsafeRawBufferPointer(bytes)))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }
}
