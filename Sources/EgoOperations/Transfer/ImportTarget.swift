import EgoCore

/// Finds out what the records of an export change in a store. The check before an import and the import itself ask the
/// same questions, so that the one tells what the other will do.
struct ImportTarget {
    private let store: any Store
    private let onConflict: JournalImport.OnConflict
    /// Whether an entity that is new here has to begin with its first event: the file says that it is a part.
    private let isPart: Bool
    private var events: [PersistedEvent] = []
    private var others: [OperatorChange] = []

    /// What the store knows of the entities of this page.
    private var streams: [PersistenceID: StreamInfo] = [:]
    /// The last number of each entity in the file so far. Only so many are kept; of the others a gap is seen when their
    /// page is committed.
    private var last: [PersistenceID: SequenceNumber] = [:]
    private static let limit = 200_000

    /// Whether the store had nothing when the import began: then it has what came out of the file so far, and need not be
    /// asked. Should somebody else write meanwhile, the commit of the page fails.
    private let wasEmpty: Bool

    init(store: any Store, onConflict: JournalImport.OnConflict, isPart: Bool, wasEmpty: Bool) {
        self.store = store
        self.wasEmpty = wasEmpty
        self.onConflict = onConflict
        self.isPart = isPart
    }

    mutating func beginPage() {
        events = []
        others = []
        streams = [:]
    }

    /// What this page changes: events first, as what is recorded of their entities rests on them.
    var changes: [OperatorChange] { (events.isEmpty ? [] : [.addEvents(events)]) + others }

    /// Takes a record that the store need not be asked about, as ``take(_:_:)`` would; false, and nothing, for another.
    mutating func takeUnasked(_ record: ExportRecord, _ summary: inout JournalImport.Summary) throws -> Bool {
        guard case .event(let event) = record, isKnown else { return false }
        let before = try follow(event)
        try add(event, after: before, Self.nothing, &summary)
        return true
    }

    /// Takes a record into this page's changes, and counts what becomes of it.
    ///
    /// - Throws: ``ExportProblem`` for one that is out of order, ``OperationError/Code/refused`` for one that the store
    ///   has already, `StoreError`.
    mutating func take(_ record: ExportRecord, _ summary: inout JournalImport.Summary) async throws {
        switch record {
        case .event(let event): try await take(event, &summary)
        case .entity(let entity): try await take(entity, &summary)
        case .snapshot(let snapshot):
            let id = snapshot.persistenceID
            let (stream, known) = (try await stream(of: id), last[id])
            // One that is ahead of the events would be believed as soon as they reach its number.
            if stream.isErased || snapshot.sequenceNumber > max(stream.last, known ?? .zero) { return }
            let there = isKnown ? nil : try await store.latestSnapshot(of: id, through: snapshot.sequenceNumber)
            if there?.sequenceNumber == snapshot.sequenceNumber { return }
            others.append(.saveSnapshot(snapshot))
            summary.snapshots += 1
        case .state(let state):
            if try await stream(of: state.persistenceID).isErased { return }
            guard let there = isKnown ? nil : try await store.state(of: state.persistenceID) else {
                others.append(.addState(state))
                summary.states += 1
                return
            }
            var wanted = state
            wanted.shard = there.shard
            if there == wanted { return }
            if onConflict == .fail { throw Self.refusal(state.persistenceID, "another durable state of it") }
            summary.differing += 1
        }
    }

    private mutating func take(_ event: PersistedEvent, _ summary: inout JournalImport.Summary) async throws {
        let (id, number) = (event.persistenceID, event.sequenceNumber)
        let stream = try await stream(of: id)
        let before = try follow(event)
        if stream.isErased {
            summary.erased += 1
        } else if number <= stream.last {
            if onConflict == .fail { throw Self.refusal(id, "its event \(number)") }
            switch try await stored(event) {
            case nil: summary.trimmed += 1
            case event?: summary.skipped += 1
            case _?:
                summary.skipped += 1
                summary.differing += 1
                try summary.diverge(id)
            }
        } else {
            try add(event, after: before, stream, &summary)
        }
    }

