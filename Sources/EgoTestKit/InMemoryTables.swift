import EgoCore

extension InMemoryStore {
    /// What the store knows of an entity. What an append needs comes first, so that it is in one line of the cache.
    struct Entity {
        var last = SequenceNumber.zero
        var shard: Shard
        /// Indices into the journal of the events after `floor`, in order.
        var journal: [Int] = []
        var tombstone: Tombstone?
        var floor = SequenceNumber.zero
        var commands: [CommandID: CommandRecord] = [:]
        var kind: String?
        var snapshots: [StoredSnapshot] = []
        var state: StoredState?

        init(kind: String?, shard: Shard) { (self.kind, self.shard) = (kind, shard) }

        var stream: StreamInfo {
            StreamInfo(
                last: max(last, tombstone?.sequenceNumber ?? .zero), floor: floor, kind: kind,
                isErased: tombstone != nil)
        }

        func latestSnapshot(through last: SequenceNumber) -> StoredSnapshot? {
            snapshots.last { $0.sequenceNumber <= last }
        }
    }

    /// The entities by their IDs: found by one look, and changed where they are.
    struct EntityTable {
        private var indices: [PersistenceID: Int] = [:]
        private(set) var ids: [PersistenceID] = []
        private(set) var all: [Entity] = []

        /// An entity, which is never removed.
        subscript(_ id: PersistenceID) -> Entity? {
            get { indices[id].map { all[$0] } }
            set {
                guard let newValue else { return }
                if let index = indices[id] { all[index] = newValue } else { add(newValue, id) }
            }
        }

        /// The entity at a place.
        subscript(at index: Int) -> Entity {
            get { all[index] }
            _modify { yield &all[index] }
        }

        /// The place of an entity; nil when there is none.
        func index(of id: PersistenceID) -> Int? { indices[id] }

        /// The place of an entity, which is made when there is none.
        mutating func index(of id: PersistenceID, making make: () -> Entity) -> Int {
            indices[id] ?? add(make(), id)
        }

        @discardableResult
        private mutating func add(_ entity: Entity, _ id: PersistenceID) -> Int {
            indices[id] = all.count
            ids.append(id)
            all.append(entity)
            return all.count - 1
        }
    }

    /// The journal: a row for each event, nil where one was deleted. In parts, so that it grows without being copied.
    struct Journal: Sequence {
        /// An event without what most events do not have.
        private struct Row {
            var persistenceID: PersistenceID
            var shard: Shard
            var sequenceNumber: SequenceNumber
            var timestamp: Timestamp
            var payload: [UInt8]
            var metadata: EventMetadata
            var rare: Rare?
        }

        /// What most events do not have. Never changed.
        private final class Rare: Sendable {
            let manifest: String
            let encryptionKeyID: String
            let isEncrypted: Bool
            let isDeleted: Bool
            let unknownFields: [UInt8]

            private init(_ event: PersistedEvent) {
                (manifest, encryptionKeyID) = (event.manifest, event.encryptionKeyID)
                (isEncrypted, isDeleted, unknownFields) = (event.isEncrypted, event.isDeleted, event.unknownFields)
            }

            private init(_ event: NewEvent) {
                (manifest, encryptionKeyID) = (event.manifest, event.encryptionKeyID)
                (isEncrypted, isDeleted, unknownFields) = (event.isEncrypted, false, event.unknownFields)
            }

            // Not in the initializers: one that may fail makes an object first, and throws it away.

            static func of(_ event: PersistedEvent) -> Rare? {
                let isRare =
                    event.isEncrypted || event.isDeleted || !event.encryptionKeyID.isEmpty
                    || !event.unknownFields.isEmpty || event.manifest != PersistedEvent.anyManifest
                return isRare ? Rare(event) : nil
            }

            static func of(_ event: NewEvent) -> Rare? {
                let isRare =
                    event.isEncrypted || !event.encryptionKeyID.isEmpty || !event.unknownFields.isEmpty
                    || event.manifest != PersistedEvent.anyManifest
                return isRare ? Rare(event) : nil
            }
        }

        private static let partSize = 1 << 12
        private var parts: [[Row?]] = []
        private(set) var count = 0

        /// Adds an event; its place is ``count`` before.
        mutating func append(
            _ event: NewEvent, of id: PersistenceID, _ number: SequenceNumber, _ shard: Shard,
            _ metadata: EventMetadata
        ) {
            append(
                Row(
                    persistenceID: id, shard: shard, sequenceNumber: number, timestamp: event.timestamp,
                    payload: event.payload, metadata: metadata, rare: Rare.of(event)))
        }

        /// Adds an event as it is.
        mutating func append(_ event: PersistedEvent) { append(Self.row(event)) }

        @inline(__always)
        private mutating func append(_ row: consuming Row) {
            if count == parts.count * Self.partSize {
                parts.append([])
                parts[parts.count - 1].reserveCapacity(Self.partSize)
            }
            parts[parts.count - 1].append(row)
            count += 1
        }

        /// The event at a place, from 0; nil when it was deleted.
        subscript(_ index: Int) -> PersistedEvent? {
            get {
                guard let row = parts[index / Self.partSize][index % Self.partSize] else { return nil }
                return PersistedEvent(
                    persistenceID: row.persistenceID, sequenceNumber: row.sequenceNumber,
                    offset: Offset(position: Position(Int64(index) + 1)), timestamp: row.timestamp, shard: row.shard,
                    manifest: row.rare?.manifest ?? PersistedEvent.anyManifest, payload: row.payload,
                    encryptionKeyID: row.rare?.encryptionKeyID ?? "", isEncrypted: row.rare?.isEncrypted ?? false,
                    isDeleted: row.rare?.isDeleted ?? false, metadata: row.metadata,
                    unknownFields: row.rare?.unknownFields ?? [])
            }
            set { parts[index / Self.partSize][index % Self.partSize] = newValue.map(Self.row) }
        }

        /// The events of an entity from `first` to `last`, at most a page.
        func page(
            of entity: Entity, from first: SequenceNumber, through last: SequenceNumber, _ limit: PageLimit
        ) -> [PersistedEvent] {
            var found: [PersistedEvent] = []
            var bytes = 0
            let start = first > entity.floor ? Int(first.rawValue - entity.floor.rawValue) - 1 : 0
            for index in entity.journal.dropFirst(start) {
                guard let event = self[index] else { continue }
                if event.sequenceNumber > last { break }
                found.append(event)
                bytes += event.payload.count
                if bytes >= limit.bytes || found.count == limit.rows { break }
            }
            return found
        }

        private static func row(_ event: PersistedEvent) -> Row {
            Row(
                persistenceID: event.persistenceID, shard: event.shard, sequenceNumber: event.sequenceNumber,
                timestamp: event.timestamp, payload: event.payload, metadata: event.metadata, rare: Rare.of(event))
        }

        func makeIterator() -> AnyIterator<PersistedEvent?> {
            var index = 0
            return AnyIterator {
                guard index < count else { return nil }
                defer { index += 1 }
                return .some(self[index])
            }
        }
    }
}
