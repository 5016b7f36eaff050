import CPostgreSQL

/// Rows on their way into a table, in the binary format of `COPY` (postgresql.org/docs/current/sql-copy.html): about half
/// of what an insert of the same rows costs the server.
struct PostgresCopy: ~Copyable {
    private let handle: OpaquePointer
    private var buffer: [UInt8] = []
    /// What is handed to libpq at once, which has a copy of it until the server has read it.
    private static let chunk = 1 << 16

    fileprivate init(into handle: OpaquePointer) {
        self.handle = handle
        buffer.reserveCapacity(Self.chunk * 2)
        buffer += Array("PGCOPY\n".utf8) + [0xFF] + Array("\r\n".utf8) + [0]
        // Neither flags nor an extension of the header.
        buffer.append(big: UInt64(0))
    }

    /// Begins a row of so many columns, which come in the order of the statement.
    mutating func beginRow(columns: Int16) throws(PostgresError) {
        if buffer.count >= Self.chunk { try flush() }
        buffer.append(big: columns)
    }

    mutating func add(_ isTrue: Bool) {
        buffer.append(big: Int32(1))
        buffer.append(isTrue ? 1 : 0)
    }

    mutating func add(_ bytes: [UInt8]) {
        buffer.append(big: Int32(bytes.count))
        buffer += bytes
    }

    mutating func add(orNull bytes: [UInt8]) {
        if bytes.isEmpty { buffer.append(big: Int32(-1)) } else { add(bytes) }
    }

    mutating func add(_ text: String) {
        buffer.append(big: Int32(text.utf8.count))
        buffer += text.utf8
    }

    /// - Parameter isNarrow: whether the column is an `integer`, not a `bigint`.
    mutating func add(_ number: Int64, isNarrow: Bool = false) throws(PostgresError) {
        if !isNarrow {
            buffer.append(big: Int32(8))
            buffer.append(big: number)
            return
        }
        guard let number = Int32(exactly: number) else {
            throw PostgresError(sqlState: "22003", message: "a value is too large for its column, an integer")
        }
        buffer.append(big: Int32(4))
        buffer.append(big: number)
    }

    fileprivate mutating func end() throws(PostgresError) {
        buffer.append(big: Int16(-1))
        try flush()
    }

    private mutating func flush() throws(PostgresError) {
        let code = buffer.withUnsafeBytes {
            PQputCopyData(handle, $0.baseAddress?.assumingMemoryBound(to: CChar.self), Int32($0.count))
        }
        if code != 1 { throw PostgresError(connection: handle, isConnectionLost: true) }
        buffer.removeAll(keepingCapacity: true)
    }
}

extension PostgresConnection {
    /// Copies rows into a table.
    ///
    /// - Parameters:
    ///   - sql: `COPY ... FROM STDIN (FORMAT binary)`.
    ///   - rows: adds the rows; what it throws undoes the copy.
    /// - Returns: how many rows there were.
    func copy(
        _ sql: String, _ rows: (inout PostgresCopy) throws(PostgresError) -> Void
    ) throws(PostgresError) -> Int {
        try beginCopy(sql)
        do throws(PostgresError) {
            var copy = PostgresCopy(into: handle)
            try rows(&copy)
            try copy.end()
        } catch {
            // The first error is what the caller has to know.
            _ = try? endCopy("its rows could not be given")
            throw error
        }
        return try endCopy()
    }
}
