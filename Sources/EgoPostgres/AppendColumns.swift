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
    private var entities: [Int64] = []
    private var numbers: [Int64] = []
    private var times: [Int64] = []
    private var manifests: [String?] = []
    private var payloads: [[UInt8]?] = []
    private var keys: [String?] = []
    private var areEncrypted: [Bool] = []
    private var metadata: [[UInt8]?] = []
    private var unknownFields: [[UInt8]?] = []
    private var checksums: [Int64] = []

    mutating func add(
        entity: Int64, number: SequenceNumber, time: Int64, manifest: String, payload: [UInt8], key: String,
        isEncrypted: Bool, metadata: [UInt8], unknownFields: [UInt8]
    ) {
        entities.append(entity)
        numbers.append(Int64(clamping: number.rawValue))
        times.append(time)
        manifests.append(manifest)
        payloads.append(payload)
        keys.append(key)
        areEncrypted.append(isEncrypted)
        self.metadata.append(metadata.isEmpty ? nil : metadata)
        self.unknownFields.append(unknownFields.isEmpty ? nil : unknownFields)
        checksums.append(payload.payloadChecksum)
    }

    /// Makes room for so many events.
    mutating func reserve(_ count: Int) {
        entities.reserveCapacity(count)
        numbers.reserveCapacity(count)
        times.reserveCapacity(count)
        manifests.reserveCapacity(count)
        payloads.reserveCapacity(count)
        keys.reserveCapacity(count)
        areEncrypted.reserveCapacity(count)
        metadata.reserveCapacity(count)
        unknownFields.reserveCapacity(count)
        checksums.reserveCapacity(count)
    }

    var values: [PostgresValue] {
        [
            .integers(entities), .integers(numbers), .integers(times), .texts(manifests), .blobs(payloads),
            .texts(keys), .bools(areEncrypted), .blobs(metadata), .blobs(unknownFields),
            .integers(checksums),
        ]
    }
}
