import CSQLite

/// A prepared statement without anything around it: values are bound where they lie, and must stay there.
final class RawStatement {
    private let handle: OpaquePointer
    private let connection: OpaquePointer

    init(_ sql: String, _ connection: OpaquePointer) throws(SQLiteError) {
        var handle: OpaquePointer?
        let code = sqlite3_prepare_v3(connection, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &handle, nil)
        guard code == SQLITE_OK, let handle else { throw SQLiteError(connection, code: code) }
        (self.handle, self.connection) = (handle, connection)
    }

    deinit { sqlite3_finalize(handle) }

    func bind(_ index: Int32, _ number: Int64) { sqlite3_bind_int64(handle, index, number) }

    /// The bytes stay where they are for as long as the statement is used.
    func bind(_ index: Int32, _ bytes: UnsafeRawBufferPointer) {
        sqlite3_bind_blob(handle, index, bytes.baseAddress, Int32(bytes.count), nil)
    }

    func bind(_ index: Int32, _ text: String) {
        sqlite3_bind_text(handle, index, text, -1, unsafeBitCast(-1, to: sqlite3_destructor_type.self))
    }

    /// Binds the text of another statement's row, until that steps on.
    func bindText(_ index: Int32, of row: RawStatement, _ column: Int32) {
        let text = UnsafeRawPointer(sqlite3_column_text(row.handle, column))?.assumingMemoryBound(to: CChar.self)
        sqlite3_bind_text(handle, index, text, sqlite3_column_bytes(row.handle, column), nil)
    }

    /// Runs it to its end; what is bound stays bound.
    func execute() throws(SQLiteError) { try forEach { _ in } }

    /// Hands each row to `row`.
    func forEach(_ row: (RawStatement) -> Void) throws(SQLiteError) {
        var code = sqlite3_step(handle)
        while code == SQLITE_ROW {
            row(self)
            code = sqlite3_step(handle)
        }
        guard code == SQLITE_DONE else {
            let error = SQLiteError(connection, code: code)
            sqlite3_reset(handle)
            throw error
        }
        sqlite3_reset(handle)
    }

    func integer(_ column: Int32) -> Int64 { sqlite3_column_int64(handle, column) }
    func blob(_ column: Int32) -> UnsafeRawPointer? { sqlite3_column_blob(handle, column) }
    func count(_ column: Int32) -> Int { Int(sqlite3_column_bytes(handle, column)) }

    /// A column where it lies, until the statement steps on.
    func bytes(_ column: Int32) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: blob(column), count: count(column))
    }

    /// Makes the library fetch a column.
    func touch(_ column: Int32) { _ = sqlite3_column_blob(handle, column) }
}
