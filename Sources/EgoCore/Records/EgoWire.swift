/// The messages of package `egopb`, as eGo for Go writes them, to and from records.
///
/// Read and written by hand, so that payload bytes stay as they are and unknown fields survive.
public enum EgoWire {
    /// Reads an `egopb.Event`. Fields that its version 4 does not know go to ``PersistedEvent/unknownFields``.
    ///
    /// - Throws: ``PayloadError/malformed`` when the bytes are no such message.
    public static func event(_ bytes: [UInt8]) throws(PayloadError) -> PersistedEvent {
        try bytes.withRawBytes { (bytes) throws(PayloadError) in try event(bytes) }
    }

    /// The same, from bytes where they lie.
    package static func event(_ bytes: UnsafeRawBufferPointer) throws(PayloadError) -> PersistedEvent {
        try read(bytes) { (reader, bytes) throws(WireFormatError) in
            var event = PersistedEvent(
                persistenceID: PersistenceID(stored: ""), sequenceNumber: 0,
                timestamp: Timestamp(unixNanoseconds: 0), shard: Shard(0), payload: [])
            var start = 0
            while let (field, value) = try reader.next() {
                switch (field, value) {
                case (1, .bytes(let range)): event.persistenceID = PersistenceID(stored: try bytes.string(range))
                case (2, .varint(let number)): event.sequenceNumber = SequenceNumber(number)
                case (3, .varint(let flag)): event.isDeleted = flag != 0
                case (4, .bytes(let range)): event.payload = Array(bytes[range])
                case (6, .varint(let time)): event.timestamp = Timestamp(stored: Int64(bitPattern: time))
                case (7, .varint(let number)): event.shard = Shard(number)
                case (8, .bytes(let range)): event.encryptionKeyID = try bytes.string(range)
                case (9, .varint(let flag)): event.isEncrypted = flag != 0
                default: event.unknownFields.append(contentsOf: bytes[start..<reader.offset])
                }
                start = reader.offset
            }
            return event
        }
    }

    /// Writes an `egopb.Event`; unknown fields come last.
    public static func bytes(_ event: PersistedEvent) -> [UInt8] {
        var writer = WireWriter(reserving: event.payload.count + event.unknownFields.count + 64)
        writer.string(event.persistenceID.rawValue, field: 1)
        writer.varint(event.sequenceNumber.rawValue, field: 2)
        writer.varint(event.isDeleted ? 1 : 0, field: 3)
        writer.data(event.payload, field: 4)
        writer.varint(UInt64(bitPattern: event.timestamp.unixNanoseconds), field: 6)
        writer.varint(event.shard.rawValue, field: 7)
        writer.string(event.encryptionKeyID, field: 8)
        writer.varint(event.isEncrypted ? 1 : 0, field: 9)
        writer.raw(event.unknownFields)
        return writer.bytes
    }

    /// Reads an `egopb.Snapshot`.
    ///
    /// - Throws: ``PayloadError/malformed`` when the bytes are no such message.
    public static func snapshot(_ bytes: [UInt8]) throws(PayloadError) -> StoredSnapshot {
        try read(bytes) { (reader, bytes) throws(WireFormatError) in
            var snapshot = StoredSnapshot(
                persistenceID: PersistenceID(stored: ""), sequenceNumber: 0,
                timestamp: Timestamp(unixNanoseconds: 0), payload: [])
            while let (field, value) = try reader.next() {
                switch (field, value) {
                case (1, .bytes(let range)): snapshot.persistenceID = PersistenceID(stored: try bytes.string(range))
                case (2, .varint(let number)): snapshot.sequenceNumber = SequenceNumber(number)
                case (3, .bytes(let range)): snapshot.payload = Array(bytes[range])
                case (4, .varint(let time)): snapshot.timestamp = Timestamp(stored: Int64(bitPattern: time))
                case (5, .bytes(let range)): snapshot.encryptionKeyID = try bytes.string(range)
                case (6, .varint(let flag)): snapshot.isEncrypted = flag != 0
                default: break
                }
            }
            return snapshot
        }
    }