    /// Checks that an event follows the one before it in the file, whose number it returns.
    private mutating func follow(_ event: PersistedEvent) throws -> SequenceNumber? {
        let (id, number) = (event.persistenceID, event.sequenceNumber)
        guard let index = last.index(forKey: id) else {
            if last.count < Self.limit { last[id] = number }
            return nil
        }
        let before = last.values[index]
        if number != before.next {
            throw ExportProblem("event \(number) of \(id.rawValue) follows event \(before): the file is out of order")
        }
        last.values[index] = number
        return before
    }

    /// Adds an event that the store does not have.
    private mutating func add(
        _ event: PersistedEvent, after before: SequenceNumber?, _ stream: StreamInfo,
        _ summary: inout JournalImport.Summary
    ) throws {
        let (id, number) = (event.persistenceID, event.sequenceNumber)
        if !summary.diverged.isEmpty, summary.diverged.contains(id.rawValue) {
            // Two histories of one entity do not make one.
            summary.skipped += 1
            summary.differing += 1
            return
        }
        if stream.last == .zero, before == nil, number > 1 {
            if isPart {
                throw ExportProblem(
                    "the file begins with event \(number) of \(id.rawValue), and the store has none before it")
            }
            summary.begun += 1
        }
        if stream.last > .zero, number > stream.last.next, before ?? .zero < stream.last {
            throw ExportProblem(
                "event \(number) of \(id.rawValue) does not follow its last one in the store, \(stream.last)")
        }
        events.append(event)
        summary.events += 1
    }

    private mutating func take(_ entity: ExportedEntity, _ summary: inout JournalImport.Summary) async throws {
        let stream = try await stream(of: entity.id)
        if stream.isErased { return }
        let isNew = stream.last == .zero && last[entity.id] == nil
        var isRecorded = false
        if let erasedAt = entity.erasedAt {
            // What lives here is not erased by a file; that is asked for by name.
            if !isNew {
                summary.notErased += 1
                return
            }
            let tombstone = Tombstone(
                persistenceID: entity.id, sequenceNumber: entity.sequenceNumber, erasedAt: erasedAt)
            others.append(.placeTombstone(tombstone))
            isRecorded = true
        } else if isNew, entity.floor > .zero {
            others.append(.raiseFloor(of: entity.id, to: entity.floor))
            last[entity.id] = entity.floor
            isRecorded = true
        }
        if let kind = entity.kind, stream.kind == nil {
            others.append(.recordKind(kind, of: entity.id))
            isRecorded = true
        }
        if isRecorded { summary.entities += 1 }
    }

    private static let nothing = StreamInfo(last: 0, floor: 0, kind: nil, isErased: false)

    /// Whether all that the store has is known without asking it.
    private var isKnown: Bool { wasEmpty && last.count < Self.limit }

    private mutating func stream(of id: PersistenceID) async throws -> StreamInfo {
        if isKnown { return Self.nothing }
        if let known = streams[id] { return known }
        let found = try await store.stream(of: id) ?? Self.nothing
        streams[id] = found
        return found
    }

    /// The event that the store has in an event's place, but for what is the store's own; nil when it was deleted.
    private func stored(_ event: PersistedEvent) async throws -> PersistedEvent? {
        let number = event.sequenceNumber
        guard
            var found = try await store.events(
                of: event.persistenceID, from: number, through: number, limit: PageLimit(rows: 1)
            ).first
        else { return nil }
        (found.offset, found.shard) = (event.offset, event.shard)
        return found
    }

    private static func refusal(_ id: PersistenceID, _ what: String) -> OperationError {
        OperationError(
            .refused, "the store has \(what) already",
            hint: "nothing was imported; --on-conflict skip leaves what is there as it is", persistenceID: id)
    }
}

/// How many records of each kind there are in a file.
struct RecordCounts {
    var events = 0
    var entities = 0
    var snapshots = 0
    var states = 0

    mutating func add(_ record: ExportRecord) {
        switch record {
        case .event: events += 1
        case .entity: entities += 1
        case .snapshot: snapshots += 1
        case .state: states += 1
        }
    }
}
