/// What a projection's record holds beside what stores have columns for, as bytes in protobuf's wire format.
struct ProjectionDetails: Sendable, Hashable {
    /// See ``ProjectionRecord/failure``.
    var failure: ProjectionFailure?
    /// See ``ProjectionRecord/tables``.
    var tables: [Int: [ReadModelTable]] = [:]

    /// See ``ProjectionRecord/rebuildJob``.
    var rebuildJob: String?

    /// The details of a record.
    init(_ record: ProjectionRecord) {
        failure = record.failure
        rebuildJob = record.rebuildJob
        tables = record.tables
    }

    /// Reads stored details.
    init(encoded bytes: [UInt8]) throws(WireFormatError) {
        try bytes.withRawBytes { (bytes) throws(WireFormatError) in
            var reader = WireReader(bytes)
            while let (field, value) = try reader.next() {
                guard case .bytes(let range) = value else { continue }
                let part = UnsafeRawBufferPointer(rebasing: bytes[range])
                switch field {
                case 1: failure = try Self.failure(part)
                case 2:
                    let (version, table) = try Self.table(part)
                    // A name that was not checked would be run as SQL.
                    if table.nameProblem == nil { tables[version, default: []].append(table) }
                case 3: rebuildJob = try bytes.string(range)
                default: break
                }
            }
        }
    }

    /// The details as bytes; empty when there are none.
    var encoded: [UInt8] {
        var writer = WireWriter()
        if let failure { writer.data(Self.encoded(failure), field: 1) }
        for (version, own) in tables.sorted(by: { $0.key < $1.key }) {
            for table in own { writer.data(Self.encoded(table, version), field: 2) }
        }
        if let rebuildJob { writer.string(rebuildJob, field: 3) }
        return writer.bytes
    }

    private static func encoded(_ failure: ProjectionFailure) -> [UInt8] {
        var writer = WireWriter()
        writer.string(failure.message, field: 1)
        writer.string(failure.persistenceID.rawValue, field: 2)
        writer.varint(failure.sequenceNumber.rawValue, field: 3)
        writer.varint(failure.offset.transactionID, field: 4)
        writer.varint(UInt64(bitPattern: failure.offset.position.rawValue), field: 5)
        writer.varint(failure.shard.rawValue, field: 6)
        writer.varint(UInt64(clamping: failure.attempts), field: 7)
        writer.varint(UInt64(bitPattern: failure.failedAt.unixNanoseconds), field: 8)
        return writer.bytes
    }

    private static func failure(_ bytes: UnsafeRawBufferPointer) throws(WireFormatError) -> ProjectionFailure {
        var failure = ProjectionFailure(
            message: "", persistenceID: PersistenceID(stored: ""), sequenceNumber: .zero, offset: .start,
            shard: Shard(0), attempts: 0, failedAt: Timestamp(unixNanoseconds: 0))
        var (transactionID, position): (UInt64, Int64) = (0, 0)
        var reader = WireReader(bytes)
        while let (field, value) = try reader.next() {
            switch (field, value) {
            case (1, .bytes(let range)): failure.message = try bytes.string(range)
            case (2, .bytes(let range)): failure.persistenceID = PersistenceID(stored: try bytes.string(range))
            case (3, .varint(let number)): failure.sequenceNumber = SequenceNumber(number)
            case (4, .varint(let number)): transactionID = number
            case (5, .varint(let number)): position = Int64(bitPattern: number)
            case (6, .varint(let number)): failure.shard = Shard(number)
            case (7, .varint(let number)): failure.attempts = Int(clamping: number)
            case (8, .varint(let number)): failure.failedAt = Timestamp(unixNanoseconds: Int64(bitPattern: number))
            default: break
            }
        }
        failure.offset = Offset(transactionID: transactionID, position: Position(position))
        return failure
    }

    private static func encoded(_ table: ReadModelTable, _ version: Int) -> [UInt8] {
        var writer = WireWriter()
        writer.string(table.name, field: 1)
        writer.string(table.columns, field: 2)
        for index in table.indexes { writer.string(index, field: 3) }
        if let column = table.entityColumn { writer.string(column, field: 4) }
        writer.varint(UInt64(clamping: version), field: 5)
        return writer.bytes
    }

    private static func table(
        _ bytes: UnsafeRawBufferPointer
    ) throws(WireFormatError) -> (version: Int, table: ReadModelTable) {
        var (version, table) = (1, ReadModelTable("", columns: ""))
        var reader = WireReader(bytes)
        while let (field, value) = try reader.next() {
            switch (field, value) {
            case (1, .bytes(let range)): table.name = try bytes.string(range)
            case (2, .bytes(let range)): table.columns = try bytes.string(range)
            case (3, .bytes(let range)): table.indexes.append(try bytes.string(range))
            case (4, .bytes(let range)): table.entityColumn = try bytes.string(range)
            case (5, .varint(let number)): version = Int(clamping: number)
            default: break
            }
        }
        return (version, table)
    }
}

extension ProjectionRecord {
    /// What stores have no columns for, as bytes.
    package var encodedDetails: [UInt8] { ProjectionDetails(self).encoded }

    /// Takes over what ``encodedDetails`` gave. Bytes that somebody damaged are taken as none: the tables are declared
    /// again by whoever runs the projection.
    package mutating func restore(details: [UInt8]) {
        guard let details = try? ProjectionDetails(encoded: details) else { return }
        failure = details.failure
        tables = details.tables
        rebuildJob = details.rebuildJob
    }
}
