import EgoCore

/// The columns of remembered commands, as arrays.
struct CommandColumns {
    private var ids: [String?] = []
    private var commands: [String?] = []
    private var before: [Int64] = []
    private var after: [Int64] = []

    var isEmpty: Bool { ids.isEmpty }

    mutating func add(
        _ id: PersistenceID, _ command: CommandID, _ before: SequenceNumber, _ after: SequenceNumber
    ) {
        ids.append(id.rawValue)
        commands.append(command.rawValue)
        self.before.append(Int64(clamping: before.rawValue))
        self.after.append(Int64(clamping: after.rawValue))
    }

    var values: [PostgresValue] { [.texts(ids), .texts(commands), .integers(before), .integers(after)] }
}

/// The columns of events that are inserted, as arrays.
struct EventColumns {
    private(set) var numbers: [Int64] = []
    private var ids: [String?] = []
    private var times: [Int64] = []
    private var manifests: [String?] = []
    private var payloads: [[UInt8]?] = []
    private var keys: [String?] = []
    private var areEncrypted: [Bool] = []
    private var metadata: [[UInt8]?] = []
    private var unknownFields: [[UInt8]?] = []
    private var checksums: [Int64] = []
    private var shards: [Int64] = []
    private var expected: [Int64] = []

    var count: Int { numbers.count }
    var isEmpty: Bool { numbers.isEmpty }

    /// Adds the events of a request.
    mutating func add(
        _ request: AppendRequest, of entity: AppendPlan.Entity, after before: SequenceNumber, shard: Int64,
        _ clock: StoredClock
    ) {
        let encoded = request.metadata.encoded
        for (index, event) in request.events.enumerated() {
            expected.append(Int64(clamping: entity.expected.rawValue))
            ids.append(entity.id.rawValue)
            numbers.append(Int64(clamping: before.advanced(by: index + 1).rawValue))
            shards.append(shard)
            times.append(clock.stored(event.timestamp))
            manifests.append(event.manifest)
            payloads.append(event.payload)
            keys.append(event.encryptionKeyID)
            areEncrypted.append(event.isEncrypted)
            metadata.append(encoded.isEmpty ? nil : encoded)
            unknownFields.append(event.unknownFields.isEmpty ? nil : event.unknownFields)
            checksums.append(event.payload.payloadChecksum)
        }
    }

    /// Makes room for so many events.
    mutating func reserve(_ count: Int) {
        numbers.reserveCapacity(count)
        ids.reserveCapacity(count)
        times.reserveCapacity(count)
        manifests.reserveCapacity(count)
        payloads.reserveCapacity(count)
        keys.reserveCapacity(count)
        areEncrypted.reserveCapacity(count)
        metadata.reserveCapacity(count)
        unknownFields.reserveCapacity(count)
        checksums.reserveCapacity(count)
        shards.reserveCapacity(count)
        expected.reserveCapacity(count)
    }

    /// For ``AppendStatements/insertKnown``.
    var values: [PostgresValue] {
        [
            .texts(ids), .integers(numbers), .integers(times), .texts(manifests), .blobs(payloads), .texts(keys),
            .bools(areEncrypted), .blobs(metadata), .blobs(unknownFields), .integers(checksums), .integers(shards),
        ]
    }

    /// For ``AppendStatements/insert(trimmedJoin:)``.
    var valuesToLookFor: [PostgresValue] { values + [.integers(expected)] }
}
