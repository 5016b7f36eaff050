import CSQLite
import EgoCore
import EgoTestKit
import Foundation
import Testing

@testable import EgoSQLite

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A database of plain SQLite, which leaves what is deleted where it was.
final class PlainDatabase {
    struct Failure: Error, CustomStringConvertible { let description: String }

    let path: String
    private var handle: OpaquePointer?

    init(_ path: String, pageSize: Int = 4_096, isLogged: Bool = false, isSecure: Bool = false) throws {
        self.path = path
        guard sqlite3_open(path, &handle) == SQLITE_OK else { throw Failure(description: "\(path) does not open") }
        try run("PRAGMA page_size = \(pageSize); PRAGMA secure_delete = \(isSecure ? "ON" : "OFF");")
        try run("PRAGMA journal_mode = \(isLogged ? "WAL" : "DELETE"); PRAGMA wal_autocheckpoint = 0;")
    }

    deinit { close() }

    func close() {
        sqlite3_close_v2(handle)
        handle = nil
    }

    func run(_ sql: String) throws {
        guard sqlite3_exec(handle, sql, nil, nil, nil) == SQLITE_OK else {
            throw Failure(description: "\(sql.prefix(80)): \(String(cString: sqlite3_errmsg(handle)))")
        }
    }

    /// Runs a statement with one blob as `?1`.
    func run(_ sql: String, _ blob: [UInt8]) throws {
        var statement: OpaquePointer?
        guard sqlite3_prepare_v2(handle, sql, -1, &statement, nil) == SQLITE_OK else {
            throw Failure(description: "\(sql): \(String(cString: sqlite3_errmsg(handle)))")
        }
        defer { sqlite3_finalize(statement) }
        let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)
        _ = blob.withUnsafeBytes { sqlite3_bind_blob(statement, 1, $0.baseAddress, Int32($0.count), transient) }
        guard sqlite3_step(statement) == SQLITE_DONE else {
            throw Failure(description: "\(sql): \(String(cString: sqlite3_errmsg(handle)))")
        }
    }

    /// Brings the log into the database, and cuts it off.
    func emptyLog() throws { try run("PRAGMA wal_checkpoint(TRUNCATE)") }
}

/// Bytes that occur nowhere else, a multiple of a piece of a ``PayloadSample`` long.
struct Marker {
    let bytes: [UInt8]

    init(pieces: Int, using random: inout SeededGenerator) {
        bytes = (0..<(pieces * PayloadSample.pieceLength)).map { _ in UInt8.random(in: 33...126, using: &random) }
    }

    /// The pieces that a sample is made of.
    var pieces: [[UInt8]] {
        stride(from: 0, to: bytes.count, by: PayloadSample.pieceLength).map {
            Array(bytes[$0..<($0 + PayloadSample.pieceLength)])
        }
    }
}

/// The files of a database as bytes.
enum Raw {
    static func files(_ path: String) -> [Data] {
        ["", "-wal"].compactMap { FileManager.default.contents(atPath: path + $0) }
    }

    /// How often some bytes occur in the files of a database.
    static func count(_ wanted: [UInt8], in path: String) -> Int { count(wanted, in: files(path)) }

    static func count(_ wanted: [UInt8], in files: [Data]) -> Int {
        files.reduce(0) { sum, data in
            sum
                + data.withUnsafeBytes { bytes in
                    guard let start = bytes.baseAddress else { return 0 }
                    var (found, position) = (0, 0)
                    while position + wanted.count <= bytes.count,
                        let match = memchr(
                            start + position, Int32(wanted[0]), bytes.count - position - wanted.count + 1)
                    {
                        if memcmp(match, wanted, wanted.count) == 0 { found += 1 }
                        position = start.distance(to: UnsafeRawPointer(match)) + 1
                    }
                    return found
                }
        }
    }

    /// How often the pieces of markers occur in the files of a database.
    static func count(_ markers: [Marker], in path: String) -> Int {
        let files = files(path)
        return markers.flatMap(\.pieces).reduce(0) { $0 + count($1, in: files) }
    }
}

/// How many residues of markers, or of IDs, the scanner finds.
func residues(_ markers: [Marker], ids: [String] = [], in path: String) throws -> Int {
    var sample = PayloadSample()
    for marker in markers { sample.add(marker.bytes) }
    let search = ResidueSearch(ids: ids.map { PersistenceID(stored: $0) }, sample: sample)
    return try SQLiteDeadSpace.scan(path, for: search).residues
}