    /// Writes an `egopb.Snapshot`.
    public static func bytes(_ snapshot: StoredSnapshot) -> [UInt8] {
        var writer = WireWriter(reserving: snapshot.payload.count + 64)
        writer.string(snapshot.persistenceID.rawValue, field: 1)
        writer.varint(snapshot.sequenceNumber.rawValue, field: 2)
        writer.data(snapshot.payload, field: 3)
        writer.varint(UInt64(bitPattern: snapshot.timestamp.unixNanoseconds), field: 4)
        writer.string(snapshot.encryptionKeyID, field: 5)
        writer.varint(snapshot.isEncrypted ? 1 : 0, field: 6)
        return writer.bytes
    }

    /// Reads an `egopb.DurableState`.
    ///
    /// - Throws: ``PayloadError/malformed`` when the bytes are no such message.
    public static func durableState(_ bytes: [UInt8]) throws(PayloadError) -> StoredState {
        try read(bytes) { (reader, bytes) throws(WireFormatError) in
            var state = StoredState(
                persistenceID: PersistenceID(stored: ""), version: 0, timestamp: Timestamp(unixNanoseconds: 0),
                shard: Shard(0), payload: [])
            while let (field, value) = try reader.next() {
                switch (field, value) {
                case (1, .bytes(let range)): state.persistenceID = PersistenceID(stored: try bytes.string(range))
                case (2, .varint(let number)): state.version = SequenceNumber(number)
                case (3, .bytes(let range)): state.payload = Array(bytes[range])
                case (5, .varint(let time)): state.timestamp = Timestamp(stored: Int64(bitPattern: time))
                case (6, .varint(let number)): state.shard = Shard(number)
                default: break
                }
            }
            return state
        }
    }

    /// Writes an `egopb.DurableState`.
    public static func bytes(_ state: StoredState) -> [UInt8] {
        var writer = WireWriter(reserving: state.payload.count + 64)
        writer.string(state.persistenceID.rawValue, field: 1)
        writer.varint(state.version.rawValue, field: 2)
        writer.data(state.payload, field: 3)
        writer.varint(UInt64(bitPattern: state.timestamp.unixNanoseconds), field: 5)
        writer.varint(state.shard.rawValue, field: 6)
        return writer.bytes
    }

    /// The content of an `egopb.Offset`: how far eGo for Go's projection has come in one shard.
    public struct ProjectionOffset: Sendable, Hashable {
        /// The shard.
        public var shard: Shard
        /// The projection.
        public var projection: String
        /// The timestamp of the last event that was processed, in the unit of the events.
        public var value: Int64
        /// When it was committed, in milliseconds since the Unix epoch.
        public var unixMilliseconds: Int64
    }

    /// Reads an `egopb.Offset`.
    ///
    /// - Throws: ``PayloadError/malformed`` when the bytes are no such message.
    public static func offset(_ bytes: [UInt8]) throws(PayloadError) -> ProjectionOffset {
        try read(bytes) { (reader, bytes) throws(WireFormatError) in
            var offset = ProjectionOffset(shard: Shard(0), projection: "", value: 0, unixMilliseconds: 0)
            while let (field, value) = try reader.next() {
                switch (field, value) {
                case (1, .varint(let number)): offset.shard = Shard(number)
                case (2, .bytes(let range)): offset.projection = try bytes.string(range)
                case (3, .varint(let number)): offset.value = Int64(bitPattern: number)
                case (5, .varint(let time)): offset.unixMilliseconds = Int64(bitPattern: time)
                default: break
                }
            }
            return offset
        }
    }

    private static func read<Message>(
        _ bytes: [UInt8],
        _ body: (inout WireReader, UnsafeRawBufferPointer) throws(WireFormatError) -> Message
    ) throws(PayloadError) -> Message {
        try bytes.withRawBytes { (bytes) throws(PayloadError) in try read(bytes, body) }
    }

    private static func read<Message>(
        _ bytes: UnsafeRawBufferPointer,
        _ body: (inout WireReader, UnsafeRawBufferPointer) throws(WireFormatError) -> Message
    ) throws(PayloadError) -> Message {
        var reader = WireReader(bytes)
        do { return try body(&reader, bytes) } catch { throw .malformed }
    }
}
