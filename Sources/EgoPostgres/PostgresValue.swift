import CPostgreSQL
import EgoCore

/// A parameter of a statement. Travels in PostgreSQL's binary format, but for ``untyped(_:)``.
public enum PostgresValue: Sendable, Hashable {
    case null
    case bool(Bool)
    case integer(Int64)
    case real(Double)
    case text(String)
    case bytes([UInt8])
    /// A value in PostgreSQL's text format, whose type the server takes from where it is used.
    case untyped(String)
    /// A full transaction ID (`xid8`).
    case transactionID(UInt64)
    case integers([Int64])
    case bools([Bool])
    case texts([String?])
    case blobs([[UInt8]?])

    /// The type's number in `pg_type`, which is the same in every database; 0 leaves it to the server.
    var type: Oid {
        switch self {
        case .null, .untyped: 0
        case .bool: 16
        case .bytes: 17
        case .integer: 20
        case .text: 25
        case .real: 701
        case .bools: 1000
        case .blobs: 1001
        case .texts: 1009
        case .integers: 1016
        case .transactionID: 5069
        }
    }

    static func time(_ timestamp: Timestamp) -> PostgresValue { .integer(timestamp.unixNanoseconds) }
    static func sequence(_ number: SequenceNumber) -> PostgresValue { .integer(Int64(clamping: number.rawValue)) }
    static func id(_ id: PersistenceID) -> PostgresValue { .text(id.rawValue) }
    static func shard(_ shard: Shard) -> PostgresValue { .integer(Int64(bitPattern: shard.rawValue)) }
    static func optional(_ text: String?) -> PostgresValue { text.map(PostgresValue.text) ?? .null }
    static func bytes(orNull bytes: [UInt8]) -> PostgresValue { bytes.isEmpty ? .null : .bytes(bytes) }
}

extension PostgresValue {
    /// How many bytes it takes on its way.
    var size: Int {
        switch self {
        case .null: 0
        case .bool: 1
        case .integer, .transactionID, .real: 8
        case .text(let text), .untyped(let text): text.utf8.count + 1
        case .bytes(let bytes): bytes.count
        case .integers(let numbers): 20 + 12 * numbers.count
        case .bools(let values): 20 + 5 * values.count
        case .texts(let texts): texts.reduce(20) { $0 + 4 + ($1?.utf8.count ?? 0) }
        case .blobs(let blobs): blobs.reduce(20) { $0 + 4 + ($1?.count ?? 0) }
        }
    }
}

/// The parameters of one statement, as libpq takes them.
struct PostgresParameters {
    private var bytes: [UInt8] = []
    private var ranges: [Range<Int>?] = []
    private(set) var types: [Oid] = []
    private var formats: [Int32] = []

    init(_ values: [PostgresValue]) {
        ranges.reserveCapacity(values.count)
        bytes.reserveCapacity(values.reduce(1) { $0 + $1.size })
        for value in values {
            types.append(value.type)
            if case .untyped = value { formats.append(0) } else { formats.append(1) }
            let start = bytes.count
            let isPresent = append(value)
            ranges.append(isPresent ? start..<bytes.count : nil)
        }
        // An empty value needs an address too: null would mean NULL. A text ends with it.
        bytes.append(0)
    }

    var count: Int32 { Int32(ranges.count) }

    /// Hands the values, their lengths and their formats to `body`.
    func withPointers<Result>(
        _ body: (UnsafePointer<UnsafePointer<CChar>?>?, UnsafePointer<Int32>?, UnsafePointer<Int32>?) -> Result
    ) -> Result {
        bytes.withUnsafeBufferPointer { bytes in
            let base = UnsafeRawPointer(bytes.baseAddress)?.assumingMemoryBound(to: CChar.self)
            let pointers = ranges.map { range in range.flatMap { range in base.map { $0 + range.lowerBound } } }
            let lengths = ranges.map { Int32($0?.count ?? 0) }
            return pointers.withUnsafeBufferPointer { pointers in
                lengths.withUnsafeBufferPointer { lengths in
                    formats.withUnsafeBufferPointer { formats in
                        body(pointers.baseAddress, lengths.baseAddress, formats.baseAddress)
                    }
                }
            }
        }
    }

    private mutating func append(_ value: PostgresValue) -> Bool {
        switch value {
        case .null: return false
        case .bool(let isTrue): bytes.append(isTrue ? 1 : 0)
        case .integer(let number): append(big: UInt64(bitPattern: number))
        case .transactionID(let number): append(big: number)
        case .real(let number): append(big: number.bitPattern)
        case .text(let text): bytes.append(contentsOf: text.utf8)
        case .untyped(let text):
            bytes.append(contentsOf: text.utf8)
            bytes.append(0)
        case .bytes(let blob): bytes.append(contentsOf: blob)
        case .integers(let numbers):
            header(of: numbers.count, elements: 20, hasNull: false)
            // The length and the number, in one piece.
            for number in numbers {
                let big = UInt64(bitPattern: number)
                let head = (UInt32(8).bigEndian, UInt32(truncatingIfNeeded: big >> 32).bigEndian)
                let tail = UInt32(truncatingIfNeeded: big).bigEndian
                withUnsafeBytes(of: (head.0, head.1, tail)) { bytes.append(contentsOf: $0) }
            }
        case .bools(let values):
            header(of: values.count, elements: 16, hasNull: false)
            for value in values {
                append(big: UInt32(1))
                bytes.append(value ? 1 : 0)
            }
        case .texts(let texts):
            header(of: texts.count, elements: 25, hasNull: texts.contains(nil))
            for text in texts {
                guard var text else {
                    append(big: UInt32.max)
                    continue
                }
                text.withUTF8 { element(UnsafeRawBufferPointer($0)) }
            }
        case .blobs(let blobs):
            header(of: blobs.count, elements: 17, hasNull: blobs.contains(nil))
            for blob in blobs {
                guard let blob else {
                    append(big: UInt32.max)
                    continue
                }
                blob.withUnsafeBytes { element($0) }
            }
        }
        return true
    }

    /// The head of a one-dimensional array whose first index is 1.
    private mutating func header(of count: Int, elements: UInt32, hasNull: Bool) {
        append(big: UInt32(count == 0 ? 0 : 1))
        append(big: UInt32(hasNull ? 1 : 0))
        append(big: elements)
        if count == 0 { return }
        append(big: UInt32(count))
        append(big: UInt32(1))
    }

    private mutating func element(_ value: UnsafeRawBufferPointer) {
        append(big: UInt32(value.count))
        bytes.append(contentsOf: value)
    }

    private mutating func append(big value: some FixedWidthInteger) { bytes.append(big: value) }
}

extension [UInt8] {
    /// Adds a number in the byte order of PostgreSQL's binary format.
    mutating func append(big value: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: value.bigEndian) { append(contentsOf: $0) }
    }
}
