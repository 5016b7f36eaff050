import CPostgreSQL
import EgoCore

/// One result of libpq, with its rows. Owns the handle.
final class PostgresResult {
    let handle: OpaquePointer

    init(_ handle: OpaquePointer) { self.handle = handle }

    deinit { PQclear(handle) }

    var status: ExecStatusType { PQresultStatus(handle) }

    var rowCount: Int { Int(PQntuples(handle)) }

    var rows: [PostgresRow] { (0..<Int32(rowCount)).map { PostgresRow(result: self, index: $0) } }

    var first: PostgresRow? { rowCount > 0 ? PostgresRow(result: self, index: 0) : nil }

    /// How many rows a statement inserted, changed or deleted.
    var changedRows: Int { Int(String(cString: PQcmdTuples(handle))) ?? 0 }
}

/// One row, whose columns are read in PostgreSQL's binary format.
///
/// A column has to be of the type that it is read as; the statements say so with casts.
struct PostgresRow {
    private let result: PostgresResult
    private let index: Int32

    init(result: PostgresResult, index: Int32) {
        self.result = result
        self.index = index
    }

    var columnCount: Int32 { PQnfields(result.handle) }

    func isNull(_ column: Int32) -> Bool { PQgetisnull(result.handle, index, column) != 0 }

    /// `int8`, or the like of 2 or 4 bytes; 0 when null.
    func integer(_ column: Int32) -> Int64 {
        let bytes = raw(column)
        switch bytes.count {
        case 8: return Int64(bigEndian: bytes.loadUnaligned(as: Int64.self))
        case 4: return Int64(Int32(bigEndian: bytes.loadUnaligned(as: Int32.self)))
        case 2: return Int64(Int16(bigEndian: bytes.loadUnaligned(as: Int16.self)))
        default: return 0
        }
    }

    func optionalInteger(_ column: Int32) -> Int64? { isNull(column) ? nil : integer(column) }

    /// `float8`; 0 when null.
    func real(_ column: Int32) -> Double { Double(bitPattern: UInt64(bitPattern: integer(column))) }

    /// `xid8`; 0 when null.
    func transactionID(_ column: Int32) -> UInt64 { UInt64(bitPattern: integer(column)) }

    func bool(_ column: Int32) -> Bool { raw(column).first.map { $0 != 0 } ?? false }

    func text(_ column: Int32) -> String { String(decoding: raw(column), as: UTF8.self) }

    func optionalText(_ column: Int32) -> String? { isNull(column) ? nil : text(column) }

    func bytes(_ column: Int32) -> [UInt8] { Array(raw(column)) }

    /// How many bytes the column has.
    func count(_ column: Int32) -> Int { Int(PQgetlength(result.handle, index, column)) }

    /// The column as the value of its own type; types that ``PostgresValue`` does not know come as their bytes.
    func value(_ column: Int32) -> PostgresValue {
        if isNull(column) { return .null }
        switch PQftype(result.handle, column) {
        case 16: return .bool(bool(column))
        case 20, 21, 23: return .integer(integer(column))
        case 701: return .real(real(column))
        case 18, 19, 25, 1042, 1043: return .text(text(column))
        case 5069: return .transactionID(transactionID(column))
        default: return .bytes(bytes(column))
        }
    }

    /// The bytes of a column where they lie, as long as the result is there.
    fileprivate func raw(_ column: Int32) -> UnsafeRawBufferPointer {
        guard let start = PQgetvalue(result.handle, index, column) else {
            return UnsafeRawBufferPointer(start: nil, count: 0)
        }
        return UnsafeRawBufferPointer(start: start, count: count(column))
    }
}

/// The values of a column that is a record, one after the other. Source of the format: `record_send` of PostgreSQL.
struct PostgresRecord {
    private let row: PostgresRow
    private var rest: UnsafeRawBufferPointer.SubSequence

    init(of row: PostgresRow, _ column: Int32) {
        self.row = row
        // How many there are, which the statement says already.
        rest = row.raw(column).dropFirst(4)
    }

    /// The next value, after its type and length; nil when it is null.
    private mutating func next() -> UnsafeRawBufferPointer? {
        let head = UnsafeRawBufferPointer(rebasing: rest.prefix(8))
        guard head.count == 8 else { return nil }
        let count = Int(Int32(bigEndian: head.loadUnaligned(fromByteOffset: 4, as: Int32.self)))
        rest = rest.dropFirst(8)
        if count < 0 { return nil }
        defer { rest = rest.dropFirst(count) }
        return UnsafeRawBufferPointer(rebasing: rest.prefix(count))
    }

    /// False when null.
    mutating func bool() -> Bool { next()?.first.map { $0 != 0 } ?? false }

    /// Empty when null.
    mutating func text() -> String { optionalText() ?? "" }

    mutating func optionalText() -> String? { next().map { String(decoding: $0, as: UTF8.self) } }

    mutating func bytes() -> [UInt8]? { next().map { Array($0) } }
}
