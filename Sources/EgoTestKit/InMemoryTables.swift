import EgoCore

extension InMemoryStore {
    /// What the store knows of an entity. What an append needs comes first, so that it is in one line of the cache.
    struct Entity {
        /// The events after `floor`, in order.
        var journal = EventPlaces()
        private(set) var isErased = false
        var last = SequenceNumber.zero
        var shard: Shard
        var tombstone: Tombstone? {
            didSet { isErased = tombstone != nil }
        }
        var floor = SequenceNumber.zero
        var commands: [CommandID: CommandRecord] = [:]
        var kind: String?
        var snapshots: [StoredSnapshot] = []
        var state: StoredState?

        init(kind: String?, shard: Shard) { (self.kind, self.shard) = (kind, shard) }

        var stream: StreamInfo {
            StreamInfo(
                last: max(last, tombstone?.sequenceNumber ?? .zero), floor: floor, kind: kind,
                isErased: isErased)
        }

        func latestSnapshot(through last: SequenceNumber) -> StoredSnapshot? {
            snapshots.last { $0.sequenceNumber <= last }
        }
    }

    /// Where events are in the journal, in its order.
    ///
    /// The newest few are kept in place: most appends to one of many entities look at no further memory.
    struct EventPlaces: RandomAccessCollection {
        // In 32 bits: no memory holds more events.
        private var newest = SIMD8<UInt32>()
        private var older: [UInt32] = []
        private var newestCount: UInt8 = 0

        var startIndex: Int { 0 }
        var endIndex: Int { older.count + Int(newestCount) }

        subscript(_ index: Int) -> Int {
            index < older.count ? Int(older[index]) : Int(newest[index - older.count])
        }

        mutating func append(_ place: Int) {
            if Int(newestCount) == newest.scalarCount {
                for index in newest.indices { older.append(newest[index]) }
                newestCount = 0
            }
            newest[Int(newestCount)] = UInt32(place)
            newestCount += 1
        }

        mutating func removeFirst(_ count: Int) {
            let rest = dropFirst(count)
            self = EventPlaces()
            for place in rest { append(place) }
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
        subscript(at place: EntityPlace) -> Entity {
            get { all[Int(place.index)] }
            _modify { yield &all[Int(place.index)] }
        }

        /// The place of an entity, which is made when there is none.
        mutating func place(of id: PersistenceID, making make: () -> Entity) -> EntityPlace {
            EntityPlace(UInt32(indices[id] ?? add(make(), id)))
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
    struct Journal {
        /// An event without what most events do not have, and without what its entity has.
        private struct Row {
            var entity: EntityPlace
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
        /// Parts that are full.
        private var parts: [[Row?]] = []
        /// The part that is being filled.
        private var newest: [Row?] = []

        var count: Int { parts.count * Self.partSize + newest.count }

        /// How many events there are that were not deleted.
        var living: Int { (parts + [newest]).reduce(0) { $0 + $1.count { $0 != nil } } }

        /// Adds an event; its place is ``count`` before.
        mutating func append(
            _ event: NewEvent, of entity: EntityPlace, _ number: SequenceNumber, _ metadata: EventMetadata
        ) {
            append(
                Row(
                    entity: entity, sequenceNumber: number, timestamp: event.timestamp, payload: event.payload,
                    metadata: metadata, rare: Rare.of(event)))
        }

        /// Adds an event as it is.
        mutating func append(_ event: PersistedEvent, of entity: EntityPlace) {
            append(
                Row(
                    entity: entity, sequenceNumber: event.sequenceNumber, timestamp: event.timestamp,
                    payload: event.payload, metadata: event.metadata, rare: Rare.of(event)))
        }

        @inline(__always)
        private mutating func append(_ row: consuming Row) {
            if newest.count == Self.partSize {
                parts.append(newest)
                newest = []
            }
            if newest.isEmpty { newest.reserveCapacity(Self.partSize) }
            newest.append(row)
        }

        /// The event at a place, from 0; nil when it was deleted.
        func event(at index: Int, of entities: EntityTable) -> PersistedEvent? {
            let (part, place) = index.quotientAndRemainder(dividingBy: Self.partSize)
            guard let row = part < parts.count ? parts[part][place] : newest[place] else { return nil }
            let entity = Int(row.entity.index)
            return PersistedEvent(
                persistenceID: entities.ids[entity], sequenceNumber: row.sequenceNumber,
                offset: Offset(position: Position(Int64(index) + 1)), timestamp: row.timestamp,
                shard: entities.all[entity].shard, manifest: row.rare?.manifest ?? PersistedEvent.anyManifest,
                payload: row.payload, encryptionKeyID: row.rare?.encryptionKeyID ?? "",
                isEncrypted: row.rare?.isEncrypted ?? false, isDeleted: row.rare?.isDeleted ?? false,
                metadata: row.metadata, unknownFields: row.rare?.unknownFields ?? [])
        }

        /// Deletes the event at a place.
        mutating func remove(at index: Int) { change(at: index) { $0 = nil } }

        /// Gives the event at a place other unknown fields.
        mutating func setUnknownFields(at index: Int, of event: PersistedEvent, to fields: [UInt8]) {
            var event = event
            event.unknownFields = fields
            change(at: index) { $0?.rare = Rare.of(event) }
        }

        private mutating func change(at index: Int, _ body: (inout Row?) -> Void) {
            let (part, place) = index.quotientAndRemainder(dividingBy: Self.partSize)
            if part < parts.count { body(&parts[part][place]) } else { body(&newest[place]) }
        }

        /// The events of an entity from `first` to `last`, at most a page.
        func page(
            of entity: Entity, in entities: EntityTable, from first: SequenceNumber, through last: SequenceNumber,
            _ limit: PageLimit
        ) -> [PersistedEvent] {
            var found: [PersistedEvent] = []
            var bytes = 0
            let start = first > entity.floor ? Int(first.rawValue - entity.floor.rawValue) - 1 : 0
            for index in entity.journal.dropFirst(start) {
                guard let event = event(at: index, of: entities) else { continue }
                if event.sequenceNumber > last { break }
                found.append(event)
                bytes += event.payload.count
                if bytes >= limit.bytes || found.count == limit.rows { break }
            }
            return found
        }
    }
}
